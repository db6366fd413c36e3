"""Records: vectors in the core (test_vectors.py takes them through the product), and tampering with the rows."""

import hashlib
import hmac
import json
from uuid import RFC_4122, UUID

import pytest
from django.core import serializers
from django.db import connection
from django.forms import modelform_factory
from django.forms.models import model_to_dict
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from tests.cast import BY, CANARIES, MARIA, OTHER, bring_to, sign_in
from tests.vectors.make_records import FILE, KEY, place_of
from vault import bulk, patients, rows
from vault.core.digests import Indexer
from vault.core.records import CODES, Record, RecordSealer
from vault.core.sealing import CannotOpen
from vault.models import AuditEntry, DataKey, Patient, SealedRecord, SealedValue
from vault.records import read_by_id
from vault.token_field import PlaintextRefused

VECTORS = json.loads(FILE.read_text())
GOOD = [v for v in VECTORS if v["opens"] is not None]
HOSTILE = [v for v in VECTORS if v["opens"] is None]


def _named(vectors):
    return pytest.mark.parametrize("vector", vectors, ids=lambda v: v["name"])


@_named(GOOD)
def test_every_good_vector_opens(vector):
    record = RecordSealer(bytes.fromhex(vector["key"])).open(bytes.fromhex(vector["sealed"]), place_of(vector))
    assert (dict(record.values), record.decoy) == (vector["opens"], vector["decoy"])


@_named(HOSTILE)
def test_every_hostile_vector_is_refused_by_the_core(vector):
    with pytest.raises(CannotOpen) as refused:
        RecordSealer(bytes.fromhex(vector["key"])).open(bytes.fromhex(vector["sealed"]), place_of(vector))
    assert refused.value.__cause__ is None


@given(
    st.dictionaries(st.sampled_from(sorted(CODES)), st.text(min_size=1, max_size=80), max_size=7),
    st.booleans(),
    st.binary(max_size=80),
)
def test_whatever_is_sealed_opens_again(values, decoy, place):
    values = {field: text for field, text in values.items() if text.encode("utf-8", "ignore").decode() == text}
    record = RecordSealer(KEY).open(RecordSealer(KEY).seal(Record(values, decoy), place), place)
    assert (dict(record.values), record.decoy) == (values, decoy)


@given(st.binary(max_size=300))
def test_junk_is_refused(junk):
    with pytest.raises(CannotOpen):
        RecordSealer(KEY).open(b"\x02" + junk, b"")


def test_a_record_of_any_length_in_a_block_is_as_long():
    lengths = {len(RecordSealer(KEY).seal(Record({"name": "n" * n}), b"")) for n in range(1, 60)}
    assert lengths == {61 + 64}


def test_digests_are_what_the_format_says():
    """Made here with hashlib and hmac alone: a key that is a constant, or forgets the field, would show."""
    index_key = bytes(range(1, 33))
    for name, text in [("phone", "+442079460142"), ("email", "a@b.example"), ("national_id", "qx836197z")]:
        field_key = hmac.new(index_key, b"telehealth/1/index/" + name.encode(), hashlib.sha256).digest()
        want = hmac.new(field_key, text.encode(), hashlib.sha256).digest()[:8]
        assert Indexer(index_key).digest(name, text) == int.from_bytes(want, "big", signed=True)
    one, other = Indexer(bytes(32)), Indexer(index_key)
    assert len({one.digest("phone", "1"), one.digest("email", "1"), other.digest("phone", "1")}) == 3


# -- a thief who can write ------------------------------------------------------------------------------------


