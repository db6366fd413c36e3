"""Makes records.json anew: `python -m tests.vectors.make_records`. Only a new format version is a reason to.

Each vector: `key`, the place (`clinic`, `patient`, `generation`, `version`, `tokens`), `sealed` (hex), and `opens`: the
values, or null where every reader must refuse it.
"""

import hmac
import json
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.core.records import CODES, Record, RecordSealer, associated_data
from vault.core.sealing import owner_of

FILE = Path(__file__).parent / "records.json"
KEY = bytes(range(32))
PREFIXES = ("nam", "dob", "nid", "tel", "eml", "adr", "nte")
TOKENS = [f"{prefix}_{letter * 26}" for prefix, letter in zip(PREFIXES, "abcdefg", strict=True)]
WHERE = {
    "clinic": "6f1c2b1e-0c5d-4a51-9c0e-0d7a4f1b2c3d",
    "patient": "0b9f5a54-7d43-4c7c-8a5b-55e6a1d0c9f8",
    "generation": 1,
    "version": 1,
}
FULL = dict(
    zip(CODES, ("Zoë Ωmega 山田", "1984-03-17", "QX836197Z", "+442079460142", "a@b.example", "x", "يوسف"), strict=True)
)
TWO = {"name": "Ann Lee", "birth_date": "1990-01-01"}


def place_of(vector: dict[str, Any]) -> bytes:
    owner = owner_of(UUID(vector["clinic"]), UUID(vector["patient"]))
    return associated_data(owner, vector["generation"], vector["version"], vector["tokens"])


def tokens_for(values: dict[str, str]) -> list[str]:
    return [token if field in values else "" for field, token in zip(CODES, TOKENS, strict=True)]


def good() -> list[dict[str, Any]]:
    texts = {"every field, four scripts": FULL, "name and birth date": TWO, "long": {**TWO, "notes": "n" * 65_535}}
    for length in (29, 30, 31, 92, 93, 94):  # on both sides of the padding's edges
        texts[f"notes of {length}"] = {**TWO, "notes": "n" * length}
    made = []
    for name, values in texts.items():
        vector = {
            "name": name,
            "key": KEY.hex(),
            **WHERE,
            "tokens": tokens_for(values),
            "opens": values,
            "decoy": False,
        }
        made.append({**vector, "sealed": RecordSealer(KEY).seal(Record(values), place_of(vector)).hex()})
    decoy = {**made[1], "name": "a decoy", "decoy": True}
    return [*made, {**decoy, "sealed": RecordSealer(KEY).seal(Record(TWO, decoy=True), place_of(decoy)).hex()}]


def hostile(vector: dict[str, Any]) -> list[dict[str, Any]]:
    sealed = bytes.fromhex(vector["sealed"])
    swapped = [vector["tokens"][1], vector["tokens"][0], *vector["tokens"][2:]]
    changes: dict[str, dict[str, Any]] = {
        "another key": {"key": bytes(32).hex()},
        "another patient": {"patient": WHERE["clinic"]},
        "another clinic": {"clinic": WHERE["patient"]},
        "another generation": {"generation": 2},
        "an older version": {"version": 2},
        "tokens swapped": {"tokens": swapped},
        "a token less": {"tokens": ["", *vector["tokens"][1:]]},
        "a token more": {"tokens": [*vector["tokens"][:6], TOKENS[6]]},
        "version 1": {"sealed": "01" + sealed[1:].hex()},
        "commitment flipped": {"sealed": _flipped(sealed, 1)},
        "nonce flipped": {"sealed": _flipped(sealed, 33)},
        "body flipped": {"sealed": _flipped(sealed, 45)},
        "tag flipped": {"sealed": _flipped(sealed, len(sealed) - 1)},
        "cut by one": {"sealed": sealed[:-1].hex()},
        "longer by one": {"sealed": sealed.hex() + "00"},
        "head only": {"sealed": sealed[:45].hex()},
        "empty": {"sealed": ""},
    }
    return [{**vector, **change, "name": name, "opens": None} for name, change in changes.items()]


def _flipped(sealed: bytes, at: int) -> str:
    return (sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]).hex()


def misencoded() -> list[dict[str, Any]]:
    """Sealed by the right key, and still not the one encoding."""

    def entry(code: int, text: bytes, length: int | None = None) -> bytes:
        return bytes([code]) + (len(text) if length is None else length).to_bytes(2, "big") + text

    name, date = entry(1, b"Ann Lee"), entry(2, b"1990-01-01")
    plains = {
        "codes out of order": _padded(b"\x00\x02" + date + name),
        "a code twice": _padded(b"\x00\x02" + name + name),
        "an unknown code": _padded(b"\x00\x02" + name + entry(9, b"x")),
        "code 0": _padded(b"\x00\x02" + entry(0, b"x") + name),
        "an empty value": _padded(b"\x00\x02" + name + entry(2, b"")),
        "a length beyond the end": _padded(b"\x00\x02" + name + entry(2, b"x", 5000)),
        "fewer entries than counted": _padded(b"\x00\x03" + name + date),
        "more entries than counted": _padded(b"\x00\x01" + name + date),
        "padding that is not zero": _padded(b"\x00\x02" + name + date)[:-1] + b"\x01",
        "a block of padding too much": _padded(b"\x00\x02" + name + date) + bytes(64),
        "no padding": b"\x00\x02" + name + date,
        "text that is not UTF-8": _padded(b"\x00\x02" + entry(1, b"\xff\xfe") + date),
        "an unknown flag": _padded(b"\x02\x02" + name + date),
        "nothing": b"",
    }
    vector = {"key": KEY.hex(), **WHERE, "tokens": tokens_for(TWO), "opens": None, "decoy": False}
    return [{**vector, "name": name, "sealed": _sealed(plain, place_of(vector))} for name, plain in plains.items()]


def _padded(plain: bytes) -> bytes:
    return plain + bytes(-len(plain) % 64)


def _sealed(plain: bytes, place: bytes) -> str:
    derived, nonce = hmac.digest(KEY, b"telehealth/2/record", "sha512"), bytes(12)
    return (b"\x02" + derived[32:] + nonce + AESGCM(derived[:32]).encrypt(nonce, plain, place)).hex()


if __name__ == "__main__":
    made = good()
    FILE.write_text(json.dumps([*made, *hostile(made[1]), *misencoded()], indent=1) + "\n")
