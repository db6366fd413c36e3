"""Makes blocks.json, wrapped.json and digests.json anew: `python -m tests.vectors.make_index`.

Only a new format version is a reason to. Each vector says with what it was made; `opens` is what it must open to, or
null where every reader must refuse it. Contents and keys are put together here, not by the code under test.
"""

import hashlib
import hmac
import json
import struct
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

BLOCKS, WRAPPED, DIGESTS = (Path(__file__).parent / f"{name}.json" for name in ("blocks", "wrapped", "digests"))
KEY = bytes(range(32))
CLINIC, PATIENT = "6f1c2b1e-0c5d-4a51-9c0e-0d7a4f1b2c3d", "0b9f5a54-7d43-4c7c-8a5b-55e6a1d0c9f8"
NONCE = bytes(range(12))
WHERE = {"key": KEY.hex(), "clinic": CLINIC, "generation": 1, "index": "name_prefix", "term": "ma", "block": 0}
Entries = list[tuple[int, int, int]]


def mac(key: bytes, said: bytes) -> bytes:
    return hmac.new(key, said, hashlib.sha256).digest()


def lp(text: str) -> bytes:
    return struct.pack(">H", len(text.encode())) + text.encode()


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


# -- blocks ------------------------------------------------------------------------------------------------


def label_of(vector: dict[str, Any]) -> bytes:
    said = lp(vector["index"]) + lp(vector["term"]) + struct.pack(">I", vector["block"])
    return mac(mac(bytes.fromhex(vector["key"]), b"telehealth/2/label"), said)[:16]


def sealed_block(plain: bytes, vector: dict[str, Any] = WHERE) -> bytes:
    place = b"telehealth/2/block" + UUID(vector["clinic"]).bytes + struct.pack(">I", vector["generation"])
    cipher = AESGCM(mac(bytes.fromhex(vector["key"]), b"telehealth/2/block"))
    return b"\x03" + NONCE + cipher.encrypt(NONCE, plain, place + label_of(vector))


def leaf(entries: Entries, room: int, *, kind: int = 0, zero: int = 0, count: int | None = None) -> bytes:
    """Room for so many entries, whether or not that is one of the sizes."""
    keys, numbers, years = zip(*entries, strict=True) if entries else ((), (), ())
    columns = struct.pack(f"<{len(keys)}Q{len(keys)}I", *keys, *numbers) + bytes(years)
    head = struct.pack("<BBH", kind, zero, len(entries) if count is None else count)
    return head + columns.ljust(room * 13, b"\0")


def directory(lowest: list[tuple[int, int]], blocks: list[int], room: int) -> bytes:
    keys, numbers = zip(*lowest, strict=True) if lowest else ((), ())
    columns = struct.pack(f"<{len(keys)}Q{len(keys)}I{len(keys)}I", *keys, *numbers, *blocks)
    return struct.pack("<BBH", 1, 0, len(blocks)) + columns.ljust(room * 16, b"\0")


def _entries(count: int) -> Entries:
    return [(n * 0x0102030405, n + 7, n % 200) for n in range(count)]


def _vector(name: str, plain: bytes, opens: Any = None, **change: Any) -> dict[str, Any]:
    return {"name": name, **WHERE, "sealed": sealed_block(plain).hex(), "opens": opens, **change}


def blocks() -> list[dict[str, Any]]:
    rooms = {0: 2, 1: 2, 2: 2, 3: 4, 64: 64, 65: 128, 256: 256, 257: 320, 320: 320}
    made = [_vector(f"a leaf of {n}", leaf(_entries(n), room), {"leaf": _entries(n)}) for n, room in rooms.items()]
    greatest = [(2**64 - 1, 2**32 - 1, 255)]
    made.append(_vector("a leaf of the greatest numbers", leaf(greatest, 2), {"leaf": greatest}))
    for count, room in ((1, 64), (64, 64), (65, 128)):
        lowest, below = [entry[:2] for entry in _entries(count)], [count - n for n in range(count)]
        said = {"lowest": lowest, "blocks": below}
        made.append(_vector(f"a directory of {count}", directory(lowest, below, room), {"directory": said}))
    return [*made, *_moved_blocks(), *_bent_blocks(), *_misencoded_blocks()]


def _moved_blocks() -> list[dict[str, Any]]:
    plain = leaf(_entries(2), 2)
    changes: dict[str, dict[str, Any]] = {
        "another key": {"key": bytes(32).hex()},
        "another clinic": {"clinic": PATIENT},
        "another generation": {"generation": 2},
        "another index": {"index": "name_sound"},
        "another term": {"term": "mb"},
        "another block of the term": {"block": 1},
        "letters from the term to the index": {"index": "name_prefixm", "term": "a"},
    }
    return [_vector(name, plain, **change) for name, change in changes.items()]


