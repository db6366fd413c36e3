"""Tokens are random and tell nothing but their field; a record's columns take tokens and nothing else."""

from uuid import uuid4

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from consults.models import Note
from vault.core.tokens import LENGTH, PREFIXES, is_token, new_token
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


def test_a_token_and_nothing_are_taken(record):
    token = new_token("name")
    Patient.objects.filter(pk=record.pk).update(name=token)
    record.refresh_from_db()
    assert record.name == token
    Patient.objects.filter(pk=record.pk).update(name="")


def test_a_note_takes_no_plain_text_either(db):
    with pytest.raises(PlaintextRefused):
        Note.objects.filter(text="Felt dizzy").exists()
