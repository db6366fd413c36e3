"""Tokens stand for protected values. They say which field they are for and nothing else (FORMAT.md)."""

import os
import re
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
LETTERS = 26
#: byte -> letter; 256 is a multiple of 32, so every letter is as likely
_ALPHABET = bytes(b"abcdefghijklmnopqrstuvwxyz234567"[byte & 31] for byte in range(256))


def new_token(field: str) -> str:
    return f"{PREFIXES[field]}_{os.urandom(LETTERS).translate(_ALPHABET).decode()}"


def new_tokens(fields: Iterable[str]) -> dict[str, str]:
    """A token for each field; quicker than one by one."""
    names = list(fields)
    noise = os.urandom(LETTERS * len(names)).translate(_ALPHABET).decode()
    return {
        name: f"{PREFIXES[name]}_{noise[at : at + LETTERS]}"
        for name, at in zip(names, range(0, len(noise), LETTERS), strict=True)
    }


def is_token(text: str) -> bool:
    return PATTERN.fullmatch(text) is not None
