"""Rotations killed at any moment, somebody writing beside them: all open, all are found, nothing is doubled."""

import json
import random
import signal

import pytest

from tests.killed import PREPARE, Product, on_engines

#: with the engines, since it takes minutes: the quick check is quick
pytestmark = pytest.mark.engines

PATIENTS = 2000
KILLS = 10
STEPS = ("rotate", "reindex", "reseal")
FILL = """
from accounts.models import Clinic
from telehealth.drill import seeding
from vault import audit, bulk
clinic = Clinic.objects.get(name="Harbour").pk
bulk.create_many(clinic, seeding.people({count}), audit.SYSTEM)
"""
#: The commands' own batches are larger; small ones have more moments to be killed at. SIGKILL comes so many seconds
#: after the work has begun, whatever is under way then.
STEP = """
import os, signal, threading, time
from django.core.management import call_command
from vault import reindexing, rotation
from vault.management.commands import vault_keys
rotation.rewrap.__kwdefaults__["batch"] = reindexing.build.__kwdefaults__["batch"] = 50
rotation.reseal_all.__kwdefaults__["batch"] = 20
begin = vault_keys.Progress.__init__
def begun(*arguments):
    begin(*arguments)
    begun.at = time.monotonic()
    if {killed_after} is not None:
        threading.Timer({killed_after}, os.kill, (os.getpid(), signal.SIGKILL)).start()
vault_keys.Progress.__init__ = begun
call_command("vault_keys", {step!r})
print("took", time.monotonic() - begun.at)
"""
#: adds, changes, seals for and erases patients; a line in the file for each act that was done
WRITER = """
import itertools, json, time
from accounts.models import Clinic
from vault import audit, patients, shredding
from vault.models import Patient
clinic = Clinic.objects.get(name="Harbour").pk
every = list(Patient.objects.filter(clinic_id=clinic).order_by("number"))
done = open({file!r}, "w", buffering=1)
def note(*what):
    done.write(json.dumps([str(one) for one in what]) + chr(10))
for n in itertools.count():
    letters = "".join(chr(97 + n // 26**place % 26) for place in range(4))
    made = patients.create(clinic, dict(name="Writer " + letters, birth_date="1990-01-02"), audit.SYSTEM)
    note("name", made.pk, "Writer " + letters)
    for at in (n * 37, n * 101 + 5):
        whose = every[at % len(every)]
        if n % 5:
            note("value", whose.pk, patients.seal(whose, "consult_note", letters.encode()), letters)
        else:
            phone = "+4420%08d" % (10**7 + n)
            patients.change(whose, dict(name="Changed " + letters, phone=phone), audit.SYSTEM)
            note("name", whose.pk, "Changed " + letters)
    if n % 7 == 0:
        shredding.shred(made, audit.SYSTEM, reason="request")
        note("gone", made.pk, "")
    time.sleep(0.02)  # SQLite's lock is not fair: who asks again at once keeps everybody else out
"""
COUNT = """
import json
from collections import Counter
from vault import patients, rotation, search
from vault.core.terms import sort_key
from vault.models import DataKey, IndexBlock, IndexKey, Patient, SealedRecord, SealedValue
live = {p.pk: p for p in Patient.objects.filter(shredded_at=None)}
values = {pk: patients.opened(p).values for pk, p in live.items()}
bad = Counter()
def found(query):
    return search.look(next(iter(live.values())).clinic_id, query, limit=10000)[0].patients
for query in {v["name"] for v in values.values()} | {v["birth_date"] for v in values.values()}:
    ids = [p.pk for p in found(query)]
    want = {pk for pk, v in values.items() if query in (v["name"], v["birth_date"])}
    bad["missing"] += len(want - set(ids))
    bad["doubled"] += len(ids) - len(set(ids))
    keys = [(sort_key(values[pk]["name"]), live[pk].number) for pk in ids]
    bad["out of order"] += keys != sorted(keys)
for pk, v in values.items():
    bad["phone"] += "phone" in v and [p.pk for p in found(v["phone"])].count(pk) != 1
loose = {row.token: row for row in SealedValue.objects.select_related("patient")}
acts = [json.loads(line) for line in open(FILE) if line.endswith(chr(10))]
names = {}
for what, pk, *rest in acts:
    if what == "value":
        row = loose[rest[0]]
        bad["value"] += patients.unseal(row.patient, row.field, row.token) != rest[1].encode()
    else:
        names[pk] = (what, rest[0])
last = acts[-1][1]
for pk, (what, name) in names.items():
    patient = Patient.objects.get(pk=pk)
    if pk != last and what == "name":
        # the writer was stopped in the middle: the act after the last that it noted may have been done
        bad["name"] += patient.shredded_at is not None or values[patient.pk]["name"] != name
    bad["gone"] += what == "gone" and patient.shredded_at is None
print(json.dumps({
    "bad": {what: count for what, count in bad.items() if count},
    "live": len(live),
    "acts": Counter(act[0] for act in acts),
    "keys": DataKey.objects.count() - len(live),
    "records": SealedRecord.objects.count() - len(live),
    "stray": IndexBlock.objects.exclude(key=IndexKey.objects.get()).count(),
    "in_use": IndexKey.objects.get().in_use,
    "left": rotation.left_to_rewrap(),
}))
"""
#: takes every key-encryption key but the current one out of the file
RETIRE = """
from django.core.management import call_command
from vault.keywatch import keys
known = keys()
for key_id in known.ids - {known.current_id}:
    call_command("vault_keys", "retire", key_id.hex())
"""


