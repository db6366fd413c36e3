"""Tokens stand for protected values. They say which field they are for and nothing else (FORMAT.md)."""

import os
import re
from collections.abc import Container, Iterator, Sequence

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
    "consent_evidence": "evd",
    "invitation": "inv",
    "break_glass_reason": "bgr",
    "review_note": "rvn",
    "hold_reason": "hld",
}
PATTERN = re.compile(rf"(?:{'|'.join(PREFIXES.values())})_[a-z2-7]{{26}}")
LENGTH = 30
LETTERS = 26
#: byte -> letter; 256 is a multiple of 32, so every letter is as likely
_ALPHABET = bytes(b"abcdefghijklmnopqrstuvwxyz234567"[byte & 31] for byte in range(256))


def new_token(field: str) -> str:
    return f"{PREFIXES[field]}_{os.urandom(LETTERS).translate(_ALPHABET).decode()}"


def new_rows(records: Sequence[Container[str]], fields: Sequence[str]) -> Iterator[list[str]]:
    """For each record a token for each of `fields`, empty where the record lacks it. Randomness is asked for once."""
    width = LETTERS * len(fields)
    letters = os.urandom(width * len(records)).translate(_ALPHABET).decode()
    places = [(field, f"{PREFIXES[field]}_", at * LETTERS) for at, field in enumerate(fields)]
    for start, record in zip(range(0, width * len(records), width), records, strict=True):
        own = letters[start : start + width]
        yield [prefix + own[at : at + LETTERS] if field in record else "" for field, prefix, at in places]


def is_token(text: str) -> bool:
    return PATTERN.fullmatch(text) is not None
