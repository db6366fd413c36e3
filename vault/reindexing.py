"""A clinic's index key renewed online: every patient listed anew under the next one, which is then put in use.

It goes in batches of one transaction that hold the clinic's index row, and may be killed and run again at any moment.
Meanwhile writers serve both keys and readers the old one.
"""

from collections.abc import Iterator, Mapping
from uuid import UUID

from django.db import transaction

from vault import postings
from vault.bulk import Opened, read_some
from vault.core.terms import DIGESTED, digest_text, terms
from vault.keyring import Index, create_index_key, indexes
from vault.models import ClinicIndex, IndexBlock, IndexKey, Patient
from vault.patients import entry_of
from vault.rows import change_many, in_turn, stored

BATCH = 1000


def begin(clinic: UUID) -> IndexKey:
    """The index key that is being built, made now if none is. From here on writers serve both."""
    with transaction.atomic():
        postings.locked(clinic)
        building = IndexKey.objects.filter(clinic_id=clinic, in_use=False).first()
        if building is None:
            newest = IndexKey.objects.filter(clinic_id=clinic).order_by("-generation").first()
            building = create_index_key(clinic, newest.generation + 1 if newest else 1, in_use=False)
    return building


def build(building: IndexKey, *, batch: int = BATCH) -> Iterator[tuple[int, list[UUID]]]:
    """List every patient under the key being built, then put it in use and drop the old one.

    Yields (how many, those that do not open). These are in no list afterwards, so their repair ends with another build.
    """
    while True:
        with in_turn():
            clinic = postings.locked(building.clinic_id)
            building.refresh_from_db()
            if building.in_use:  # somebody else has finished it
                return
            some = _build_some(clinic, building, batch)
            if not some:
                _put_in_use(clinic, building)
                return
        failed = [one.patient for one in some if one.record is None]
        yield len(some) - len(failed), failed


def _build_some(clinic: ClinicIndex, building: IndexKey, batch: int) -> list[Opened]:
    index = next(one for one in indexes(clinic.clinic_id) if one.key_id == building.pk)
    some = read_some(clinic.clinic_id, after=building.built_to, most=batch)
    if not some:
        return some
    _list(clinic, index, [(one.number, one.patient, one.record.values) for one in some if one.record])
    building.built_to = some[-1].number
    building.save(update_fields=["built_to"])
    return some


def _list(clinic: ClinicIndex, index: Index, patients: list[tuple[int, UUID, Mapping[str, str]]]) -> None:
    writing = postings.Writing(clinic, index)
    for number, _, values in patients:
        writing.add(terms(values["name"], values["birth_date"]), entry_of(number, values))
    writing.save()
    clinic.save()
    for field in DIGESTED:
        rows = [
            (stored(patient), index.digests.digest(field, digest_text(values[field])))
            for _, patient, values in patients
            if field in values
        ]
        change_many(Patient, "id", f"{field}_digest", rows)


def _put_in_use(clinic: ClinicIndex, building: IndexKey) -> None:
    clinic.layout += 1  # a search that was under way under the old key looks again
    clinic.save()
    old = IndexKey.objects.filter(clinic_id=building.clinic_id).exclude(pk=building.pk)
    IndexBlock.objects.filter(key__in=old).delete()
    old.delete()
    building.in_use = True
    building.save(update_fields=["in_use"])


def list_all(clinic: UUID) -> None:
    """Fill the index in use from the records, for patients that it does not list."""
    with transaction.atomic():
        row = postings.locked(clinic)
        (index, *_) = indexes(clinic)
        # Digests of patients whom a new index has passed come under the old key again, so it begins anew.
        IndexKey.objects.filter(clinic_id=clinic, in_use=False).update(built_to=0)
        last = 0
        while some := read_some(clinic, after=last, most=BATCH):
            _list(row, index, [(one.number, one.patient, one.record.values) for one in some if one.record])
            last = some[-1].number
