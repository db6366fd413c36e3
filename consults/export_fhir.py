"""A patient's record as a FHIR R4 Bundle of type "collection". Ids are the product's own, so two exports agree."""

import datetime as dt
import json
import uuid

from django.conf import settings

from consults.export import REASONS, NotExported
from consults.export_check import NotValid, check
from consults.export_coding import (
    LOINC,
    UCUM,
    Json,
    attachment,
    coding,
    concept,
    digest_identifier,
    entry,
    moment,
    period,
    plain,
    reference,
    terminology,
)
from consults.export_facts import Facts, Quality, Visit, staff_in
from consults.export_fhir_consent import consents, recording_id
from consults.export_fhir_log import PURPOSES_OF_USE, events
from consults.models import Note, VoiceRecording

QUALITY = {
    "rtt_ms": ("Round-trip time", "ms"),
    "jitter_ms": ("Jitter", "ms"),
    "loss": ("Packets lost", "%"),
    "frames_per_second": ("Frames a second", "/s"),
    "kbit_in": ("Received", "kbit/s"),
    "kbit_out": ("Sent", "kbit/s"),
}


def write(facts: Facts) -> bytes:
    """The bundle as UTF-8 JSON, checked before anybody gets it."""
    whole = bundle(facts)
    try:
        check(whole)
    except NotValid as error:
        raise NotExported(f"The file failed its own check and was not sent. Tell your operator: {error}") from None
    return json.dumps(whole, ensure_ascii=False, indent=1).encode()


def bundle(facts: Facts) -> Json:
    about = [_patient(facts), _organization(facts)]
    about += [_practitioner(number, name) for number, name in sorted(staff_in(facts).items())]
    if "notes" in facts.values:
        about.append(_notes_of_the_record(facts))
    for visit in facts.visits:
        about += _of_visit(facts, visit)
    resources = [*about, *events(facts), _provenance(facts, about)]
    number = uuid.uuid5(facts.patient.id, f"export/{moment(facts.at)}")
    return {
        "resourceType": "Bundle",
        "id": str(number),
        "identifier": {"system": "urn:ietf:rfc:3986", "value": number.urn},
        "type": "collection",
        "timestamp": moment(facts.at),
        "entry": [entry(resource) for resource in resources],
    }


def _patient(facts: Facts) -> Json:
    values, patient = facts.values, facts.patient
    records = f"{settings.PUBLIC_ORIGIN}/fhir/record-number/{facts.clinic.pk}"
    number = {
        "use": "official",
        "type": concept(coding(terminology("v2-0203"), "MR", "Medical record number")),
        "system": records,
        "value": plain(patient.record_number),
        "assigner": reference(facts.clinic.pk, facts.clinic.name),
    }
    national = concept(coding(terminology("v2-0203"), "NI", "National unique individual identifier"))
    identifiers = [number] + ([{"type": national, "value": values["national_id"]}] if "national_id" in values else [])
    telecom = [{"system": system, "value": values[system]} for system in ("phone", "email") if system in values]
    resource = {
        "resourceType": "Patient",
        "id": str(patient.id),
        "identifier": identifiers,
        "active": True,
        "name": [{"use": "usual", "text": plain(values["name"])}],
        "telecom": telecom,
        "birthDate": values["birth_date"],
        "address": [{"text": plain(values["address"])}] if "address" in values else [],
        "managingOrganization": reference(facts.clinic.pk),
    }
    return {name: value for name, value in resource.items() if value != []}


def _organization(facts: Facts) -> Json:
    clinic = facts.clinic
    telecom = {"telecom": [{"system": "phone", "value": plain(clinic.phone)}]} if clinic.phone else {}
    return {"resourceType": "Organization", "id": str(clinic.pk), "name": plain(clinic.name), **telecom}


def _practitioner(number: uuid.UUID, name: str) -> Json:
    return {"resourceType": "Practitioner", "id": str(number), "name": [{"text": plain(name)}]}


def _notes_of_the_record(facts: Facts) -> Json:
    patient = facts.patient
    return {
        "resourceType": "DocumentReference",
        "id": str(uuid.uuid5(patient.id, "notes")),
        "status": "current",
        "type": concept(coding(LOINC, "34109-9", "Note"), text="Notes kept with the record"),
        "subject": reference(patient.id),
        "custodian": reference(facts.clinic.pk),
        "content": [{"attachment": _written(facts.values["notes"], "Notes kept with the record", patient.created_at)}],
    }


