"""Tokens stand for protected values. They say which field they are for and nothing else (FORMAT.md)."""

import re
import secrets
from base64 import b32encode

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
}
PATTERN = re.compile(rf"(?:{'|'.join(PREFIXES.values())})_[a-z2-7]{{26}}")
LENGTH = 30


def new_token(field: str) -> str:
    return f"{PREFIXES[field]}_{b32encode(secrets.token_bytes(16)).decode().rstrip('=').lower()}"


def is_token(text: str) -> bool:
    return PATTERN.fullmatch(text) is not None
