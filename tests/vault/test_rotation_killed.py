"""Rotations killed at any moment, somebody writing beside them: all open, all are found, nothing is doubled."""

import json
import random
import signal

import pytest

from tests import engines
from tests.consults.test_import_killed import PREPARE, Product

#: with the engines, since it takes a minute: the quick check is quick
pytestmark = pytest.mark.engines

PATIENTS = 1200
KILLS = 4
FILL = """
from accounts.models import Clinic
from telehealth.drill import seeding
from vault import audit, bulk
clinic = Clinic.objects.get(name="Harbour").pk
bulk.create_many(clinic, seeding.people({count}), audit.SYSTEM)
"""
#: the commands' own batches are larger; small ones have more moments to be killed at
STEP = """
from django.core.management import call_command
from vault import rotation
rotation.BATCH = 50
for name in ("rewrap", "build_index"):
    getattr(rotation, name).__kwdefaults__["batch"] = 50
rotation.reseal_all.__kwdefaults__["batch"] = 20
call_command("vault_keys", {step!r})
"""
KILLED = """
import os, signal, threading
threading.Timer({seconds}, os.kill, (os.getpid(), signal.SIGKILL)).start()
"""
WRITER = """
import itertools, time
from django.db import OperationalError
from accounts.models import Clinic
from vault import audit, patients, shredding
from vault.models import Patient
clinic = Clinic.objects.get(name="Harbour").pk
old = list(Patient.objects.filter(clinic_id=clinic).order_by("number")[:200])
for n in itertools.count():
    letters = "".join(chr(97 + n // 26**place % 26) for place in range(4))
    try:
        made = patients.create(clinic, {"name": "Writer " + letters, "birth_date": "1990-01-02"}, audit.SYSTEM)
        patients.seal(made, "consult_note", b"beside")
        if n % 3 == 0 and old:
            patients.change(old.pop(), {"name": "Changed " + letters, "phone": "+4420796%05d" % n}, audit.SYSTEM)
        if n % 7 == 0:
            shredding.shred(made, audit.SYSTEM, reason="request")
    except OperationalError:
        pass
    time.sleep(0.01)
"""
COUNT = """
import json
from vault import audit, patients, rotation, search
from vault.keywatch import keys
from vault.models import DataKey, IndexBlock, IndexKey, Patient, SealedRecord, SealedValue
live = list(Patient.objects.filter(shredded_at=None))
bad = []
for patient in live:
    values = patients.opened(patient).values
    named = search.look(patient.clinic_id, values["name"] + " " + values["birth_date"], limit=500)[0].patients
    if named.count(patient) != 1:
        bad.append("name")
    if "phone" in values and patient not in search.look(patient.clinic_id, values["phone"], limit=50)[0].patients:
        bad.append("phone")
for value in SealedValue.objects.select_related("patient"):
    if patients.unseal(value.patient, value.field, value.token) != b"beside":
        bad.append("value")
current = IndexKey.objects.get()
print(json.dumps({
    "bad": bad,
    "live": len(live),
    "keys": DataKey.objects.count() - len(live),
    "records": SealedRecord.objects.count() - len(live),
    "stray": IndexBlock.objects.exclude(key=current).count(),
    "in_use": current.in_use,
    "left": rotation.left_to_rewrap(),
    "changed": Patient.objects.filter(masks__name__startswith="C").count(),
    "shredded": Patient.objects.exclude(shredded_at=None).count(),
}))
"""


def _survives(product):
    product.run(PREPARE)
    product.run(FILL.format(count=PATIENTS))
    chance = random.Random(11)
    writer = product.start(WRITER)
    try:
        for first, again in (("rotate", "rewrap"), ("reindex", "reindex"), ("reseal", "reseal")):
            for kill in range(KILLS):
                step = first if kill == 0 else again
                killed = product.start(KILLED.format(seconds=chance.uniform(1.0, 2.5)) + STEP.format(step=step))
                _, error = killed.communicate(timeout=120)
                assert killed.returncode in (0, -signal.SIGKILL), error[-2000:]
            product.run(STEP.format(step=again))
        assert writer.poll() is None, "nobody wrote beside it to the end"
    finally:
        writer.kill()
        writer.communicate()
    product.run(STEP.format(step="rewrap"))
    told = json.loads(product.run(COUNT).splitlines()[-1])
    assert told["bad"] == []
    assert (told["keys"], told["records"], told["stray"], told["left"], told["in_use"]) == (0, 0, 0, 0, True)
    assert told["live"] >= PATIENTS
    assert told["changed"]
    assert told["shredded"]


def test_rotations_killed_again_and_again_on_sqlite(tmp_path):
    _survives(Product(tmp_path))


def test_rotations_killed_again_and_again_on_postgres(tmp_path):
    with engines.postgres() as database, engines.redis() as redis:
        _survives(Product(tmp_path, DATABASE_URL=str(database), REDIS_URL=str(redis)))
