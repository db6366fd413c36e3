"""Presence in the database: which tab holds a seat, and when it was last seen."""

import secrets

from channels.db import database_sync_to_async
from django.db import transaction
from django.utils import timezone

from consults import hints, visit
from consults.models import Participant
from signaling.entry import Visitor
from vault import audit


@transaction.atomic
def arrive(visitor: Visitor, tab: str, process: str) -> str:
    """Take the seat for this socket; the socket that had it finds itself replaced. Gives the connection's name.

    `process`: whose socket it is, by which frames find it (`Relay.process`).
    """
    connection = f"{tab}.{process}.{secrets.token_hex(3)}"
    participant = visitor.participant
    Participant.objects.filter(pk=participant.pk).update(connection=connection, seen_at=timezone.now())
    audit.record(
        "consult.connect",
        visitor.actor,
        patient=participant.consult.patient_id,
        consult=participant.consult_id,
        tab=tab,
    )
    hints.consult_changed(participant.consult)
    return connection


def leave(visitor: Visitor, connection: str) -> None:
    """Give the seat up, unless a newer socket has it by now."""
    gone = Participant.objects.filter(pk=visitor.participant.pk, connection=connection).update(connection="")
    if gone:
        hints.consult_changed(visitor.participant.consult)


def tab_of(participant: Participant | None) -> str:
    return whereabouts(participant)[0]


def whereabouts(participant: Participant | None) -> tuple[str, str]:
    """The tab and the process of whoever holds a seat; both empty where nobody does."""
    tab, _, rest = participant.connection.partition(".") if participant else ("", "", "")
    return tab, rest.partition(".")[0]


phoned_async = database_sync_to_async(visit.phoned)
arrive_async = database_sync_to_async(arrive)
leave_async = database_sync_to_async(leave)
look_async = database_sync_to_async(visit.look)
