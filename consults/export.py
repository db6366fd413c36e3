"""A patient's data on its way out: the reasons, the forms, and the one verb. The audit entry is written first."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module

from django.utils import timezone

from consults import export_facts
from vault import audit
from vault.core.sealing import CannotOpen
from vault.models import AuditEntry, Patient

REASONS = audit.EXPORT_REASONS


@dataclass(frozen=True, slots=True)
class Form:
    """One form in which a record leaves: what a person reads of it, and the function that writes it."""

    label: str
    help: str
    content_type: str
    ending: str
    #: "module:function", imported when somebody exports: the libraries behind it are large, exports are few
    writer: str

    def write(self, facts: export_facts.Facts) -> bytes:
        module, _, name = self.writer.partition(":")
        writer: Callable[[export_facts.Facts], bytes] = getattr(import_module(module), name)
        return writer(facts)


FORMS = {
    "pdf": Form("PDF", "To read and to print.", "application/pdf", "pdf", "consults.export_pdf:write"),
    "fhir": Form(
        "FHIR R4",
        "For another provider's system. Has the recordings too.",
        "application/fhir+json",
        "json",
        "consults.export_fhir:write",
    ),
}


def holds(patient: Patient) -> list[str]:
    """What an export of this patient would hold, in words; nothing is opened for it."""
    there = export_facts.counts(patient)
    said = {
        "visits": ("visit: when, and with whom", "visits: when, and with whom"),
        "notes": ("note of the visits", "notes of the visits"),
        "consents": ("act of consent, with the exact words", "acts of consent, with the exact words"),
        "recordings": ("recording of the patient's voice", "recordings of the patient's voice"),
        "entries": ("entry of the log: who, what, why", "entries of the log: who, what, why"),
    }
    lines = [export_facts.counted(there[name], *words) for name, words in said.items() if there[name]]
    return ["Who the patient is: every value of the record", *lines]


class NotExported(Exception):
    """Nothing left the vault; the message says what to do."""


@dataclass(frozen=True, slots=True)
class File:
    """What is sent. The name holds nothing about her but the clinic's own number."""

    name: str
    content_type: str
    content: bytes = field(repr=False)
    decoy: bool = field(default=False, repr=False)


def export(patient: Patient, by: audit.Actor, *, form: str, reason: str) -> File:
    """Write down everything about the patient. The caller has checked the role and the fresh second factor."""
    if form not in FORMS or reason not in REASONS:
        raise NotExported("Choose a form, and why the record leaves the clinic.")
    if patient.shredded_at is not None:
        raise NotExported("This record was erased. There is nothing left to export.")
    at = timezone.now()
    counts = export_facts.counts(patient)
    # Committed before anything is opened: an export that fails afterwards is in the log all the same.
    audit.record("patient.export", by, patient=patient.id, purpose=reason, format=form, **counts)
    try:
        facts = export_facts.gather(patient, by, reason=reason, at=at)
        content = FORMS[form].write(facts)
    except (NotExported, CannotOpen) as error:
        action = "vault.tamper" if isinstance(error, CannotOpen) else "patient.export"
        audit.record(action, by, patient=patient.id, outcome=AuditEntry.Outcome.FAILED)
        raise
    name = f"record-{patient.record_number}-{timezone.localtime(at):%Y-%m-%d}.{FORMS[form].ending}"
    return File(file_name(name), FORMS[form].content_type, content, facts.decoy)


def file_name(name: str) -> str:
    """Letters, digits, dot and dash: a clinic chooses its own record numbers, and some file systems refuse slashes."""
    return "".join(c if c.isascii() and (c.isalnum() or c in ".-") else "-" for c in name)
