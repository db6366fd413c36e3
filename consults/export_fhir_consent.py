"""Consent in FHIR R4: one Consent an act, with the words themselves, and one Provenance that says who signed it how."""

import uuid

from django.conf import settings

from consults import retention
from consults.export_coding import (
    LOINC,
    Json,
    attachment,
    coding,
    concept,
    digest_identifier,
    moment,
    period,
    plain,
    reference,
    terminology,
)
from consults.export_facts import Facts, Visit
from consults.models import Consent, VoiceRecording


def consents(facts: Facts, visit: Visit) -> list[Json]:
    acts = [_consent(facts, visit, consent) for consent, _ in visit.consents]
    return acts + [_signature(facts, consent, name) for consent, name in visit.consents]


def recording_id(facts: Facts, recording: VoiceRecording) -> uuid.UUID:
    return uuid.uuid5(facts.patient.id, f"recording/{recording.pk}")


def _consent(facts: Facts, visit: Visit, consent: Consent) -> Json:
    given = consent.act == Consent.Act.GIVEN
    rule = ("OPTIN", "opt-in") if given else ("OPTOUT", "opt-out")
    words = consent.statement
    return {
        "resourceType": "Consent",
        "id": str(consent.id),
        "extension": _extensions(visit, consent),
        "identifier": [digest_identifier(consent.statement_digest)],
        "status": "active" if _in_force(facts, consent) else "inactive",
        "scope": concept(coding(terminology("consentscope"), "treatment", "Treatment")),
        "category": [concept(coding(LOINC, "59284-0"), text="Consent of the patient")],
        "patient": reference(facts.patient.id),
        "dateTime": moment(consent.at),
        "performer": [reference(facts.patient.id)],
        "organization": [reference(facts.clinic.pk)],
        "sourceAttachment": attachment(
            words.text.encode(), "text/plain; charset=utf-8", words.title, words.published_at, language=words.locale
        ),
        "policyRule": concept(coding(terminology("v3-ActCode"), *rule)),
        "provision": {
            "type": "permit" if given else "deny",
            "period": period(consent.at, consent.expires_at),
            "purpose": [coding(terminology("v3-ActReason"), "TREAT", "treatment")],
        },
    }


def _in_force(facts: Facts, consent: Consent) -> bool:
    """A withdrawal stays in force; what was given, until it is withdrawn or has run out."""
    if consent.act == Consent.Act.WITHDRAWN:
        return True
    expired = consent.expires_at is not None and consent.expires_at <= facts.at
    return not expired and not hasattr(consent, "withdrawal")


def _extensions(visit: Visit, consent: Consent) -> list[Json]:
    """What FHIR has no element for, under addresses of this installation."""
    more: list[tuple[str, Json]] = [
        ("encounter", {"valueReference": reference(visit.consult.id)}),
        ("statement-version", {"valuePositiveInt": consent.statement.version}),
        ("statement-digest", {"valueString": f"sha-256:{consent.statement_digest}"}),
        ("method", {"valueString": consent.get_method_display()}),
        ("purpose", {"valueString": plain(consent.purpose)}),
        ("scopes", {"valueString": ", ".join(consent.scopes)}),
    ]
    if gone := retention.erased(consent):
        more.append(("erased", {"valueDateTime": moment(gone.at)}))
    if consent.withdraws_id:
        more.append(("withdraws", {"valueReference": reference(consent.withdraws_id)}))
    return [
        {"url": f"{settings.PUBLIC_ORIGIN}/fhir/StructureDefinition/consent-{name}", **value} for name, value in more
    ]


def _signature(facts: Facts, consent: Consent, signed_name: str) -> Json:
    author = concept(coding(terminology("provenance-participant-type"), "author", "Author"))
    spoken: Json = (
        {"entity": [{"role": "source", "what": reference(recording_id(facts, consent.recording))}]}
        if consent.recording and consent.recording.sound
        else {}
    )
    return {
        "resourceType": "Provenance",
        "id": str(uuid.uuid5(consent.id, "signature")),
        "target": [reference(consent.id)],
        "occurredDateTime": moment(consent.at),
        "recorded": moment(consent.at),
        "activity": concept(text=f"Consent {consent.get_act_display()}, {consent.get_method_display()}"),
        "agent": [{"type": author, "who": reference(facts.patient.id, signed_name)}],
        **spoken,
    }
