"""Importing a clinic's patients: every row accounted for, going on after a stop, and beside everybody else's work."""

import csv
import io

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, IntegrityError, OperationalError, transaction
from django.utils import timezone

from consults import importing
from consults.import_models import ImportRemark, ImportRun
from consults.import_rows import read
from tests.cast import BY, MARIA, OTHER
from vault import patients as vault_patients
from vault import search, shredding
from vault.models import AuditEntry, Patient

HEAD = ["MRN", "Name", "Date of birth", "National id", "Phone"]


def name_of(number):
    return "Import " + "".join("abcdefghij"[int(digit)] for digit in f"{number:06}")


def rows_of(count, start=1):
    return [[f"M{n}", name_of(n), f"19{n % 90 + 10}-01-02", f"NI{n:06}", ""] for n in range(start, start + count)]


def text_of(*rows):
    text = io.StringIO()
    csv.writer(text).writerows([HEAD, *rows])
    return text.getvalue()


@pytest.fixture
def run_import(cast, tmp_path):
    """Runs the command on rows (or on text); gives what it wrote. `tmp_path / "report.csv"` is its report."""

    def run(*rows, text="", **options):
        file = tmp_path / "list.csv"
        file.write_text(text or text_of(*rows), newline="")
        out = io.StringIO()
        call_command("import_patients", str(file), clinic=cast.clinic.name, stdout=out, **options)
        return out.getvalue()

    return run


def imported():
    return Patient.objects.filter(record_number__startswith="M")


def test_rows_become_patients_that_are_found_and_read(run_import, cast):
    said = run_import(*rows_of(3))
    assert "3 added, 0 already there, 0 refused" in said
    [found] = search.find(cast.clinic.id, name_of(2), BY).patients
    assert found.record_number == "M2"
    values = vault_patients.reveal(found, ["name", "national_id"], BY, purpose="identify").values
    assert values == {"name": name_of(2), "national_id": "NI000002"}
    [known] = search.find(cast.clinic.id, "NI000003", BY).patients
    assert known.record_number == "M3"


def test_a_row_without_a_record_number_gets_one_that_nobody_has(run_import, cast, monkeypatch):
    draws = iter([cast.patient.record_number, cast.patient.record_number, "R00000001", "R00000002"])
    monkeypatch.setattr(importing, "new_record_number", lambda: next(draws))
    run_import(["", "Ann Lee", "1990-01-02", "", ""], ["", "Bob Lee", "1990-01-02", "", ""])
    assert Patient.objects.filter(record_number__in=["R00000001", "R00000002"]).count() == 2


def test_patients_of_the_clinic_are_already_there(run_import, cast):
    said = run_import(
        [cast.patient.record_number.lower(), "Anybody", "1990-01-02", "", ""],
        ["", MARIA["name"], MARIA["birth_date"], "qx-836197-z", ""],
        *rows_of(1),
    )
    assert "1 added, 2 already there, 0 refused" in said
    assert set(ImportRemark.objects.values_list("row", "outcome")) == {(2, "present"), (3, "present")}


def test_another_clinics_patients_are_not(run_import, cast):
    said = run_import([cast.outsiders_patient.record_number, OTHER["name"], OTHER["birth_date"], "", ""])
    assert "1 added" in said


def test_numbers_that_contradict_each_other_are_refused(run_import, cast):
    number = cast.patient.record_number
    said = run_import(
        [number, "Anybody", "1990-01-02", "ZZ999999", ""],
        [cast.colleagues_patient.record_number, "Anybody", "1990-01-02", MARIA["national_id"], ""],
    )
    assert "0 added, 0 already there, 2 refused" in said
    assert "another national id" in said
    assert "one patient's here" in said


def test_an_erased_record_does_not_come_back_under_its_number(run_import, cast):
    shredding.shred(cast.patient, BY, reason="request")
    said = run_import([cast.patient.record_number, MARIA["name"], MARIA["birth_date"], "", ""])
    assert "1 refused" in said
    assert "was erased" in said


