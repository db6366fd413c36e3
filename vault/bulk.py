"""Many patients at once: added for an import, read for keeping keys and indexes."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from json.encoder import encode_basestring
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from vault import audit, postings
from vault.core.records import Record, RecordSealer, associated_data
from vault.core.sealing import CannotOpen, new_keys
from vault.core.terms import DIGESTED, digest_text, terms
from vault.core.tokens import new_rows
from vault.custody import VaultUnavailable
from vault.keydocument import KeySet
from vault.keyring import Index, indexes, prove, unwrap_data_key, wrap_data_key
from vault.keywatch import keys
from vault.models import DataKey, Patient, SealedRecord
from vault.patients import entry_of
from vault.records import SHOWN, TOKENS
from vault.rows import add_many, moment, new_ids, read, stored, stream

#: the sealed index, and the fields that have digests
INDEXED = ("name", *DIGESTED)


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A patient to add: normalised values (`patients.normalise`), among them name and birth_date."""

    values: Mapping[str, str] = field(repr=False)
    record_number: str


_PATIENT = (
    *("id", "clinic_id", "record_number", "masks", "number", "created_at"),
    *TOKENS,
)


#: byte -> the same with the version, and with the variant, of a random UUID (RFC 9562, 5.4)
_VERSION4 = bytes(byte & 0x0F | 0x40 for byte in range(256))
_VARIANT = bytes(byte & 0x3F | 0x80 for byte in range(256))
#: rows written at a time: as with reading, what is in memory together has to fit the processor's cache
SLICE = 500
#: rows read at a time: what is in memory together has to fit the processor's cache, or opening takes a third longer
READ_SLICE = 250


@transaction.atomic
def create_many(
    clinic: UUID, rows: Sequence[NewRecord], actor: audit.Actor, *, indexed: Collection[str] = INDEXED
) -> range:
    """Add patients, one entry in the log for all. Their numbers, in order.

    `indexed`: what they can be found by at once; `reindexing.list_all` makes up for what was left out.
    """
    clinic_row = postings.locked(clinic)
    live = indexes(clinic)
    first = clinic_row.last_number + 1
    clinic_row.last_number += len(rows)
    digested = [field for field in DIGESTED if field in indexed]
    ids = _new_ids(len(rows))
    for at in range(0, len(rows), SLICE):
        end = at + SLICE
        _add_rows(clinic, rows[at:end], ids[at:end], first + at, live[0], digested)
    for index in live if "name" in indexed else ():
        writing = postings.Writing(clinic_row, index)
        for number, row in enumerate(rows, first):
            writing.add(terms(row.values["name"], row.values["birth_date"]), entry_of(number, row.values))
        writing.save()
    clinic_row.save()
    audit.record("patient.create", actor, count=len(rows), first=first, last=clinic_row.last_number)
    return range(first, clinic_row.last_number + 1)


def _new_ids(count: int) -> list[bytes]:
    """As many random UUIDs, in order: the database then appends to its indexes, where it would search for each."""
    noise = bytearray(os.urandom(16 * count))
    noise[6::16] = noise[6::16].translate(_VERSION4)
    noise[8::16] = noise[8::16].translate(_VARIANT)
    return sorted([bytes(noise[at : at + 16]) for at in range(0, len(noise), 16)])