def _written(text: str, title: str, at: dt.datetime) -> Json:
    return attachment(text.encode(), "text/plain; charset=utf-8", title, at)


def _of_visit(facts: Facts, visit: Visit) -> list[Json]:
    found = [_encounter(facts, visit)]
    found += [_note(facts, visit, note, text) for note, text in visit.notes]
    found += [_recording(facts, visit, recording, sound) for recording, sound in visit.recordings]
    found += consents(facts, visit)
    if visit.quality:
        found.append(_quality(facts, visit, visit.quality))
    return found


def _encounter(facts: Facts, visit: Visit) -> Json:
    consult = visit.consult
    performer = concept(coding(terminology("v3-ParticipationType"), "PPRF", "primary performer"))
    if consult.is_over:
        status = "finished" if consult.admitted_at else "cancelled"
    else:
        status = "in-progress" if consult.admitted_at else "planned"
    return {
        "resourceType": "Encounter",
        "id": str(consult.id),
        "status": status,
        "class": coding(terminology("v3-ActCode"), "VR", "virtual"),
        "type": [concept(text="Video consultation")],
        "subject": reference(facts.patient.id),
        "participant": [{"type": [performer], "individual": reference(visit.clinician.pk, visit.clinician.name)}],
        "period": period(consult.admitted_at or consult.created_at, consult.ended_at),
        "serviceProvider": reference(facts.clinic.pk),
    }


def _note(facts: Facts, visit: Visit, note: Note, text: str) -> Json:
    return {
        "resourceType": "DocumentReference",
        "id": str(uuid.uuid5(facts.patient.id, f"note/{note.pk}")),
        "status": "current",
        "type": concept(coding(LOINC, "11488-4", "Consult note")),
        "subject": reference(facts.patient.id),
        "date": moment(note.created_at),
        "author": [reference(note.author_id, note.author.name)],
        "custodian": reference(facts.clinic.pk),
        "content": [{"attachment": _written(text, "Note of the visit", note.created_at)}],
        "context": {"encounter": [reference(visit.consult.id)]},
    }


def _recording(facts: Facts, visit: Visit, recording: VoiceRecording, sound: bytes) -> Json:
    return {
        "resourceType": "Media",
        "id": str(recording_id(facts, recording)),
        "identifier": [digest_identifier(recording.sha256)],
        "status": "completed",
        "type": concept(coding(terminology("media-type"), "audio", "Audio")),
        "subject": reference(facts.patient.id),
        "encounter": reference(visit.consult.id),
        "createdDateTime": moment(recording.created_at),
        "duration": round(recording.seconds, 1),
        "content": attachment(sound, "audio/ogg", "Spoken consent", recording.created_at),
    }


def _quality(facts: Facts, visit: Visit, quality: Quality) -> Json:
    return {
        "resourceType": "Observation",
        "id": str(uuid.uuid5(visit.consult.id, "quality")),
        "status": "final",
        "code": concept(text=f"Quality of the call, mean of {quality.samples} samples"),
        "subject": reference(facts.patient.id),
        "encounter": reference(visit.consult.id),
        "effectivePeriod": period(quality.first, quality.last),
        "component": [
            {"code": concept(text=QUALITY[name][0]), "valueQuantity": _measure(value, QUALITY[name][1])}
            for name, value in quality.means.items()
        ],
    }


def _measure(value: float, unit: str) -> Json:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def _provenance(facts: Facts, about: list[Json]) -> Json:
    """Who put this file together, for whom, and why."""
    assembler = concept(coding(terminology("provenance-participant-type"), "assembler", "Assembler"))
    return {
        "resourceType": "Provenance",
        "id": str(uuid.uuid5(facts.patient.id, f"provenance/{moment(facts.at)}")),
        "target": [reference(uuid.UUID(resource["id"])) for resource in about],
        "recorded": moment(facts.at),
        "reason": [concept(PURPOSES_OF_USE[facts.reason], text=REASONS[facts.reason])],
        "agent": [
            {
                "type": assembler,
                "who": reference(uuid.UUID(facts.by.person), facts.by.person_name),
                "onBehalfOf": reference(facts.clinic.pk),
            }
        ],
    }
