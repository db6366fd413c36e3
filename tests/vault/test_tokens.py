"""Tokens are random and tell nothing but their field; a record's columns take tokens and nothing else."""

from uuid import uuid4

import pytest
from django.db import transaction
from django.db.models import Case, CharField, F, Value, When
from django.db.models.functions import Concat, Upper
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from consults.models import Note
from vault.core.records import CODES
from vault.core.tokens import LENGTH, PREFIXES, is_token, new_rows, new_token
from vault.models import Patient
from vault.token_field import PlaintextRefused

PLAIN = "Maria Gonzalez"


@pytest.mark.parametrize("field", list(PREFIXES))
def test_a_token_has_its_prefix_and_26_letters(field):
    token = new_token(field)
    assert len(token) == LENGTH
    assert token.startswith(PREFIXES[field] + "_")
    assert is_token(token)


def test_tokens_do_not_repeat_and_use_every_letter():
    tokens = {new_token("phone") for _ in range(5000)}
    assert len(tokens) == 5000
    for at in range(4, LENGTH):
        assert len({t[at] for t in tokens}) == 32


@pytest.mark.parametrize(
    "text",
    ["", "tel_", "tel_" + "a" * 25, "tel_" + "a" * 27, "xyz_" + "a" * 26, "tel_" + "A" * 26, "tel_" + "1" * 26]
    + ["tel_" + "a" * 26 + "\n", " tel_" + "a" * 26, "tel-" + "a" * 26],
)
def test_what_is_not_exactly_a_token_is_none(text):
    assert not is_token(text)


@given(text=st.text(max_size=40))
def test_text_is_no_token(text):
    assert not is_token(text)


@pytest.fixture
def record(db):
    return Patient.objects.create(clinic_id=uuid4(), record_number="R1", created_at=timezone.now())


def _update(record):
    Patient.objects.filter(pk=record.pk).update(name=PLAIN)


def _save(record):
    record.name = PLAIN
    record.save()


def _bulk_update(record):
    record.name = PLAIN
    Patient.objects.bulk_update([record], ["name"])


def _bulk_create(record):
    Patient.objects.bulk_create([Patient(clinic_id=uuid4(), record_number="R2", created_at=timezone.now(), name=PLAIN)])


def _create(record):
    Patient.objects.create(clinic_id=uuid4(), record_number="R2", created_at=timezone.now(), name=PLAIN)


def _filter(record):
    list(Patient.objects.filter(name=PLAIN))


@pytest.mark.parametrize("road", [_save, _update, _bulk_update, _bulk_create, _create, _filter])
def test_a_plain_value_is_refused_by_every_road(record, road):
    with pytest.raises(PlaintextRefused) as refused, transaction.atomic():
        road(record)
    assert PLAIN not in str(refused.value)
    assert set(Patient.objects.values_list("name", flat=True)) == {""}


COMPUTED = {
    "value": Value(PLAIN),
    "value with a type": Value(PLAIN, output_field=CharField()),
    "column": F("record_number"),
    "function": Upper(Value(PLAIN)),
    "put together": Concat(Value(PLAIN), F("record_number"), output_field=CharField()),
    "case": Case(When(record_number="R1", then=Value(PLAIN)), default=Value("")),
    "default of a case": Case(When(record_number="no", then=Value("")), default=Value(PLAIN)),
}


@pytest.mark.parametrize("what", COMPUTED)
def test_what_the_database_would_compute_is_refused(record, what):
    """Only the database would see the value, and it takes any."""
    with pytest.raises(PlaintextRefused), transaction.atomic():
        Patient.objects.filter(pk=record.pk).update(name=COMPUTED[what])
    record.name = COMPUTED[what]
    for road in (record.save, lambda: Patient.objects.bulk_update([record], ["name"])):
        with pytest.raises(PlaintextRefused), transaction.atomic():
            road()
    # Django itself takes no column, and no condition on one, in an INSERT.
    name = COMPUTED[what] if what in ("value", "value with a type", "function") else Value("Maria")
    fresh = Patient(clinic_id=uuid4(), record_number="R2", created_at=timezone.now(), name=name)
    for road in (fresh.save, lambda: Patient.objects.bulk_create([fresh])):
        with pytest.raises(PlaintextRefused), transaction.atomic():
            road()
    assert set(Patient.objects.values_list("name", flat=True)) == {""}


def test_many_at_once_take_tokens(record):
    record.name, record.phone = new_token("name"), new_token("phone")
    Patient.objects.bulk_update([record], ["name", "phone"])
    assert Patient.objects.filter(name=record.name, phone=record.phone).exists()


def test_tokens_made_for_many_are_as_good_as_single_ones():
    lacking = {field: "x" for field in CODES if field != "phone"}
    made = list(new_rows([CODES, lacking] * 500, list(CODES)))
    assert [row[list(CODES).index("phone")] for row in made[1::2]] == [""] * 500
    tokens = [token for row in made for token in row if token]
    assert len(set(tokens)) == len(tokens) == 500 * (2 * len(CODES) - 1)
    assert all(map(is_token, tokens))
    for row in made[::2]:
        assert [token[:3] for token in row] == [PREFIXES[field] for field in CODES]
    for at in range(4, LENGTH):
        assert len({t[at] for t in tokens}) == 32


def test_a_token_and_nothing_are_taken(record):
    token = new_token("name")
    Patient.objects.filter(pk=record.pk).update(name=token)
    record.refresh_from_db()
    assert record.name == token
    Patient.objects.filter(pk=record.pk).update(name="")


def test_a_note_takes_no_plain_text_either(db):
    with pytest.raises(PlaintextRefused):
        Note.objects.filter(text="Felt dizzy").exists()