def test_every_row_is_accounted_for(run_import, tmp_path):
    rows = [*rows_of(5), ["M9", "", "1990-01-02", "", ""], rows_of(1)[0], [], ["x"], *rows_of(2, start=20)]
    said = run_import(*rows, report=tmp_path / "report.csv")
    assert "7 added, 0 already there, 3 refused, 1 empty" in said
    with (tmp_path / "report.csv").open() as file:
        told = list(csv.reader(file))
    assert told == [
        ["row", "result", "reason"],
        ["7", "refused", "The name is missing."],
        ["8", "refused", "Row 2 has the same record number. That row counts."],
        ["10", "refused", "The row has 1 columns, the first row has 5."],
    ]


def test_the_report_and_the_screen_hold_no_value(run_import, tmp_path):
    said = run_import(
        ["Zyxqwv!", "Zyxqwv\0", "Zyxqwv", "Zyxqwv!", "Zyxqwv"],
        ["", "Zyxqwv", "bad", "", ""],
        report=tmp_path / "report.csv",
    )
    assert "zyx" not in (said + (tmp_path / "report.csv").read_text()).lower()
    assert (tmp_path / "report.csv").stat().st_mode & 0o077 == 0
    kept = [*ImportRun.objects.values_list(), *ImportRemark.objects.values_list(), *AuditEntry.objects.values_list()]
    assert "zyx" not in str(kept).lower()


def test_a_check_changes_nothing(run_import, cast):
    before = Patient.objects.count()
    said = run_import(
        *rows_of(2), [cast.patient.record_number, "A", "1990-01-02", "", ""], ["", "", "", "x", ""], check=True
    )
    assert "Would add 2; already there 1; would refuse 1." in said
    assert Patient.objects.count() == before
    assert not ImportRun.objects.exists()


def test_the_log_says_which_file_was_imported_and_what_came_of_it(run_import, cast):
    run_import(*rows_of(2))
    begun, finished = AuditEntry.objects.filter(action="patient.import").order_by("id")
    assert (begun.clinic_id, begun.detail["state"]) == (cast.clinic.id, "begun")
    assert {"state": "finished", "added": 2, "refused": 0}.items() <= finished.detail.items()
    assert finished.detail["file"] == ImportRun.objects.get().file_digest


def test_a_file_from_standard_input(cast, monkeypatch):
    class Input:
        buffer = io.BytesIO(text_of(*rows_of(2)).encode())

    monkeypatch.setattr("sys.stdin", Input())
    call_command("import_patients", "-", clinic=cast.clinic.name, stdout=io.StringIO())
    assert imported().count() == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"clinic": "Nowhere"}, "No clinic"),
        ({"columns": "phone"}, "takes pairs"),
        ({"encoding": "utf-8-bom"}, "does not begin"),
    ],
)
def test_what_cannot_work_is_said_in_a_sentence(cast, tmp_path, change, said):
    (tmp_path / "list.csv").write_text(text_of(*rows_of(1)))
    with pytest.raises(CommandError, match=said):
        call_command("import_patients", str(tmp_path / "list.csv"), **{"clinic": cast.clinic.name, **change})


def test_a_file_that_is_not_there_is_said_so(cast):
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("import_patients", "/nowhere/list.csv", clinic=cast.clinic.name)


# -- going on --------------------------------------------------------------------------------------------------


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(importing, "BATCH", 4)


def _stop_at(monkeypatch, call_number):
    """The database goes away in the middle of a batch, after its patients were written."""
    calls, whole = iter(range(1, 1000)), importing.bulk.create_many

    def cut(*arguments):
        made = whole(*arguments)
        if next(calls) == call_number:
            raise DatabaseError("gone")
        return made

    monkeypatch.setattr(importing.bulk, "create_many", cut)


