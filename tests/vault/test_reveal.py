"""A protected value comes out by one verb: for a purpose, with the entry written first."""

import logging

import pytest
from django.db import DatabaseError, connection, transaction

from tests.cast import BY, MARIA
from vault import audit, patients
from vault.core.sealing import CannotOpen
from vault.models import AuditEntry, Patient, SealedRecord


def _entries():
    return AuditEntry.objects.filter(action="patient.reveal")


def test_what_was_put_in_comes_out_normalised(cast):
    revealed = patients.reveal(cast.patient, ["name", "phone", "national_id"], BY, purpose="treat")
    assert revealed.values == {"name": MARIA["name"], "phone": "+442079460142", "national_id": "QX836197Z"}


def test_every_field_comes_back(cast):
    assert set(patients.reveal(cast.patient, list(MARIA), BY, purpose="treat").values) == set(MARIA)


def test_the_entry_says_who_what_and_why_and_never_the_value(cast):
    patients.reveal(cast.patient, ["phone"], BY, purpose="contact")
    entry = _entries().get()
    assert (entry.person, entry.purpose, entry.patient) == ("tests", "contact", str(cast.patient.id))
    assert entry.detail == {"fields": ["phone"]}


def test_the_entry_is_there_before_anything_is_opened(cast, monkeypatch):
    seen = []
    read = patients.read_record
    monkeypatch.setattr(patients, "read_record", lambda *a: (seen.append(_entries().count()), read(*a))[1])
    patients.reveal(cast.patient, ["phone", "email"], BY, purpose="contact")
    assert seen == [1]


@pytest.mark.parametrize("purpose", ["", "curiosity", "TREAT", "x" * 500])
def test_without_a_purpose_nothing_is_revealed(cast, purpose):
    with pytest.raises(patients.NotRevealed, match="what you need"):
        patients.reveal(cast.patient, ["phone"], BY, purpose=purpose)
    assert not _entries().exists()


@pytest.mark.parametrize("fields", [[], ["masks"], ["record_number"], ["__class__"]])
def test_only_protected_fields_with_a_value_can_be_asked_for(cast, fields):
    with pytest.raises(patients.NotRevealed, match="field"):
        patients.reveal(cast.patient, fields, BY, purpose="treat")


def test_when_the_log_cannot_be_written_nothing_is_revealed(cast, monkeypatch):
    def away(*_args, **_kwargs):
        raise DatabaseError("the log is away")

    opened = []
    monkeypatch.setattr(audit, "_append", away)
    monkeypatch.setattr(patients, "read_record", lambda *a: opened.append(a))
    with pytest.raises(DatabaseError):
        patients.reveal(cast.patient, ["phone"], BY, purpose="treat")
    assert opened == []


def test_when_the_log_table_itself_refuses_nothing_is_revealed(cast):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE vault_auditentry RENAME TO away")
    with pytest.raises(DatabaseError), transaction.atomic():
        patients.reveal(cast.patient, ["phone"], BY, purpose="treat")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE away RENAME TO vault_auditentry")


def test_a_value_swapped_in_the_database_does_not_open_and_is_logged(cast):
    other = SealedRecord.objects.get(patient=cast.colleagues_patient)
    SealedRecord.objects.filter(patient=cast.patient).update(sealed=bytes(other.sealed))
    with pytest.raises(CannotOpen):
        patients.reveal(cast.patient, ["name", "phone"], BY, purpose="treat")
    assert AuditEntry.objects.filter(action="vault.tamper", outcome="failed").count() == 1


def test_a_token_put_in_another_field_does_not_open(cast):
    Patient.objects.filter(pk=cast.patient.pk).update(national_id=cast.patient.phone)
    with pytest.raises(CannotOpen):
        patients.reveal(cast.patient, ["national_id"], BY, purpose="treat")


def test_a_token_put_in_another_record_does_not_open(cast):
    Patient.objects.filter(pk=cast.colleagues_patient.pk).update(phone=cast.patient.phone)
    with pytest.raises(CannotOpen):
        patients.reveal(cast.colleagues_patient, ["phone"], BY, purpose="treat")


def test_without_its_data_key_nothing_opens(cast):
    SealedRecord.objects.filter(patient=cast.patient).delete()
    cast.patient.data_keys.all().delete()
    with pytest.raises(CannotOpen):
        patients.reveal(cast.patient, ["phone"], BY, purpose="treat")


def test_what_is_missing_or_wrong_is_told_all_at_once(cast):
    with pytest.raises(patients.BadFields) as refused:
        patients.create(cast.clinic.id, {"name": "..", "birth_date": "yesterday", "phone": "?"}, BY)
    assert set(refused.value.errors) == {"name", "birth_date", "phone"}
    with pytest.raises(patients.BadFields) as refused:
        patients.create(cast.clinic.id, {"phone": MARIA["phone"]}, BY)
    assert set(refused.value.errors) == {"name", "birth_date"}


def test_erased_is_gone(cast):
    token = patients.seal(cast.patient, "invitation", b"letter")
    assert patients.unseal(cast.patient, "invitation", token) == b"letter"
    patients.erase(token)
    with pytest.raises(CannotOpen):
        patients.unseal(cast.patient, "invitation", token)


@pytest.mark.parametrize(
    ("name", "birth_date", "same"),
    [
        (MARIA["name"], MARIA["birth_date"], True),
        ("maria jose quixplotz", "1984-03-17", True),
        ("QUIXPLOTZ MARÍA JOSÉ", "1984-03-17", True),
        ("Maria Quixplotz", "1984-03-17", False),
        (MARIA["name"], "1984-03-18", False),
        (MARIA["name"], "", False),
        (MARIA["name"], "17.3.1984", False),
        ("", "1984-03-17", False),
    ],
)
def test_an_identity_matches_whatever_its_accents_case_and_order(cast, name, birth_date, same):
    assert patients.matches_identity(cast.patient, name=name, birth_date=birth_date) is same


def test_a_patient_is_found_by_id_in_her_own_clinic_only(cast):
    assert patients.by_id(cast.clinic.id, cast.patient.id) == cast.patient
    with pytest.raises(patients.Patient.DoesNotExist):
        patients.by_id(cast.other_clinic.id, cast.patient.id)


def test_an_audit_entry_and_a_record_exist_together_or_not_at_all(cast, monkeypatch):
    before = patients.Patient.objects.count()
    monkeypatch.setattr(audit, "record", lambda *a, **k: (_ for _ in ()).throw(DatabaseError("away")))
    with pytest.raises(DatabaseError):
        patients.create(cast.clinic.id, MARIA, BY)
    assert patients.Patient.objects.count() == before


def test_a_refused_value_is_not_in_the_log_of_the_process(cast, caplog):
    with caplog.at_level(logging.DEBUG), pytest.raises(patients.BadFields):
        patients.create(cast.clinic.id, {**MARIA, "birth_date": "canary-date"}, BY)
    assert "canary-date" not in caplog.text
    assert "Quixplotz" not in caplog.text
