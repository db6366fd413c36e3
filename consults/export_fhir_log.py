"""The audit log of one record as FHIR R4 AuditEvents: who did what, when, why, and what came of it."""

import uuid

from consults.audit_fhir import BROKE_GLASS, PURPOSES_OF_USE, event
from consults.export_coding import Json, concept, plain
from consults.export_facts import Facts, staff_in
from vault.models import AuditEntry

__all__ = ["PURPOSES_OF_USE", "events"]


def events(facts: Facts) -> list[Json]:
    """Each as `audit_fhir` shapes it. References lead to resources of the same bundle, and nowhere else."""
    there = {
        "Patient": {str(facts.patient.id)},
        "Organization": {str(facts.clinic.pk)},
        "Practitioner": {str(number) for number in staff_in(facts)},
        "Encounter": {str(visit.consult.id) for visit in facts.visits},
    }

    def refer(kind: str, number: str) -> str:
        return uuid.UUID(number).urn if number in there[kind] else ""

    said = {str(concern.id): (reason, note) for concern, reason, note in facts.emergencies}
    return [event(entry, refer) | _emergency(entry, said) for entry in facts.log]


def _emergency(entry: AuditEntry, said: dict[str, tuple[str, str]]) -> Json:
    """The reason of emergency access, and what its reviewer wrote: both are sealed, and not in the log itself."""
    reason, note = said.get(entry.detail.get("concern", ""), ("", ""))
    if reason and entry.action == "patient.break_glass":
        return {"purposeOfEvent": [concept(BROKE_GLASS, text=plain(reason))]}
    if note and entry.action == "review.sign":
        return {"outcomeDesc": plain(note)}
    return {}
