"""Our side of `audit`: writes, seals, verifies and proves in one database; prints the figures as JSON."""

import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from multiprocessing import get_context
from typing import Any
from uuid import uuid4

from tests.benchmarks.vault_ours import ready

ROUNDS, TRANSACTIONS = 5, 400
WRITERS, PROCESSES, WRITING_SECONDS = 200, 2, 6.0
PROOFS = 200
#: entries of a quiet log
QUIET = 60
TABLES = ("vault_auditentry", "vault_auditbatch", "vault_auditnode", "vault_auditwitnessing")
COLUMNS = (
    "at, action, outcome, clinic_id, person, person_name, role, patient, consult, purpose, source, session, detail"
)
#: a year of clinics of forty people each: patients who come back, half of the acts within a consult
FILL = f"""
INSERT INTO vault_auditentry ({COLUMNS})
SELECT %(from)s::timestamptz + (n - %(first)s) * interval '30 days' / %(rows)s,
 (array['patient.view','patient.search','patient.reveal','consult.view'])[1 + n %% 4],
 CASE WHEN n %% 211 = 0 THEN 'refused' ELSE 'done' END,
 CASE WHEN n %% 10 < 7 THEN %(clinic)s::uuid ELSE %(other)s::uuid END,
 CASE WHEN n %% 40 = 0 THEN %(person)s ELSE md5('person' || n %% 40)::uuid::text END, 'Dr Amara Okafor', 'clinician',
 CASE WHEN n %% 4 = 1 THEN '' WHEN n %% 200000 = 0 THEN %(patient)s ELSE md5((n %% 200000)::text)::uuid::text END,
 CASE WHEN n %% 2 = 0 THEN md5((n / 6)::text)::uuid::text ELSE '' END, CASE WHEN n %% 4 = 2 THEN 'treat' ELSE '' END,
 '192.0.2.' || n %% 250, substr(md5((n / 50)::text), 1, 12), jsonb_build_object('fields', array['phone'], 'n', n)
FROM generate_series(%(first)s, %(last)s) n
"""  # noqa: S608
MONTHS = 12
#: of each page
LOOKS = 15


def main(engine: str, count: int) -> dict[str, list[float]]:
    ready()
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_act (id integer PRIMARY KEY, done integer)")
        cursor.execute("INSERT INTO bench_act SELECT 1, 0")
        cursor.execute(f"CREATE TABLE bench_plain AS SELECT {COLUMNS} FROM vault_auditentry WHERE id < 0")  # noqa: S608
    found = _cost()
    if engine == "Postgres":
        found |= _at_size(count) | _writers()
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


