"""Our side of `vault`: the same rows through the vault's public verbs, in a process of its own. Prints JSON.

The environment names the database. Values arrive normalised on both sides, so that sealing and storing are compared
and not the checking of phone numbers.
"""

import io
import json
import os
import random
import statistics
import sys
import time
from pathlib import Path
from uuid import uuid4

import django

from tests.benchmarks.peers.measure import FIELDS, GETS, ROWS, row

TABLES = (
    "vault_patient",
    "vault_sealedrecord",
    "vault_datakey",
    "vault_indexblock",
)


def ready() -> None:
    """Migrate an empty database and make a key file."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "telehealth.settings")
    data = Path(os.environ["TELEHEALTH_DATA"])
    (data / "keys").mkdir(mode=0o700, exist_ok=True)
    (data / "static").mkdir(exist_ok=True)
    for name in ("secret_key", "cryptography_key", "channel_key"):
        (data / "keys" / name).write_text(f"a-{name}-for-benchmarks-that-is-long-enough-00000000")
    django.setup()
    from django.core.management import call_command

    call_command("create_vault_key", verbosity=0, stdout=io.StringIO())
    call_command("migrate", verbosity=0)


def main(listed: bool) -> dict[str, float]:
    ready()
    from django.db import connection

    from vault import bulk
    from vault.audit import SYSTEM
    from vault.models import AuditEntry, Patient
    from vault.records import read_by_id

    pick, clinic = random.Random(7), uuid4()
    indexed = bulk.INDEXED if listed else ("national_id",)
    bulk.create_many(
        uuid4(), [bulk.NewRecord(row(10**8 + n, pick), f"W{n}") for n in range(50)], SYSTEM, indexed=indexed
    )
    rows = [bulk.NewRecord(row(n, pick), f"B{n}") for n in range(ROWS)]
    started = time.perf_counter()
    bulk.create_many(clinic, rows, SYSTEM, indexed=indexed)  # one transaction, as bulk_create makes it
    created = ROWS / (time.perf_counter() - started)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "VACUUM")
    started = time.perf_counter()
    letters = sum(len(one.record.values[field]) for one in bulk.read_many(clinic) for field in FIELDS)
    read = ROWS / (time.perf_counter() - started)
    assert letters > ROWS * 1024
    assert AuditEntry.objects.count() == 2
    taken = []
    for key in pick.choices(list(Patient.objects.filter(clinic_id=clinic).values_list("pk", flat=True)), k=GETS):
        started = time.perf_counter()
        values = read_by_id(key).values
        for field in FIELDS:
            values[field]
        taken.append(time.perf_counter() - started)
    return {"create": created, "read": read, "one": statistics.median(taken) * 1e6, "bytes": size(connection) / ROWS}


def size(connection) -> float:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT sum(pg_total_relation_size(t::regclass)) FROM unnest(%s::text[]) t", [list(TABLES)])
        else:
            marks = ", ".join(["%s"] * len(TABLES))
            cursor.execute(
                f"SELECT sum(pgsize) FROM dbstat JOIN sqlite_schema USING (name) WHERE tbl_name IN ({marks})",
                TABLES,
            )
        return float(cursor.fetchone()[0])


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1] == "listed")))
