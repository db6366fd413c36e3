"""Reading protected values: who may, whom, for what, how recently confirmed, how much. One verb for every page."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts import attempts
from accounts.models import User
from consults import concerns
from consults.models import Concern, Participant
from vault import audit
from vault import patients as vault_patients
from vault.audit import Actor
from vault.core.fields import KINDS
from vault.models import AuditEntry, Patient

#: how long a page shows what it was given
SHOWN_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Reader:
    """Who wants to read: the person, how the log names her, and whether her second factor is fresh."""

    person: User
    actor: Actor
    confirmed: bool


class Refused(Exception):
    """`why` goes to the log, the message to the reader."""

    def __init__(self, why: str, message: str) -> None:
        super().__init__(message)
        self.why = why


def may_read(person: User, patient: Patient) -> str:
    """What lets this person read this patient: "visit", "emergency", or nothing."""
    if person.role != User.Role.CLINICIAN or person.clinic_id != patient.clinic_id or patient.shredded_at:
        return ""
    if _is_hers(person, patient):
        return "visit"
    return "emergency" if concerns.standing(person, patient) else ""


def _is_hers(clinician: User, patient: Patient) -> bool:
    """She confirmed who she is in a visit with this clinician, or the clinician typed her record in the first place.

    A consult alone is nothing: anybody may start one with any patient of the clinic.
    """
    came = Participant.objects.filter(
        consult__clinician=clinician,
        consult__patient=patient,
        role=Participant.Role.PATIENT,
        identity_confirmed_at__isnull=False,
    )
    added = AuditEntry.objects.filter(patient=str(patient.id), action="patient.create", person=str(clinician.pk))
    return came.exists() or added.exists()


@dataclass(frozen=True, slots=True)
class Read:
    """What was read, and what an officer is to be told of."""

    values: dict[str, str] = field(repr=False)
    concern: Concern | None = None


def reveal(
    reader: Reader, patient: Patient, fields: Sequence[str], *, purpose: str, consult: UUID | None = None
) -> Read:
    """The values of `fields`, or `Refused`; the refusal is in the log too. A page shows them for a minute."""
    wanted = [f for f in dict.fromkeys(fields) if f in KINDS and getattr(patient, f)]
    try:
        _check_relation(reader, patient)
        # What the vault will refuse anyway uses nothing of the quota up.
        if wanted and purpose in vault_patients.PURPOSES and not _within_quota(reader.person, len(wanted)):
            raise Refused("quota", "You have opened very many values. Wait a while, or ask your privacy officer.")
        revealed = vault_patients.reveal(patient, wanted, reader.actor, purpose=purpose, consult=consult)
    except Refused as refused:
        _note_refusal(reader, patient, refused.why, consult)
        raise
    except vault_patients.NotRevealed:
        _note_refusal(reader, patient, "incomplete", consult)
        raise
    # Of a decoy the reader must not notice anything.
    concern = concerns.decoy_read(reader.person, patient, reader.actor) if revealed.canary else None
    return Read(revealed.values, concern)


def require_confirmed(reader: Reader, patient: Patient) -> None:
    """For other acts on a record that take a relation and a fresh second factor."""
    try:
        _check_relation(reader, patient)
    except Refused as refused:
        _note_refusal(reader, patient, refused.why, None)
        raise


def _note_refusal(reader: Reader, patient: Patient, why: str, consult: UUID | None) -> None:
    refused = AuditEntry.Outcome.REFUSED
    audit.record("patient.reveal", reader.actor, patient=patient.id, consult=consult, outcome=refused, why=why)


def _check_relation(reader: Reader, patient: Patient) -> None:
    if not may_read(reader.person, patient):
        raise Refused(
            "relation",
            "The patient has not confirmed name and date of birth to you. If it cannot wait, use emergency access.",
        )
    if not reader.confirmed:
        raise Refused("confirm", "Type the current code from your authenticator app.")


def _within_quota(person: User, values: int) -> bool:
    """Counts values, not clicks. A refused look uses nothing up: the one transaction counts both windows or none."""
    with transaction.atomic():
        for name, limit, window in (
            ("reveal-quarter", settings.REVEALS_PER_QUARTER, timedelta(minutes=15)),
            ("reveal-day", settings.REVEALS_PER_DAY, timedelta(days=1)),
        ):
            if not attempts.allowed(name, str(person.pk), limit=limit, cost=values, window=window):
                transaction.set_rollback(True)
                return False
    return True
