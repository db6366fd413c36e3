"""An act of consent as the bytes that the patient's browser signs (FORMAT.md, "Evidence of consent"). Pure."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from vault.core.canonical import NotCanonical, canonical, parse

FORMAT = "telehealth/1/consent"
GIVE, WITHDRAW = "give", "withdraw"
ROLES = ("patient", "guardian", "interpreter")
MOST_BYTES = 64 << 10
SIGNATURE_BYTES = 64
NAME_MOST = 120
#: SubjectPublicKeyInfo of a P-256 key up to its point, which is 0x04 and two coordinates
_SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
_POINT_BYTES = 65

Check = Callable[[Any], bool]


class BadEvidence(Exception):
    """Not evidence in its one form, or not signed by the key it names. The message quotes nothing of it."""


# -- what a member may be ----------------------------------------------------------------------------------


def _text(most: int, least: int = 1) -> Check:
    return lambda value: isinstance(value, str) and least <= len(value) <= most


def _like(pattern: str) -> Check:
    compiled = re.compile(pattern, re.ASCII)
    return lambda value: isinstance(value, str) and bool(compiled.fullmatch(value))


def _or_null(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _number(least: int, most: int) -> Check:
    return lambda value: type(value) is int and least <= value <= most


def _is_time(value: Any) -> bool:
    try:
        return isinstance(value, str) and value > "2" and moment_text(datetime.fromisoformat(value)) == value
    except ValueError:
        return False


def _one_of(*values: str) -> Check:
    return lambda value: isinstance(value, str) and value in values


def _object(**members: Check) -> Check:
    def check(value: Any) -> bool:
        return isinstance(value, dict) and value.keys() == members.keys() and all(members[k](value[k]) for k in value)

    return check


def _list(check: Check, least: int, most: int) -> Check:
    return lambda value: isinstance(value, list) and least <= len(value) <= most and all(map(check, value))


_UUID = _like("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DIGEST = _like("[0-9a-f]{64}")
_STATEMENT = _object(
    scope=_like("[a-z][a-z0-9_]{0,23}"),
    locale=_like("[A-Za-z0-9-]{2,12}"),
    version=_number(1, 2**31 - 1),
    digest=_DIGEST,
    required=lambda value: isinstance(value, bool),
    agreed=lambda value: isinstance(value, bool),
)
_PERSON: dict[str, Check] = {"name": _text(NAME_MOST, 0), "relation": _text(NAME_MOST, 0)}
_MEMBERS: dict[str, Check] = {
    "format": _one_of(FORMAT),
    "act": _one_of(GIVE, WITHDRAW),
    "consult": _UUID,
    "clinic": _object(id=_UUID, name=_text(200)),
    "patient": _UUID,
    "statements": _list(_STATEMENT, 1, 16),
    "name": _text(NAME_MOST, 0),
    "by": _object(role=_one_of(*ROLES), **_PERSON),
    "witness": _or_null(_object(role=_one_of(*ROLES[1:]), **_PERSON)),
    "purpose": _text(200),
    "time": _is_time,
    "expires": _or_null(_is_time),
    "recording": _or_null(_object(sha256=_DIGEST, seconds=_number(0, 3600))),
    "worker": _list(_like("sha-256 [0-9A-F]{2}(:[0-9A-F]{2}){31}"), 0, 8),
    "key": lambda value: isinstance(value, str) and _point(value) is not None,
    "withdraws": _or_null(_DIGEST),
}


# -- reading and writing -----------------------------------------------------------------------------------


def moment_text(moment: datetime) -> str:
    """In UTC, to the second; what is left of the second is dropped."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"


def evidence_bytes(evidence: Mapping[str, Any]) -> bytes:
    """The bytes to sign; `BadEvidence` where a member is missing, more than there is, or not what it may be."""
    _check(evidence)
    return canonical(dict(evidence))


def read(data: bytes) -> dict[str, Any]:
    """The evidence in these bytes, which nobody need have signed."""
    if len(data) > MOST_BYTES:
        raise BadEvidence("Evidence this long is not read.")
    try:
        evidence = parse(data)
    except NotCanonical as error:
        raise BadEvidence(str(error)) from None
    if not isinstance(evidence, dict):
        raise BadEvidence("Evidence is one object.")
    _check(evidence)
    return evidence


def verify(data: bytes, signature: bytes) -> dict[str, Any]:
    """The evidence, signed by the key that it names; `BadEvidence` else."""
    evidence = read(data)
    if not is_signed(evidence["key"], data, signature):
        raise BadEvidence("The signature is not that of the key in the evidence.")
    return evidence


def digest(data: bytes, signature: bytes) -> str:
    """What the audit log and a withdrawal name the evidence by. It covers the signature, of which there may be many."""
    if len(signature) != SIGNATURE_BYTES:
        raise BadEvidence("A signature is 64 bytes.")
    return sha256(data + signature).hexdigest()


def statement_bytes(*, scope: str, locale: str, version: int, title: str, text: str) -> bytes:
    """The exact words, as their digest is made of."""
    return canonical({"scope": scope, "locale": locale, "version": version, "title": title, "text": text})


def _check(evidence: Mapping[str, Any]) -> None:
    if evidence.keys() != _MEMBERS.keys():
        raise BadEvidence("Evidence has other members than these.")
    for name, check in _MEMBERS.items():
        if not check(evidence[name]):
            raise BadEvidence(f"The evidence's member {name} is not what it may be.")
    given = evidence["act"] == GIVE
    statements, by = evidence["statements"], evidence["by"]
    scopes = [one["scope"] for one in statements]
    rules = {
        "Each scope is named once.": len(set(scopes)) == len(scopes),
        "What is required was agreed to.": not given or all(one["agreed"] or not one["required"] for one in statements),
        "Nothing is agreed to by withdrawing.": given or not any(one["agreed"] for one in statements),
        "Only a withdrawal withdraws.": given == (evidence["withdraws"] is None),
        "Who gives consent types a name.": not given or evidence["name"] != "",
        "Who acts for the patient is named.": (by["role"] == "patient") == (by["name"] == ""),
        "A recording came by a leg with a fingerprint.": evidence["recording"] is None or bool(evidence["worker"]),
    }
    for rule, holds in rules.items():
        if not holds:
            raise BadEvidence(rule)


# -- the patient's key -------------------------------------------------------------------------------------


def is_signed(key: str, data: bytes, signature: bytes) -> bool:
    """Whether r | s is that key's: ECDSA over P-256 with SHA-256, as WebCrypto writes it. `key`: SPKI in base64."""
    point = _point(key)
    if point is None or len(signature) != SIGNATURE_BYTES:
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        point.verify(encode_dss_signature(r, s), data, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def _point(key: str) -> EllipticCurvePublicKey | None:
    try:
        spki = base64.b64decode(key, validate=True)
        if base64.b64encode(spki).decode() != key or spki[: len(_SPKI)] != _SPKI or len(spki) != 91:
            return None
        return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), spki[-_POINT_BYTES:])
    except (binascii.Error, ValueError):
        return None
