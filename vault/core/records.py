"""The sealed record: all protected fields of one patient under one nonce (FORMAT.md). Pure."""

import os
import struct
from collections.abc import Iterable, Mapping
from hmac import compare_digest, digest
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.core.sealing import KEY_BYTES, CannotOpen

VERSION = b"\x02"
#: the field's code in the sealed bytes, ascending; a code is never given twice
CODES = {"name": 1, "birth_date": 2, "national_id": 3, "phone": 4, "email": 5, "address": 6, "notes": 7}
_CODES = tuple(CODES.items())
_FIELDS = {code: field for field, code in CODES.items()}
_HEAD = 33
_NONCE_END = _HEAD + 12
_SMALLEST = _NONCE_END + 16
_PAD = 64
_DECOY = 1
#: field code, length of the text
_ENTRY = struct.Struct(">BH")
_LONGEST = 0xFFFF


class Record(NamedTuple):
    """What a sealed record says: field -> text, and whether the patient is a decoy."""

    values: Mapping[str, str]
    decoy: bool = False

    def __repr__(self) -> str:  # what ends up in a traceback or a log
        return f"<a record of {len(self.values)} fields>"


def associated_data(owner: bytes, generation: int, version: int, tokens: Iterable[str]) -> bytes:
    """Where a record belongs. `owner`: `sealing.owner_of` the clinic and patient. `tokens`: those of the patient's row
    in the order of `CODES`, empty ones too."""
    return b"telehealth/2/record" + owner + (generation << 32 | version).to_bytes(8, "big") + "".join(tokens).encode()


class RecordSealer:
    """Seals and opens records under one data key."""

    __slots__ = ("_cipher", "_head")

    def __init__(self, data_key: bytes) -> None:
        if len(data_key) != KEY_BYTES:
            raise ValueError("a data key has 32 bytes")
        derived = digest(data_key, b"telehealth/2/record", "sha512")
        self._cipher = AESGCM(derived[:32])
        self._head = VERSION + derived[32:]

    def seal(self, record: Record, place: bytes) -> bytes:
        """`place`: the associated data of the patient's row."""
        nonce = os.urandom(12)
        return self._head + nonce + self._cipher.encrypt(nonce, _encode(record), place)

    def open(self, sealed: bytes, place: bytes) -> Record:
        # AES-GCM ciphertexts can be made to open under two keys; the commitment is what forbids it.
        if len(sealed) < _SMALLEST or not compare_digest(sealed[:_HEAD], self._head):
            raise CannotOpen
        try:
            plain = self._cipher.decrypt(sealed[_HEAD:_NONCE_END], sealed[_NONCE_END:], place)
        except InvalidTag:
            raise CannotOpen from None
        return _decode(plain)


def _encode(record: Record) -> bytes:
    values, decoy = record
    parts, pack, get = [bytes((_DECOY if decoy else 0, len(values)))], _ENTRY.pack, values.get
    for field, code in _CODES:
        if (value := get(field)) is not None:
            text = value.encode()
            length = len(text)
            if not 0 < length <= _LONGEST:
                raise ValueError("a value has 1 to 65,535 bytes")
            parts.append(pack(code, length) + text)
    if len(parts) != len(values) + 1:
        raise ValueError("a record has known fields only")
    plain = b"".join(parts)
    return plain + bytes(-len(plain) % _PAD)


def _decode(plain: bytes) -> Record:
    """The one encoding there is; whatever differs does not open, though only a holder of the key could have made it."""
    if len(plain) < 2 or len(plain) % _PAD or plain[0] > _DECOY:
        raise CannotOpen
    values: dict[str, str] = {}
    at, last, unpack = 2, 0, _ENTRY.unpack_from
    try:
        for _ in range(plain[1]):
            code, length = unpack(plain, at)
            start = at + 3
            at = start + length
            if code <= last or not length:
                raise CannotOpen
            values[_FIELDS[code]] = plain[start:at].decode()
            last = code
    except (struct.error, KeyError, UnicodeDecodeError):
        raise CannotOpen from None
    if not 0 <= len(plain) - at < _PAD or plain[at:].strip(b"\0"):
        raise CannotOpen
    return Record(values, bool(plain[0]))
