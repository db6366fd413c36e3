"""A record's end: what has to be so before it is destroyed, and the certificate of it, read from the audit log."""

from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from consults import export_facts, holds, visit
from consults.models import Consult
from vault import audit, shredding
from vault.audit import Actor
from vault.core.fields import KINDS
from vault.models import AuditEntry, Patient

REASONS = audit.ERASURE_REASONS
HELD = "This record is under legal hold, so nothing of it is erased. Lift the hold first, if it has ended."

#: what an erasure leaves, and why
STAYS = (
    "That visits took place, when and with whom, and the log of who did what with the record: "
    "both are evidence, and neither holds a readable value of the record.",
    "The consents that were given or withdrawn: the words, the time and the method, without a readable name.",
)


class NotErased(Exception):
    """Nothing was destroyed; the message says what to do."""


class WrongNumber(NotErased):
    """What was typed is not this record's number."""


def goes(patient: Patient) -> list[str]:
    """What an erasure destroys, in words."""
    there = export_facts.counts(patient)
    said = {
        "notes": ("note of the visits", "notes of the visits"),
        "recordings": ("recording of the patient's voice", "recordings of the patient's voice"),
    }
    return [
        "Name, date of birth, and every other value of the record",
        *(export_facts.counted(there[name], *words) for name, words in said.items() if there[name]),
        "Everything by which a search finds the patient",
        "The names under the consents",
        "Visits that have not begun, and their links",
    ]


def stays(patient: Patient) -> list[str]:
    """What is left afterwards, in words."""
    there = export_facts.counts(patient)
    visits = export_facts.counted(there["visits"], "visit")
    acts = export_facts.counted(there["consents"], "act of consent", "acts of consent")
    return [
        "The audit log: who did what with the record, and this erasure",
        *([f"That {visits} took place: when, and with whom"] if there["visits"] else []),
        *([f"{acts}: words, time and method, no readable name"] if there["consents"] else []),
        "The record number",
    ]


@transaction.atomic
def erase(patient: Patient, by: Actor, *, reason: str, typed_number: str) -> AuditEntry:
    """Destroy the record for good. The caller has checked the role and the fresh second factor.

    Visits that have not begun end with it, so that no link to them works any longer.
    """
    if patient.shredded_at is not None:
        raise NotErased("This record was erased before. Its certificate is still here.")
    if reason not in REASONS:
        raise NotErased("Choose why the record is erased.")
    if typed_number.strip() != patient.record_number:
        raise WrongNumber("Type the record number exactly as it stands at the top of this page.")
    if holds.standing(patient.pk).exists():
        raise NotErased(HELD)
    # Locked: whoever admits the patient at this moment does it before us, and is seen, or after, and finds it ended.
    open_consults = list(Consult.objects.select_for_update().filter(patient=patient, ended_at=None))
    if any(consult.is_live for consult in open_consults):
        raise NotErased("A visit with this patient is going on. Erase the record when it has ended.")
    for consult in open_consults:
        visit.end(consult, by, reason="the record is erased")
    try:
        certificate = shredding.shred(patient, by, reason=reason)
    except shredding.NotShredded as error:
        raise NotErased(str(error)) from None
    # Only now her row is locked against whoever places a hold; what was destroyed comes back with the transaction.
    if holds.standing(patient.pk).exists():
        raise NotErased(HELD)
    return certificate


def in_a_visit(patient: Patient) -> bool:
    return Consult.objects.filter(patient=patient, ended_at=None).exclude(admitted_at=None).exists()


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the log says of one destruction."""

    patient: Patient
    entry: AuditEntry
    #: until when a backup from before could still be read, as of today, in a sentence
    backups: str

    @property
    def facts(self) -> list[tuple[str, str]]:
        detail = self.entry.detail
        fields = ", ".join(KINDS[field].label.lower() for field in detail["fields"])
        keys = ", ".join(f"data key {generation}" for generation in detail["generations"])
        return [
            ("Record number", self.patient.record_number),
            ("Erased", f"{timezone.localtime(self.entry.at):%-d %B %Y, %H:%M %Z}"),
            ("By", self.entry.person_name),
            ("Why", REASONS.get(detail["reason"], detail["reason"])),
            ("Fields destroyed", fields.capitalize()),
            ("Destroyed besides", f"{detail['values']} sealed texts and recordings of the visits"),
            ("Keys destroyed", f"{keys}, wrapped under {' and '.join(detail['keks'])}"),
            ("Entry of the log", str(self.entry.pk)),
        ]


def certificate(patient: Patient) -> Certificate | None:
    """Of this record, when it was erased."""
    if patient.shredded_at is None:
        return None
    entry = AuditEntry.objects.filter(patient=str(patient.id), action="patient.shred").latest("id")
    return Certificate(patient, entry, shredding.backup_readable_until(entry))
