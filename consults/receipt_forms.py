"""The same receipt in other forms: as a document for people, and as FHIR R4 for another system.

Both are made from the file, after it was verified: they say what it proves and nothing else.
"""

import base64
import json
import uuid
from datetime import datetime
from typing import Any

from consults.export_coding import (
    LOINC,
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
from consults.typesetting import pdf
from vault.core import evidence, receipt
from vault.core.receipt import Report
from vault.verify import not_proven, proven

SIGNATURE = coding("urn:iso-astm:E1762-95:2013", "1.2.840.10065.1.12.1.7", "Consent Signature")
RULES = {evidence.GIVE: ("OPTIN", "opt-in"), evidence.WITHDRAW: ("OPTOUT", "opt-out")}


class DoesNotHold(Exception):
    """The file that was just made does not verify: nothing is written in another form either.

    The message names the parts that are wrong."""


def read(data: bytes) -> Report:
    report = receipt.verify(data)
    if not report.holds:
        raise DoesNotHold(", ".join(one.part for one in report.findings if not one.holds))
    return report


# -- for people --------------------------------------------------------------------------------------------


def as_pdf(data: bytes) -> bytes:
    report = read(data)
    given = report.acts[0]
    clinic = given["clinic"]["name"]
    return pdf(
        {
            "title": "Receipt of consent",
            "about": f"What was agreed to at {clinic}",
            "lead": "Consent was given, and withdrawn later." if report.withdrawn else "Consent was given.",
            "clinic": clinic,
            "footer": f"Receipt of consent, {_said(given['time'])}",
            "cover": False,
            "facts": _facts(report),
            "notes": ["This page is for reading. What proves it is the file ending in .json: keep both."],
            "sections": [
                {"title": "What was asked, and answered", "blocks": _words(report)},
                {"title": "What is proven", "blocks": _texts(proven(report, key_given=False))},
                {"title": "What is not proven", "blocks": _texts(not_proven(report, key_given=False))},
            ],
        }
    )


def _facts(report: Report) -> list[list[str]]:
    given = report.acts[0]
    rows = [["Signed as", given["name"]], ["By", _person(given["by"])]]
    rows += [["Present", _person(given["witness"])]] if given["witness"] else []
    rows += [["For", given["purpose"]], ["Signed on", _said(given["time"])], ["Holds until", _said(given["expires"])]]
    if report.withdrawn:
        how = "signed" if report.withdrawal_is_signed else "in the log only, not signed"
        rows.append(["Withdrawn on", f"{report.logged[1]:%-d %B %Y, %H:%M} UTC, {how}"])
    if given["recording"]:
        where = f"erased on {report.erased:%-d %B %Y}" if report.erased else "in the file"
        rows.append(["Said aloud", f"{given['recording']['seconds']} seconds, {where}"])
    assert report.log is not None and report.checkpoint is not None  # noqa: S101, PT018  (it holds)
    rows.append(["In the log", f"{report.log.name}, as it was with {report.checkpoint.size} entries"])
    rows += [["Seen by", ", ".join(report.witnessed)]] if report.witnessed else []
    return [*rows, ["Visit", given["consult"]]]


def _person(who: dict[str, str]) -> str:
    if who["role"] == "patient":
        return "the patient"
    return ", ".join(filter(None, (who["name"], who["role"], who["relation"])))


def _said(time: str) -> str:
    return f"{datetime.fromisoformat(time):%-d %B %Y, %H:%M} UTC"


def _words(report: Report) -> list[Json]:
    blocks: list[Json] = []
    for asked, words in zip(report.acts[0]["statements"], report.statements, strict=True):
        answer = "agreed" if asked["agreed"] else "not agreed"
        blocks.append({"kind": "heading", "text": f"{words['title']}: {answer}"})
        blocks.append({"kind": "text", "text": f"Version {words['version']}, {words['locale']}"})
        blocks.append({"kind": "written", "text": words["text"]})
    return blocks


def _texts(sentences: list[str]) -> list[Json]:
    return [{"kind": "text", "text": one} for one in sentences]


# -- for another system ------------------------------------------------------------------------------------


def as_fhir(data: bytes) -> bytes:
    """A Bundle (R4, collection): one Consent and one Provenance an act, the signed bytes, the receipt itself."""
    report = read(data)
    given = report.acts[0]
    patient, clinic = uuid.UUID(given["patient"]), uuid.UUID(given["clinic"]["id"])
    resources: list[Json] = [
        {"resourceType": "Patient", "id": str(patient)},
        {"resourceType": "Organization", "id": str(clinic), "name": plain(given["clinic"]["name"])},
    ]
    acts = json.loads(data)["acts"]
    for number, act in enumerate(acts):
        resources += _act(report, act, number, data)
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": moment(report.logged[-1]),
        "entry": [entry(one) for one in resources],
    }
    return json.dumps(bundle, ensure_ascii=False, indent=1).encode()


