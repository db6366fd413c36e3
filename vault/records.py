"""Sealed records in the database: read with every check there is, written, and moved to another key."""

from collections.abc import Mapping

from vault.core.fields import BLANK_MASK, KINDS
from vault.core.records import Record, associated_data
from vault.core.sealing import CannotOpen
from vault.core.tokens import new_token
from vault.keyring import newest_data_key, opener
from vault.models import AuditEntry, DataKey, Patient, SealedRecord


def masks_of(values: Mapping[str, str]) -> dict[str, str]:
    """Field -> mask, without those that show nothing."""
    masks = {field: KINDS[field].mask(value) for field, value in values.items()}
    return {field: mask for field, mask in masks.items() if mask != BLANK_MASK}


def tokens_of(patient: Patient) -> dict[str, str]:
    return {field: getattr(patient, field) for field in KINDS if getattr(patient, field)}


def place_of(patient: Patient, key: DataKey, version: int) -> bytes:
    return associated_data(patient.clinic_id, patient.id, key.generation, version)


def read_record(patient: Patient) -> Record:
    """The patient's record, or `CannotOpen`: it must open, be the newest, and agree with her row."""
    row = SealedRecord.objects.select_related("key").filter(patient=patient).first()
    if row is None:
        raise CannotOpen
    record = open_row(row, patient)
    if row.version != newest_version(patient):
        raise CannotOpen
    return record


def open_row(row: SealedRecord, patient: Patient) -> Record:
    """The record in this row, if it is the one that the patient's row names."""
    record = opener(row.key, patient.clinic_id).records.open(bytes(row.sealed), place_of(patient, row.key, row.version))
    if record.tokens != tokens_of(patient) or patient.masks != masks_of(record.values):
        raise CannotOpen
    return record


def newest_version(patient: Patient) -> int:
    """The version that the audit log knows: an older record put back has another."""
    change = AuditEntry.objects.filter(patient=str(patient.id), action="patient.change").order_by("-id").first()
    return int(change.detail["version"]) if change else 1


def write_record(
    patient: Patient, values: Mapping[str, str], tokens: Mapping[str, str], *, decoy: bool
) -> SealedRecord:
    """Seal `values` as the patient's record, one version on, and put tokens and masks in her row (not saved)."""
    key = newest_data_key(patient)
    before = SealedRecord.objects.filter(patient=patient).first()
    version = before.version + 1 if before else 1
    record = Record(values, {f: tokens.get(f) or new_token(f) for f in values}, decoy)
    for field in KINDS:
        setattr(patient, field, record.tokens.get(field, ""))
    patient.masks = masks_of(values)
    sealed = opener(key, patient.clinic_id).records.seal(record, place_of(patient, key, version))
    row, _ = SealedRecord.objects.update_or_create(
        patient=patient, defaults={"key": key, "version": version, "sealed": sealed}
    )
    return row
