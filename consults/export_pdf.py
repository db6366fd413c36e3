"""A patient's record as a document to read: what the clinic keeps, visit by visit, and who looked at it and why."""

import datetime as dt
from itertools import groupby
from typing import Any

from django.utils import timezone

from consults.export import REASONS, NotExported
from consults.export_facts import Facts, Quality, Visit, counted
from consults.models import Consent
from consults.typesetting import CannotSet, pdf
from vault.audit import ACTIONS
from vault.core.fields import KINDS
from vault.models import AuditEntry
from vault.patients import PURPOSES

Block = dict[str, Any]
KEEP_SAFE = "This document holds health data. Keep it where others cannot read it, and send it by a protected way only."
NO_SOUND = "Paper has no sound: the export as FHIR R4 holds the recordings themselves."
QUALITY = {
    "rtt_ms": "Round-trip time {} ms",
    "jitter_ms": "jitter {} ms",
    "loss": "{} % of packets lost",
    "frames_per_second": "{} frames a second",
    "kbit_in": "{} kbit/s received",
    "kbit_out": "{} kbit/s sent",
}


def write(facts: Facts) -> bytes:
    try:
        return pdf(document(facts))
    except CannotSet as error:
        raise NotExported(f"{error} Choose the other form, and tell your operator.") from None


def document(facts: Facts) -> dict[str, Any]:
    number = facts.patient.record_number
    return {
        "title": "Patient record",
        "about": f"Everything that {facts.clinic.name} keeps under record {number}",
        "lead": f"Everything that {facts.clinic.name} keeps about this person",
        "clinic": facts.clinic.name,
        "footer": f"Record {number}, {day(facts.at)}",
        "cover": True,
        "facts": [
            ["Name", facts.values["name"]],
            ["Record number", number],
            ["Made on", moment(facts.at)],
            ["Made by", facts.by.person_name],
            ["Why", REASONS[facts.reason]],
            ["Holds", _holds(facts)],
        ],
        "notes": [KEEP_SAFE, *([NO_SOUND] if any(v.recordings for v in facts.visits) else [])],
        "sections": [_person(facts), _visits(facts), *_emergencies(facts), _log(facts)],
    }


def day(at: dt.datetime) -> str:
    return f"{timezone.localtime(at):%-d %B %Y}"


def moment(at: dt.datetime) -> str:
    return f"{timezone.localtime(at):%-d %B %Y, %H:%M} {timezone.localtime(at).tzname()}"


def _holds(facts: Facts) -> str:
    notes = sum(len(v.notes) for v in facts.visits)
    acts = sum(len(v.consents) for v in facts.visits)
    return ", ".join(
        [
            counted(len(facts.visits), "visit"),
            counted(notes, "note"),
            counted(acts, "act of consent", "acts of consent"),
            counted(len(facts.log), "entry of the access log", "entries of the access log"),
        ]
    )


def _person(facts: Facts) -> Block:
    rows = [[KINDS[field].label, value] for field, value in facts.values.items()]
    rows.append(["In the clinic's records since", day(facts.patient.created_at)])
    return {"title": "The person", "blocks": [{"kind": "facts", "rows": rows}]}


def _visits(facts: Facts) -> Block:
    blocks = [block for visit in facts.visits for block in _visit(visit)]
    return {"title": "Visits", "blocks": blocks or [{"kind": "text", "text": "There was no visit."}]}


def _visit(visit: Visit) -> list[Block]:
    consult = visit.consult
    rows = [["With", visit.clinician.name], ["Arranged", moment(consult.created_at)]]
    rows += [["The patient joined", moment(seat.joined_at)] for seat in visit.seats]
    rows += [["Began", moment(consult.admitted_at)]] if consult.admitted_at else []
    rows += [["Ended", moment(consult.ended_at)]] if consult.ended_at else []
    rows += [["Quality of the call", _quality(visit.quality)]] if visit.quality else []
    rows += [
        ["Recorded", f"The spoken consent, {recording.seconds:.0f} s, {moment(recording.created_at)}"]
        for recording, _ in visit.recordings
    ]
    blocks: list[Block] = [
        {"kind": "heading", "text": f"Visit of {day(consult.created_at)}"},
        {"kind": "facts", "rows": rows},
    ]
    for note, text in visit.notes:
        blocks.append({"kind": "subheading", "text": f"Note by {note.author.name}, {moment(note.created_at)}"})
        blocks.append({"kind": "written", "text": text})
    for consent, signed_name in visit.consents:
        blocks += _consent(consent, signed_name)
    return blocks


