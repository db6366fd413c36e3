"""The course of a visit: started, identity confirmed, devices tested, waiting, admitted, ended."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from consults import alert_words, alerts, consent, hints
from consults.invitations import patient_actor
from consults.models import Consult, Note, Participant
from vault import audit
from vault import patients as vault_patients
from vault.audit import Actor
from vault.models import AuditEntry, Patient

IDENTITY_TRIES = 5
#: a socket reports this often that it is there; twice that without a word is "not connected"
PRESENCE = timedelta(seconds=10)


class NotNow(Exception):
    """The step is out of turn; the message says what to do."""


@dataclass(frozen=True, slots=True)
class View:
    """What the sockets and pages of a consult need to know of it, read in three queries."""

    consult: Consult
    seat: Participant | None
    clinician_seat: Participant | None
    clinician_here: bool
    patient_here: bool
    consented: bool
    place: int

    @property
    def gate_open(self) -> bool:
        """Whether the two people may exchange session descriptions: admitted, consented, not over."""
        return self.consult.is_live and self.consented and self.seat is not None

    @property
    def stage(self) -> str:
        """Where the patient is: invited, identity, devices, consent, waiting, call, ended."""
        seat = self.seat
        if self.consult.is_over:
            return "ended"
        if seat is None:
            return "invited"
        if seat.identity_confirmed_at is None:
            return "identity"
        if seat.devices is None:
            return "devices"
        if not self.consented:
            return "consent"
        return "call" if self.consult.is_live else "waiting"


def look(consult_id: UUID) -> View:
    consult = Consult.objects.select_related("clinic").get(pk=consult_id)
    people = {p.role: p for p in consult.participants.filter(left_at=None)}
    seat, host = people.get(Participant.Role.PATIENT), people.get(Participant.Role.CLINICIAN)
    return View(
        consult=consult,
        seat=seat,
        clinician_seat=host,
        clinician_here=is_here(host),
        patient_here=is_here(seat),
        consented=consent.stands(consult.id),
        place=_place(consult, seat),
    )


def is_here(participant: Participant | None) -> bool:
    return bool(
        participant
        and participant.connection
        and participant.seen_at
        and timezone.now() - participant.seen_at < 2 * PRESENCE
    )


def patient_is_here(consult: Consult) -> bool:
    return is_here(consult.participants.filter(role=Participant.Role.PATIENT, left_at=None).first())


def _place(consult: Consult, seat: Participant | None) -> int:
    """The patient's place among those who wait for the same clinician; 1 is next, 0 is not waiting."""
    if seat is None or seat.waiting_since is None or consult.admitted_at:
        return 0
    ahead = waiting_for([consult.clinician_id]).filter(waiting_since__lt=seat.waiting_since).exclude(pk=seat.pk)
    return int(ahead.count()) + 1


def waiting(clinician: User) -> QuerySet[Participant]:
    """Participants in this clinician's waiting room, longest first."""
    return waiting_for([clinician.pk])


def waiting_for(clinicians: Iterable[UUID]) -> QuerySet[Participant]:
    return (
        Participant.objects.filter(
            consult__clinician__in=clinicians,
            consult__ended_at=None,
            consult__admitted_at=None,
            role=Participant.Role.PATIENT,
            left_at=None,
        )
        .exclude(waiting_since=None)
        .select_related("consult__patient")
        .order_by("waiting_since")
    )


@transaction.atomic
def start(clinician: User, patient: Patient, by: Actor, *, relay_only: bool = False) -> Consult:
    if patient.shredded_at:
        raise NotNow("This record was erased. If the patient comes back, add a new record.")
    now = timezone.now()
    if (relay_only or clinician.clinic.relay_only) and not settings.TURN_URLS:
        raise NotNow("This clinic has no relay of its own, so a call over it could not open. Ask your operator.")
    consult = Consult.objects.create(
        clinic=clinician.clinic, clinician=clinician, patient=patient, created_at=now, relay_only=relay_only
    )
    Participant.objects.create(consult=consult, role=Participant.Role.CLINICIAN, joined_at=now)
    audit.record("consult.create", by, patient=patient.id, consult=consult.id)
    return consult


@transaction.atomic
def confirm_identity(seat: Participant, *, name: str, birth_date: str, source: str) -> bool:
    """Compare what the patient typed with the record. After five misses the seat is closed: she calls the clinic."""
    seat = Participant.objects.select_for_update().select_related("consult__patient").get(pk=seat.pk)
    if seat.consult.is_over:
        raise NotNow("This visit has ended. Load this page again.")
    if seat.identity_failures >= IDENTITY_TRIES:
        raise NotNow("That did not match several times. Please call your clinic; they will send you a new link.")
    consult = seat.consult
    right = vault_patients.matches_identity(consult.patient, name=name, birth_date=birth_date)
    if right:
        seat.identity_confirmed_at = seat.identity_confirmed_at or timezone.now()
    else:
        seat.identity_failures += 1
    seat.save(update_fields=["identity_confirmed_at", "identity_failures"])
    audit.record(
        "identity.check",
        patient_actor(seat, source),
        patient=consult.patient_id,
        consult=consult.id,
        outcome=AuditEntry.Outcome.DONE if right else AuditEntry.Outcome.FAILED,
        tries=seat.identity_failures,
    )
    hints.consult_changed(consult)
    return right


