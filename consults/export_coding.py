"""FHIR R4's small parts: codes with their systems, references, moments, attachments. Pure."""

import base64
import datetime as dt
import unicodedata
import uuid
from typing import Any

Json = dict[str, Any]

LOINC = "http://loinc.org"
DICOM = "http://dicom.nema.org/resources/ontology/DCM"
UCUM = "http://unitsofmeasure.org"
#: a value that is itself a URI (FHIR R4, 2.24.0.15)
URI = "urn:ietf:rfc:3986"


def terminology(name: str) -> str:
    return f"http://terminology.hl7.org/CodeSystem/{name}"


def coding(system: str, code: str, display: str = "") -> Json:
    return {"system": system, "code": code} | ({"display": display} if display else {})


def concept(*codings: Json, text: str = "") -> Json:
    return ({"coding": list(codings)} if codings else {}) | ({"text": text} if text else {})


def reference(number: uuid.UUID, display: str = "") -> Json:
    """To a resource of the same bundle, by its fullUrl."""
    return {"reference": number.urn} | ({"display": plain(display)} if display else {})


def entry(resource: Json) -> Json:
    return {"fullUrl": uuid.UUID(resource["id"]).urn, "resource": resource}


def moment(at: dt.datetime) -> str:
    return at.astimezone(dt.UTC).isoformat(timespec="milliseconds")


def period(start: dt.datetime | None, end: dt.datetime | None) -> Json:
    return ({"start": moment(start)} if start else {}) | ({"end": moment(end)} if end else {})


def plain(text: str) -> str:
    """A FHIR string: not empty, and no control characters but tab and line ends (R4, 2.24.0.1)."""
    kept = "".join(c for c in text if c in "\t\r\n" or unicodedata.category(c) not in ("Cc", "Cs"))
    return kept if kept.strip() else "(empty)"


def attachment(content: bytes, content_type: str, title: str, at: dt.datetime, **more: str) -> Json:
    return {
        "contentType": content_type,
        "data": base64.b64encode(content).decode(),
        "size": len(content),
        "title": plain(title),
        "creation": moment(at),
        **more,
    }


def digest_identifier(sha256: str) -> Json:
    """A SHA-256 (64 hex digits) as a name for what it was made of (RFC 6920)."""
    encoded = base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip("=")
    return {"system": URI, "value": f"ni:///sha-256;{encoded}"}