def _act(report: Report, act: dict[str, Any], number: int, data: bytes) -> list[Json]:
    told = report.acts[number] if number < len(report.acts) else None
    given, logged = report.acts[0], report.logged[number]
    patient = uuid.UUID(given["patient"])
    name = uuid.uuid5(patient, f"receipt/{given['consult']}/{given['time']}/{number}")
    kind = evidence.WITHDRAW if number else evidence.GIVE
    stands = not number and not report.withdrawn
    consent: Json = {
        "resourceType": "Consent",
        "id": str(name),
        "status": "active" if stands or number else "inactive",
        "scope": concept(coding(terminology("consentscope"), "treatment", "Treatment")),
        "category": [concept(coding(LOINC, "59284-0"), text="Consent of the patient")],
        "patient": reference(patient),
        "dateTime": moment(datetime.fromisoformat(told["time"]) if told else logged),
        "performer": [_who(given, patient)],
        "organization": [reference(uuid.UUID(given["clinic"]["id"]))],
        "sourceAttachment": attachment(data, "application/json", "Receipt of consent", report.logged[-1]),
        "policyRule": concept(coding(terminology("v3-ActCode"), *RULES[kind])),
        "provision": {
            "type": "deny" if number else "permit",
            "purpose": [coding(terminology("v3-ActReason"), "TREAT", "treatment")],
            **({} if number else {"period": _period(given), "provision": _scopes(report)}),
        },
    }
    if not act["evidence"]:
        return [consent, _provenance(name, given, patient, kind, logged)]
    signed = {
        "resourceType": "Binary",
        "id": str(uuid.uuid5(name, "evidence")),
        "contentType": "application/json",
        "data": base64.b64encode(act["evidence"].encode()).decode(),
    }
    consent["identifier"] = [
        digest_identifier(evidence.digest(act["evidence"].encode(), base64.b64decode(act["signature"])))
    ]
    made = _provenance(name, given, patient, kind, logged)
    made["signature"] = [
        {
            "type": [SIGNATURE],
            "when": consent["dateTime"],
            "who": _who(given, patient),
            "targetFormat": "application/json",
            "sigFormat": "application/octet-stream",
            "data": act["signature"],
        }
    ]
    made["entity"] = [{"role": "source", "what": reference(uuid.UUID(signed["id"]))}]
    return [consent, made, signed]


def _period(given: dict[str, Any]) -> Json:
    return period(datetime.fromisoformat(given["time"]), datetime.fromisoformat(given["expires"]))


def _scopes(report: Report) -> list[Json]:
    """One nested provision for each thing that was asked."""
    asked = zip(report.acts[0]["statements"], report.statements, strict=True)
    return [
        {"type": "permit" if one["agreed"] else "deny", "code": [concept(text=plain(words["title"]))]}
        for one, words in asked
    ]


def _who(given: dict[str, Any], patient: uuid.UUID) -> Json:
    if given["by"]["role"] == "patient":
        return reference(patient, given["name"])
    return {"display": plain(_person(given["by"]))}


def _provenance(consent: uuid.UUID, given: dict[str, Any], patient: uuid.UUID, kind: str, logged: datetime) -> Json:
    """`logged`: when the log says that it was written down."""
    types = terminology("provenance-participant-type")
    agents = [{"type": concept(coding(types, "author", "Author")), "who": _who(given, patient)}]
    if given["witness"] and kind == evidence.GIVE:
        witness = concept(coding(types, "verifier", "Verifier"))
        agents.append({"type": witness, "who": {"display": plain(_person(given["witness"]))}})
    return {
        "resourceType": "Provenance",
        "id": str(uuid.uuid5(consent, "provenance")),
        "target": [reference(consent)],
        "recorded": moment(logged),
        "activity": concept(text="Consent given" if kind == evidence.GIVE else "Consent withdrawn"),
        "agent": agents,
    }
