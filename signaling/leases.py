"""Which worker monitors which consult: leased in the database, taken over when a worker stops renewing."""

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from channels.db import database_sync_to_async
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from consults import voice
from consults.models import Consult, Participant
from vault import audit

LEASE = timedelta(seconds=8)


@transaction.atomic
def claim(worker: str, consult_id: UUID, participant_id: UUID, leg: str) -> bool:
    """Lease the consult to this worker, if it is free, ours or lapsed. One conditional UPDATE decides."""
    now = timezone.now()
    free = Q(worker="") | Q(worker=worker) | Q(worker_until=None) | Q(worker_until__lt=now)
    mine = Consult.objects.filter(free, pk=consult_id, ended_at=None).update(worker=worker, worker_until=now + LEASE)
    seat = (
        Participant.objects.select_related("consult__clinic").filter(pk=participant_id, left_at=None).first()
        if mine
        else None
    )
    if seat is None or seat.consult_id != consult_id or (leg == "voice" and not voice.may_record(seat)):
        return False
    actor = audit.Actor(role="worker", person=worker, clinic=seat.consult.clinic_id)
    audit.record("worker.monitor", actor, patient=seat.consult.patient_id, consult=consult_id, leg=leg, of=seat.role)
    return True


def renew(worker: str, legs: Iterable[tuple[UUID, UUID, str]]) -> set[tuple[UUID, str]]:
    """Renew the leases of these legs' consults; gives the (participant, leg) pairs that have to be closed."""
    legs = list(legs)
    now = timezone.now()
    consults = {consult for consult, _, _ in legs}
    Consult.objects.filter(pk__in=consults, worker=worker, ended_at=None).update(worker_until=now + LEASE)
    seats = {
        p.pk: p
        for p in Participant.objects.select_related("consult__clinic").filter(
            pk__in=[participant for _, participant, _ in legs],
            left_at=None,
            consult__ended_at=None,
            consult__worker=worker,
        )
    }
    return {
        (participant, leg)
        for _, participant, leg in legs
        if participant not in seats or (leg == "voice" and not voice.may_record(seats[participant]))
    }


def release(worker: str) -> None:
    """Give the consults back, so another worker need not wait for the lease to lapse."""
    Consult.objects.filter(worker=worker).update(worker="", worker_until=None)


def keep_voice(participant_id: UUID, sound: bytes, *, seconds: float) -> int | None:
    """Seal a finished recording if it may still be kept; gives its number."""
    seat = Participant.objects.select_related("consult__clinic", "consult__patient").get(pk=participant_id)
    return voice.keep(seat, sound, seconds=seconds).pk if voice.may_record(seat) else None


claim_async = database_sync_to_async(claim)
renew_async = database_sync_to_async(renew)
release_async = database_sync_to_async(release)
keep_voice_async = database_sync_to_async(keep_voice)
