"""The audit log grows and nothing else, holds clean single lines, and stands or falls with the act."""

import pytest
from django.db import DatabaseError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from tests.cast import BY, bring_to
from vault import audit
from vault.append_only import lift_statements, statements
from vault.audit import ACTIONS, Actor, clean, record
from vault.models import AuditEntry

REWRITES = [
    "UPDATE vault_auditentry SET person = 'somebody else'",
    "UPDATE vault_auditentry SET at = at",
    "DELETE FROM vault_auditentry",
    "DELETE FROM vault_auditentry WHERE id = (SELECT max(id) FROM vault_auditentry)",
]


@pytest.mark.parametrize("statement", REWRITES)
def test_an_entry_cannot_be_changed_or_removed(db, statement):
    record("signin", Actor(role="clinician", person="1"))
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert AuditEntry.objects.get().person == "1"


def test_the_models_own_verbs_are_refused_too(db):
    entry = record("signin", BY)
    entry.person = "somebody else"
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        entry.save()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        entry.delete()


def test_the_table_cannot_be_emptied_at_once(db):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no TRUNCATE; its DELETE is refused above")
    record("signin", BY)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("TRUNCATE vault_auditentry")


@pytest.mark.parametrize("table", ["vault_auditentry", "consults_consent", "consults_consentstatement"])
def test_the_migrations_put_the_triggers_on(db, table):
    query = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s",
        "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = %s::regclass",
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(query, [table])
        assert len(cursor.fetchall()) == 2


@pytest.mark.parametrize("make", [statements, lift_statements])
def test_every_engine_that_is_known_has_statements(make):
    assert make("t", "sqlite")
    assert make("t", "postgresql")


def test_an_engine_without_triggers_is_refused():
    with pytest.raises(NotImplementedError):
        statements("t", "mysql")


@pytest.mark.parametrize("action", ["", "signed in", "patient.reveal ", "SIGNIN"])
def test_an_unknown_action_is_refused(db, action):
    with pytest.raises(ValueError, match="unknown audit action"):
        record(action, BY)


def test_every_action_has_a_sentence_that_fits_its_column():
    limit = AuditEntry._meta.get_field("action").max_length
    assert all(len(action) <= limit and sentence for action, sentence in ACTIONS.items())


HOSTILE = [
    ("two\nlines", "two lines"),
    ("two\r\nlines", "two lines"),
    ("a\x1b[31mred", "a [31mred"),
    ("null\0byte", "null byte"),
    ("read\u202ebackwards", "read backwards"),
    ("hidden\u200bjoin", "hidden join"),
    ("a\u2028b\u2029c\x85d", "a b c d"),
    ("half\ud800pair", "half pair"),
    ("  wide   \t gaps ", "wide gaps"),
]


@pytest.mark.parametrize(("text", "kept"), HOSTILE)
def test_text_is_one_clean_line(db, text, kept):
    entry = record("signin", Actor(role="nobody", person_name=text, source=text), purpose=text, path=text)
    entry.refresh_from_db()
    assert (entry.person_name, entry.source, entry.purpose, entry.detail["path"]) == (kept,) * 4


@given(text=st.text(max_size=300), limit=st.integers(1, 200))
def test_clean_text_is_short_and_printable(text, limit):
    kept = clean(text, limit)
    assert len(kept) <= limit
    assert len(kept.splitlines()) <= 1
    assert kept.isprintable() or all(c.isprintable() or c.isspace() for c in kept)


def test_an_entry_goes_when_its_act_goes(db):
    with transaction.atomic():
        record("signin", BY)
        transaction.set_rollback(True)
    assert not AuditEntry.objects.exists()


def test_an_act_goes_when_its_entry_cannot_be_written(cast, monkeypatch):
    now = bring_to("waiting", cast.clinician, cast.patient)

    def away(*_args, **_kwargs):
        raise DatabaseError("away")

    monkeypatch.setattr(audit, "record", away)
    from consults import visit

    with pytest.raises(DatabaseError):
        visit.admit(now.consult, BY)
    now.consult.refresh_from_db()
    assert now.consult.admitted_at is None


def test_times_are_utc_and_the_newest_entry_comes_first(db):
    record("signin", BY)
    record("signout", BY)
    entries = list(AuditEntry.objects.all())
    assert [e.action for e in entries] == ["signout", "signin"]
    assert entries[0].at.utcoffset().total_seconds() == 0
    assert entries[0].at >= entries[1].at


def test_a_whole_visit_leaves_its_entries_in_order(cast):
    bring_to("ended", cast.clinician, cast.patient)
    actions = list(AuditEntry.objects.order_by("id").values_list("action", flat=True))
    assert actions[3:] == [
        "consult.create",
        "invite.create",
        "invite.redeem",
        "identity.check",
        "consult.devices",
        "consent.voice.agree",
        "consent.give",
        "consult.waiting",
        "consult.admit",
        "consult.end",
    ]
