"""Our side of `audit`: writes, seals, verifies and proves in one database; prints the figures as JSON."""

import json
import random
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import get_context
from typing import Any
from uuid import uuid4

from tests.benchmarks.vault_ours import ready

ROUNDS, TRANSACTIONS = 5, 400
WRITERS, PROCESSES, WRITING_SECONDS = 200, 2, 6.0
PROOFS = 200
TABLES = ("vault_auditentry", "vault_auditbatch", "vault_auditnode", "vault_auditwitnessing")
COLUMNS = (
    "at, action, outcome, clinic_id, person, person_name, role, patient, consult, purpose, source, session, detail"
)
#: what a clinic's day looks like: staff of forty, patients who come back, half of the acts within a consult
FILL = f"""
INSERT INTO vault_auditentry ({COLUMNS})
SELECT now() - interval '1 minute',
 (array['patient.view','patient.search','patient.reveal','consult.view'])[1 + n %% 4],
 'done', '11111111-1111-4111-8111-111111111111', '22222222-2222-4222-8222-0000000000' || (10 + n %% 40),
 'Dr Amara Okafor', 'clinician', md5((n %% 200000)::text)::uuid::text,
 CASE WHEN n %% 2 = 0 THEN md5((n / 6)::text)::uuid::text ELSE '' END, CASE WHEN n %% 4 = 2 THEN 'treat' ELSE '' END,
 '192.0.2.' || n %% 250, substr(md5((n / 50)::text), 1, 12), jsonb_build_object('fields', array['phone'], 'n', n)
FROM generate_series(%s, %s) n
"""  # noqa: S608


def main(engine: str, count: int) -> dict[str, list[float]]:
    ready()
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_act (id integer PRIMARY KEY, done integer)")
        cursor.execute("INSERT INTO bench_act SELECT 1, 0")
        cursor.execute(f"CREATE TABLE bench_plain AS SELECT {COLUMNS} FROM vault_auditentry WHERE id < 0")  # noqa: S608
    found = _cost()
    if engine == "Postgres":
        found |= {"writers": _writers()} | _at_size(count)
    return found


def _cost() -> dict[str, list[float]]:
    """Microseconds of a transaction that changes a row and says so."""
    from django.db import connection, transaction

    from vault import audit

    actor = audit.Actor("clinician", str(uuid4()), "Dr Amara Okafor", uuid4(), "192.0.2.7", "abcdefgh")
    patient, consult = uuid4(), uuid4()
    clinic = actor.clinic if connection.features.has_native_uuid_field else actor.clinic.hex
    marks = ", ".join(["%s"] * 13)

    def entry() -> None:
        audit.record("patient.reveal", actor, patient=patient, consult=consult, purpose="treat", fields=["phone"])

    def plain() -> None:
        from django.utils import timezone

        at = connection.ops.adapt_datetimefield_value(timezone.now())
        row = [at, "patient.reveal", "done", clinic, actor.person, actor.person_name, actor.role, str(patient)]
        row += [str(consult), "treat", actor.source, actor.session, '{"fields": ["phone"]}']
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO bench_plain ({COLUMNS}) VALUES ({marks})", row)  # noqa: S608

    def timed(note: Callable[[], None]) -> float:
        started = time.perf_counter()
        for _ in range(TRANSACTIONS):
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("UPDATE bench_act SET done = done + 1 WHERE id = 1")
                note()
        return (time.perf_counter() - started) / TRANSACTIONS * 1e6

    timed(entry), timed(plain)
    both = [(timed(entry), timed(plain)) for _ in range(ROUNDS)]
    return {"audited": [one for one, _ in both], "beside": [one for _, one in both]}


def _writers() -> list[float]:
    """Transactions a second of 200 writers on connections of their own, the sealer running beside them."""
    from django.db import connection

    from vault import audit_key, audit_sealing, audit_verify
    from vault.models import AuditEntry

    signer = audit_key.create("bench.example/audit")
    rates = []
    connection.close()
    for _ in range(3):
        before = AuditEntry.objects.count()
        connection.close()
        stop = threading.Event()
        sealing = threading.Thread(target=audit_sealing.run, args=[stop])
        sealing.start()
        with get_context("spawn").Pool(PROCESSES) as pool:
            rates.append(sum(pool.map(_write, [WRITERS // PROCESSES] * PROCESSES)))
        stop.set()
        sealing.join()
        audit_sealing.catch_up()
        report = audit_verify.verify(signer.key)
        assert report.ok, report.faults[:3]
        assert report.size == AuditEntry.objects.count() > before
    return rates


def _write(writers: int) -> float:
    import django

    django.setup()
    from django.db import connection, transaction

    from vault import audit

    done, everybody = [0] * writers, threading.Barrier(writers)

    def write(number: int) -> None:
        actor = audit.Actor("clinician", str(uuid4()), "Dr Amara Okafor", uuid4(), "192.0.2.7", "abcdefgh")
        connection.ensure_connection()
        everybody.wait(60)
        until = time.monotonic() + WRITING_SECONDS
        while time.monotonic() < until:
            with transaction.atomic():
                audit.record("patient.view", actor, patient=uuid4())
            done[number] += 1
        connection.close()

    threads = [threading.Thread(target=write, args=[number]) for number in range(writers)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return sum(done) / WRITING_SECONDS


def _at_size(count: int) -> dict[str, list[float]]:
    from django.db import connection

    from vault import audit_key, audit_verify
    from vault.audit_seal import Sealer
    from vault.audit_tree import find, head, prove_entry
    from vault.models import AuditEntry

    signer, sealer = audit_key.load(), Sealer(audit_key.load())
    there = AuditEntry.objects.count()
    started, sealed = 0.0, 0.0
    for at in range(there, count, 500_000):
        with connection.cursor() as cursor:
            cursor.execute(FILL, [at, min(at + 500_000, count) - 1])
        started = time.perf_counter()
        while sealer.seal():
            pass
        sealed += time.perf_counter() - started
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    rates = []
    for _ in range(3):
        started = time.perf_counter()
        report = audit_verify.verify(signer.key)
        rates.append(report.entries / (time.perf_counter() - started))
        assert report.ok, report.faults[:3]
    last, took = head(), []
    pick = random.Random(5)
    for _ in range(PROOFS):
        entry = (
            AuditEntry.objects.filter(id__gte=pick.randrange(count // 2)).order_by("id").values_list("id", flat=True)[0]
        )
        started = time.perf_counter()
        prove_entry(find(entry).index, last.size)
        took.append((time.perf_counter() - started) * 1e3)
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(pg_total_relation_size(t::regclass)) FROM unnest(%s::text[]) t", [list(TABLES)])
        size = float(cursor.fetchone()[0]) / report.entries
    return {"verify": rates, "seal": [(count - there) / sealed], "proof": took, "bytes": [size]}


if __name__ == "__main__":
    answer: dict[str, Any] = main(sys.argv[1], int(sys.argv[2]))
    print(json.dumps(answer))
