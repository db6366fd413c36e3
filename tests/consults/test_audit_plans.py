"""No page of the log reads the whole log: every statement's plan, on Postgres with rows enough for a plan to matter."""

import json
import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from consults import audit_activity, audit_files, audit_lists
from consults.audit_filters import Wanted
from tests.cast import bring_to
from tests.consults.audit_log import LIST
from vault import audit_months
from vault.models import AuditEntry

ROWS = 300_000
#: a year of a log: two clinics, forty people, five thousand patients, mostly looking and reading
FILL = """
INSERT INTO vault_auditentry (at, action, outcome, clinic_id, person, person_name, role, patient, consult, purpose,
  source, session, detail)
SELECT now() - (%(rows)s - n) * interval '365 days' / %(rows)s,
  CASE WHEN n %% 10007 = 0 THEN 'patient.break_glass' WHEN n %% 10 = 0 THEN 'patient.reveal' ELSE 'patient.view' END,
  CASE WHEN n %% 101 = 0 THEN 'refused' ELSE 'done' END,
  CASE WHEN n %% 10 = 9 THEN %(other)s::uuid ELSE %(clinic)s::uuid END,
  CASE WHEN n %% 40 = 0 THEN %(person)s ELSE md5('person' || n %% 40)::uuid::text END,
  'Somebody', 'clinician',
  CASE WHEN n %% 5000 = 0 THEN %(patient)s ELSE md5('patient' || n %% 5000)::uuid::text END,
  CASE WHEN n %% 20000 = 0 THEN %(consult)s ELSE '' END, '', '198.51.100.7', '', '{}'
FROM generate_series(%(first)s, %(last)s) n
"""
#: into so many months
PARTS = 2


def fill(cast, consult, rows=ROWS):
    names = {
        "rows": rows,
        "clinic": str(cast.clinic.pk),
        "other": str(cast.other_clinic.pk),
        "person": str(cast.clinician.pk),
        "patient": str(cast.patient.pk),
        "consult": str(consult.pk),
    }
    for part in range(PARTS):
        with connection.cursor() as cursor:
            cursor.execute(FILL, names | {"first": part * rows // PARTS + 1, "last": (part + 1) * rows // PARTS})
        if part < PARTS - 1:
            assert audit_months.close(now=timezone.now() + timedelta(days=40))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE vault_auditentry")


@pytest.fixture
def full(cast):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has plans of its own, and small logs")
    consult = bring_to("started", cast.clinician, cast.patient).consult
    fill(cast, consult)
    audit_activity.keep_up()
    return consult


def addresses(cast, consult):
    queries = [
        "",
        "oldest",
        "action=patient.reveal",
        "action=patient.break_glass",
        "action=consent.withdraw",
        "outcome=refused&oldest",
        "about=records&role=clinician",
        f"person={cast.clinician.pk}",
        f"person={cast.clinician.pk}&action=patient.break_glass",
        f"patient={cast.patient.pk}",
        f"patient={cast.patient.pk}&outcome=refused",
        f"consult={consult.pk}",
        "since=2026-01-01&until=2026-01-07",
        "until=2026-03-01&action=patient.reveal",
    ]
    middle = audit_lists.newest_id() // 2
    yield from (f"{LIST}?{query}" for query in queries)
    yield from (f"{LIST}?before={middle}&{query}" for query in queries)
    yield from (f"{LIST}?after={middle}&{query}" for query in queries)
    for name, key in {"patient": cast.patient.pk, "person": cast.clinician.pk, "consult": consult.pk}.items():
        address = reverse(f"admin:vault_auditentry_{name}", args=[key])
        yield from (f"{address}?order={order}&{more}" for order in ("newest", "oldest") for more in ("", "oldest"))
    for name in ("activity", "reviews", "export"):
        yield reverse(f"admin:vault_auditentry_{name}")
    yield from (f"{reverse('admin:vault_auditentry_activity')}?span={span}" for span in audit_activity.SPANS)


def plans(queries):
    for query in queries:
        if query["sql"].startswith("SELECT") and "vault_auditentry" in query["sql"]:
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (FORMAT JSON) {query['sql'].replace('%', '%%')}")
                (plan,) = cursor.fetchone()
            yield query["sql"], plan if isinstance(plan, str) else json.dumps(plan)


def whole_reads(queries):
    return [
        re.sub(r"SELECT .* FROM", "SELECT … FROM", sql)
        for sql, plan in plans(queries)
        if re.search(r'"Node Type": "[^"]*Seq Scan"[^{}]*"Relation Name": "vault_auditentry(_\w+)?"', plan)
    ]


def test_a_whole_read_would_be_seen(full):
    with CaptureQueriesContext(connection) as queries:
        list(AuditEntry.objects.filter(source="x"))
    assert len(whole_reads(queries)) == 1


def test_no_page_reads_the_whole_log(cast, office, full):
    bad = {}
    for address in addresses(cast, full):
        with CaptureQueriesContext(connection) as queries:
            assert office.get(address).status_code == 200, address
        if found := whole_reads(queries):
            bad[address] = found
    assert bad == {}


def test_no_file_reads_the_whole_log_at_once(cast, office, full, monkeypatch):
    monkeypatch.setattr(audit_files, "MOST_ROWS", 3000)
    for wanted in (Wanted(), Wanted(action="patient.break_glass"), Wanted(person=str(cast.clinician.pk))):
        with CaptureQueriesContext(connection) as queries:
            answer = office.post(f"{reverse('admin:vault_auditentry_export')}?{wanted.query}", {"form": "csv"})
            assert b"".join(answer.streaming_content)
        assert whole_reads(queries) == []
