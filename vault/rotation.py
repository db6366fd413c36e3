"""The life of keys, online: key-encryption keys (rewrap), data keys (re-seal). Index keys: reindexing.py.

Each goes in batches of one transaction, finds by itself what is left to do, and may be killed and run again at any
moment. Writers go on meanwhile. Whoever locks more than one row takes the clinic's index first, then the patient, then
her data keys.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from vault.core.records import Record
from vault.core.sealing import CannotOpen, Place, owner_of, unwrap, wrap, wrapped_under
from vault.custody import VaultUnavailable
from vault.keyfile import configured_file
from vault.keyring import create_data_key, opener, prove
from vault.keywatch import keys
from vault.models import ClinicIndex, DataKey, IndexKey, Patient, SealedRecord, SealedValue
from vault.records import open_row, place_of
from vault.rows import change_many, in_turn

BATCH = 2000


class NotRotated(Exception):
    """The message says what is in the way."""


# -- key-encryption keys -------------------------------------------------------------------------------------


def left_to_rewrap() -> int:
    """How many wrapped keys are not under the current key-encryption key."""
    current = keys().current_id
    return sum(_count_not_under(table, current) for table in ("vault_datakey", "vault_indexkey"))


def left_under(key_id: bytes) -> int:
    """How many wrapped keys only this key-encryption key opens: it may be retired at none."""
    found = 0
    with connection.cursor() as cursor:
        for table in ("vault_datakey", "vault_indexkey"):
            cursor.execute(f"SELECT count(*) FROM {table} WHERE substr(wrapped, 2, 8) = %s", [key_id])  # noqa: S608
            found += int(cursor.fetchone()[0])
    return found


def clinics() -> list[UUID]:
    """Every clinic that has patients in the vault."""
    return list(ClinicIndex.objects.order_by("clinic_id").values_list("clinic_id", flat=True))


def _count_not_under(table: str, current: bytes) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table} WHERE substr(wrapped, 2, 8) <> %s", [current])  # noqa: S608
        return int(cursor.fetchone()[0])


def rewrap(*, batch: int = BATCH) -> Iterator[int]:
    """Wrap every data key and index key under the current key-encryption key. Yields how many at each batch.

    A key that does not open is left as it is, and `damaged` names it.
    """
    for row in IndexKey.objects.order_by("pk"):
        changes = _moves([(row.pk, row.generation, row.wrapped, None, row.clinic_id)], "index")
        yield change_many(IndexKey, "id", "wrapped", changes, was=True)
    last = 0
    while rows := _data_keys_after(last, batch):
        changes = _moves(rows, "data")
        last = rows[-1][0]
        # A key that was replaced or destroyed meanwhile is no longer what it was, and is left alone.
        with in_turn():
            moved_now = change_many(DataKey, "id", "wrapped", changes, was=True)
        yield moved_now


def _data_keys_after(last: int, batch: int) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(
            # CROSS: SQLite is to walk the keys and look patients up, not the other way round.
            "SELECT k.id, k.generation, k.wrapped, p.id, p.clinic_id FROM vault_datakey k CROSS JOIN vault_patient p"
            " WHERE p.id = k.patient_id AND k.id > %s ORDER BY k.id LIMIT %s",
            [last, batch],
        )
        return list(cursor.fetchall())


def _uuid(value: UUID | str) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)


def _moves(rows: list[tuple[Any, ...]], purpose: str) -> list[tuple[int, bytes, bytes]]:
    """(id, wrapped anew, wrapped as it was) of the keys that are under another key-encryption key, and open."""
    current, found = keys().current_id, []
    for pk, generation, wrapped, patient, clinic in rows:
        was = bytes(wrapped)
        if was[1:9] == current:
            continue
        with suppress(CannotOpen):
            found.append((pk, _moved(was, purpose, _uuid(clinic), patient and _uuid(patient), generation), was))
    return found


def damaged() -> list[UUID]:
    """The patients whose data key is not under the current key-encryption key and opens under no other."""
    found, last = [], 0
    while rows := _data_keys_after(last, BATCH):
        current, last = keys().current_id, rows[-1][0]
        for _, generation, wrapped, patient, clinic in rows:
            if bytes(wrapped)[1:9] != current:
                try:
                    _moved(bytes(wrapped), "data", _uuid(clinic), _uuid(patient), generation)
                except CannotOpen:
                    found.append(_uuid(patient))
    return found


def _moved(wrapped: bytes, purpose: str, clinic: UUID, patient: UUID | None, generation: int) -> bytes:
    keyset, owner = keys(), owner_of(clinic, patient)
    try:
        cipher = keyset.cipher(wrapped_under(wrapped))
        key = unwrap(wrapped, cipher, purpose=purpose, owner=owner, generation=generation)
    except (CannotOpen, VaultUnavailable):
        prove()  # where the whole key file is another's, that is what is said
        raise CannotOpen from None
    return wrap(key, keyset.current, keyset.current_id, purpose=purpose, owner=owner, generation=generation)


def retire(key_id: bytes) -> None:
    """Take a key-encryption key that opens nothing out of the key file; `NotRotated` where it still does.

    Somebody may be in the middle of wrapping a key under it. So every process first gets the time to notice which key
    is current, and then nobody writes keys while they are counted and the file is changed.
    """
    file = configured_file()
    time.sleep(max(0.0, file.mark().modified / 1e9 + settings.VAULT_KEY_RECHECK_SECONDS - time.time()))
    with transaction.atomic():
        if connection.vendor == "postgresql":  # elsewhere a transaction has the database to itself
            with connection.cursor() as cursor:
                cursor.execute("LOCK TABLE vault_clinicindex, vault_datakey, vault_indexkey IN EXCLUSIVE MODE")
        if left := left_under(key_id):
            raise NotRotated(f"{left:,} keys still open with it only.")
        file.retire(key_id)


# -- data keys ---------------------------------------------------------------------------------------------


def reseal(patient: Patient) -> bool:
    """Give a patient a fresh data key and seal everything of hers under it. False where she is gone."""
    with in_turn():
        # Before her keys, as everybody who writes her does: the other way round two would wait for each other.
        Patient.objects.select_for_update(no_key=True).get(pk=patient.pk)
        keys = list(DataKey.objects.select_for_update().filter(patient=patient).order_by("generation"))
        row = SealedRecord.objects.select_related("key", "patient").filter(patient=patient).first()
        if not keys or row is None:
            return False
        record = open_row(row, row.patient)
        fresh = create_data_key(row.patient, keys[-1].generation + 1)
        _reseal_record(row, fresh, record)
        for value in SealedValue.objects.select_related("key").filter(patient=patient).iterator(50):
            _reseal_value(value, row.patient, fresh)
        DataKey.objects.filter(pk__in=[key.pk for key in keys]).delete()
    return True


def _reseal_record(row: SealedRecord, fresh: DataKey, record: Record) -> None:
    place = place_of(row.patient, fresh.generation, row.version)
    row.sealed = opener(fresh, row.patient.clinic_id).records.seal(record, place)
    row.key = fresh
    row.save()


def _reseal_value(value: SealedValue, patient: Patient, fresh: DataKey) -> None:
    def at(key: DataKey) -> Place:
        return Place(patient.clinic_id, patient.id, key.generation, value.field, value.token)

    plain = opener(value.key, patient.clinic_id).values.open(bytes(value.sealed), at(value.key))
    value.sealed = opener(fresh, patient.clinic_id).values.seal(plain, at(fresh))
    value.key = fresh
    value.save()


def reseal_all(clinic: UUID, *, before: datetime, batch: int = 200) -> Iterator[tuple[int, list[UUID]]]:
    """Re-seal every patient whose data key is older than `before`. Yields (how many, those that do not open)."""
    last = 0
    while True:
        rows = Patient.objects.filter(clinic_id=clinic, number__gt=last, data_keys__created_at__lt=before)
        patients = list(rows.order_by("number")[:batch])
        if not patients:
            return
        failed = []
        for patient in patients:
            try:
                reseal(patient)
            except CannotOpen:
                failed.append(patient.id)
        last = patients[-1].number or last
        yield len(patients) - len(failed), failed