@transaction.atomic
def devices_tested(seat: Participant, result: dict[str, bool], *, source: str) -> None:
    if seat.identity_confirmed_at is None:
        raise NotNow("Please confirm who you are first.")
    seat.devices = {k: bool(result.get(k)) for k in ("camera", "microphone", "speaker")}
    seat.save(update_fields=["devices"])
    consult = seat.consult
    audit.record(
        "consult.devices", patient_actor(seat, source), patient=consult.patient_id, consult=consult.id, **seat.devices
    )
    hints.consult_changed(seat.consult)


@transaction.atomic
def wait(seat: Participant, *, source: str) -> None:
    """Enter the waiting room; coming back keeps the place."""
    seat = Participant.objects.select_for_update().select_related("consult").get(pk=seat.pk)
    if not consent.stands(seat.consult_id):
        raise NotNow("Please read and agree to the consent first.")
    if seat.waiting_since is None:
        seat.waiting_since = timezone.now()
        seat.save(update_fields=["waiting_since"])
        audit.record(
            "consult.waiting",
            patient_actor(seat, source),
            patient=seat.consult.patient_id,
            consult=seat.consult_id,
        )
    hints.consult_changed(seat.consult)


@transaction.atomic
def admit(consult: Consult, by: Actor) -> Consult:
    """Let the patient in. Asking twice does nothing; without consent there is nobody to admit."""
    consult = Consult.objects.select_for_update().get(pk=consult.pk)
    if consult.is_over:
        raise NotNow("This consult has ended. Start a new one.")
    seat = consult.participants.filter(role=Participant.Role.PATIENT, left_at=None).first()
    if seat is None or seat.waiting_since is None or not consent.stands(consult.id):
        raise NotNow("The patient is not ready yet: the consent comes first.")
    if consult.admitted_at is None:
        consult.admitted_at = timezone.now()
        consult.negotiation += 1
        consult.save(update_fields=["admitted_at", "negotiation"])
        audit.record("consult.admit", by, patient=consult.patient_id, consult=consult.id)
    hints.consult_changed(consult)
    return consult


@transaction.atomic
def end(consult: Consult, by: Actor, *, reason: str = "") -> Consult:
    consult = Consult.objects.select_for_update().get(pk=consult.pk)
    if consult.ended_at is None:
        consult.ended_at = timezone.now()
        consult.save(update_fields=["ended_at"])
        consult.invitations.filter(revoked_at=None, redeemed_at=None).update(revoked_at=consult.ended_at)
        consent.drop_unused_recordings(consult, by)
        audit.record("consult.end", by, patient=consult.patient_id, consult=consult.id, reason=reason)
        alerts.settle(consult.pk, (), alert_words.WORDS)
    hints.consult_changed(consult)
    return consult


@transaction.atomic
def phoned(consult_id: UUID, by: Actor) -> None:
    """A page tells its person to go on by telephone; the first time counts."""
    consult = Consult.objects.select_for_update().get(pk=consult_id)
    if consult.phoned_at is None and consult.is_live:
        consult.phoned_at = timezone.now()
        consult.save(update_fields=["phoned_at"])
        audit.record("consult.phone", by, patient=consult.patient_id, consult=consult.id)
        hints.consult_changed(consult)


@transaction.atomic
def write_note(consult: Consult, author: User, text: str, by: Actor) -> Note:
    note = Note.objects.create(
        consult=consult,
        author=author,
        text=vault_patients.seal(consult.patient, "consult_note", text.encode()),
        created_at=timezone.now(),
    )
    audit.record("consult.note", by, patient=consult.patient_id, consult=consult.id, note=note.pk)
    return note


def read_notes(consult: Consult, by: Actor) -> list[tuple[Note, str]]:
    """The visit's notes in clear, for its clinician; the entry is written before anything is opened."""
    notes = list(consult.notes.select_related("author"))
    if not notes:
        return []
    audit.record("consult.note.read", by, patient=consult.patient_id, consult=consult.id, notes=[n.pk for n in notes])
    return [(n, vault_patients.unseal(consult.patient, "consult_note", n.text).decode()) for n in notes]


def of_clinician(clinician: User, consult_id: UUID) -> Consult:
    """The clinician's own consult, or `Consult.DoesNotExist`: a colleague's looks the same as none."""
    return Consult.objects.select_related("clinic", "clinician", "patient").get(pk=consult_id, clinician=clinician)
