"""The verbs on patient records: add, find, reveal, check an identity, and seal loose values for a patient."""

import hmac
import secrets
from collections.abc import Iterable, Mapping
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from vault import audit
from vault.core.fields import KINDS, BadValue, fold, query_readings
from vault.core.sealing import CannotOpen, Place
from vault.core.tokens import new_token
from vault.keyring import create_data_key, indexer, sealer
from vault.models import AuditEntry, Patient, SealedValue, SearchDigest

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


def normalise(values: Mapping[str, str]) -> dict[str, str]:
    """Checked and normalised values of the fields that have one; `BadFields` names every bad one at once."""
    clean: dict[str, str] = {}
    errors: dict[str, str] = {}
    for field, value in values.items():
        if not value.strip():
            continue
        try:
            clean[field] = KINDS[field].normalise(value, settings.DEFAULT_REGION)
        except BadValue as error:
            errors[field] = str(error)
    if errors:
        raise BadFields(errors)
    return clean


@transaction.atomic
def create(clinic: UUID, values: Mapping[str, str], actor: audit.Actor, *, record_number: str = "") -> Patient:
    """Add a patient. `values`: field name -> text as typed; name and birth_date are needed."""
    clean = normalise(values)
    missing = {f: f"Enter the {KINDS[f].label.lower()}." for f in ("name", "birth_date") if f not in clean}
    if missing:
        raise BadFields(missing)
    now = timezone.now()
    patient = Patient.objects.create(
        clinic_id=clinic, record_number=record_number or _new_record_number(), created_at=now
    )
    create_data_key(patient)
    for field, value in clean.items():
        setattr(patient, field, seal(patient, field, value.encode()))
        patient.masks[field] = KINDS[field].mask(value)
    patient.save()
    index = indexer(clinic)
    SearchDigest.objects.bulk_create(
        SearchDigest(clinic_id=clinic, patient=patient, field=name, digest=index.digest(name, text))
        for field, value in clean.items()
        for name, text in KINDS[field].terms(value)
    )
    audit.record("patient.create", actor, patient=patient.id, fields=sorted(clean))
    return patient


def _new_record_number() -> str:
    return f"R{secrets.randbelow(10**8):08d}"


def seal(patient: Patient, field: str, value: bytes) -> str:
    """Seal a value for a patient and return its token. The caller keeps the token and writes the audit entry."""
    cipher, generation = sealer(patient)
    token = new_token(field)
    place = Place(patient.clinic_id, patient.id, generation, field, token)
    SealedValue.objects.create(
        token=token,
        patient=patient,
        field=field,
        generation=generation,
        sealed=cipher.seal(value, place),
        created_at=timezone.now(),
    )
    return token


def unseal(patient: Patient, field: str, token: str) -> bytes:
    """The value behind a token. Not a public way to read: `reveal` and the named verbs of other rooms are."""
    row = SealedValue.objects.filter(token=token, patient=patient, field=field).first()
    if row is None:
        raise CannotOpen
    cipher, generation = sealer(patient, row.generation)
    return cipher.open(bytes(row.sealed), Place(patient.clinic_id, patient.id, generation, field, token))


def erase(token: str) -> None:
    """Remove a sealed value that has served its purpose (an invite that was sent)."""
    SealedValue.objects.filter(token=token).delete()


def search(clinic: UUID, query: str, actor: audit.Actor, *, limit: int = 20) -> list[Patient]:
    """Patients of this clinic that match every word of the query, which is patient data and so not logged."""
    found: list[Patient] = []
    words: list[list[tuple[str, str]]] = []
    for words in query_readings(query[:200], settings.DEFAULT_REGION):
        found = list(_matching(clinic, words).order_by("record_number")[:limit])
        if found:
            break
    audit.record("patient.search", actor, words=len(words), found=len(found))
    return found


def _matching(clinic: UUID, words: list[list[tuple[str, str]]]) -> QuerySet[Patient]:
    index = indexer(clinic)
    patients = Patient.objects.filter(clinic_id=clinic)
    for alternatives in words:
        wanted = Q(digest__in=[index.digest(name, text) for name, text in alternatives])
        hits = SearchDigest.objects.filter(wanted, clinic_id=clinic).values("patient")
        patients = patients.filter(pk__in=hits)
    return patients


def reveal(
    patient: Patient, fields: Iterable[str], actor: audit.Actor, *, purpose: str, consult: UUID | None = None
) -> dict[str, str]:
    """The values of `fields`, for a stated purpose. The entry is written, and committed, before anything is opened.

    The caller has checked the role, the relation to the patient and the fresh second factor.
    """
    wanted = [f for f in fields if f in KINDS and getattr(patient, f)]
    if purpose not in PURPOSES:
        raise NotRevealed("Choose what you need the values for.")
    if not wanted:
        raise NotRevealed("Choose a field that has a value.")
    audit.record("patient.reveal", actor, patient=patient.id, consult=consult, purpose=purpose, fields=wanted)
    try:
        return {f: unseal(patient, f, getattr(patient, f)).decode() for f in wanted}
    except CannotOpen:
        audit.record("vault.tamper", actor, patient=patient.id, outcome=AuditEntry.Outcome.FAILED)
        raise


def matches_identity(patient: Patient, *, name: str, birth_date: str) -> bool:
    """Whether what the patient typed is what the record holds; accents, case and word order do not matter."""
    try:
        date = KINDS["birth_date"].normalise(birth_date, settings.DEFAULT_REGION)
    except BadValue:
        return False
    known_name = unseal(patient, "name", patient.name).decode()
    known_date = unseal(patient, "birth_date", patient.birth_date).decode()
    same_name = hmac.compare_digest(_name_key(name), _name_key(known_name))
    return hmac.compare_digest(date.encode(), known_date.encode()) and same_name


def _name_key(name: str) -> bytes:
    return " ".join(sorted(fold(name).split())).encode()


def by_id(clinic: UUID, patient_id: UUID) -> Patient:
    """The clinic's patient, or `Patient.DoesNotExist`: another clinic's looks the same as none."""
    return Patient.objects.get(clinic_id=clinic, id=patient_id)
