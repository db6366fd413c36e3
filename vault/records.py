"""Sealed records in the database: read with every check there is, and written."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from vault.core.fields import BLANK_MASK, KINDS
from vault.core.records import CODES, Record, associated_data
from vault.core.sealing import CannotOpen, owner_of
from vault.core.tokens import new_token
from vault.keyring import newest_data_key, opener, opener_of
from vault.models import Patient, SealedRecord
from vault.rows import given, given_uuid, read, stored

#: the token columns in the order in which a record is bound to them
TOKENS = tuple(CODES)

# One statement, because a page that shows one record should not cost three. The newest change in the log says which
# version is the newest: an older record that was put back has another. After an erasure none is. Months that left the
# database left this behind.
_ONE = f"""
SELECT p.clinic_id, p.masks, r.version, r.sealed, k.generation, k.wrapped,
  COALESCE(
    (SELECT a.detail FROM vault_auditentry a
     WHERE a.patient = %s AND a.action IN ('patient.change', 'patient.shred') ORDER BY a.id DESC LIMIT 1),
    (SELECT c.detail FROM vault_auditcarried c WHERE c.patient = %s ORDER BY c.entry DESC LIMIT 1)),
  {", ".join(f"p.{field}" for field in TOKENS)}
FROM vault_patient p JOIN vault_sealedrecord r ON r.patient_id = p.id JOIN vault_datakey k ON k.id = r.key_id
WHERE p.id = %s
"""  # noqa: S608


#: the fields whose mask shows something, and how it is made
SHOWN = tuple((field, kind.mask) for field, kind in KINDS.items() if kind.mask(field) != BLANK_MASK)


def masks_of(values: Mapping[str, str]) -> dict[str, str]:
    """Field -> mask, without those that show nothing."""
    return {field: mask(values[field]) for field, mask in SHOWN if field in values}


def tokens_of(patient: Patient) -> list[str]:
    return [getattr(patient, field) for field in TOKENS]


def agrees(record: Record, tokens: Iterable[str], masks: Mapping[str, str]) -> bool:
    """Whether a record has the fields that the row has tokens for, and the masks are those of its values."""
    fields = [field for field, token in zip(TOKENS, tokens, strict=True) if token]
    return fields == list(record.values) and masks == masks_of(record.values)


def read_record(patient: Patient) -> Record:
    """The patient's record as it stands now, or `CannotOpen`."""
    return read_by_id(patient.id)


def read_by_id(patient: UUID) -> Record:
    """The record of this patient: it must open, be the newest, and agree with her row. Else `CannotOpen`."""
    rows = read(_ONE, [str(patient), str(patient), stored(patient)])
    if not rows:
        raise CannotOpen
    clinic, masks, version, sealed, generation, wrapped, change, *tokens = rows[0]
    owner = owner_of(given_uuid(clinic), patient)
    place = associated_data(owner, generation, version, tokens)
    record = opener_of(bytes(wrapped), owner, generation).records.open(bytes(sealed), place)
    newest = given(change).get("version") if change else 1
    if version != newest or not agrees(record, tokens, given(masks)):
        raise CannotOpen
    return record


def open_row(row: SealedRecord, patient: Patient) -> Record:
    """The record in this row, if it is the one that the patient's row names; whether it is the newest is not asked."""
    place = place_of(patient, row.key.generation, row.version)
    record = opener(row.key, patient.clinic_id).records.open(bytes(row.sealed), place)
    if not agrees(record, tokens_of(patient), patient.masks):
        raise CannotOpen
    return record


def place_of(patient: Patient, generation: int, version: int) -> bytes:
    return associated_data(owner_of(patient.clinic_id, patient.id), generation, version, tokens_of(patient))


def write_record(
    patient: Patient, values: Mapping[str, str], changed: Iterable[str], *, decoy: bool, version: int = 1
) -> None:
    """Seal `values` as the patient's record. The `changed` fields get new tokens; row and masks are set, not saved."""
    key = newest_data_key(patient)
    for field in changed:
        setattr(patient, field, new_token(field) if field in values else "")
    patient.masks = masks_of(values)
    sealed = opener(key, patient.clinic_id).records.seal(
        Record(values, decoy), place_of(patient, key.generation, version)
    )
    SealedRecord.objects.update_or_create(patient=patient, defaults={"key": key, "version": version, "sealed": sealed})