def _quality(quality: Quality) -> str:
    said = [QUALITY[name].format(value) for name, value in quality.means.items()]
    return ", ".join([*said, counted(quality.samples, "sample")])


def _consent(consent: Consent, signed_name: str) -> list[Block]:
    words = consent.statement
    said = f"Consent {consent.get_act_display()}, {consent.get_method_display()}, {moment(consent.at)}"
    rows = [
        ["For", consent.purpose],
        ["Words", f"{words.title}, version {words.version} ({words.locale})"],
        ["SHA-256 of the words", f"{consent.statement_digest[:32]}\n{consent.statement_digest[32:]}"],
    ]
    if signed_name:
        rows.insert(0, ["Signed", signed_name])
    if consent.expires_at:
        rows.append(["Holds until", moment(consent.expires_at)])
    rows += [[f"Erased: {one.get_what_display()}", moment(one.at)] for one in consent.erasures.all()]
    blocks: list[Block] = [{"kind": "subheading", "text": said}, {"kind": "facts", "rows": rows}]
    return [*blocks, {"kind": "written", "text": words.text}] if signed_name else blocks


def _emergencies(facts: Facts) -> list[Block]:
    blocks: list[Block] = []
    for concern, reason, note in facts.emergencies:
        rows = [["By", concern.person.name], ["Until", moment(concern.until)]] if concern.until else []
        if concern.reviewer and concern.reviewed_at:
            rows.append(["Reviewed", f"{concern.reviewer.name}, {moment(concern.reviewed_at)}"])
            rows.append(["Found", concern.get_finding_display()])
        blocks += [{"kind": "heading", "text": moment(concern.at)}, {"kind": "facts", "rows": rows}]
        blocks.append({"kind": "written", "text": reason})
        if note:
            blocks += [{"kind": "subheading", "text": "The reviewer's note"}, {"kind": "written", "text": note}]
    return [{"title": "Emergency access, and why", "blocks": blocks}] if blocks else []


def _log(facts: Facts) -> Block:
    intro = "Everybody who did something with this record, oldest first, and why where a reason has to be given."
    blocks: list[Block] = [{"kind": "text", "text": intro}]
    for month, entries in groupby(facts.log, key=lambda entry: f"{timezone.localtime(entry.at):%B %Y}"):
        rows = [[_when(entry), _who(entry), _what(entry), _why(entry)] for entry in entries]
        columns = {"columns": ["When", "Who", "What", "Why"], "widths": [22, 24, 32, 22]}
        blocks += [{"kind": "heading", "text": month}, {"kind": "table", **columns, "rows": rows}]
    return {"title": "Who did what with this record", "blocks": blocks}


def _when(entry: AuditEntry) -> str:
    return f"{timezone.localtime(entry.at):%Y-%m-%d %H:%M:%S}"


def _who(entry: AuditEntry) -> str:
    role = entry.role.replace("_", " ")
    if entry.role == "patient":
        return "The patient"
    return f"{entry.person_name}\n({role})" if entry.person_name else role.capitalize()


def _what(entry: AuditEntry) -> str:
    named = entry.detail.get("fields")
    fields = [KINDS[f].label.lower() for f in named if f in KINDS] if isinstance(named, list) else []
    what = ACTIONS[entry.action] + (f": {', '.join(fields)}" if fields else "")
    return what if entry.outcome == AuditEntry.Outcome.DONE else f"{what} ({entry.get_outcome_display()})"


def _why(entry: AuditEntry) -> str:
    return PURPOSES.get(entry.purpose) or REASONS.get(entry.purpose) or entry.purpose
