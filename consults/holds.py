"""Legal holds: an officer forbids that anything of a patient's is erased, and says why."""

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from consults.retention_models import HoldLift, LegalHold
from vault import audit
from vault import patients as vault_patients
from vault.audit import Actor
from vault.models import Patient

LONGEST_REASON = 500
SHORTEST_REASON = 10


class NotHeld(Exception):
    """The hold was not placed, or not lifted; the message says why."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A hold with its reasons in clear."""

    hold: LegalHold
    reason: str
    lift_reason: str


def standing(patient_id: UUID) -> QuerySet[LegalHold]:
    return LegalHold.objects.filter(patient=patient_id, lift=None).order_by("placed_at")


def of_clinic(clinic: UUID) -> QuerySet[LegalHold]:
    """Every hold that stands, oldest first."""
    rows = LegalHold.objects.filter(clinic=clinic, lift=None)
    return rows.select_related("patient", "placed_by").order_by("placed_at")


@transaction.atomic
def place(patient: Patient, officer: User, reason: str, by: Actor) -> LegalHold:
    """The caller has checked the role and the fresh second factor."""
    reason = _said(reason)
    # Whoever erases locks her row as well: it is done before us, and seen, or after us, and finds the hold.
    patient = Patient.objects.select_for_update(no_key=True).get(pk=patient.pk)
    if patient.shredded_at is not None:
        raise NotHeld("This record was erased. There is nothing left to hold.")
    hold = LegalHold.objects.create(
        clinic=officer.clinic,
        patient=patient,
        reason=vault_patients.seal(patient, "hold_reason", reason.encode()),
        placed_by=officer,
        placed_at=timezone.now(),
    )
    audit.record("hold.place", by, patient=patient.id, hold=str(hold.id))
    return hold


@transaction.atomic
def lift(hold: LegalHold, officer: User, reason: str, by: Actor) -> None:
    """The caller has checked the role and the fresh second factor."""
    reason = _said(reason)
    # Her row, not the hold's: a table that only grows lets nobody lock its rows.
    patient = Patient.objects.select_for_update(no_key=True).get(pk=hold.patient_id)
    if HoldLift.objects.filter(hold=hold).exists():
        raise NotHeld("Somebody has lifted this hold already.")
    sealed = vault_patients.seal(patient, "hold_reason", reason.encode())
    HoldLift.objects.create(hold=hold, reason=sealed, lifted_by=officer, lifted_at=timezone.now())
    audit.record("hold.lift", by, patient=hold.patient_id, hold=str(hold.id))


def _said(reason: str) -> str:
    reason = " ".join(reason.split())
    if sum(letter.isalpha() for letter in reason) < SHORTEST_REASON:
        raise NotHeld("Say in a few words why, so that somebody else understands it in years to come.")
    if len(reason) > LONGEST_REASON:
        raise NotHeld(f"Use at most {LONGEST_REASON} letters.")
    return reason


def history(patient: Patient, by: Actor) -> list[Opened]:
    """All holds of a record, newest first, with their reasons; the entry is written first."""
    audit.record("hold.view", by, patient=patient.id)
    rows = LegalHold.objects.filter(patient=patient).select_related("placed_by", "lift__lifted_by")
    return [
        Opened(hold, _open(patient, hold.reason), _open(patient, hold.lift.reason if hasattr(hold, "lift") else ""))
        for hold in rows.order_by("-placed_at")
    ]


def _open(patient: Patient, token: str) -> str:
    if not token or patient.shredded_at is not None:
        return ""
    return vault_patients.unseal(patient, "hold_reason", token).decode()
