"""What a key file says, and the keys made ready for use. Pure: reads no file, asks nobody.

{"custodian": name, "current": id, "keys": {id: entry}}: an id is 16 hex digits, an entry what the custodian made of it.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.core.sealing import KEK_ID_BYTES, KEY_BYTES
from vault.custody import Custodian, Damaged, VaultUnavailable

_ID = re.compile(f"[0-9a-f]{{{2 * KEK_ID_BYTES}}}")
_MEMBERS = {"custodian", "current", "keys"}


@dataclass(frozen=True, eq=False)
class KeySet:
    """The key-encryption keys, ready. One is equal to itself only, so it can be part of a cache's key."""

    current_id: bytes
    ciphers: Mapping[bytes, AESGCM]
    #: looks at the file again, for a key that another process has added since
    newer: Callable[[], "KeySet"] | None = None

    @property
    def current(self) -> AESGCM:
        return self.ciphers[self.current_id]

    @property
    def ids(self) -> set[bytes]:
        return set(self.ciphers)

    def cipher(self, key_id: bytes) -> AESGCM:
        if (found := self.ciphers.get(key_id)) is not None:
            return found
        if self.newer and (found := self.newer().ciphers.get(key_id)) is not None:
            return found
        raise VaultUnavailable("A key that sealed this data is not in the vault's key file.")


@dataclass(frozen=True)
class Document:
    """The file's content with every key still as its custodian left it."""

    custodian: str
    current: bytes
    entries: Mapping[bytes, str] = field(repr=False)

    def text(self) -> str:
        keys = {key_id.hex(): entry for key_id, entry in self.entries.items()}
        document = {"custodian": self.custodian, "current": self.current.hex(), "keys": keys}
        return json.dumps(document, indent=1) + "\n"

    def with_current(self, key_id: bytes, entry: str) -> "Document":
        return replace(self, current=key_id, entries={**self.entries, key_id: entry})

    def without(self, key_id: bytes) -> "Document":
        return replace(self, entries={known: entry for known, entry in self.entries.items() if known != key_id})


def parse(data: bytes) -> Document:
    """The document in `data`, in its one form, or `Damaged`, which repeats nothing of it."""
    try:
        found = json.loads(data.decode("ascii"), object_pairs_hook=_once)
        if set(found) == _MEMBERS - {"custodian"}:  # as written before there was a choice of custodian
            found = {"custodian": "file", **found}
        if set(found) != _MEMBERS or not isinstance(found["custodian"], str):
            raise Damaged
        entries = {_key_id(name): _entry(entry) for name, entry in found["keys"].items()}
        current = _key_id(found["current"])
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise Damaged from None
    if current not in entries:
        raise Damaged
    return Document(found["custodian"], current, entries)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members


def _key_id(name: str) -> bytes:
    if not _ID.fullmatch(name):
        raise ValueError
    return bytes.fromhex(name)


def _entry(entry: Any) -> str:
    if not isinstance(entry, str):
        raise ValueError
    return entry


def recover(custodian: Custodian, key_id: bytes, entry: str) -> bytes:
    key = custodian.recover(key_id, entry)
    if len(key) != KEY_BYTES:
        raise Damaged
    return key


def ready(document: Document, custodian: Custodian) -> KeySet:
    """Every key of the document, recovered by its custodian."""
    return KeySet(
        document.current,
        {key_id: AESGCM(recover(custodian, key_id, entry)) for key_id, entry in document.entries.items()},
    )
