"""Nothing of a patient stands in clear in any table, dump, repr or form: tokens and masks only."""

import io
import json
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib import admin
from django.core.management import call_command
from django.db import connection
from django.forms import modelform_factory
from django.forms.models import model_to_dict
from django.utils import timezone

from consults import export, export_facts, import_rows, mail, reading, visit, voice
from tests.cast import BY, CANARIES, MARIA, agree, bring_to
from vault import bulk, patients
from vault.core.terms import questions
from vault.core.tokens import is_token
from vault.keyfile import configured_file
from vault.models import Patient
from vault.records import read_record

NOTE = "Glorbthroat is better, sleeps well"


@pytest.fixture
def used(cast):
    """A database in which everything was done that writes something about a patient."""
    now = bring_to("tested", cast.clinician, cast.patient)
    recording = voice.keep(now.seat, b"OggS Quixplotz", seconds=3)
    agree(now, recording=recording)
    visit.wait(now.seat, source="test")
    visit.admit(now.consult, BY)
    visit.write_note(now.consult, cast.clinician, NOTE, BY)
    visit.read_notes(now.consult, BY)
    visit.confirm_identity(now.seat, name="Quixplotz Wrong", birth_date="1984-03-17", source="test")
    visit.end(now.consult, BY)
    mail.mail_invitation(bring_to("started", cast.clinician, cast.patient).consult, BY)
    return cast


def _rows():
    """Every value of every table, tables of the migrations included."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            for row in cursor.fetchall():
                for value in row:
                    yield table, value


def _spellings(canary):
    plain = canary.encode()
    return {plain, plain.lower(), plain.upper(), canary.encode("utf-16-le"), plain.hex().encode()}


def _found(value):
    data = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
    return [c for c in CANARIES if any(s in data for s in _spellings(c))]


def test_no_table_holds_a_plain_value(used):
    leaks = {(table, c) for table, value in _rows() for c in _found(value)}
    assert leaks == set()


def test_the_sweep_would_find_a_leak(used):
    Patient.objects.filter(pk=used.patient.pk).update(masks={"name": "Quixplotz"})
    assert ("vault_patient", "Quixplotz") in {(t, c) for t, value in _rows() for c in _found(value)}


def test_the_file_of_the_database_holds_no_plain_value(committed_cast):
    if connection.vendor != "sqlite":
        pytest.skip("Postgres keeps its files to itself; its tables are swept above")
    bring_to("admitted", committed_cast.clinician, committed_cast.patient)
    name = connection.settings_dict["NAME"]
    parts = [path.read_bytes() for path in (Path(name), Path(f"{name}-wal")) if path.exists()]
    assert any(b"consult.admit" in part for part in parts), "the files are not the ones written to"
    assert [c for part in parts for c in _found(part)] == []


def test_dumpdata_holds_tokens_only(used):
    out = io.StringIO()
    call_command("dumpdata", "vault", "consults", stdout=out)
    assert len(json.loads(out.getvalue())) > 20
    assert _found(out.getvalue()) == []


def test_repr_and_str_show_masks_only(used):
    shown = [f"{row!r} {row}" for model in apps.get_models() for row in model._default_manager.all()]
    assert len(shown) > 50
    assert [c for text in shown for c in _found(text)] == []


def test_what_holds_values_in_memory_does_not_show_them(used):
    """A traceback or a log line has the `repr` of what was at hand."""
    record = read_record(used.patient)
    revealed = patients.reveal(used.patient, list(MARIA), BY, purpose="treat")
    listed = import_rows.CsvFile("\n".join(MARIA.values()), "digest", "utf-8", ",", "iso", ["name"])
    facts = export_facts.gather(used.patient, BY, reason="subject", at=timezone.now())
    document, _ = configured_file().read()
    held = [
        *(record, revealed, reading.Read(revealed.values), bulk.NewRecord(record.values, "R1")),
        *bulk.read_many(used.clinic.id),
        *(listed, import_rows.Row(2, list(MARIA.values())), facts, *facts.visits, export.File("f", "t", b"Quixplotz")),
        *(one for text in ("Quixplotz", MARIA["birth_date"], MARIA["email"]) for one in questions(text, "GB")),
        *(word for one in questions("Quixplotz 1984-03-17", "GB") for word in one.words),
    ]
    assert len(held) > 15
    assert [c for one in held for c in _found(f"{one!r} {one}")] == []
    assert not [entry for entry in document.entries.values() if entry in repr(document)]


def test_model_to_dict_and_model_forms_show_tokens_only(used):
    for field, value in model_to_dict(used.patient).items():
        if field in MARIA:
            assert is_token(value)
    form = modelform_factory(Patient, fields="__all__")(instance=used.patient)
    assert _found(form.as_p()) == []
    assert _found(used.patient.__dict__) == []


def test_no_admin_page_offers_a_sealed_field(used):
    for model, page in admin.site._registry.items():
        names = {f.name for f in model._meta.get_fields()}
        assert not names & {"sealed", "wrapped"} or not page.get_list_display(None), model


def test_masks_are_the_only_readable_part(used):
    used.patient.refresh_from_db()
    assert used.patient.masked == {
        "name": "M. Q.",
        "birth_date": "1984",
        "national_id": "••••7Z",
        "phone": "••••42",
        "email": "•••@canary.example",
        "address": "••••••",
        "notes": "••••••",
    }