def test_a_stopped_import_goes_on_where_it_was(run_import, small_batches, monkeypatch):
    rows = [*rows_of(6), ["", "", "", "", ""], ["M99", "No Date", "", "", ""], *rows_of(6, start=7), rows_of(1)[0]]
    with monkeypatch.context() as patch:
        _stop_at(patch, 2)
        with pytest.raises(DatabaseError), transaction.atomic():
            run_import(*rows)
    # The test's own transaction undid the first batch too: once more, as a stop between batches.
    with monkeypatch.context() as patch:
        patch.setattr(importing, "_finish", lambda *_: None)
        patch.setattr(importing, "go_on", _first_batches(importing.go_on, 2))
        run_import(*rows)
    assert ImportRun.objects.get().done_to == 9
    said = run_import(*rows)
    assert "Going on after row 9." in said
    assert "12 added, 0 already there, 2 refused, 1 empty" in said
    assert "Row 2 has the same record number" in said, "rows of before the stop still count"
    assert imported().count() == 12


def _first_batches(go_on, count):
    class Enough(Exception):
        pass

    def some(run, file, by, say):
        left = iter(range(count))

        def stop(run):
            if next(left) == count - 1:
                raise Enough

        try:
            go_on(run, file, by, stop)
        except Enough:
            run.refresh_from_db()

    return some


def test_a_finished_file_is_not_imported_again(run_import):
    run_import(*rows_of(3))
    said = run_import(*rows_of(3))
    assert "was imported on" in said
    assert imported().count() == 3


def _unfinished(cast, **changes):
    values = {"file_digest": "f" * 64, "reading": {}, "last_row": 90, "done_to": 40, "started_at": timezone.now()}
    return ImportRun.objects.create(clinic=cast.clinic, **{**values, **changes})


def test_a_file_changed_since_is_not_gone_on_with(run_import, cast):
    _unfinished(cast)
    with pytest.raises(CommandError, match=r"stopped after row 40 of 90.*the same one changed since.*ffffffffffffffff"):
        run_import(*rows_of(3))
    assert not imported().exists()
    assert "3 added" in run_import(*rows_of(3), new=True)


def test_a_file_is_gone_on_with_as_it_was_begun(run_import, cast):
    digest = read(text_of(*rows_of(3)).encode(), encoding="utf-8", stated={}).digest
    _unfinished(cast, file_digest=digest, done_to=2)
    with pytest.raises(CommandError, match="Say the same again"):
        run_import(*rows_of(3))


def test_two_imports_of_one_file_do_not_both_add_a_row(cast, small_batches):
    """The second finds the batch claimed, says so, and has changed nothing."""
    file = read(text_of(*rows_of(8)).encode(), encoding="utf-8", stated={})
    mine = importing.begin(cast.clinic, file, BY)
    theirs = ImportRun.objects.get(pk=mine.pk)
    importing.go_on(mine, file, BY, lambda run: None)
    with pytest.raises(importing.NotImported, match="Another import of this file"):
        importing.go_on(theirs, file, BY, lambda run: None)
    assert imported().count() == 8


@pytest.mark.parametrize("error", [IntegrityError, OperationalError])
def test_a_batch_that_somebody_was_in_the_way_of_is_planned_anew(run_import, cast, monkeypatch, error):
    """The database takes the first try back as a whole; the second adds everything, once."""
    whole, times = importing.bulk.create_many, iter(range(9))

    def in_the_way(*arguments):
        if next(times) == 0:
            raise error("duplicate key, or a deadlock")
        return whole(*arguments)

    monkeypatch.setattr(importing.bulk, "create_many", in_the_way)
    assert "3 added" in run_import(*rows_of(3))
    assert imported().count() == 3


def test_a_database_that_stays_busy_is_said_in_a_sentence(run_import, monkeypatch):
    def busy(*_arguments):
        raise OperationalError("canary in an error")

    monkeypatch.setattr(importing.bulk, "create_many", busy)
    with pytest.raises(CommandError, match="Run the same command again") as stopped:
        run_import(*rows_of(3))
    assert "canary" not in str(stopped.value)


def test_progress_is_a_bar_where_somebody_watches(cast, tmp_path, small_batches):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    (tmp_path / "list.csv").write_text(text_of(*rows_of(9)))
    out = Terminal()
    call_command("import_patients", str(tmp_path / "list.csv"), clinic=cast.clinic.name, stdout=out)
    assert out.getvalue().count("\r") == 4
    assert "100%  row 10 of 10" in out.getvalue()
    assert "rows/s" in out.getvalue()
