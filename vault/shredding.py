"""Crypto-shredding of one patient: her data key is destroyed, and with it every value it sealed."""

from django.db import transaction
from django.utils import timezone

from vault import audit, postings
from vault.core.fields import KINDS
from vault.core.sealing import CannotOpen, wrapped_under
from vault.core.terms import DIGESTED, terms
from vault.custody import VaultUnavailable
from vault.keyring import indexes
from vault.keywatch import keys
from vault.models import AuditEntry, ClinicIndex, DataKey, Patient, SealedRecord, SealedValue
from vault.patients import entry_of
from vault.records import read_record


class NotShredded(Exception):
    """The message says why, in words for the person who asked."""


@transaction.atomic
def shred(patient: Patient, actor: audit.Actor, *, reason: str) -> AuditEntry:
    """Destroy what the clinic can read of a patient. The entry's `detail` is the certificate.

    `keks`: the key-encryption keys that wrapped her data keys. `backups`: those by which a backup made before can be
    opened, which is every one in the key file, since a backup older than a rotation is under an older one; when they
    are retired none opens (`backup_readable_until`). `values`, `generations`: how many there were.
    """
    clinic = postings.locked(patient.clinic_id)  # before the patient's row: whoever builds an index locks in this order
    patient = Patient.objects.select_for_update(no_key=True).get(pk=patient.pk)
    if patient.shredded_at:
        raise NotShredded("This record was erased before.")
    data_keys = list(DataKey.objects.select_for_update().filter(patient=patient).order_by("generation"))
    _take_off_the_lists(patient, clinic)
    fields = [f for f in KINDS if getattr(patient, f)]
    SealedRecord.objects.filter(patient=patient).delete()
    values, _ = SealedValue.objects.filter(patient=patient).delete()
    DataKey.objects.filter(patient=patient).delete()
    for field in KINDS:
        setattr(patient, field, "")
    for field in DIGESTED:
        setattr(patient, f"{field}_digest", None)
    patient.masks, patient.number, patient.shredded_at = {}, None, timezone.now()
    patient.save()
    return audit.record(
        "patient.shred",
        actor,
        patient=patient.id,
        reason=reason,
        fields=fields,
        values=values,
        generations=[key.generation for key in data_keys],
        keks=sorted({_kek(key) for key in data_keys}),
        backups=sorted(key_id.hex() for key_id in keys().ids),
    )


def _kek(key: DataKey) -> str:
    try:
        return wrapped_under(bytes(key.wrapped)).hex()
    except CannotOpen:  # a damaged key is destroyed all the same
        return "damaged"


def _take_off_the_lists(patient: Patient, clinic: ClinicIndex) -> None:
    if patient.number is None:
        return
    try:
        values = read_record(patient).values
    except (CannotOpen, VaultUnavailable):
        _sweep(patient.number, clinic)
        return
    for index in indexes(patient.clinic_id):
        writing = postings.Writing(clinic, index)
        writing.remove(terms(values["name"], values["birth_date"]), entry_of(patient.number, values))
        writing.save()
    clinic.save()


def _sweep(number: int, clinic: ClinicIndex) -> None:
    """Her name is unreadable, so her lists are unknown: look through all of them. Slow, and sure."""
    for index in indexes(clinic.clinic_id):
        postings.remove_everywhere(index, lambda entry: entry.number == number)


def backup_readable_until(certificate: AuditEntry) -> str:
    """For the certificate: until when a backup from before could be opened, as of today."""
    opening = set(certificate.detail["keks"]) | set(certificate.detail.get("backups", ()))
    standing = sorted(opening & {key_id.hex() for key_id in keys().ids})
    if standing:
        one = len(standing) == 1
        named = f"key-encryption key{'' if one else 's'} {' and '.join(standing)}"
        ends = f"{'is' if one else 'are'} retired and all copies destroyed"
        return f"A backup made before can be opened until {named} {ends}."
    retired = AuditEntry.objects.filter(action="vault.keys", detail__what="retire", detail__kek__in=sorted(opening))
    last = retired.order_by("-id").first()
    since = f"since {timezone.localtime(last.at):%-d %B %Y, %H:%M %Z}" if last else "any more"
    return (
        f"No key that could open a backup made before is in the vault {since}."
        " Nobody reads such a backup, except with a copy of the key file from then."
    )
