"""Records and the verbs on them: add, change, reveal, check an identity; and loose values sealed for a patient."""

import dataclasses
import hmac
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from vault import audit, postings
from vault.core.blocks import Entry
from vault.core.fields import KINDS, BadValue, fold, is_mask
from vault.core.records import Record
from vault.core.sealing import CannotOpen, Place
from vault.core.terms import DIGESTED, digest_text, sort_key, terms
from vault.core.terms import record_number as as_looked_up
from vault.core.tokens import is_token, new_token
from vault.keyring import Index, create_data_key, indexes, newest_data_key, opener
from vault.models import AuditEntry, Patient, SealedRecord, SealedValue
from vault.records import read_record, write_record

#: Why a clinician may read a protected field. The key is what the log keeps.
PURPOSES = {
    "identify": "Make sure it is the right patient",
    "contact": "Reach the patient",
    "treat": "Treat the patient in this visit",
    "correct": "Correct the record",
}


class BadFields(Exception):
    """`errors`: field name -> the sentence to show beside it."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("Some fields need another look.")
        self.errors = errors


class NotRevealed(Exception):
    """The reveal was refused; the message says why, in words for the person who asked."""


#: what a page or an export shows in a value's place must not come back and be sealed as the value
STAND_IN = "Enter the value itself: this is only what stands in its place."


def is_stand_in(text: str) -> bool:
    return is_token(text) or is_mask(text)


def normalise(values: Mapping[str, str]) -> dict[str, str]:
    """Checked and normalised values of the fields that have one; `BadFields` names every bad one at once."""
    clean: dict[str, str] = {}
    errors: dict[str, str] = {}
    for field, value in values.items():
        if not value.strip():
            continue
        if is_stand_in(value.strip()):
            errors[field] = STAND_IN
            continue
        try:
            clean[field] = KINDS[field].normalise(value, settings.DEFAULT_REGION)
        except BadValue as error:
            errors[field] = str(error)
    if clean.get("birth_date", "") > timezone.localdate().isoformat():
        errors["birth_date"] = "Enter a date of birth that is not in the future."
    if errors:
        raise BadFields(errors)
    return clean


@dataclasses.dataclass(frozen=True, slots=True)
class Revealed:
    """Field -> value, and whether the patient is a decoy, which the reader must not notice."""

    values: dict[str, str] = dataclasses.field(repr=False)
    canary: bool = dataclasses.field(default=False, repr=False)


NEEDED = ("name", "birth_date")


@transaction.atomic
def create(
    clinic: UUID, values: Mapping[str, str], actor: audit.Actor, *, record_number: str = "", canary: bool = False
) -> Patient:
    """Add a patient. `values`: field name -> text as typed; name and birth_date are needed."""
    clean = normalise(values)
    missing = {f: f"Enter the {KINDS[f].label.lower()}." for f in NEEDED if f not in clean}
    if missing:
        raise BadFields(missing)
    postings.locked(clinic)  # before any row of hers: whoever writes an index locks in this order
    patient = Patient.objects.create(
        clinic_id=clinic,
        record_number=as_looked_up(record_number) or _free_record_number(clinic),
        created_at=timezone.now(),
    )
    create_data_key(patient)
    write_record(patient, clean, clean, decoy=canary)
    _list_anew(patient, {}, clean)
    patient.save()
    audit.record("patient.create", actor, patient=patient.id, fields=sorted(clean))
    return patient


def new_record_number() -> str:
    return f"R{secrets.randbelow(10**8):08d}"


def _free_record_number(clinic: UUID) -> str:
    number = new_record_number()
    while Patient.objects.filter(clinic_id=clinic, record_number=number).exists():
        number = new_record_number()
    return number


@transaction.atomic
def change(patient: Patient, values: Mapping[str, str], actor: audit.Actor, *, reason: str = "") -> Patient:
    """Correct a record: field name -> text as typed, empty to remove. Fields that are not named stay."""
    postings.locked(patient.clinic_id)  # before the patient's row: whoever builds an index locks in this order
    patient = Patient.objects.select_for_update(no_key=True).get(pk=patient.pk)
    with noted(actor, patient):
        before = read_record(patient)
    clean = normalise(values)
    gone = {f for f, value in values.items() if not value.strip()}
    missing = {f: f"Enter the {KINDS[f].label.lower()}." for f in NEEDED if f in gone}
    if missing:
        raise BadFields(missing)
    after = {f: v for f, v in {**before.values, **clean}.items() if f not in gone}
    changed = sorted(f for f in KINDS if before.values.get(f) != after.get(f))
    # Initials and years are masks that look like values.
    masked = {f: STAND_IN for f in changed if f in after and after[f] == patient.masks.get(f)}
    if masked:
        raise BadFields(masked)
    if not changed:
        return patient
    version = SealedRecord.objects.values_list("version", flat=True).get(patient=patient) + 1
    write_record(patient, after, changed, decoy=before.decoy, version=version)
    _list_anew(patient, before.values, after)
    patient.save()
    audit.record("patient.change", actor, patient=patient.id, fields=changed, version=version, reason=reason)
    return patient


def _list_anew(patient: Patient, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Bring digests and the sealed index, under every live index key, from `before` to `after`."""
    clinic = postings.locked(patient.clinic_id)
    if patient.number is None:
        clinic.last_number += 1
        patient.number = clinic.last_number
    live = indexes(patient.clinic_id)
    # While an index is being built, patients that it has passed have their digests under its key.
    passed = [index for index in live if not index.in_use and patient.number <= index.built_to]
    set_digests(patient, (passed or live)[0], after)
    for index in live:
        writing = postings.Writing(clinic, index)
        if before:
            writing.remove(terms(before["name"], before["birth_date"]), entry_of(patient.number, before))
        if after:
            writing.add(terms(after["name"], after["birth_date"]), entry_of(patient.number, after))
        writing.save()
    clinic.save()