def _bent_blocks() -> list[dict[str, Any]]:
    good = sealed_block(leaf(_entries(2), 2))
    bent = {
        "version 1": b"\x01" + good[1:],
        "version 2": b"\x02" + good[1:],
        "nonce flipped": flipped(good, 1),
        "body flipped": flipped(good, 13),
        "tag flipped": flipped(good, len(good) - 1),
        "cut by one": good[:-1],
        "longer by one": good + b"\0",
        "head only": good[:13],
        "empty": b"",
    }
    return [_vector(name, b"", sealed=sealed.hex()) for name, sealed in bent.items()]


def _misencoded_blocks() -> list[dict[str, Any]]:
    """Sealed by the right key, and still not the one encoding."""
    two, lowest = _entries(2), [entry[:2] for entry in _entries(2)]
    plains = {
        "nothing": b"",
        "half a head": b"\0\0",
        "an unknown kind": leaf(two, 2, kind=2),
        "a second byte that is not zero": leaf(two, 2, zero=1),
        "more entries than there are bytes": leaf(two, 2, count=3),
        "fewer entries than there are bytes": leaf(two, 2, count=1),
        "a leaf of too many": leaf(_entries(321), 321),
        "no padding": leaf(_entries(3), 3),
        "a size class too large": leaf(two, 4),
        "padding that is not zero": leaf(_entries(1), 2)[:-1] + b"\x01",
        "a directory of nothing": directory([], [], 64),
        "a directory without padding": directory(lowest, [1, 2], 2),
        "a directory with padding too much": directory(lowest, [1, 2], 128),
        "a directory with padding that is not zero": directory(lowest, [1, 2], 64)[:-1] + b"\x01",
    }
    return [_vector(name, plain) for name, plain in plains.items()]


# -- wrapped keys ------------------------------------------------------------------------------------------


def wrapped_key(key: bytes, vector: dict[str, Any]) -> bytes:
    patient = UUID(vector["patient"]).bytes if vector["patient"] else bytes(16)
    place = b"telehealth/1/wrap" + lp(vector["purpose"]) + UUID(vector["clinic"]).bytes + patient
    kek, kek_id = bytes.fromhex(vector["kek"]), bytes.fromhex(vector["kek_id"])
    place += struct.pack(">I", vector["generation"])
    return b"\x01" + kek_id + NONCE + AESGCM(kek).encrypt(NONCE, key, place)


def wrapped() -> list[dict[str, Any]]:
    of = {"kek": KEY[::-1].hex(), "kek_id": "0123456789abcdef", "clinic": CLINIC, "generation": 1}
    data = {"name": "a data key", **of, "purpose": "data", "patient": PATIENT, "opens": KEY.hex()}
    index = {"name": "an index key", **of, "purpose": "index", "patient": None, "opens": KEY.hex()}
    made = [{**one, "wrapped": wrapped_key(KEY, one).hex()} for one in (data, index)]
    good = bytes.fromhex(made[0]["wrapped"])
    changes: dict[str, dict[str, Any]] = {
        "another key-encryption key": {"kek": KEY.hex()},
        "another purpose": {"purpose": "index"},
        "another clinic": {"clinic": PATIENT},
        "another patient": {"patient": CLINIC},
        "no patient": {"patient": None},
        "another generation": {"generation": 2},
        "version 2": {"wrapped": (b"\x02" + good[1:]).hex()},
        "nonce flipped": {"wrapped": flipped(good, 9).hex()},
        "body flipped": {"wrapped": flipped(good, 21).hex()},
        "tag flipped": {"wrapped": flipped(good, len(good) - 1).hex()},
        "cut by one": {"wrapped": good[:-1].hex()},
        "longer by one": {"wrapped": good.hex() + "00"},
        "empty": {"wrapped": ""},
        "a key of 16 bytes": {"wrapped": wrapped_key(KEY[:16], data).hex()},
    }
    return [*made, *({**made[0], **change, "name": name, "opens": None} for name, change in changes.items())]


# -- digests -----------------------------------------------------------------------------------------------


def digests() -> list[dict[str, Any]]:
    """The second of each pair differs in one thing only, and so must its digest."""
    asked = [
        (KEY, "phone", "+442079460142"),
        (KEY, "phone", "+442079460143"),
        (KEY, "national_id", "+442079460142"),
        (bytes(32), "phone", "+442079460142"),
        (KEY, "email", "zoë@example.org"),
    ]
    return [
        {
            "key": key.hex(),
            "index": index,
            "text": text,
            "digest": struct.unpack(">q", mac(mac(key, b"telehealth/1/index/" + index.encode()), text.encode())[:8])[0],
        }
        for key, index, text in asked
    ]


if __name__ == "__main__":
    for file, vectors in ((BLOCKS, blocks()), (WRAPPED, wrapped()), (DIGESTS, digests())):
        file.write_text(json.dumps(vectors, indent=1, ensure_ascii=False) + "\n")
