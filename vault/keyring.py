"""Keys at run time: the key-encryption key's provider, and each patient's and clinic's key unwrapped and kept ready."""

import base64
import json
import os
import stat
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import connection
from django.utils import timezone

from vault.core.blocks import BlockSealer
from vault.core.digests import Indexer
from vault.core.records import RecordSealer
from vault.core.sealing import KEY_BYTES, CannotOpen, Sealer, new_key, unwrap, wrap, wrapped_under
from vault.models import DataKey, IndexKey, Patient


class VaultUnavailable(Exception):
    """The vault has no usable key. Views answer 503; nothing is read, nothing is written."""


class FileProvider:
    """Key-encryption keys in one file: {"current": id, "keys": {id: base64}}; ids are 16 hex digits."""

    def __init__(self, path: Path) -> None:
        document = _read_private(path)
        try:
            keys = {bytes.fromhex(i): base64.b64decode(k, validate=True) for i, k in document["keys"].items()}
            self.current_id = bytes.fromhex(document["current"])
            self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items() if len(key) == KEY_BYTES}
            self.current = self._ciphers[self.current_id]
            self.ids = set(self._ciphers)
        except (KeyError, ValueError, TypeError, AttributeError):
            raise VaultUnavailable("The vault's key file is damaged. Restore it from its backup.") from None

    def cipher(self, key_id: bytes) -> AESGCM:
        try:
            return self._ciphers[key_id]
        except KeyError:
            raise VaultUnavailable("A key that sealed this data is not in the vault's key file.") from None

    @staticmethod
    def create(path: Path) -> None:
        """Make a key file with one fresh key; never over an existing one."""
        key_id = os.urandom(8).hex()
        text = json.dumps({"current": key_id, "keys": {key_id: base64.b64encode(new_key()).decode()}})
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


def _read_private(path: Path) -> Any:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise VaultUnavailable(
                f"The vault's key file can be read by others. Run: chmod 600 {path.name}, then start again."
            )
        return json.loads(path.read_text())
    except OSError:
        raise VaultUnavailable("The vault's key file is missing. Restore it from its backup.") from None
    except ValueError:
        raise VaultUnavailable("The vault's key file is damaged. Restore it from its backup.") from None


@lru_cache(maxsize=1)
def provider() -> FileProvider:
    return FileProvider(Path(settings.VAULT_KEY_FILE))


class Opener:
    """What one patient's data key opens and seals: her record, and loose values."""

    __slots__ = ("_key", "_values", "records")

    def __init__(self, data_key: bytes) -> None:
        self._key = data_key
        self.records = RecordSealer(data_key)
        self._values: Sealer | None = None

    @property
    def values(self) -> Sealer:
        if self._values is None:  # most openings are of the record alone
            self._values = Sealer(self._key)
        return self._values


def wrap_data_key(keys: FileProvider, key: bytes, clinic: UUID, patient: UUID, generation: int) -> bytes:
    return wrap(
        key, keys.current, keys.current_id, purpose="data", clinic=clinic, patient=patient, generation=generation
    )


def unwrap_data_key(keys: FileProvider, wrapped: bytes, clinic: UUID, patient: UUID, generation: int) -> bytes:
    """The data key, or `CannotOpen`; `VaultUnavailable` where the fault is the key file's and not this key's."""
    try:
        cipher = keys.cipher(wrapped_under(wrapped))
        return unwrap(wrapped, cipher, purpose="data", clinic=clinic, patient=patient, generation=generation)
    except (CannotOpen, VaultUnavailable):
        prove()
        raise CannotOpen from None


@lru_cache(maxsize=4096)
def _opener(_keys: FileProvider, wrapped: bytes, clinic: UUID, patient: UUID, generation: int) -> Opener:
    # The wrapped bytes and the key file are part of the cache's key, so a change of either is noticed.
    return Opener(unwrap_data_key(_keys, wrapped, clinic, patient, generation))


