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
from django.db import IntegrityError, transaction
from django.utils import timezone

from vault.core.digests import Indexer
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


@lru_cache(maxsize=4096)
def _sealer(data_key_pk: int, wrapped: bytes, clinic: UUID, patient: UUID, generation: int) -> Sealer:
    # The wrapped bytes are part of the cache's key, so a key that was replaced in the database is noticed.
    key = unwrap(
        wrapped,
        provider().cipher(wrapped_under(wrapped)),
        purpose="data",
        clinic=clinic,
        patient=patient,
        generation=generation,
    )
    return Sealer(key)


def create_data_key(patient: Patient) -> DataKey:
    keys = provider()
    wrapped = wrap(
        new_key(),
        keys.current,
        keys.current_id,
        purpose="data",
        clinic=patient.clinic_id,
        patient=patient.id,
        generation=1,
    )
    return DataKey.objects.create(patient=patient, generation=1, wrapped=wrapped, created_at=timezone.now())


def sealer(patient: Patient, generation: int | None = None) -> tuple[Sealer, int]:
    """The patient's sealer and its generation: the newest, or the one asked for."""
    rows = DataKey.objects.filter(patient=patient)
    rows = rows.order_by("-generation") if generation is None else rows.filter(generation=generation)
    row = rows.first()
    if row is None:
        raise CannotOpen
    return _sealer(row.pk, bytes(row.wrapped), patient.clinic_id, patient.id, row.generation), row.generation


@lru_cache(maxsize=256)
def _indexer(wrapped: bytes, clinic: UUID) -> Indexer:
    cipher = provider().cipher(wrapped_under(wrapped))
    return Indexer(unwrap(wrapped, cipher, purpose="index", clinic=clinic, patient=None, generation=1))


def indexer(clinic: UUID) -> Indexer:
    row = IndexKey.objects.filter(clinic_id=clinic).first() or _create_index_key(clinic)
    return _indexer(bytes(row.wrapped), clinic)


def _create_index_key(clinic: UUID) -> IndexKey:
    keys = provider()
    wrapped = wrap(new_key(), keys.current, keys.current_id, purpose="index", clinic=clinic, patient=None, generation=1)
    try:
        with transaction.atomic():
            return IndexKey.objects.create(clinic_id=clinic, wrapped=wrapped, created_at=timezone.now())
    except IntegrityError:  # another process made it first; theirs is the clinic's key
        return IndexKey.objects.get(clinic_id=clinic)