def _writers() -> dict[str, list[float]]:
    """Transactions a second of 200 writers on connections of their own, the sealer running beside them.

    And how long their entries waited for it; then a quiet log, where entries come one by one.
    """
    from django.db import connection
    from django.utils import timezone

    from vault import audit, audit_key, audit_sealing, audit_verify
    from vault.models import AuditEntry

    rates, waited, before = [], list[float](), AuditEntry.objects.count()
    connection.close()
    for _ in range(3):
        since = timezone.now()
        with _sealing(), get_context("spawn").Pool(PROCESSES) as pool:
            rates.append(sum(pool.map(_write, [WRITERS // PROCESSES] * PROCESSES)))
        waited += _waited(since)[::50]
    since, pick = timezone.now(), random.Random(7)
    with _sealing():
        for _ in range(QUIET):
            audit.record("patient.view", audit.SYSTEM, patient=uuid4())
            time.sleep(pick.uniform(0.05, 0.3))
    quiet = _waited(since)
    assert len(quiet) == QUIET
    audit_sealing.catch_up()
    report = audit_verify.verify(audit_key.load_public())
    assert report.ok, report.faults[:3]
    assert report.size == AuditEntry.objects.count() > before
    return {"writers": rates, "sealed after": waited, "sealed after, quiet": quiet}


@contextmanager
def _sealing() -> Iterator[None]:
    from vault import audit_sealing
    from vault.audit_tree import find
    from vault.models import AuditEntry

    stop = threading.Event()
    sealing = threading.Thread(target=audit_sealing.run, args=[stop])
    sealing.start()
    try:
        yield
        newest = AuditEntry.objects.latest("id").pk
        while find(newest) is None:  # whoever waits longest counts too
            time.sleep(0.05)
    finally:
        stop.set()
        sealing.join()


def _waited(since: Any) -> list[float]:
    """Milliseconds from each entry's own time to its batch's, of all that were sealed since."""
    from vault.core.entries import unpacked
    from vault.models import AuditBatch, AuditEntry

    found = []
    for batch in AuditBatch.objects.filter(at__gte=since):
        written = AuditEntry.objects.filter(id__in=unpacked(bytes(batch.ids)), at__gte=since)
        found += [(batch.at - at).total_seconds() * 1e3 for at in written.values_list("at", flat=True)]
    return sorted(found)


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

    from tests import cast
    from vault import audit_key, audit_verify
    from vault.audit_seal import Sealer
    from vault.models import AuditEntry

    people = cast.assemble()
    there, sealer = AuditEntry.objects.count(), Sealer(audit_key.create("bench.example/audit"))
    _fill(people, there, count)
    started = time.perf_counter()
    while sealer.seal():
        pass
    sealed = time.perf_counter() - started
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    found: dict[str, list[float]] = {"seal": [(count - there) / sealed]}
    for name, where, processes in (
        ("verify", _one_core, 1),
        ("verify apart", nullcontext, 1),
        ("by two", nullcontext, 2),
    ) * 3:
        with where():
            started = time.perf_counter()
            report = audit_verify.verify(sealer.signer.key, processes=processes)
            found.setdefault(name, []).append(report.entries / (time.perf_counter() - started))
        assert report.ok, report.faults[:3]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(pg_total_relation_size(t)) FROM (SELECT unnest(%s::text[])::regclass t UNION ALL"
            " SELECT inhrelid FROM pg_inherits WHERE inhparent = 'vault_auditentry'::regclass) every",
            [list(TABLES)],
        )
        found["bytes"] = [float(cursor.fetchone()[0]) / report.entries]
    return found | {"proof": _proofs(count)} | _pages(people)


@contextmanager
def _one_core() -> Iterator[None]:
    """This process and the server's that reads for it, both on one core."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        both, cores = (0, cursor.fetchone()[0]), os.sched_getaffinity(0)
    for process in both:
        os.sched_setaffinity(process, {min(cores)})
    try:
        yield
    finally:
        for process in both:
            os.sched_setaffinity(process, cores)


def _fill(people: Any, there: int, count: int) -> None:
    """Month after month, so that the newest ends now."""
    from django.db import connection
    from django.utils import timezone

    from vault import audit_months

    now, rows = timezone.now(), (count - there) // MONTHS
    names = {"clinic": str(people.clinic.pk), "other": str(people.other_clinic.pk)}
    names |= {"person": str(people.clinician.pk), "patient": str(people.patient.pk), "rows": rows}
    for month in range(MONTHS):
        since = now - timedelta(days=30 * (MONTHS - month))
        first = there + month * rows
        with connection.cursor() as cursor:
            cursor.execute(FILL, names | {"from": since, "first": first, "last": first + rows - 1})
        if month < MONTHS - 1:
            audit_months.close(now=now + timedelta(days=40))


def _proofs(count: int) -> list[float]:
    from vault.audit_tree import find, head, prove_entry
    from vault.models import AuditEntry

    last, took, pick = head(), [], random.Random(5)
    for _ in range(PROOFS):
        entry = (
            AuditEntry.objects.filter(id__gte=pick.randrange(count // 2)).order_by("id").values_list("id", flat=True)[0]
        )
        started = time.perf_counter()
        prove_entry(find(entry).index, last.size)
        took.append((time.perf_counter() - started) * 1e3)
    return took


def _pages(people: Any) -> dict[str, list[float]]:
    """Milliseconds of pages of the log as an officer asks for them, with the entry that each writes."""
    from django.conf import settings
    from django.urls import reverse

    from consults import audit_activity, audit_lists
    from tests.cast import sign_in

    # Hashed names need a collectstatic, and cost nothing to speak of.
    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    audit_activity.keep_up()
    officer, log = sign_in(people.officer, SERVER_NAME="localhost"), reverse("admin:vault_auditentry_changelist")
    middle, of_her = audit_lists.newest_id() // 2, f"person={people.clinician.pk}"
    kinds = {
        "newest": ["", "about=records"],
        "middle and last": [f"before={middle}", f"after={middle}", "oldest", "before=5000"],
        "filters": [
            "action=patient.reveal",
            "outcome=refused",
            "role=clinician&oldest",
            "since=2026-06-01&until=2026-06-07",
        ],
        "rare": [
            "action=patient.break_glass",
            f"{of_her}&action=consent.withdraw",
            f"before={middle}&action=consent.give",
        ],
        "of one": [
            of_her,
            f"{of_her}&outcome=refused",
            f"patient={people.patient.pk}",
            f"patient={people.patient.pk}&oldest",
        ],
    }
    addresses = {kind: [f"{log}?{query}" for query in queries] for kind, queries in kinds.items()}
    addresses["timelines"] = [
        reverse("admin:vault_auditentry_patient", args=[people.patient.pk]),
        reverse("admin:vault_auditentry_person", args=[people.clinician.pk]),
        reverse("admin:vault_auditentry_person", args=[people.clinician.pk]) + "?order=oldest",
    ]
    found: dict[str, list[float]] = {kind: [] for kind in addresses}
    for _ in range(LOOKS):
        for kind, some in addresses.items():
            for address in some:
                started = time.perf_counter()
                answer = officer.get(address)
                found[kind].append((time.perf_counter() - started) * 1e3)
                assert answer.status_code == 200, (address, answer.status_code)
    return {f"page {kind}": took[len(addresses[kind]) :] for kind, took in found.items()}


if __name__ == "__main__":
    answer: dict[str, Any] = main(sys.argv[1], int(sys.argv[2]))
    print(json.dumps(answer))
