"""One way of keeping patients, one database, one round: `python measure.py PEER DATABASE_URL-as-JSON`. Prints JSON.

Runs in the peer's own virtual environment and knows nothing of the product. Ours does the same in vault_ours.py.
"""

import json
import random
import statistics
import sys
import time

ROWS = 20_000
GETS = 1_000
FIELDS = ("name", "birth_date", "national_id", "phone", "email", "notes")
TEXT = """reports pain since the weekend worse at night no fever appetite good sleeps badly takes ibuprofen twice a day
advised rest and fluids review in ten days bloods ordered blood pressure normal lungs clear allergic to none"""


def row(number: int, pick: random.Random) -> dict[str, str]:
    """Six fields, one of 1 KB."""
    notes = " ".join(pick.choices(TEXT.split(), k=220))[:1023] + "."
    return {
        "name": f"Anna Maria Example{number}",
        "birth_date": f"19{number % 90 + 10}-0{number % 9 + 1}-1{number % 9}",
        "national_id": f"{number:09d}",
        "phone": f"+4420{number:08d}",
        "email": f"patient.{number}@mail.example",
        "notes": notes,
    }


def plain(models, text):
    return {field: text(db_index=field == "national_id") for field in FIELDS}


def fernet(models, text):
    from encrypted_fields.fields import EncryptedTextField

    return {field: EncryptedTextField() for field in FIELDS}


def model_fields(models, text):
    from encrypted_model_fields.fields import EncryptedTextField

    return {field: EncryptedTextField() for field in FIELDS}


def cryptography_5(models, text):
    from django_cryptography.fields import encrypt

    return {field: encrypt(text()) for field in FIELDS}


def searchable(models, text):
    from encrypted_fields import fields as kept

    made = {field: kept.EncryptedTextField() for field in FIELDS}
    made["sealed_national_id"] = made.pop("national_id")
    made["national_id"] = kept.SearchField(hash_key="b" * 64, encrypted_field_name="sealed_national_id")
    return made


KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
#: peer -> (its fields, settings it needs)
PEERS = {
    "plain": (plain, {}),
    "django-fernet-encrypted-fields": (fernet, {"SALT_KEY": "a" * 32}),
    "django-encrypted-model-fields": (model_fields, {"FIELD_ENCRYPTION_KEY": KEY}),
    "django-cryptography-5": (cryptography_5, {}),
    "django-searchable-encrypted-fields": (
        searchable,
        {"FIELD_ENCRYPTION_KEYS": ["0" * 64], "INSTALLED_APPS": ["encrypted_fields"]},
    ),
}


def main() -> None:
    import django
    from django.conf import settings

    peer, database = sys.argv[1], json.loads(sys.argv[2])
    make, needs = PEERS[peer]
    own = {"SECRET_KEY": "k" * 50, "USE_TZ": True, "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField"}
    settings.configure(DATABASES={"default": database}, **own, **needs)
    django.setup()
    from django.db import connection, models

    meta = type("Meta", (), {"app_label": "bench", "db_table": "bench_patient"})
    model = type("Patient", (models.Model,), {**make(models, models.TextField), "Meta": meta, "__module__": __name__})
    with connection.schema_editor() as editor:
        editor.create_model(model)
    print(json.dumps(measure(model, connection)))


def measure(model, connection) -> dict[str, float]:
    pick = random.Random(7)
    model.objects.bulk_create([model(**row(10**8 + n, pick)) for n in range(50)])  # keys are derived, caches filled
    model.objects.all().delete()
    rows = [row(n, pick) for n in range(ROWS)]
    started = time.perf_counter()
    model.objects.bulk_create([model(**values) for values in rows], batch_size=1000)
    created = ROWS / (time.perf_counter() - started)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE bench_patient")
    started = time.perf_counter()
    letters = sum(len(getattr(one, field)) for one in model.objects.all() for field in FIELDS)
    read = ROWS / (time.perf_counter() - started)
    assert letters > ROWS * 1024
    taken = []
    for key in pick.choices(list(model.objects.values_list("pk", flat=True)), k=GETS):
        started = time.perf_counter()
        one = model.objects.get(pk=key)
        for field in FIELDS:
            getattr(one, field)
        taken.append(time.perf_counter() - started)
    return {"create": created, "read": read, "one": statistics.median(taken) * 1e6, "bytes": size(connection) / ROWS}


def size(connection) -> float:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_total_relation_size('bench_patient')")
            return cursor.fetchone()[0]
        cursor.execute("VACUUM")
        cursor.execute("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
        return cursor.fetchone()[0]


if __name__ == "__main__":
    main()
