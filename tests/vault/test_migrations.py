"""A database from before sealed records and lists comes up with everything in it, and nothing of the old left."""

import pytest

from tests.killed import Product, on_engines

#: with the engines, since each starts the product three times
pytestmark = pytest.mark.engines

#: rows as the first layout had them: each value sealed by itself, digests in a table of their own
OLD_ROWS = """
from uuid import UUID, uuid4
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from vault.core.fields import BLANK_MASK
from vault.core.sealing import Place, Sealer, new_key, owner_of, wrap
from vault.core.tokens import new_token
from vault.keywatch import keys
from vault.records import masks_of
call_command("create_vault_key")
for target in ("accounts", "vault"):
    call_command("migrate", target, {"accounts": "0001", "vault": "0002"}[target], verbosity=0)
apps = MigrationExecutor(connection).loader.project_state(("vault", "0002_append_only_audit")).apps
model = lambda name: apps.get_model("vault", name).objects
now, known = timezone.now(), keys()
def wrapped(key, purpose, *owner):
    return wrap(key, known.current, known.current_id, purpose=purpose, owner=owner_of(*owner), generation=1)
def add(clinic, number, notes, **values):
    patient = uuid4()
    masks = masks_of(values) | {"email": BLANK_MASK}
    key = new_key()
    def seal(field, plain):
        token = new_token(field)
        model("SealedValue").create(
            token=token, patient_id=patient, field=field, generation=1, created_at=now,
            sealed=Sealer(key).seal(plain, Place(clinic, patient, 1, field, token)),
        )
        return token
    model("Patient").create(id=patient, clinic_id=clinic, record_number=number, masks=masks, created_at=now)
    tokens = {field: seal(field, plain.encode()) for field, plain in values.items()}
    model("Patient").filter(pk=patient).update(**tokens)
    model("DataKey").create(
        patient_id=patient, generation=1, created_at=now,
        wrapped=wrapped(key, "data", clinic, patient),
    )
    model("SearchDigest").create(clinic_id=clinic, patient_id=patient, field="name", digest=bytes(16))
    for note in notes:
        print(patient, seal("consult_note", note.encode()), note)
for clinic in (UUID(int=1), UUID(int=2)):
    model("IndexKey").create(
        clinic_id=clinic, created_at=now, wrapped=wrapped(new_key(), "index", clinic)
    )
    add(clinic, "R1", ("first", "second"), name="María García", birth_date="1984-03-17", phone="+442079460142")
    add(clinic, "R2", (), name="Aiko Watanabe", birth_date="1990-01-02")
"""
MIGRATE = """
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("migrate", verbosity=0)  # and a second time changes nothing
"""
LOOK = """
from uuid import UUID
from django.db import connection
from vault import audit, patients, search
from vault.models import DataKey, Patient, SealedRecord, SealedValue
for patient, token, note in OLD:
    assert patients.unseal(Patient.objects.get(pk=patient), "consult_note", token) == note.encode()
assert SealedValue.objects.count() == len(OLD)
assert DataKey.objects.count() == SealedRecord.objects.count() == Patient.objects.count() == 4
assert "vault_searchdigest" not in connection.introspection.table_names()
for clinic in (UUID(int=1), UUID(int=2)):
    maria, aiko = Patient.objects.filter(clinic_id=clinic).order_by("record_number")
    assert (maria.number, aiko.number) == (1, 2)
    assert patients.opened(maria).values == {
        "name": "María García", "birth_date": "1984-03-17", "phone": "+442079460142"
    }
    assert set(maria.masks) == {"name", "birth_date", "phone"}
    for query, found in {
        "ma gar 1984": maria, "watanbe": aiko, "020 7946 0142": maria, "1990-01-02": aiko, "R2": aiko
    }.items():
        result = search.look(clinic, query)[0]
        assert result.patients + result.similar == [found], (query, result)
    patients.change(aiko, {"phone": "+442079460143"}, audit.SYSTEM)
    assert search.look(clinic, "+442079460143")[0].patients == [aiko]
"""


def _moves_over(product):
    old = [line.split(" ", 2) for line in product.run(OLD_ROWS).splitlines() if line.count(" ") == 2]
    assert len(old) == 4
    product.run(MIGRATE)
    product.run(f"OLD = {old!r}\n{LOOK}")


def test_an_old_database_is_moved_over_on_sqlite(tmp_path):
    _moves_over(Product(tmp_path))


def test_an_old_database_is_moved_over_on_postgres(tmp_path):
    with on_engines(tmp_path) as product:
        _moves_over(product)
