"""An erased patient is gone: nothing opens, nothing finds her, and the certificate says until when a backup could."""

import pytest

from tests.cast import BY, CANARIES, MARIA, OTHER, bring_to
from vault import patients, reindexing, search
from vault.core.sealing import CannotOpen
from vault.keyring import indexes
from vault.models import AuditEntry, DataKey, IndexBlock, Patient, SealedRecord, SealedValue
from vault.records import read_by_id
from vault.shredding import NotShredded, backup_readable_until, shred


def _listed(clinic, number):
    """How many entries of any list name this patient."""
    count = 0
    for index in indexes(clinic):
        for row in IndexBlock.objects.filter(key_id=index.key_id):
            block = index.blocks.open(bytes(row.label), bytes(row.sealed))
            count += sum(entry.number == number for entry in getattr(block, "entries", list)())
    return count


def test_nothing_of_her_is_left(cast):
    bring_to("consented", cast.clinician, cast.patient)
    number, token = cast.patient.number, cast.patient.phone
    assert _listed(cast.clinic.id, number) > 0
    shred(cast.patient, BY, reason="request")
    row = Patient.objects.get(pk=cast.patient.pk)
    assert row.shredded_at
    assert (row.masks, row.number, row.masked) == ({}, None, {})
    assert (row.phone_digest, row.email_digest, row.national_id_digest) == (None, None, None)
    for model in (DataKey, SealedRecord, SealedValue):
        assert not model.objects.filter(patient=row).exists()
    assert _listed(cast.clinic.id, number) == 0
    with pytest.raises(CannotOpen):
        patients.unseal(row, "phone", token)
    with pytest.raises(patients.NotRevealed, match="erased"):
        patients.reveal(row, ["phone"], BY, purpose="treat")
    for query in (
        MARIA["name"],
        MARIA["phone"],
        MARIA["email"],
        MARIA["national_id"],
        MARIA["birth_date"],
        "quixplats",
    ):
        found = search.find(cast.clinic.id, query, BY)
        assert (found.patients, found.similar) == ([], [])


def test_others_are_as_before(cast):
    shred(cast.patient, BY, reason="request")
    assert patients.opened(cast.colleagues_patient).values["name"] == OTHER["name"]
    assert search.find(cast.clinic.id, "wendel", BY).patients == [cast.colleagues_patient]


def test_the_certificate_names_the_keys_and_no_value(cast):
    entry = shred(cast.patient, BY, reason="request")
    assert entry.action == "patient.shred"
    assert set(entry.detail["fields"]) == set(MARIA)
    assert len(entry.detail["keks"][0]) == 16
    for canary in CANARIES:
        assert canary not in str(entry.__dict__)
    assert "until key-encryption key" in backup_readable_until(entry)
    gone = AuditEntry(detail={**entry.detail, "keks": ["00" * 8], "backups": ["00" * 8]})
    assert backup_readable_until(gone).startswith("No key")


def test_twice_is_told(cast):
    shred(cast.patient, BY, reason="request")
    with pytest.raises(NotShredded):
        shred(cast.patient, BY, reason="request")


def test_a_record_that_does_not_open_can_be_erased_all_the_same(cast):
    number = cast.patient.number
    row = SealedRecord.objects.get(patient=cast.patient)
    SealedRecord.objects.filter(pk=row.pk).update(sealed=b"\x02" + bytes(len(row.sealed) - 1))
    shred(cast.patient, BY, reason="request")
    assert _listed(cast.clinic.id, number) == 0
    assert not DataKey.objects.filter(patient=cast.patient).exists()


def test_while_an_index_is_built_both_forget_her(cast):
    building = reindexing.begin(cast.clinic.id)
    next(reindexing.build(building))
    shred(cast.patient, BY, reason="request")
    assert _listed(cast.clinic.id, cast.patient.number) == 0
    list(reindexing.build(building))
    assert search.find(cast.clinic.id, "quix", BY).patients == []


def test_her_rows_put_back_from_a_backup_with_her_key_do_not_open(cast):
    """Even while the key-encryption key of that time is still there: the log says that she was erased."""
    patient = Patient.objects.get(pk=cast.patient.pk)
    kept = [list(model.objects.filter(patient=patient).values()) for model in (DataKey, SealedRecord)]
    was = Patient.objects.filter(pk=patient.pk).values().get()
    shred(cast.patient, BY, reason="request")
    for model, rows in zip((DataKey, SealedRecord), kept, strict=True):
        model.objects.bulk_create([model(**row) for row in rows])
    Patient.objects.filter(pk=patient.pk).update(**was)
    with pytest.raises(CannotOpen):
        read_by_id(patient.pk)
