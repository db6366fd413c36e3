"""Which worker monitors which consult: leased in the database, taken over when a worker stops renewing."""

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from channels.db import database_sync_to_async
from django.db import DataError, IntegrityError, connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from consults import consent, voice
from consults.models import Consent, Consult, Participant
from consults.quality_models import QualitySample
from signaling.legs import Ended
from signaling.presence import tab_of
from signaling.protocol import Quality
from vault import audit, rows

logger = logging.getLogger(__name__)

#: renewed every second; a worker that was killed is noticed when this is over. By the database's clock, which workers
#: on all machines share: whose own is slow would lose her leases at once
LEASE = timedelta(seconds=5)
#: lapsed leases that one worker looks after in a second
AT_ONCE = 500

#: a consult, a participant, and the leg's name
Ask = tuple[UUID, UUID, str]
#: consult, participant, when, the figures, and the MOS of what she heard
Sample = tuple[UUID, UUID, datetime, Quality, float | None]


class _Seat(NamedTuple):
    """What a claim has to know of it, in the order of `_SEATS`."""

    role: str
    patient: UUID
    clinic: UUID
    #: she took her consent back at some time
    took_back: bool


#: By hand: a leg waits for them, and the ORM takes longer to write them than the database to run them.
_FREE = f"""
SELECT c.id FROM {Consult._meta.db_table} c
WHERE c.id IN (MARKS) AND c.ended_at IS NULL
    AND (c.worker = '' OR c.worker = %s OR c.worker_until IS NULL OR c.worker_until < NOW)
ORDER BY c.id
"""  # noqa: S608  (the name of a table)
#: a statement of its own: what is read in the one that waits for a lock may be older than the lock
_SEATS = f"""
SELECT c.id, p.id, p.role, c.patient_id, c.clinic_id,
    EXISTS (SELECT 1 FROM {Consent._meta.db_table} w WHERE w.consult_id = c.id AND w.act = '{Consent.Act.WITHDRAWN}')
FROM {Participant._meta.db_table} p JOIN {Consult._meta.db_table} c ON c.id = p.consult_id
WHERE c.id IN (MARKS) AND p.left_at IS NULL
"""  # noqa: S608  (names of tables and a constant)
_LEASE = f"""
UPDATE {Consult._meta.db_table} SET worker_until = UNTIL, worker = %s WHERE id IN (MARKS) RETURNING id
"""  # noqa: S608  (the name of a table)
_SECONDS = int(LEASE.total_seconds())
#: now, a lease from now, and a lock
_BY_VENDOR = {
    "postgresql": (
        "STATEMENT_TIMESTAMP()",
        f"STATEMENT_TIMESTAMP() + INTERVAL '{_SECONDS} seconds'",
        "FOR UPDATE OF c SKIP LOCKED",
    ),
    # it has one writer at a time, and nothing to lock
    "sqlite": (
        "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW')",
        f"STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW', '+{_SECONDS} seconds')",
        "",
    ),
}


def _marks(sql: str, ids: Collection[Any]) -> str:
    return sql.replace("MARKS", ", ".join(["%s"] * len(ids)))


def _leasable(worker: str, consults: Collection[UUID]) -> dict[tuple[UUID, UUID], _Seat]:
    """Seats of those of these consults that are free, ours or lapsed, which are locked: by (consult, participant)."""
    now, _, lock = _BY_VENDOR[connection.vendor]
    sql = _marks(_FREE, consults).replace("NOW", now) + lock
    free = [pk for (pk,) in rows.read(sql, [*map(rows.stored, consults), worker])]
    return {
        (rows.given_uuid(consult), rows.given_uuid(who)): _Seat(
            role, rows.given_uuid(patient), rows.given_uuid(clinic), bool(took_back)
        )
        for consult, who, role, patient, clinic, took_back in (rows.read(_marks(_SEATS, free), free) if free else ())
    }


