"""Tokens stand for protected values. They say which field they are for and nothing else (FORMAT.md)."""

import re
import secrets
from base64 import b32encode
from collections.abc import Iterable

PREFIXES = {
    "name": "nam",
    "birth_date": "dob",
    "national_id": "nid",
    "phone": "tel",
    "email": "eml",
    "address": "adr",
    "notes": "nte",
    "consult_note": "cnt",
    "signed_name": "sig",
    "consent_voice": "voi",
    "invitation": "inv",
    "break_glass_reason": "bgr",
    "review_note": "rvn",
}
PATTERN = re.compile(rf"(?:{'|'.join(PREFIXES.values())})_[a-z2-7]{{26}}")
LENGTH = 30


def new_token(field: str) -> str:
    return f"{PREFIXES[field]}_{b32encode(secrets.token_bytes(16)).decode().rstrip('=').lower()}"


def new_tokens(fields: Iterable[str]) -> dict[str, str]:
    """A token for each field; quicker than one by one."""
    names = list(fields)
    noise = secrets.token_bytes(16 * len(names))
    return {
        name: f"{PREFIXES[name]}_{b32encode(noise[at : at + 16])[:26].decode().lower()}"
        for name, at in zip(names, range(0, len(noise), 16), strict=True)
    }


def is_token(text: str) -> bool:
    return PATTERN.fullmatch(text) is not None
