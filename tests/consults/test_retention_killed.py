"""Erasing killed at any moment: all of the act is there, or its erasure and nothing else; the next run ends it."""

import json
import signal
from pathlib import Path

import pytest

from tests.killed import Product, on_engines

#: where SIGKILL comes, as a step replaced by itself and a SIGKILL -> whether it is erased then
POINTS = {
    "row": ("whole = ConsentErasure.objects.create; ConsentErasure.objects.create = then_die", False),
    "value": ("whole = vault_patients.erase; vault_patients.erase = then_die", False),
    "entry": ("whole = audit.record; audit.record = then_die", False),
    "commit": ("whole = Base._commit; Base._commit = lambda self: die() if there() else whole(self)", False),
    "committed": ("whole = Base._commit; Base._commit = lambda self: (whole(self), there() and die())", True),
}
PREPARE = """
import json
from datetime import timedelta
from pathlib import Path
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone
call_command("migrate", verbosity=0)
if not Path(settings.VAULT_KEY_FILE).exists():
    call_command("create_vault_key")
from accounts.models import Clinic
from consults import consent
from consults.retention_models import RetentionPeriod
from tests.cast import MARIA, BY, bring_to, person
from vault import patients
clinic = Clinic.objects.create(name="Harbour")
doctor, officer = person(clinic, "doctor", "clinician"), person(clinic, "officer", "privacy_officer")
now = timezone.now()
RetentionPeriod.objects.create(
    clinic=clinic, scope="video_visit", days=0, chosen_by=officer, chosen_at=now, in_force_at=now
)
acts = {}
for name in NAMES:
    patient = patients.create(clinic.pk, {f: MARIA[f] for f in ("name", "birth_date")}, BY)
    visit = bring_to("consented", doctor, patient)
    given = visit.consult.consents.get()
    consent.withdraw(visit.seat, source="test")
    acts[name] = str(given.pk)
Path(FILE).write_text(json.dumps(acts))
"""
ERASE = """
import json, os, signal
from pathlib import Path
from django.db.backends.base.base import BaseDatabaseWrapper as Base
from consults import retention
from consults.retention_models import ConsentErasure
from vault import audit, patients as vault_patients
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
def then_die(*a, **k):
    whole(*a, **k)
    die()
act = json.loads(Path(FILE).read_text())[NAME]
def there():
    return ConsentErasure.objects.filter(consent=act).exists()
"""
COUNT = """
import json
from pathlib import Path
from consults.models import Consent
from consults.retention_models import ConsentErasure
from vault.models import AuditEntry, SealedValue
told = {}
for name, act in json.loads(Path(FILE).read_text()).items():
    given = Consent.objects.get(pk=act)
    entries = AuditEntry.objects.filter(action="consent.erase", consult=str(given.consult_id))
    told[name] = {
        "values": SealedValue.objects.filter(token__in=[given.evidence, given.signed_name]).count(),
        "erasures": ConsentErasure.objects.filter(consent=act).count(),
        "entries": [entry.detail["evidence"] == given.evidence_digest for entry in entries],
    }
print(json.dumps(told))
"""
GONE = {"values": 0, "erasures": 1, "entries": [True]}
THERE = {"values": 2, "erasures": 0, "entries": []}


def _survives_kills(product: Product, path: Path):
    file = f"FILE, NAMES = {str(path)!r}, {list(POINTS)!r}\n"
    product.run(file + PREPARE)
    for name, (where, _) in POINTS.items():
        process = product.start(f'{file}NAME = {name!r}{ERASE}\n{where}\nretention.erase(act, "act")\n')
        _, error = process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL, f"{name} was not killed: {error[-2000:]}"
    told = json.loads(product.run(file + COUNT).splitlines()[-1])
    assert told == {name: GONE if erased else THERE for name, (_, erased) in POINTS.items()}
    product.run("from consults import tasks; tasks.erase_due()")
    told = json.loads(product.run(file + COUNT).splitlines()[-1])
    assert told == dict.fromkeys(POINTS, GONE)


def test_erasing_killed_at_any_moment_on_sqlite(tmp_path):
    _survives_kills(Product(tmp_path), tmp_path / "acts.json")


@pytest.mark.engines
def test_erasing_killed_at_any_moment_on_postgres(tmp_path):
    with on_engines(tmp_path) as product:
        _survives_kills(product, tmp_path / "acts.json")
