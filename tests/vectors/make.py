"""Makes sealing.json anew: `python -m tests.vectors.make`. Only a new format version is a reason to.

Each vector: `key` (data key, hex), the place (`clinic`, `patient`, `generation`, `field`, `token`), `sealed` (hex) and
`opens`: the text it must open to, or null where every reader must refuse it.
"""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

from vault.core.sealing import Place, Sealer

FILE = Path(__file__).parent / "sealing.json"
KEY = bytes(range(32))
PLACE = {
    "clinic": "6f1c2b1e-0c5d-4a51-9c0e-0d7a4f1b2c3d",
    "patient": "0b9f5a54-7d43-4c7c-8a5b-55e6a1d0c9f8",
    "generation": 1,
    "field": "phone",
    "token": "tel_" + "a" * 26,
}
#: of what has a token and no column in the record
NOTE = {**PLACE, "field": "consult_note", "token": "cnt_" + "a" * 26}
TEXTS = {"a phone number": "+442079460142", "nothing": "", "four scripts": "Zoë Ωmega 山田 يوسف", "long": "x" * 8000}


def place_of(vector: dict[str, Any]) -> Place:
    clinic, patient = UUID(vector["clinic"]), UUID(vector["patient"])
    return Place(clinic, patient, vector["generation"], vector["field"], vector["token"])


def good(where: dict[str, Any]) -> list[dict[str, Any]]:
    sealer, place = Sealer(KEY), place_of(where)
    return [
        {"name": name, "key": KEY.hex(), **where, "sealed": sealer.seal(text.encode(), place).hex(), "opens": text}
        for name, text in TEXTS.items()
    ]


def everything() -> list[dict[str, Any]]:
    fields, notes = good(PLACE), good(NOTE)
    as_notes = notes + hostile(notes[0], field="signed_name", token="cnt_" + "b" * 26)
    return [*fields, *hostile(fields[0]), *({**one, "name": f"note: {one['name']}"} for one in as_notes)]


def hostile(
    vector: dict[str, Any], *, field: str = "national_id", token: str = "tel_" + "b" * 26
) -> list[dict[str, Any]]:
    sealed = bytes.fromhex(vector["sealed"])
    changes: dict[str, dict[str, Any]] = {
        "another key": {"key": bytes(32).hex()},
        "moved to another field": {"field": field},
        "moved to another token": {"token": token},
        "moved to another patient": {"patient": PLACE["clinic"]},
        "moved to another clinic": {"clinic": PLACE["patient"]},
        "moved to another generation": {"generation": 2},
        "version 0": {"sealed": "00" + sealed[1:].hex()},
        "version 2": {"sealed": "02" + sealed[1:].hex()},
        "commitment flipped": {"sealed": _flipped(sealed, 1)},
        "nonce flipped": {"sealed": _flipped(sealed, 33)},
        "text flipped": {"sealed": _flipped(sealed, 45)},
        "tag flipped": {"sealed": _flipped(sealed, -1)},
        "commitment of another key": {"sealed": (sealed[:1] + bytes(32) + sealed[33:]).hex()},
        "one byte cut off": {"sealed": sealed[:-1].hex()},
        "one byte added": {"sealed": (sealed + b"\0").hex()},
        "only the head": {"sealed": sealed[:45].hex()},
        "one byte short of the least": {"sealed": sealed[:60].hex()},
        "empty": {"sealed": ""},
    }
    return [{**vector, "name": name, **change, "opens": None} for name, change in changes.items()]


def _flipped(sealed: bytes, at: int) -> str:
    changed = bytearray(sealed)
    changed[at] ^= 1
    return changed.hex()


if __name__ == "__main__":
    FILE.write_text(json.dumps(everything(), indent=1, ensure_ascii=False) + "\n")
