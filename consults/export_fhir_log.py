"""The audit log of one record as FHIR R4 AuditEvents: who did what, when, why, and what came of it."""

import json
import uuid
from typing import Any

from django.conf import settings

from accounts.models import User
from consults.export_coding import DICOM, Json, coding, concept, moment, plain, reference, terminology
from consults.export_facts import Facts
from vault.audit import ACTIONS
from vault.models import AuditEntry
from vault.patients import PURPOSES

OUTCOMES = {AuditEntry.Outcome.DONE: "0", AuditEntry.Outcome.REFUSED: "4", AuditEntry.Outcome.FAILED: "8"}
#: purposes and reasons of the log -> HL7's purposes of use
PURPOSES_OF_USE = {
    "identify": coding(terminology("v3-ActReason"), "TREAT", "treatment"),
    "contact": coding(terminology("v3-ActReason"), "TREAT", "treatment"),
    "treat": coding(terminology("v3-ActReason"), "TREAT", "treatment"),
    "correct": coding(terminology("v3-ActReason"), "PATADMIN", "patient administration"),
    "subject": coding(terminology("v3-ActReason"), "PATRQT", "patient requested"),
    "transfer": coding(terminology("v3-ActReason"), "TREAT", "treatment"),
    "authority": coding(terminology("v3-ActReason"), "LEGAL", "legal"),
}
#: what the last part of an action's name says about it (FHIR's audit-event-action); E is "executed"
WRITES = {
    "create": "C", "note": "C", "give": "C", "withdraw": "C", "keep": "C", "import": "C",
    "change": "U", "admit": "U", "end": "U", "revoke": "U", "redeem": "U",
    "shred": "D", "drop": "D", "erase": "D",
    "view": "R", "reveal": "R", "read": "R", "play": "R", "export": "R", "search": "R",
}  # fmt: skip


BROKE_GLASS = coding(terminology("v3-ActReason"), "BTG", "break the glass")


def events(facts: Facts) -> list[Json]:
    visits = {str(visit.consult.id) for visit in facts.visits}
    said = {str(concern.id): (reason, note) for concern, reason, note in facts.emergencies}
    return [_event(facts, entry, visits) | _emergency(entry, said) for entry in facts.log]


def _emergency(entry: AuditEntry, said: dict[str, tuple[str, str]]) -> Json:
    """The reason of emergency access, and what its reviewer wrote: both are sealed, and not in the log itself."""
    reason, note = said.get(entry.detail.get("concern", ""), ("", ""))
    if reason and entry.action == "patient.break_glass":
        return {"purposeOfEvent": [concept(BROKE_GLASS, text=plain(reason))]}
    if note and entry.action == "review.sign":
        return {"outcomeDesc": plain(note)}
    return {}


def _event(facts: Facts, entry: AuditEntry, visits: set[str]) -> Json:
    export = entry.action == "patient.export"
    kind = coding(DICOM, "110106", "Export") if export else coding(DICOM, "110110", "Patient Record")
    entities = [_patient_entity(facts, entry)]
    if entry.consult in visits:
        entities.append({"what": reference(uuid.UUID(entry.consult))})
    event = {
        "resourceType": "AuditEvent",
        "id": str(uuid.uuid5(facts.patient.id, f"log/{entry.pk}")),
        "type": kind,
        "subtype": [coding(f"{settings.PUBLIC_ORIGIN}/fhir/audit-action", entry.action, ACTIONS[entry.action])],
        "action": WRITES.get(entry.action.rpartition(".")[2], "E"),
        "recorded": moment(entry.at),
        "outcome": OUTCOMES[AuditEntry.Outcome(entry.outcome)],
        "agent": [_agent(facts, entry)],
        "source": {"observer": reference(facts.clinic.pk, facts.clinic.name)},
        "entity": entities,
    }
    if entry.purpose:
        event["purposeOfEvent"] = [_purpose(entry.purpose)]
    return event


def _purpose(purpose: str) -> Json:
    known = [PURPOSES_OF_USE[purpose]] if purpose in PURPOSES_OF_USE else []
    return concept(*known, text=plain(PURPOSES.get(purpose, purpose)))


def _agent(facts: Facts, entry: AuditEntry) -> Json:
    if entry.role in User.Role.values:
        who = reference(uuid.UUID(entry.person), entry.person_name)
    elif entry.role == "patient":
        who = reference(facts.patient.id)
    else:
        who = {"display": plain(entry.person or entry.role)}
    return {"role": [concept(text=plain(entry.role.replace("_", " ")))], "who": who, "requestor": True}


def _patient_entity(facts: Facts, entry: AuditEntry) -> Json:
    return {
        "what": reference(facts.patient.id),
        "type": coding(terminology("audit-entity-type"), "1", "Person"),
        "role": coding(terminology("object-role"), "1", "Patient"),
        **_details(entry.detail),
    }


def _details(detail: dict[str, Any]) -> Json:
    said = [
        {"type": plain(name), "valueString": plain(value if isinstance(value, str) else json.dumps(value))}
        for name, value in detail.items()
    ]
    return {"detail": said} if said else {}