def _lease(worker: str, consults: Collection[UUID]) -> None:
    until = _BY_VENDOR[connection.vendor][1]
    rows.read(_marks(_LEASE, consults).replace("UNTIL", until), [worker, *map(rows.stored, consults)])


@transaction.atomic
def claim_many(worker: str, asks: Sequence[Ask]) -> list[bool]:
    """Lease consults that are free, ours or lapsed to this worker; says of each leg whether it may be.

    Of workers that ask at once exactly one gets a consult: it locks the row, the others pass it over.
    """
    if not asks:
        return []
    seats = _leasable(worker, {consult for consult, _, _ in asks})
    withdrawn = _not_given_since({consult for (consult, _), seat in seats.items() if seat.took_back})
    may_speak = _may_speak(who for consult, who, leg in asks if leg == "voice" and (consult, who) in seats)
    granted = [
        (consult, who) in seats and (who in may_speak if leg == "voice" else consult not in withdrawn)
        for consult, who, leg in asks
    ]
    taken = [ask for ask, yes in zip(asks, granted, strict=True) if yes]
    if taken:
        _lease(worker, {consult for consult, _, _ in taken})
    for consult, who, leg in taken:
        seat = seats[consult, who]
        actor = _actor(worker, seat.clinic)
        audit.record("worker.monitor", actor, patient=seat.patient, consult=consult, leg=leg, of=seat.role)
    return granted


def claim(worker: str, consult_id: UUID, participant_id: UUID, leg: str) -> bool:
    """As `claim_many`, one."""
    return claim_many(worker, [(consult_id, participant_id, leg)])[0]


def renew(worker: str, legs: Iterable[Ask]) -> dict[tuple[UUID, str], str]:
    """Renew the leases of these legs' consults; gives the (participant, leg) pairs that have to be closed, and why."""
    legs = list(legs)
    consults = {consult for consult, _, _ in legs}
    Consult.objects.filter(pk__in=consults, worker=worker, ended_at=None).update(worker_until=Now() + LEASE)
    seats = Participant.objects.filter(
        pk__in=[who for _, who, _ in legs], left_at=None, consult__ended_at=None, consult__worker=worker
    )
    where = dict(seats.values_list("pk", "consult_id"))
    taken_back = Consent.objects.filter(consult_id__in=consults, act=Consent.Act.WITHDRAWN)
    withdrawn = _not_given_since(set(taken_back.values_list("consult_id", flat=True)))
    may_speak = _may_speak(who for _, who, leg in legs if leg == "voice")
    reasons = {}
    for _, who, leg in legs:
        if who not in where or (leg == "voice" and who not in may_speak):
            reasons[who, leg] = "over"
        elif leg != "voice" and where[who] in withdrawn:
            reasons[who, leg] = "withdrawn"
    return reasons


def _may_speak(participants: Iterable[UUID]) -> set[UUID]:
    """Of those with a voice leg, who may have one: only at the consent step."""
    asked = list(participants)
    seats = Participant.objects.select_related("consult__clinic").filter(pk__in=asked) if asked else ()
    return {seat.pk for seat in seats if voice.may_record(seat)}


def _not_given_since(consults: set[UUID]) -> set[UUID]:
    """Of consults whose patient took her consent back, those for which she has given none since."""
    return consults - set(consent.standing_in(consults, timezone.now())) if consults else consults


def release(worker: str, consults: Iterable[UUID] | None = None) -> None:
    """Give consults back (None: all), so another worker need not wait for the lease to lapse."""
    mine = Consult.objects.filter(worker=worker)
    if consults is not None:
        mine = mine.filter(pk__in=list(consults))
    mine.update(worker="", worker_until=None)


