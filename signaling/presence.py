"""Presence in the database: which tab holds a seat, and when it was last seen."""

import asyncio
import secrets
from uuid import UUID

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
_look = database_sync_to_async(visit.look)
#: (loop, consult) -> a look that has not begun yet
_looks: dict[tuple[asyncio.AbstractEventLoop, UUID], asyncio.Task[visit.View]] = {}


async def look_async(consult_id: UUID) -> visit.View:
    """One look for all who ask at once: both sockets of a visit hear the same hint."""
    key = asyncio.get_running_loop(), consult_id
    if key not in _looks:
        _looks[key] = asyncio.create_task(_look_for_all(key))
    return await asyncio.shield(_looks[key])


async def _look_for_all(key: tuple[asyncio.AbstractEventLoop, UUID]) -> visit.View:
    await asyncio.sleep(0)
    # Whoever asks from now on may know of something newer than what is read here.
    del _looks[key]
    view: visit.View = await _look(key[1])
    return view
