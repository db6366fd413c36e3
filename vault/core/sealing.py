"""Sealing of values and wrapping of keys, as FORMAT.md (version 1) lays down. Pure: no clock, no settings."""

import hmac
import os
from dataclasses import dataclass
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = b"\x01"
KEY_BYTES = 32
KEK_ID_BYTES = 8
_COMMITMENT = 32
_NONCE = 12
_TAG = 16
_NO_PATIENT = bytes(16)


class CannotOpen(Exception):
    """The value does not open. One message for every cause, so the cause is no oracle."""

    #: whose value it is, and the log's entry of it, which a transaction that is rolled back takes with it
    patient: UUID | None = None
    entry: int | None = None

    def __init__(self) -> None:
        super().__init__("A protected value could not be opened.")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sealed value belongs; it opens nowhere else."""

    clinic: UUID
    patient: UUID
    generation: int
    field: str
    token: str

    def associated_data(self) -> bytes:
        return b"".join(
            (
                b"telehealth/1/value",
                self.clinic.bytes,
                self.patient.bytes,
                self.generation.to_bytes(4, "big"),
                _lp(self.field),
                _lp(self.token),
            )
        )


def _lp(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def new_key() -> bytes:
    return os.urandom(KEY_BYTES)


def new_keys(count: int) -> list[bytes]:
    """As many keys; randomness is asked for once."""
    noise = os.urandom(KEY_BYTES * count)
    return [noise[at : at + KEY_BYTES] for at in range(0, len(noise), KEY_BYTES)]


class Sealer:
    """Seals and opens values under one data key. Keep it: making the cipher costs more than sealing a short value."""

    __slots__ = ("_cipher", "_commitment")

    def __init__(self, data_key: bytes) -> None:
        if len(data_key) != KEY_BYTES:
            raise ValueError("a data key has 32 bytes")
        self._cipher = AESGCM(hmac.digest(data_key, b"telehealth/1/seal", "sha256"))
        self._commitment = hmac.digest(data_key, b"telehealth/1/commit", "sha256")

    def seal(self, value: bytes, place: Place) -> bytes:
        nonce = os.urandom(_NONCE)
        return VERSION + self._commitment + nonce + self._cipher.encrypt(nonce, value, place.associated_data())

    def open(self, sealed: bytes, place: Place) -> bytes:
        head = 1 + _COMMITMENT
        if len(sealed) < head + _NONCE + _TAG or sealed[:1] != VERSION:
            raise CannotOpen
        # AES-GCM ciphertexts can be made to open under two keys; the commitment is what forbids it.
        if not hmac.compare_digest(sealed[1:head], self._commitment):
            raise CannotOpen
        nonce, body = sealed[head : head + _NONCE], sealed[head + _NONCE :]
        try:
            return self._cipher.decrypt(nonce, body, place.associated_data())
        except InvalidTag:
            raise CannotOpen from None


_WRAPPED_FOR = {purpose: b"telehealth/1/wrap" + _lp(purpose) for purpose in ("data", "index")}


def owner_of(clinic: UUID, patient: UUID | None = None) -> bytes:
    """Whose a key is, in 32 bytes: a patient's in her clinic, or the clinic's own."""
    return clinic.bytes + (patient.bytes if patient else _NO_PATIENT)


def wrap(key: bytes, kek: AESGCM, kek_id: bytes, *, purpose: str, owner: bytes, generation: int) -> bytes:
    """Wrap a 32-byte key under a key-encryption key; `purpose` is "data" or "index", `owner` as from `owner_of`."""
    if len(key) != KEY_BYTES or len(kek_id) != KEK_ID_BYTES:
        raise ValueError("a key has 32 bytes and a key-encryption key's id 8")
    nonce = os.urandom(_NONCE)
    context = _WRAPPED_FOR[purpose] + owner + generation.to_bytes(4, "big")
    return VERSION + kek_id + nonce + kek.encrypt(nonce, key, context)


def wrapped_under(wrapped: bytes) -> bytes:
    """The id of the key-encryption key that opens this wrapped key."""
    if len(wrapped) != 1 + KEK_ID_BYTES + _NONCE + KEY_BYTES + _TAG or wrapped[:1] != VERSION:
        raise CannotOpen
    return wrapped[1 : 1 + KEK_ID_BYTES]


def unwrap(wrapped: bytes, kek: AESGCM, *, purpose: str, owner: bytes, generation: int) -> bytes:
    """The key in what `wrap` made. `kek`: the key-encryption key that `wrapped_under` names."""
    start = 1 + KEK_ID_BYTES
    nonce, body = wrapped[start : start + _NONCE], wrapped[start + _NONCE :]
    if len(body) != KEY_BYTES + _TAG or wrapped[:1] != VERSION:
        raise CannotOpen
    try:
        return kek.decrypt(nonce, body, _WRAPPED_FOR[purpose] + owner + generation.to_bytes(4, "big"))
    except InvalidTag:
        raise CannotOpen from None