@transaction.atomic
def free_lapsed() -> list[tuple[UUID, UUID, str]]:
    """Free the consults of workers that renew no more; gives whose pages have to build their leg anew.

    Each as (consult, participant, tab). Of several workers that ask at once each gets others.
    """
    lapsed = Consult.objects.filter(ended_at=None, worker_until__lt=Now())
    found = list(lapsed.select_for_update(skip_locked=True).values_list("pk", flat=True)[:AT_ONCE])
    if not found:
        return []
    Consult.objects.filter(pk__in=found).update(worker="", worker_until=None)
    seats = Participant.objects.filter(consult_id__in=found, left_at=None).exclude(connection="")
    return [(seat.consult_id, seat.pk, tab_of(seat)) for seat in seats]


@transaction.atomic
def closed(worker: str, legs: Iterable[tuple[UUID, UUID, str, Ended]]) -> None:
    """Write down how these legs ended: each (consult, participant, leg, how)."""
    legs = list(legs)
    seats = {
        seat.pk: seat
        for seat in Participant.objects.select_related("consult").filter(pk__in=[who for _, who, _, _ in legs])
    }
    for consult, participant, leg, ended in legs:
        seat = seats.get(participant)
        if seat is None:  # erased meanwhile; there is nobody left whom an entry could be about
            continue
        figures = asdict(ended)
        last = figures.pop("last")
        figures["last"] = datetime.fromtimestamp(last, UTC).isoformat(timespec="milliseconds") if last else ""
        actor = _actor(worker, seat.consult.clinic_id)
        audit.record(
            "worker.close", actor, patient=seat.consult.patient_id, consult=consult, leg=leg, of=seat.role, **figures
        )


def _actor(worker: str, clinic: UUID) -> audit.Actor:
    return audit.Actor(role="worker", person=worker, clinic=clinic)


#: what is measured for the watch alone is not kept
_FIGURES = tuple(f for f in Quality.__struct_fields__ if f not in ("audio_packets", "buffer_ms", "limited"))
_COLUMNS = ("consult_id", "participant_id", "at", "mos", *_FIGURES)


def store(samples: list[Sample]) -> None:
    """Keep what was measured, in one statement. What belongs to a consult that was erased meanwhile is left out, and so
    is what the database refuses: one page's odd figure may not keep back what all others measured.
    """
    try:
        _add(samples)
    except DataError:
        if len(samples) == 1:
            logger.error("a sample that the database refuses was left out")
            return
        middle = len(samples) // 2
        store(samples[:middle])
        store(samples[middle:])
    except IntegrityError:
        seats = Participant.objects.filter(pk__in={who for _, who, *_ in samples})
        there = set(seats.values_list("consult_id", "pk"))
        _add([sample for sample in samples if sample[:2] in there])


def _kept(figures: Quality) -> list[Any]:
    """Its columns' values. Rounded: Postgres refuses to keep 1e-300 in four bytes."""
    values = (getattr(figures, name) for name in _FIGURES)
    return [round(value, 6) if isinstance(value, float) else value for value in values]


@transaction.atomic
def _add(samples: list[Sample]) -> None:
    rows.add_many(
        QualitySample,
        _COLUMNS,
        [
            (rows.stored(consult), rows.stored(who), rows.moment(at), mos, *_kept(figures))
            for consult, who, at, figures, mos in samples
        ],
    )


def keep_voice(participant_id: UUID, sound: bytes, *, seconds: float, fingerprints: list[str]) -> int | None:
    """Seal a finished recording if it may still be kept; gives its number."""
    seat = Participant.objects.select_related("consult__clinic", "consult__patient").get(pk=participant_id)
    if not voice.may_record(seat):
        return None
    return voice.keep(seat, sound, seconds=seconds, fingerprints=fingerprints).pk


claim_async = database_sync_to_async(claim)
claim_many_async = database_sync_to_async(claim_many)
renew_async = database_sync_to_async(renew)
release_async = database_sync_to_async(release)
free_lapsed_async = database_sync_to_async(free_lapsed)
closed_async = database_sync_to_async(closed)
store_async = database_sync_to_async(store)
keep_voice_async = database_sync_to_async(keep_voice)