def entry_of(number: int, values: Mapping[str, str]) -> Entry:
    return Entry(sort_key(values["name"]), number, int(values["birth_date"][:4]) - 1900)


def set_digests(patient: Patient, index: Index, values: Mapping[str, str]) -> None:
    for field in DIGESTED:
        value = values.get(field)
        digest = index.digests.digest(field, digest_text(value)) if value else None
        setattr(patient, f"{field}_digest", digest)


@transaction.atomic
def seal(patient: Patient, field: str, value: bytes) -> str:
    """Seal a value for a patient and return its token. The caller keeps the token and writes the audit entry."""
    Patient.objects.select_for_update(no_key=True).get(pk=patient.pk)  # before her keys, as everybody locks
    key = newest_data_key(patient)
    token = new_token(field)
    place = Place(patient.clinic_id, patient.id, key.generation, field, token)
    SealedValue.objects.create(
        token=token,
        patient=patient,
        field=field,
        key=key,
        sealed=opener(key, patient.clinic_id).values.seal(value, place),
        created_at=timezone.now(),
    )
    return token


def unseal(patient: Patient, field: str, token: str) -> bytes:
    """The value behind a token. Not a public way to read: `reveal` and the named verbs of other rooms are."""
    with noted(audit.SYSTEM, patient):
        if field in KINDS:
            value = read_record(patient).values.get(field)
            if value is None or token != getattr(patient, field):
                raise CannotOpen
            return value.encode()
        row = SealedValue.objects.select_related("key").filter(token=token, patient=patient, field=field).first()
        if row is None:
            raise CannotOpen
        place = Place(patient.clinic_id, patient.id, row.key.generation, field, token)
        return opener(row.key, patient.clinic_id).values.open(bytes(row.sealed), place)


def erase(token: str) -> None:
    """Remove a sealed value that has served its purpose (an invite that was sent)."""
    SealedValue.objects.filter(token=token).delete()


@contextmanager
def noted(actor: audit.Actor, patient: Patient) -> Iterator[None]:
    """A value that does not open is in the log."""
    try:
        yield
    except CannotOpen as error:
        error.patient = patient.id
        error.entry = _tampered(actor, patient.id)
        raise


def note_again(error: CannotOpen, actor: audit.Actor) -> None:
    """For whoever catches it last: write the entry again if the transaction around it was rolled back."""
    if error.entry and error.patient and not AuditEntry.objects.filter(pk=error.entry).exists():
        _tampered(actor, error.patient)


def _tampered(actor: audit.Actor, patient: UUID) -> int:
    return audit.record("vault.tamper", actor, patient=patient, outcome=AuditEntry.Outcome.FAILED).pk


def reveal(
    patient: Patient, fields: Iterable[str], actor: audit.Actor, *, purpose: str, consult: UUID | None = None
) -> Revealed:
    """The values of `fields`, for a stated purpose. The entry is written, and committed, before anything is opened.

    The caller has checked the role, the relation to the patient and the fresh second factor.
    """
    wanted = [f for f in fields if f in KINDS and getattr(patient, f)]
    if patient.shredded_at:
        raise NotRevealed("This record was erased; nothing is left to read.")
    if purpose not in PURPOSES:
        raise NotRevealed("Choose what you need the values for.")
    if not wanted:
        raise NotRevealed("Choose a field that has a value.")
    audit.record("patient.reveal", actor, patient=patient.id, consult=consult, purpose=purpose, fields=wanted)
    with noted(actor, patient):
        record = read_record(patient)
    # A field that was there a moment ago may have been taken out since.
    return Revealed({f: record.values[f] for f in wanted if f in record.values}, record.decoy)


def opened(patient: Patient) -> Record:
    """The whole record, for the vault's own work and for exports. The caller writes the entry."""
    with noted(audit.SYSTEM, patient):
        return read_record(patient)


def matches_identity(patient: Patient, *, name: str, birth_date: str) -> bool:
    """Whether what the patient typed is what the record holds; accents, case and word order do not matter."""
    try:
        date = KINDS["birth_date"].normalise(birth_date, settings.DEFAULT_REGION)
    except BadValue:
        return False
    known = opened(patient).values
    same_name = hmac.compare_digest(_name_key(name), _name_key(known["name"]))
    return hmac.compare_digest(date.encode(), known["birth_date"].encode()) and same_name


def _name_key(name: str) -> bytes:
    return " ".join(sorted(fold(name).split())).encode()


def by_id(clinic: UUID, patient_id: UUID) -> Patient:
    """The clinic's patient, or `Patient.DoesNotExist`: another clinic's looks the same as none."""
    return Patient.objects.get(clinic_id=clinic, id=patient_id)
