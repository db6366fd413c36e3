"""What is wrong with running visits: found, raised once, cleared by itself. Telling of it is `alert_telling`'s."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from itertools import combinations
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from consults import hints, proofs
from consults.models import Consent, Consult, Participant
from consults.quality_models import Alert, WatchRound
from vault import audit
from vault.audit import Actor

#: what only the database shows; the rest a worker finds in what the browsers measure
BY_STATE = frozenset({"fingerprints_differ", "uninvited", "consent_missing", "left_open"})
#: what comes back within this after it was over is the same alert: it stands again, and nobody is told anew
SAME_WITHIN = timedelta(minutes=10)
#: comings and goings of one alert that are entries in the log: a browser that lies could make any number of them
ENTRIES_EACH = 10
#: a process that has only begun knows of no round yet, and must not call the first one late
STARTED = timezone.now()

Key = tuple[str, str]


# -- raise and clear ----------------------------------------------------------------------------------------------


@transaction.atomic
def settle(consult_id: UUID, stands: Collection[Key], kinds: Collection[str]) -> list[UUID]:
    """Of these kinds, exactly what `stands` (kind, about) stands from now on. Gives what was raised anew.

    Safe to say twice and from two processes: the consult's row is locked, and a standing alert is left alone.
    """
    consult = Consult.objects.select_for_update(of=("self",)).select_related("clinic").filter(pk=consult_id).first()
    if consult is None:
        return []
    wanted = set() if consult.is_over else set(stands)
    there = {(a.kind, a.about): a for a in consult.alerts.filter(cleared_at=None, kind__in=kinds)}
    now = timezone.now()
    for key in there.keys() - wanted:
        _clear(consult, there[key], now)
    raised = [_raise(consult, key, now) for key in sorted(wanted - there.keys())]
    if raised or there.keys() - wanted:
        hints.consult_changed(consult)
    return [alert.pk for alert in raised if alert.times == 1]


def _raise(consult: Consult, key: Key, now: datetime) -> Alert:
    kind, about = key
    lately = consult.alerts.filter(kind=kind, about=about, cleared_at__gt=now - SAME_WITHIN)
    alert = lately.order_by("-cleared_at").first()
    if alert is None:
        alert = Alert.objects.create(consult=consult, kind=kind, about=about, raised_at=now)
    else:
        alert.cleared_at, alert.times = None, min(alert.times + 1, 30_000)
        alert.save(update_fields=["cleared_at", "times"])
    if alert.times <= ENTRIES_EACH:
        note("watch.raise", consult, alert)
    return alert


def _clear(consult: Consult, alert: Alert, now: datetime) -> None:
    alert.cleared_at = now
    alert.save(update_fields=["cleared_at"])
    if alert.times <= ENTRIES_EACH:
        note("watch.clear", consult, alert)


def note(action: str, consult: Consult, alert: Alert, **more: Any) -> None:
    by = Actor(role="system", person="watch", clinic=consult.clinic_id)
    detail = {"alert": str(alert.pk), "kind": alert.kind, "of": alert.about, "times": alert.times, **more}
    audit.record(action, by, patient=consult.patient_id, consult=consult.id, **detail)


def standing(consults: Iterable[UUID]) -> QuerySet[Alert]:
    return Alert.objects.filter(consult__in=list(consults), cleared_at=None).order_by("raised_at")


# -- that somebody looks -------------------------------------------------------------------------------------------


def note_round(now: datetime) -> None:
    WatchRound.objects.bulk_create(
        [WatchRound(pk=1, at=now)], update_conflicts=True, unique_fields=["pk"], update_fields=["at"]
    )


def is_late(now: datetime) -> bool:
    """Whether nobody has looked through the visits for too long: then mails and alerts wait too."""
    at = WatchRound.objects.values_list("at", flat=True).first()
    return now - max(at or STARTED, STARTED) > settings.WATCH_LATE


# -- found in the database ----------------------------------------------------------------------------------------


def look(now: datetime) -> list[UUID]:
    """Raise and clear what only the database shows, of all open visits. Gives what was raised anew."""
    found = by_state(now)
    there: dict[UUID, set[Key]] = {}
    rows = Alert.objects.filter(cleared_at=None, kind__in=BY_STATE, consult__ended_at=None)
    for consult, kind, about in rows.values_list("consult", "kind", "about"):
        there.setdefault(consult, set()).add((kind, about))
    changed = [(consult, stands) for consult, stands in found.items() if stands != there.get(consult, set())]
    return [alert for consult, stands in changed for alert in settle(consult, stands, BY_STATE)]


def by_state(now: datetime) -> dict[UUID, set[Key]]:
    """Every visit that is open, and what its rows say is wrong. As many queries for a thousand visits as for one."""
    standing_consent = Consent.objects.filter(
        consult=OuterRef("pk"), act=Consent.Act.GIVEN, withdrawal=None, expires_at__gt=now, participant__left_at=None
    )
    seats = Participant.objects.filter(consult=OuterRef("pk"), left_at=None)
    quiet_since = now - settings.WATCH_LEFT_OPEN
    rows = (
        Consult.objects.filter(ended_at=None)
        .annotate(
            consented=Exists(standing_consent),
            busy=Exists(seats.filter(seen_at__gt=quiet_since)),
        )
        .prefetch_related("participants", "invitations", "consents")
    )
    return {consult.pk: set(_wrong(consult, now)) for consult in rows}


def _wrong(consult: Any, now: datetime) -> Iterable[Key]:
    seats = [seat for seat in consult.participants.all() if seat.left_at is None]
    if consult.admitted_at and not consult.consented and now - _since_consent(consult, now) > settings.WATCH_NO_CONSENT:
        yield ("consent_missing", "")
    opened = consult.admitted_at or consult.created_at
    patience = settings.WATCH_LEFT_OPEN if consult.admitted_at else settings.WATCH_NEVER_STARTED
    if not consult.busy and now - opened > patience:
        yield ("left_open", "")
    if any(_uninvited(consult, seat) for seat in seats):
        yield ("uninvited", "patient")
    if any(proofs.differ(one, other) for one, other in combinations(seats, 2)):
        yield ("fingerprints_differ", "")


def _since_consent(consult: Any, now: datetime) -> datetime:
    """When there last was a consent: it was withdrawn or ran out after she was admitted, or never stood."""
    ends = [c.at for c in consult.consents.all() if c.act == Consent.Act.WITHDRAWN]
    ends += [c.expires_at for c in consult.consents.all() if c.expires_at and c.expires_at <= now]
    found: datetime = max([consult.admitted_at, *ends])
    return found


def _uninvited(consult: Any, seat: Participant) -> bool:
    """The patient's seat is made by an invite, and only by one; in a call she has said who she is."""
    if seat.role == Participant.Role.CLINICIAN:
        return False
    invited = any(invite.redeemed_at for invite in consult.invitations.all())
    return not invited or bool(consult.admitted_at and seat.identity_confirmed_at is None)
