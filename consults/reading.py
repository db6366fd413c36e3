"""Reading protected values: who may, whom, for what, how recently confirmed, how much. One verb for every page."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts import attempts
from accounts.models import User
from consults import concerns, visit
from consults.models import Concern
from vault import audit
from vault import patients as vault_patients
from vault.audit import Actor
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
    if visit.knows(person, patient):
        return "visit"
    return "emergency" if concerns.standing(person, patient) else ""


@dataclass(frozen=True, slots=True)
class Read:
    """What was read, and what an officer is to be told of."""

    values: dict[str, str]
    concern: Concern | None = None


def reveal(
    reader: Reader, patient: Patient, fields: Sequence[str], *, purpose: str, consult: UUID | None = None
) -> Read:
    """The values of `fields`, or `Refused`; the refusal is in the log too. A page shows them for a minute."""
    try:
        _check(reader, patient, fields)
        revealed = vault_patients.reveal(patient, fields, reader.actor, purpose=purpose, consult=consult)
    except Refused as refused:
        _note_refusal(reader, patient, refused.why, consult)
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


def _check(reader: Reader, patient: Patient, fields: Sequence[str]) -> None:
    _check_relation(reader, patient)
    if not _within_quota(reader.person, max(len(fields), 1)):
        raise Refused("quota", "You have opened very many values. Wait a while, or ask your privacy officer.")


def _check_relation(reader: Reader, patient: Patient) -> None:
    if not may_read(reader.person, patient):
        raise Refused("relation", "You have no visit with this patient. Start one, or use emergency access.")
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