def _flip(model, column, **where):
    row = model.objects.get(**where)
    data = bytearray(bytes(getattr(row, column)))
    for at in {0, 1, 9, 33, len(data) // 2, len(data) - 1}:
        changed = bytearray(data)
        changed[at] ^= 1
        model.objects.filter(pk=row.pk).update(**{column: bytes(changed)})
        yield at
    model.objects.filter(pk=row.pk).update(**{column: bytes(data)})


def _shut(cast):
    """Maria opens nowhere, with one message; Wendel opens as ever."""
    with pytest.raises(CannotOpen) as refused:
        patients.reveal(cast.patient, ["name"], BY, purpose="treat")
    assert str(refused.value) == "A protected value could not be opened."
    assert patients.opened(cast.colleagues_patient).values["name"] == OTHER["name"]


@pytest.mark.parametrize(("model", "column"), [(SealedRecord, "sealed"), (DataKey, "wrapped")])
def test_a_flip_in_the_database_opens_nothing_and_is_logged(cast, model, column):
    for _ in _flip(model, column, patient=cast.patient):
        _shut(cast)
    assert patients.opened(cast.patient).values["name"] == MARIA["name"]
    assert AuditEntry.objects.filter(action="vault.tamper", patient=str(cast.patient.id)).count() == 6


def test_a_record_swapped_with_another_patients_opens_neither(cast):
    mine, other = (SealedRecord.objects.get(patient=p) for p in (cast.patient, cast.colleagues_patient))
    SealedRecord.objects.filter(pk=mine.pk).update(sealed=bytes(other.sealed))
    _shut(cast)


def test_a_record_with_another_patients_key_and_bytes_opens_nothing(cast):
    other = SealedRecord.objects.get(patient=cast.outsiders_patient)
    key = DataKey.objects.get(patient=cast.outsiders_patient)
    SealedRecord.objects.filter(patient=cast.patient).update(sealed=bytes(other.sealed))
    DataKey.objects.filter(patient=cast.patient).update(wrapped=bytes(key.wrapped))
    _shut(cast)


def test_tokens_put_elsewhere_keep_the_record_shut(cast):
    Patient.objects.filter(pk=cast.patient.pk).update(phone=cast.patient.email)
    _shut(cast)


def test_masks_that_are_not_the_values_keep_the_record_shut(cast):
    """Or a list could be made to show one patient as another."""
    Patient.objects.filter(pk=cast.patient.pk).update(masks={**cast.patient.masks, "name": "W. O."})
    _shut(cast)


def test_an_older_record_put_back_does_not_open(cast):
    row, old = Patient.objects.get(pk=cast.patient.pk), SealedRecord.objects.get(patient=cast.patient)
    patients.change(cast.patient, {"phone": "020 7946 0777"}, BY)
    SealedRecord.objects.filter(pk=old.pk).update(sealed=bytes(old.sealed), version=old.version)
    _shut(cast)
    row.save()  # the whole old row beside it
    _shut(cast)


def test_a_record_among_the_loose_values_opens_nothing(cast):
    token = patients.seal(cast.patient, "consult_note", b"note")
    record = SealedRecord.objects.get(patient=cast.patient)
    loose = bytes(SealedValue.objects.get(token=token).sealed)
    SealedValue.objects.filter(token=token).update(sealed=bytes(record.sealed))
    with pytest.raises(CannotOpen):
        patients.unseal(cast.patient, "consult_note", token)
    SealedRecord.objects.filter(pk=record.pk).update(sealed=loose)
    _shut(cast)


def test_the_entry_survives_the_transaction_that_is_rolled_back(cast):
    """The page's own transaction goes with the error; the log's entry does not."""
    visit = bring_to("admitted", cast.clinician, cast.patient)
    row = SealedRecord.objects.get(patient=cast.patient)
    SealedRecord.objects.filter(pk=row.pk).update(sealed=bytes(row.sealed)[:-1])
    answer = sign_in(cast.clinician).post(reverse("change", args=[cast.patient.id]), {"phone": "020 7946 0777"})
    assert answer.status_code == 503
    assert AuditEntry.objects.filter(action="vault.tamper", patient=str(cast.patient.id)).exists()
    assert visit.consult


def _bulk_update(patient):
    patient.phone = MARIA["phone"]
    Patient.objects.bulk_update([patient], ["phone"])


def _save(patient):
    patient.phone = MARIA["phone"]
    patient.save()


def _fresh(patient):
    return {
        "clinic_id": patient.clinic_id,
        "record_number": "X",
        "phone": MARIA["phone"],
        "created_at": patient.created_at,
    }


ROADS = {
    "update": lambda patient: Patient.objects.filter(pk=patient.pk).update(phone=MARIA["phone"]),
    "bulk_update": _bulk_update,
    "bulk_create": lambda patient: Patient.objects.bulk_create([Patient(**_fresh(patient))]),
    "save": _save,
    "create": lambda patient: Patient.objects.create(**_fresh(patient)),
}


@pytest.mark.parametrize("road", ROADS)
def test_a_plain_value_is_refused_by_every_road(cast, road):
    patient = Patient.objects.get(pk=cast.patient.pk)
    with pytest.raises(PlaintextRefused) as refused:
        ROADS[road](patient)
    assert "7946" not in str(refused.value)


def test_no_model_shows_a_value_however_it_is_asked(cast):
    bring_to("admitted", cast.clinician, cast.patient)
    patient = Patient.objects.get(pk=cast.patient.pk)
    said = [repr(patient), str(patient), str(model_to_dict(patient)), str(vars(patient)), str(patient.record)]
    said += [
        serializers.serialize("json", model.objects.all()) for model in (Patient, SealedRecord, SealedValue, DataKey)
    ]
    said += [serializers.serialize("json", AuditEntry.objects.all())]
    said += [str(modelform_factory(Patient, fields="__all__")(instance=patient))]
    for canary in CANARIES:
        assert not [text for text in said if canary in text]
    assert isinstance(patient.id, UUID)


@pytest.mark.parametrize(
    "ask",
    [lambda p: p.refresh_from_db(), lambda p: read_by_id(p.id), lambda p: rows.add_many(Patient, ["id"], [["x"]])],
    ids=["orm", "read", "copy"],
)
def test_nothing_is_asked_beside_a_list_that_is_given_out(cast, ask):
    """On Postgres the two would wait for each other."""
    listing = bulk.read_many(cast.patient.clinic_id)
    next(listing)
    with pytest.raises(rows.StillStreaming):
        ask(cast.patient)
    listing.close()
    cast.patient.refresh_from_db()
    assert read_by_id(cast.patient.id).values


STAND_INS = ["tel_" + "a" * 26, "••••42", "••••••", "•••@canary.example"]


@pytest.mark.parametrize("stand_in", STAND_INS)
def test_a_token_or_a_mask_is_never_sealed_as_a_value(cast, stand_in):
    before = read_by_id(cast.patient.id)
    with pytest.raises(patients.BadFields) as bad:
        patients.change(cast.patient, {"address": stand_in, "notes": stand_in, "name": stand_in}, BY)
    assert set(bad.value.errors) == {"address", "notes", "name"}
    with pytest.raises(patients.BadFields):
        patients.create(cast.clinic.id, {"name": stand_in, "birth_date": "1990-01-01"}, BY)
    assert read_by_id(cast.patient.id) == before


def test_her_own_initials_are_not_taken_for_her_name(cast):
    with pytest.raises(patients.BadFields, match="another look"):
        patients.change(cast.patient, {"name": cast.patient.masks["name"]}, BY)
    assert read_by_id(cast.patient.id).values["name"] == MARIA["name"]


def test_who_is_called_by_initials_keeps_her_name(cast):
    short = patients.create(cast.clinic.id, {"name": "M. Q.", "birth_date": "1990-01-01"}, BY)
    patients.change(short, {"name": "M. Q.", "address": "1 Long Lane"}, BY)
    assert read_by_id(short.id).values == {"name": "M. Q.", "birth_date": "1990-01-01", "address": "1 Long Lane"}


def test_what_is_asked_often_is_planned_once(cast):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite keeps its statements by itself")
    for _ in range(3):
        read_by_id(cast.patient.id)
    with connection.cursor() as cursor:
        asked = "SELECT generic_plans + custom_plans FROM pg_prepared_statements WHERE statement LIKE %s"
        cursor.execute(asked, ["%vault_sealedrecord%"])
        assert [row[0] >= 3 for row in cursor.fetchall()] == [True]


def test_patients_added_together_have_random_ids_as_single_ones_do(cast):
    values = {"name": "Ann Lee", "birth_date": "1990-01-01"}
    numbers = bulk.create_many(cast.clinic.id, [bulk.NewRecord(values, f"B{n}") for n in range(300)], BY)
    ids = list(Patient.objects.filter(clinic_id=cast.clinic.id, number__in=numbers).values_list("pk", flat=True))
    assert len(set(ids)) == 300
    assert {(one.version, one.variant) for one in ids} == {(4, RFC_4122)}
    for at in (0, 5, 7, 9, 15):
        assert len({one.bytes[at] for one in ids}) > 100
