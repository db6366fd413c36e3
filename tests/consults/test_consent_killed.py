"""Consent taken by a process that is killed at any moment of it: no record and the gate shut, or one record."""

import json
import random
import signal
from pathlib import Path

import pytest

from tests.killed import Product, on_engines

#: where SIGKILL comes -> how many records there are then
POINTS = {"asked": 0, "row": 0, "entry": 0, "waiting": 0, "commit": 0, "committed": 1}
#: visits whose process is killed after a random time
RANDOM = 4

PREPARE = """
import json
from pathlib import Path
from django.conf import settings
from django.core.management import call_command
call_command("migrate", verbosity=0)
if not Path(settings.VAULT_KEY_FILE).exists():
    call_command("create_vault_key")
from accounts.models import Clinic
from tests.cast import MARIA, BY, bring_to, person
from tests.signer import as_form
from vault import patients
clinic = Clinic.objects.create(name="Harbour")
doctor = person(clinic, "doctor", "clinician")
visits = {}
for name in NAMES:
    patient = patients.create(clinic.pk, {f: MARIA[f] for f in ("name", "birth_date")}, BY)
    now = bring_to("tested", doctor, patient)
    form = as_form(now.signer.signed(now.signer.giving(now.seat, MARIA["name"])))
    visits[name] = [str(now.consult.id), now.patients_cookie, form]
Path(FILE).write_text(json.dumps(visits))
"""
SEND = """
import json, os, signal, threading
from pathlib import Path
from django.urls import reverse
from consults import consent, visit
from consults.models import Consent
from django.test.utils import setup_test_environment
from tests.cast import Browser
setup_test_environment()
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
def send(name):
    consult, cookie, form = json.loads(Path(FILE).read_text())[name]
    browser = Browser()
    browser.cookies[cookie[0]] = cookie[1]
    return browser.post(reverse("consent", args=[consult]), form)
"""
#: each replaces one step by itself and a SIGKILL, before or after it
KILLED = {
    "asked": "consent.give = die",
    "row": "consent._note = die",
    "entry": "whole = consent._note; consent._note = lambda *a, **k: (whole(*a, **k), die())",
    "waiting": "whole = visit.wait; visit.wait = lambda *a, **k: (whole(*a, **k), die())",
    "commit": """
from django.db.backends.base.base import BaseDatabaseWrapper
whole = BaseDatabaseWrapper._commit
BaseDatabaseWrapper._commit = lambda self: die() if Consent.objects.filter(consult=CONSULT).exists() else whole(self)
""",
    "committed": """
from django.db.backends.base.base import BaseDatabaseWrapper
whole = BaseDatabaseWrapper._commit
BaseDatabaseWrapper._commit = lambda self: (whole(self), Consent.objects.filter(consult=CONSULT).exists() and die())
""",
}
COUNT = """
import json
from pathlib import Path
from consults import consent, visit
from consults.models import Consent, VoiceRecording
from vault.models import AuditEntry, SealedValue
from vault.core import evidence
told = {}
for name, (consult, _, form) in json.loads(Path(FILE).read_text()).items():
    view = visit.look(consult)
    rows = list(Consent.objects.filter(consult=consult))
    told[name] = {
        "rows": len(rows),
        "entries": AuditEntry.objects.filter(action="consent.give", consult=consult).count(),
        "sealed": SealedValue.objects.filter(field="consent_evidence", patient=view.consult.patient).count(),
        "names": SealedValue.objects.filter(field="signed_name", patient=view.consult.patient).count(),
        "signed": sum(consent.opened(row)[0].decode() == form["evidence"] for row in rows),
        "stage": view.stage,
        "gate": view.gate_open,
    }
print(json.dumps(told))
"""


def _whole(told, name, count):
    parts = {part: told[name][part] for part in ("rows", "entries", "sealed", "names", "signed")}
    assert set(parts.values()) == {count}, (name, parts)
    assert told[name]["stage"] == ("waiting" if count else "consent"), name
    assert not told[name]["gate"], name  # nobody has admitted her


def _survives_kills(product: Product, path: Path):
    chance = random.Random(33)
    by_time = [f"time {n}" for n in range(RANDOM)]
    file = f"FILE, NAMES = {str(path)!r}, {[*POINTS, *by_time]!r}\n"
    product.run(file + PREPARE)
    visits = json.loads(path.read_text())
    for name in visits:
        after = f"threading.Timer({chance.uniform(0.001, 0.06)}, die).start()"
        where = KILLED.get(name, after).replace("CONSULT", repr(visits[name][0]))
        process = product.start(f"{file}{SEND}\n{where}\nsend({name!r})\nthreading.Event().wait(1)\n")
        _, error = process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL, f"{name} was not killed: {error[-2000:]}"
    told = json.loads(product.run(file + COUNT).splitlines()[-1])
    for name, count in POINTS.items():
        _whole(told, name, count)
    for name in by_time:
        assert told[name]["rows"] in (0, 1)
        _whole(told, name, told[name]["rows"])
    # Her browser kept what it signed, and sends it until it is answered: it is one record in the end, everywhere.
    again = "print([send(name).status_code for name in NAMES])"
    assert product.run(f"{file}{SEND}\n{again}").splitlines()[-1] == str([200] * len(visits))
    told = json.loads(product.run(file + COUNT).splitlines()[-1])
    for name in visits:
        _whole(told, name, 1)


def test_consent_killed_at_any_moment_on_sqlite(tmp_path):
    _survives_kills(Product(tmp_path), tmp_path / "visits.json")


@pytest.mark.engines
def test_consent_killed_at_any_moment_on_postgres(tmp_path):
    with on_engines(tmp_path) as product:
        _survives_kills(product, tmp_path / "visits.json")
