"""A clinician's waiting room as her dashboard shows it: everybody in it, in as many queries as for one."""

from dataclasses import dataclass

from django.db.models import Exists, OuterRef
from django.utils import timezone

from accounts.models import User
from consults import visit
from consults.models import Consent, Consult, Participant


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the dashboard says of one who waits; as `visit.look` would say it of her alone."""

    seat: Participant
    consented: bool
    patient_here: bool

    @property
    def consult(self) -> Consult:
        return self.seat.consult


def look(clinician: User) -> list[Waiting]:
    """Who waits for this clinician, longest first. One query."""
    now = timezone.now()
    standing = Consent.objects.filter(
        consult=OuterRef("consult"),
        act=Consent.Act.GIVEN,
        withdrawal=None,
        expires_at__gt=now,
        participant__left_at=None,
    )
    seats = visit.waiting(clinician).annotate(consented=Exists(standing))
    return [Waiting(seat, bool(seat.consented), _is_here(seat)) for seat in seats]


def _is_here(seat: Participant) -> bool:
    return bool(seat.connection and seat.seen_at and timezone.now() - seat.seen_at < 2 * visit.PRESENCE)