def _killed_again_and_again(product, step, chance):
    """Once to its end, to know how long it takes; then killed until it has been often enough; then to its end."""
    took = float(product.run(STEP.format(step=step, killed_after=None)).split()[-1])
    kills = 0
    for _ in range(4 * KILLS):
        process = product.start(STEP.format(step=step, killed_after=chance.uniform(0, took)))
        _, error = process.communicate(timeout=120)
        assert process.returncode in (0, -signal.SIGKILL), error[-2000:]
        kills += process.returncode != 0
        if kills == KILLS:
            break
    assert kills == KILLS
    product.run(STEP.format(step=step, killed_after=None))


def _survives(product, folder):
    product.run(PREPARE)
    product.run(FILL.format(count=PATIENTS))
    chance, file = random.Random(11), str(folder / "acts")
    writer = product.start(WRITER.format(file=file))
    try:
        for step in STEPS:
            _killed_again_and_again(product, step, chance)
            assert writer.poll() is None, writer.communicate()[1][-3000:]
    finally:
        writer.kill()
        writer.communicate()
    product.run(STEP.format(step="rewrap", killed_after=None))
    product.run(RETIRE)
    told = json.loads(product.run(f"FILE = {file!r}\n{COUNT}").splitlines()[-1])
    assert told["bad"] == {}
    assert (told["keys"], told["records"], told["stray"], told["left"], told["in_use"]) == (0, 0, 0, 0, True)
    assert told["live"] >= PATIENTS
    assert set(told["acts"]) == {"name", "value", "gone"}


def test_rotations_killed_again_and_again_on_sqlite(tmp_path):
    _survives(Product(tmp_path), tmp_path)


def test_rotations_killed_again_and_again_on_postgres(tmp_path):
    with on_engines(tmp_path) as product:
        _survives(product, tmp_path)


#: everything that writes one patient, each in a thread, all at her at once
AT_ONE = """
import threading, time
from django.db import connection, transaction
from accounts.models import Clinic
from vault import audit, patients, rotation
from vault.models import Patient
clinic = Clinic.objects.get(name="Harbour").pk
her = patients.create(clinic, dict(name="Ann Lee", birth_date="1990-01-02"), audit.SYSTEM)
until, failed = time.monotonic() + {seconds}, []
counts = dict.fromkeys(("change", "seal", "held", "reseal", "rewrap"), 0)
def seal_while_she_is_held():
    with transaction.atomic():  # as a consent does, which holds her row with the consult's
        Patient.objects.select_for_update().get(pk=her.pk)
        patients.seal(her, "consult_note", b"held")
acts = dict(
    change=lambda: patients.change(her, dict(phone="+4420%08d" % (10**7 + counts["change"])), audit.SYSTEM),
    seal=lambda: patients.seal(her, "consult_note", b"beside"),
    held=seal_while_she_is_held,
    reseal=lambda: rotation.reseal(her),
    rewrap=lambda: list(rotation.rewrap()),
)
def run(name):
    try:
        while time.monotonic() < until:
            acts[name]()
            counts[name] += 1
    except Exception as error:
        failed.append("%s: %r" % (name, error))
    connection.close()
threads = [threading.Thread(target=run, args=[name]) for name in acts]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert not failed, failed
assert all(counts.values()), counts
assert patients.opened(Patient.objects.get(pk=her.pk)).values["phone"]
"""


def test_whoever_writes_one_patient_waits_and_never_for_each_other(tmp_path):
    with on_engines(tmp_path) as product:
        product.run(PREPARE)
        product.run(AT_ONE.format(seconds=8))