def _add_rows(
    clinic: UUID, rows: Sequence[NewRecord], ids: Sequence[bytes], first: int, index: Index, digested: list[str]
) -> None:
    """The rows of patients, keys and records, made side by side: this is where an import spends its time."""
    keyset, at, digest = keys(), moment(timezone.now()), index.digests.digest
    clinic_id, clinic_bytes = clinic.hex, clinic.bytes  # ids as hex digits, which Postgres reads too
    patients: list[tuple[Any, ...]] = []
    data_keys: list[tuple[Any, ...]] = []
    records: list[tuple[Any, ...]] = []
    # sqlite3 looks for an adapter for each bytes, and for no bytearray
    blob = bytearray if connection.vendor == "sqlite" else bytes
    key_ids = new_ids(DataKey, len(rows))
    tokens = new_rows([row.values for row in rows], TOKENS)
    made = zip(rows, ids, key_ids, new_keys(len(rows)), tokens, strict=True)
    for number, (row, patient, key_id, key, bound) in enumerate(made, first):
        values, owner, own_id = row.values, clinic_bytes + patient, patient.hex()
        sealed = RecordSealer(key).seal(Record(values), associated_data(owner, 1, 1, bound))
        digests = [digest(f, digest_text(values[f])) if f in values else None for f in digested]
        patients.append((own_id, clinic_id, row.record_number, _masks_as_json(values), number, at, *bound, *digests))
        data_keys.append((key_id, own_id, 1, blob(wrap_data_key(keyset, key, owner, 1)), at))
        records.append((own_id, key_id, 1, blob(sealed)))
    add_many(Patient, (*_PATIENT, *(f"{field}_digest" for field in digested)), patients)
    add_many(DataKey, ("id", "patient_id", "generation", "wrapped", "created_at"), data_keys)
    add_many(SealedRecord, ("patient_id", "key_id", "version", "sealed"), records)


def _masks_as_json(values: Mapping[str, str]) -> str:
    # The encoder proper takes longer to begin than to write so little.
    return "{" + ", ".join([f'"{f}": {encode_basestring(mask(values[f]))}' for f, mask in SHOWN if f in values]) + "}"


class Opened(NamedTuple):
    """One patient read in bulk; `record` is None where it does not open."""

    id_bytes: bytes
    number: int
    record: Record | None

    @property
    def patient(self) -> UUID:
        return UUID(bytes=self.id_bytes)


# The database gives what a record is bound to, put together: an object for each token, and a UUID, would take as long
# as opening the record. Where it keeps ids as hex digits, these are what comes.
_READ = f"""
SELECT {{id}}, p.number, r.version, r.sealed, k.generation, k.wrapped, {" || ".join(f"p.{field}" for field in TOKENS)}
FROM vault_patient p JOIN vault_sealedrecord r ON r.patient_id = p.id JOIN vault_datakey k ON k.id = r.key_id
WHERE p.clinic_id = %s
"""  # noqa: S608
_READ_SOME = f"{_READ} AND p.number > %s ORDER BY p.number LIMIT %s"


def _reading(sql: str) -> str:
    return sql.format(id="uuid_send(p.id)" if connection.vendor == "postgresql" else "p.id")


def read_many(clinic: UUID, *, chunk: int = READ_SLICE) -> Iterator[Opened]:
    """Every record of a clinic, opened, in any order. No entry is written: it is for the vault's own work.

    Masks and the version are not compared, which `read_record` does.
    """
    prove()
    keyset = keys()
    for row in stream(_reading(_READ), [stored(clinic)], chunk=chunk):
        yield _opened(keyset, clinic.bytes, *row)


def read_some(clinic: UUID, *, after: int, most: int) -> list[Opened]:
    """As `read_many`, the next `most` in the order of numbers."""
    prove()
    keyset = keys()
    rows = read(_reading(_READ_SOME), [stored(clinic), after, most])
    return [_opened(keyset, clinic.bytes, *row) for row in rows]


def _opened(
    keyset: KeySet,
    clinic: bytes,
    patient: bytes | str,
    number: int,
    version: int,
    sealed: bytes,
    generation: int,
    wrapped: bytes,
    tokens: str,
) -> Opened:
    if isinstance(patient, str):
        patient = bytes.fromhex(patient)
    owner = clinic + patient
    try:
        key = unwrap_data_key(keyset, wrapped, owner, generation)
        record = RecordSealer(key).open(sealed, associated_data(owner, generation, version, [tokens]))
    except (CannotOpen, VaultUnavailable):  # the key file has proved right, so it is this row
        return Opened(patient, number, None)
    return Opened(patient, number, record)