def opener_of(wrapped: bytes, clinic: UUID, patient: UUID, generation: int) -> Opener:
    return _opener(provider(), wrapped, clinic, patient, generation)


def opener(key: DataKey, clinic: UUID) -> Opener:
    return opener_of(bytes(key.wrapped), clinic, key.patient_id, key.generation)


def create_data_key(patient: Patient, generation: int = 1) -> DataKey:
    wrapped = wrap_data_key(provider(), new_key(), patient.clinic_id, patient.id, generation)
    return DataKey.objects.create(patient=patient, generation=generation, wrapped=wrapped, created_at=timezone.now())


def newest_data_key(patient: Patient) -> DataKey:
    """The key new values are sealed under, locked, so that it is not rotated away underneath. In a transaction."""
    for _ in range(3):
        row = DataKey.objects.select_for_update().filter(patient=patient).order_by("-generation").first()
        if row is not None:
            return row
        # The row we waited for was replaced by a newer generation; look again.
    raise CannotOpen


class Index:
    """One generation of a clinic's index key, ready: digests, labels, blocks; and how far it has been built."""

    __slots__ = ("blocks", "built_to", "digests", "in_use", "key_id", "layout")

    def __init__(self, row: IndexKey, layout: int = 0) -> None:
        self.layout = layout
        self.digests, self.blocks = _index_tools(provider(), bytes(row.wrapped), row.clinic_id, row.generation)
        self.key_id, self.in_use, self.built_to = row.pk, row.in_use, row.built_to


@lru_cache(maxsize=256)
def _index_tools(keys: FileProvider, wrapped: bytes, clinic: UUID, generation: int) -> tuple[Indexer, BlockSealer]:
    try:
        cipher = keys.cipher(wrapped_under(wrapped))
        key = unwrap(wrapped, cipher, purpose="index", clinic=clinic, patient=None, generation=generation)
    except CannotOpen:
        raise VaultUnavailable("The vault's key file does not open this clinic's index.") from None
    return Indexer(key), BlockSealer(key, clinic, generation)


_KEPT = ("id", "generation", "wrapped", "in_use", "built_to")
_INDEX_KEYS = """
SELECT coalesce(c.layout, 0), k.id, k.generation, k.wrapped, k.in_use, k.built_to
FROM vault_indexkey k LEFT JOIN vault_clinicindex c ON c.clinic_id = k.clinic_id
WHERE k.clinic_id = %s ORDER BY k.in_use DESC, k.generation
"""


def indexes(clinic: UUID) -> list[Index]:
    """Every index key of the clinic, the one in use first; writers serve all of them."""
    # By hand: this is asked before every search, and the ORM takes longer to write the statement than to run it.
    stored = clinic if connection.features.has_native_uuid_field else clinic.hex
    with connection.cursor() as cursor:
        cursor.execute(_INDEX_KEYS, [stored])
        rows = cursor.fetchall()
    if not rows:
        return [Index(create_index_key(clinic))]
    return [Index(IndexKey(clinic_id=clinic, **dict(zip(_KEPT, row, strict=True))), layout) for layout, *row in rows]


def create_index_key(clinic: UUID, generation: int = 1, *, in_use: bool = True) -> IndexKey:
    keys = provider()
    wrapped = wrap(
        new_key(),
        keys.current,
        keys.current_id,
        purpose="index",
        clinic=clinic,
        patient=None,
        generation=generation,
    )
    row, _ = IndexKey.objects.get_or_create(  # another process may make it first; theirs is the clinic's key
        clinic_id=clinic,
        generation=generation,
        defaults={"wrapped": wrapped, "created_at": timezone.now(), "in_use": in_use},
    )
    return row


def prove() -> None:
    """Raise `VaultUnavailable` where the key file is not the one this database was written under."""
    row = IndexKey.objects.order_by("pk").first()
    if row is not None:
        Index(row)
