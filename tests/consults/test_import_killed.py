"""An import killed five times at any moment, somebody adding patients beside it: nothing doubled, nothing lost."""

import csv
import json
import random
import signal

import pytest

from tests.killed import PREPARE, Product, on_engines

ROWS = 1500
KILLS = 5
#: small batches, so that a short file has many moments to be killed at
IMPORT = """
from django.core.management import call_command
from consults import importing
importing.BATCH = 25
call_command("import_patients", {file!r}, clinic="Harbour")
"""
#: SIGKILL so many seconds after the first row, whatever is under way then
KILLED = """
import os, signal, threading
from consults import importing
whole = importing.go_on
def go_on(*arguments):
    threading.Timer({seconds}, os.kill, (os.getpid(), signal.SIGKILL)).start()
    whole(*arguments)
importing.go_on = go_on
"""
#: adds patients of its own, and some of the file's, as a clinician would who does not know of the import
WRITER = """
import itertools, random, time
from django.db import IntegrityError, OperationalError
from accounts.models import Clinic
from vault import audit, patients
clinic, chance = Clinic.objects.get(name="Harbour").pk, random.Random(7)
for n in itertools.count():
    number = "W%d" % n if n % 3 else "M%d" % chance.randrange({rows})
    values = dict(name="Writer Beside", birth_date="1990-01-02", national_id="NI%07d" % int(number[1:]))
    if number[0] == "W":
        values["national_id"] = "WI%07d" % n
    try:
        patients.create(clinic, values, audit.SYSTEM, record_number=number)
    except (IntegrityError, OperationalError):
        pass
    time.sleep(0.005)  # SQLite's lock is not fair: who asks again at once keeps everybody else out
"""
COUNT = """
import json
from collections import Counter
from accounts.models import Clinic
from consults.import_models import ImportRemark, ImportRun
from vault import audit, search
from vault.models import AuditEntry, DataKey, Patient, SealedRecord
from vault.records import read_record
run, patients = ImportRun.objects.get(), list(Patient.objects.all())
added = AuditEntry.objects.filter(action="patient.create", detail__has_key="count")
print(json.dumps({
    "numbers": Counter(p.record_number for p in patients),
    "ids": max(Counter(p.national_id_digest for p in patients).values()),
    "running": len({p.number for p in patients}) - len(patients),
    "keys": DataKey.objects.count() - len(patients),
    "records": SealedRecord.objects.count() - len(patients),
    "opened": sum(bool(read_record(p).values["name"]) for p in patients),
    "found": len(search.find(run.clinic_id, "NI%07d" % 77, audit.SYSTEM).patients),
    "logged": sum(entry.detail["count"] for entry in added),
    "run": [run.added, run.present, run.refused, run.done_to, run.finished_at is not None],
    "remarks": [ImportRemark.objects.filter(outcome=o).count() for o in ("present", "refused")],
}))
"""


def _list(path):
    """ROWS good rows; row 12 repeats row 3, row 13 has no date."""
    rows = [[f"M{n}", "Import Patient", "1990-01-02", f"NI{n:07}", ""] for n in range(ROWS)]
    rows[10:10] = [rows[1], ["", "No Date", "", "", ""]]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["MRN", "Name", "DOB", "National id", "Notes"], *rows])


def _survives_kills(product, path):
    product.run(PREPARE)
    _list(path)
    chance = random.Random(20)
    writer = product.start(WRITER.format(rows=ROWS))
    try:
        for _ in range(KILLS):
            killed = product.start(KILLED.format(seconds=chance.uniform(0.02, 0.25)) + IMPORT.format(file=str(path)))
            _, error = killed.communicate(timeout=120)
            assert killed.returncode == -signal.SIGKILL, f"it was not killed: {error[-2000:]}"
        product.run(IMPORT.format(file=str(path)))
        assert writer.poll() is None, "nobody added patients beside it to the end"
    finally:
        writer.kill()
        writer.communicate()
    _nothing_doubled_nothing_lost(json.loads(product.run(COUNT).splitlines()[-1]))


def _nothing_doubled_nothing_lost(told):
    assert {f"M{n}" for n in range(ROWS)} <= set(told["numbers"])
    assert max(told["numbers"].values()) == 1
    assert told["ids"] == 1
    assert (told["running"], told["keys"], told["records"], told["found"]) == (0, 0, 0, 1)
    assert told["opened"] == len(told["numbers"])
    added, present, refused, done_to, finished = told["run"]
    assert (added + present, refused, done_to, finished) == (ROWS, 2, ROWS + 3, True)
    assert told["logged"] == added
    assert told["remarks"] == [present, 2]


def test_an_import_killed_again_and_again_on_sqlite(tmp_path):
    _survives_kills(Product(tmp_path), tmp_path / "list.csv")


@pytest.mark.engines
def test_an_import_killed_again_and_again_on_postgres(tmp_path):
    with on_engines(tmp_path) as product:
        _survives_kills(product, tmp_path / "list.csv")
