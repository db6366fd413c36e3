"""Whoever rewrites the log, with every right in the database, is found out, and the first bad entry is named."""

import threading
from contextlib import contextmanager
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection, transaction
from django.utils import timezone

from tests.cast import BY
from vault import audit_key, audit_seal, audit_sealing, audit_ship, audit_verify
from vault.append_only import lift_statements, statements
from vault.audit import record
from vault.audit_leaves import leaves_of
from vault.audit_seal import Sealer
from vault.audit_tree import Broken, find, head, prove_entry, prove_growth
from vault.core.entries import packed, unpacked
from vault.core.notes import Signer
from vault.core.tlog import leaf_hash, verify_consistency, verify_inclusion
from vault.models import AuditBatch, AuditEntry, AuditNode

TABLES = (
    *("vault_auditentry", "vault_auditbatch", "vault_auditnode", "vault_auditwitnessing"),
    *("vault_auditarchive", "vault_auditcarried"),
)


@pytest.fixture
def key(settings, tmp_path):
    settings.AUDIT_KEY_FILE = str(tmp_path / "audit_key")
    return audit_key.create("clinic.example/audit")


@pytest.fixture
def log(db, key):
    """Twelve entries in four batches; their ids."""
    made = []
    for _ in range(4):
        made += [record("patient.view", BY, n=len(made) + n).pk for n in range(3)]
        audit_sealing.catch_up()
    return made


def verified(key, seen=()):
    return audit_verify.verify(key.key, seen)


@contextmanager
def as_thief():
    """The database's own administrator, whom no trigger stops."""
    with connection.cursor() as cursor:
        for table in TABLES:
            for statement in lift_statements(table, connection.vendor):
                cursor.execute(statement)
        yield cursor
        for table in TABLES:
            for statement in statements(table, connection.vendor):
                cursor.execute(statement)


def test_an_untouched_log_verifies(log, key):
    report = verified(key)
    assert (report.ok, report.entries, report.size, report.faults) == (True, 12, 12, [])


def test_an_empty_log_does_not(db, key):
    report = verified(key)
    assert not report.ok
    assert "empty" in report.faults[0].what


COLUMNS = (
    "at, action, outcome, clinic_id, person, person_name, role, patient, consult, purpose, source, session, detail"
)


def _copy(cursor, entry, change=""):
    columns = COLUMNS.replace("at,", f"{change or 'at'},", 1) if change else COLUMNS
    cursor.execute(
        f"INSERT INTO vault_auditentry ({COLUMNS}) SELECT {columns} FROM vault_auditentry WHERE id = {entry}"
    )


def edit(cursor, log):
    cursor.execute("UPDATE vault_auditentry SET person = 'somebody else' WHERE id = %s", [log[4]])


def change_the_time(cursor, log):
    AuditEntry.objects.filter(pk=log[4]).update(at=timezone.now() - timedelta(days=1))


def delete_in_the_middle(cursor, log):
    cursor.execute("DELETE FROM vault_auditentry WHERE id = %s", [log[4]])


def delete_at_the_end(cursor, log):
    cursor.execute("DELETE FROM vault_auditentry WHERE id = %s", [log[11]])


def swap(cursor, log):
    for old, new in ((log[4], -1), (log[5], log[4]), (-1, log[5])):
        cursor.execute("UPDATE vault_auditentry SET id = %s WHERE id = %s", [new, old])


def truncate(cursor, log):
    cursor.execute("TRUNCATE vault_auditentry" if connection.vendor == "postgresql" else "DELETE FROM vault_auditentry")


@pytest.mark.parametrize(
    ("tamper", "at", "what"),
    [
        (edit, 4, "changed"),
        (change_the_time, 4, "changed"),
        (delete_in_the_middle, 4, "gone"),
        (delete_at_the_end, 11, "gone"),
        (swap, 4, "changed"),
        (truncate, 0, "gone"),
    ],
)
def test_the_first_bad_entry_is_named(log, key, tamper, at, what):
    with as_thief() as cursor:
        tamper(cursor, log)
    report = verified(key)
    assert not report.ok
    assert (report.faults[0].entry, report.faults[0].index) == (log[at], at)
    assert what in report.faults[0].what


#: SQLite keeps in a column whatever was put there
ODD = {
    "at": ["'garbage'", "5", "'9999-99-99'"],
    "clinic_id": ["'zz'"],
    "person": ["x'ff00'", "3.5", "cast(x'ff' AS text)"],
    "detail": ["'[1]'", "'{\"n\": 1e400}'", "'\"\\ud800\"'"],
}


@pytest.mark.parametrize(("column", "value"), [(column, value) for column, some in ODD.items() for value in some])
def test_an_entry_of_another_shape_is_named_and_read_on(log, key, column, value):
    if connection.vendor != "sqlite":
        pytest.skip("columns of Postgres have types")
    with as_thief() as cursor:
        cursor.execute(f"UPDATE vault_auditentry SET {column} = {value} WHERE id = {log[4]}")
    (fault,) = verified(key).faults
    assert (fault.entry, fault.what) == (log[4], "An entry was changed.")
    record("signin", BY)
    audit_sealing.catch_up()  # and the log goes on
    assert head().size == 13


@pytest.mark.parametrize(
    "change",
    ["at = 'garbage'", "ids = 'x'", "ids = x'00'", "hashes = 'x'", "awaited = 'x'", "signature = 5", "size = 'x'"],
)
def test_a_batch_of_another_shape_is_a_fault_and_no_crash(log, key, change):
    if connection.vendor != "sqlite":
        pytest.skip("columns of Postgres have types")
    with as_thief() as cursor:
        cursor.execute(f"UPDATE vault_auditbatch SET {change} WHERE first = 9")
    assert verified(key).faults


def test_an_entry_put_in_under_an_id_that_is_said_to_be_awaited_is_named(log, key, clock):
    """The list of what is awaited is signed by nobody."""
    with as_thief() as cursor:
        _copy(cursor, log[4])
        cursor.execute("UPDATE vault_auditentry SET id = 0, purpose = 'x' WHERE id > %s", [log[11]])
        AuditBatch.objects.filter(first=9).update(awaited=packed([0]))
    clock.move(600)
    (fault,) = verified(key).faults
    assert (fault.entry, "more than five minutes" in fault.what) == (0, True)


@pytest.mark.parametrize("time", ["infinity", "-infinity", "294270-01-01"])
def test_a_time_beyond_ours_is_named_and_read_on(log, key, time):
    if connection.vendor != "postgresql":
        pytest.skip("only Postgres has it")
    with as_thief() as cursor:
        cursor.execute("UPDATE vault_auditentry SET at = %s WHERE id = %s", [time, log[4]])
    (fault,) = verified(key).faults
    assert (fault.entry, fault.what) == (log[4], "An entry was changed.")
    assert len(audit_ship.piece_after(0).entries) == 12


def test_an_entry_put_in_between_is_named(db, key, monkeypatch):
    monkeypatch.setattr(audit_seal, "_transactions", lambda: (0, 0))  # nothing under way that could still use an id
    first = record("signin", BY).pk
    with as_thief() as cursor:  # ids that a rolled-back transaction took
        if connection.vendor == "postgresql":
            cursor.execute("SELECT nextval('vault_auditentry_id_seq') FROM generate_series(1, 5)")
        cursor.execute("UPDATE vault_auditentry SET id = id + 5 WHERE id = %s", [first])
    audit_sealing.catch_up()
    with as_thief() as cursor:
        _copy(cursor, first + 5)
        cursor.execute("UPDATE vault_auditentry SET id = %s WHERE id <> %s", [first + 2, first + 5])
    faults = verified(key).faults
    assert [f.entry for f in faults if "put in" in f.what] == [first + 2]


def test_an_entry_that_is_sealed_twice_is_named(log, key):
    with as_thief() as cursor:
        _copy(cursor, log[4])
    audit_sealing.catch_up()
    (fault,) = verified(key).faults
    assert "twice" in fault.what
    assert fault.entry == AuditEntry.objects.order_by("-id").first().pk


def test_an_entry_with_an_older_time_that_was_sealed_now_is_named(log, key):
    with as_thief() as cursor:
        _copy(cursor, log[4])
        newest = AuditEntry.objects.order_by("-id").first().pk
        AuditEntry.objects.filter(pk=newest).update(at=timezone.now() - timedelta(hours=3))
    audit_sealing.catch_up()
    (fault,) = verified(key).faults
    assert "time" in fault.what
    assert fault.entry == newest


def test_entries_from_before_the_tree_and_from_when_the_sealer_was_away_are_as_good(db, key, clock, monkeypatch):
    monkeypatch.setattr(audit_seal, "FULL", 4)
    monkeypatch.setattr(audit_verify, "FULL", 4)
    for day in range(11):
        record("patient.view", BY, n=day)
        clock.move(86_400)
    audit_sealing.catch_up()
    for hour in range(11):
        record("patient.view", BY, n=20 + hour)
        clock.move(3_600)
    audit_sealing.catch_up()
    assert verified(key).ok
    newest = record("patient.view", BY, n=99).pk
    with as_thief():
        AuditEntry.objects.filter(pk=newest).update(at=timezone.now() - timedelta(hours=5))
    audit_sealing.catch_up()
    assert [fault.entry for fault in verified(key).faults] == [newest]


def test_an_entry_that_nobody_seals_is_named(log, key, clock):
    entry = record("signin", BY).pk
    clock.move(600)
    (fault,) = verified(key).faults
    assert fault.entry == entry
    assert "sealer" in fault.what


def _made_anew(key):
    """Every hash as it would be, over the entries as they stand: what is left is the signature."""
    entries = list(AuditEntry.objects.order_by("id").values_list("id", flat=True))
    with as_thief() as cursor:
        for table in ("vault_auditbatch", "vault_auditnode"):
            cursor.execute(f"DELETE FROM {table}")
        signatures = Sealer(key)
        while signatures.seal():
            pass
    return entries


def test_hashes_made_anew_need_the_key(log, key):
    with as_thief() as cursor:
        edit(cursor, log)
    _made_anew(Signer(key.key.name, Ed25519PrivateKey.generate()))
    (fault,) = verified(key).faults
    assert "not signed" in fault.what


def test_hashes_made_anew_with_the_stolen_key_differ_from_what_was_seen_outside(log, key):
    seen = [audit_verify.Seen(b.size, bytes(b.root), f"copy {b.size}") for b in AuditBatch.objects.all()]
    assert verified(key, seen).ok
    with as_thief() as cursor:
        edit(cursor, log)
    _made_anew(key)
    assert verified(key).ok  # from the inside it is a good log
    fault = verified(key, seen).faults[0]
    assert "another" in fault.what
    assert fault.index == 3  # 3 entries agree with what was seen; entry 4 is in the next
    assert "copy 6" in fault.what


def test_a_log_put_back_to_an_older_state_is_shorter_than_what_was_seen(log, key):
    last = head()
    seen = [audit_verify.Seen(last.size, bytes(last.root), "the witness")]
    with as_thief() as cursor:
        cursor.execute("DELETE FROM vault_auditbatch WHERE first = %s", [last.first])
        cursor.execute("DELETE FROM vault_auditentry WHERE id >= %s", [log[9]])
    assert verified(key).ok
    (fault,) = verified(key, seen).faults
    assert "put back or cut" in fault.what
    assert fault.index == 9


def test_a_log_dropped_and_begun_anew_is_another(log, key):
    last = head()
    seen = [audit_verify.Seen(last.size, bytes(last.root), "the witness")]
    with as_thief() as cursor:
        for table in TABLES:
            cursor.execute(f"DELETE FROM {table}")
    assert not verified(key, seen).ok
    for n in range(13):
        record("patient.view", BY, n=n)
    audit_sealing.catch_up()
    assert "another" in verified(key, seen).faults[0].what


@pytest.mark.django_db(transaction=True)
def test_a_table_that_was_dropped_and_made_anew_with_the_same_entries_but_one_is_named(key):
    """Entries, hashes and signatures were copied out and back; only what it wanted gone is not there."""
    made = [record("patient.view", BY, n=n).pk for n in range(3)]
    audit_sealing.catch_up()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE aside AS SELECT * FROM vault_auditentry")
        if connection.vendor == "postgresql":
            cursor.execute("ALTER TABLE vault_auditentry RENAME TO dropped")
            cursor.execute("CREATE TABLE vault_auditentry (LIKE dropped INCLUDING DEFAULTS)")
        else:
            cursor.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'vault_auditentry'")
            ((sql,),) = cursor.fetchall()
            cursor.execute("ALTER TABLE vault_auditentry RENAME TO dropped")
            cursor.execute(sql)
        cursor.execute("INSERT INTO vault_auditentry SELECT * FROM aside WHERE id <> %s", [made[1]])
        try:
            (fault,) = verified(key).faults
        finally:
            cursor.execute("DROP TABLE vault_auditentry")
            cursor.execute("ALTER TABLE dropped RENAME TO vault_auditentry")
            cursor.execute("DROP TABLE aside")
    assert (fault.entry, fault.what) == (made[1], "An entry is gone.")


def test_of_two_heads_of_one_size_the_other_is_named_and_from_where_it_may_differ(log, key):
    batches = list(AuditBatch.objects.order_by("first"))
    seen = [audit_verify.Seen(9, bytes(batches[2].root), "the file")]
    for where, root in (("the file", bytes(head().root)), ("a witness", b"x" * 32)):
        seen.append(audit_verify.Seen(12, root, where))
    first, second = verified(key, seen).faults
    assert "Two heads of one size: the file and a witness" in first.what
    assert "12 entries that a witness has" in second.what
    assert (second.entry, second.index) == (log[9], 9)


def _backdate():
    """A new entry that says it is years old, and with it the batch that it came in with and the one before."""
    forged, old = record("consent.give", BY).pk, timezone.now() - timedelta(days=700)
    with as_thief():
        AuditEntry.objects.filter(pk=forged).update(at=old)
        audit_sealing.catch_up()
        AuditBatch.objects.filter(first__gte=9).update(at=old)
    return forged


def test_an_entry_made_older_with_the_times_of_its_batches_is_named(log, key):
    forged = _backdate()
    faults = verified(key).faults
    assert forged not in [fault.entry for fault in faults]  # for which those before it do not fit any more
    assert [fault.entry for fault in faults if "time is not that of its sealing" in fault.what] == log[9:]


def test_a_clock_that_was_set_back_is_named(log, key, clock):
    clock.move(-86_400)
    late = record("patient.view", BY, n="yesterday").pk
    audit_sealing.catch_up()
    (fault,) = verified(key).faults
    assert fault.entry == late
    assert "a clock was wrong" in fault.what


def test_a_clock_that_is_put_right_is_nothing(log, key, clock):
    clock.move(-900)
    record("patient.view", BY, n="it was a quarter of an hour fast")
    audit_sealing.catch_up()
    assert verified(key).ok


@pytest.mark.parametrize(("column", "number"), [("hashes", 1), ("ids", 1), ("root", 3), ("signature", 3)])
def test_a_changed_batch_is_named(log, key, column, number):
    """Of older batches, root and signature are not asked: the newest signed root has all of them in it."""
    batch = AuditBatch.objects.order_by("first")[number]
    value = bytes(getattr(batch, column))
    with as_thief():
        AuditBatch.objects.filter(pk=batch.pk).update(**{column: bytes([value[0] ^ 1]) + value[1:]})
    assert any(fault.index == 3 * number or fault.entry == log[3 * number] for fault in verified(key).faults)


def test_a_batch_taken_out_is_named(log, key):
    with as_thief() as cursor:
        cursor.execute("DELETE FROM vault_auditbatch WHERE first = 3")
    assert verified(key).faults[0].entry == log[3]


def test_every_entry_has_a_proof_and_every_head_grew_from_the_one_before(log, key):
    sizes = list(AuditBatch.objects.values_list("size", "root"))
    leaves = dict(zip(log, _hashes(log), strict=True))
    for entry in log:
        place = find(entry)
        for size, root in sizes:
            if place.index < size:
                verify_inclusion(leaves[entry], place.index, size, prove_entry(place.index, size), bytes(root))
    for old, old_root in sizes:
        for new, new_root in sizes:
            if old <= new:
                verify_consistency(old, bytes(old_root), new, bytes(new_root), prove_growth(old, new))


def _hashes(log):
    return [leaf_hash(leaf) for leaf in leaves_of(log)]


def test_a_long_log_has_nodes_and_proofs(db, key):
    AuditEntry.objects.bulk_create(
        AuditEntry(at=timezone.now(), action="patient.view", role="system", detail={"n": n}) for n in range(1500)
    )
    audit_sealing.catch_up()
    record("signin", BY)
    audit_sealing.catch_up()
    assert AuditNode.objects.count() == 5
    assert verified(key).ok
    last = head()
    for index in (0, 255, 256, 1279, 1280, 1499, 1500):
        entry = AuditEntry.objects.order_by("id")[index].pk
        assert find(entry).index == index
        (leaf,) = _hashes([entry])
        verify_inclusion(leaf, index, last.size, prove_entry(index, last.size), bytes(last.root))
    with as_thief() as cursor:
        cursor.execute("DELETE FROM vault_auditnode WHERE place = (SELECT min(place) FROM vault_auditnode)")
    assert "inside the tree" in verified(key).faults[0].what


def test_an_entry_under_an_id_far_above_stops_no_sealer_and_spoils_nothing_after_it(log, key, clock):
    with as_thief() as cursor:
        _copy(cursor, log[4])
        cursor.execute("UPDATE vault_auditentry SET id = %s, purpose = 'x' WHERE id > %s", [10**12, log[11]])
    later = [record("signin", BY, n=n).pk for n in range(3)]
    audit_sealing.catch_up()
    assert all(find(one) for one in later)
    if connection.vendor == "postgresql":
        assert find(10**12) is None  # whose ids go on below it
        clock.move(600)
        assert [fault.entry for fault in verified(key).faults] == [10**12]


def test_ids_drawn_by_the_thousand_and_not_used_are_waited_out_and_not_remembered(log, key, monkeypatch):
    if connection.vendor != "postgresql":
        pytest.skip("On SQLite no id is awaited.")
    monkeypatch.setattr(audit_seal, "LEAP", 50)
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('vault_auditentry_id_seq') FROM generate_series(1, 60)")
    after, sealer, under_way = record("signin", BY).pk, Sealer(key), (5, 7)
    monkeypatch.setattr(audit_seal, "_transactions", lambda: under_way)
    assert sealer.seal() == 0
    monkeypatch.setattr(audit_seal, "AWAITED_SECONDS", 0)
    assert sealer.seal() == 0  # the fifth may still use one
    under_way = (7, 9)
    assert sealer.seal() == 1
    assert find(after)
    assert not set(unpacked(bytes(head().awaited))) & set(range(log[-1] + 1, after))
    assert verified(key).ok


def test_a_sealer_signs_nothing_on_top_of_damage(log, key):
    with as_thief():
        AuditBatch.objects.filter(first=9).update(root=b"x" * 32)
    record("signin", BY)
    with pytest.raises(Broken):
        Sealer(key).seal()
    assert head().first == 9


def test_sealers_side_by_side_make_one_log(db, key):
    one, other = Sealer(key), Sealer(key)
    for n in range(6):
        record("patient.view", BY, n=n)
        (one, other)[n % 2].seal()
    assert verified(key).ok
    assert head().size == 6


@pytest.mark.django_db(transaction=True)
def test_writers_side_by_side_leave_no_gap(key):
    def write():
        for n in range(20):
            with transaction.atomic():
                record("patient.view", BY, n=n)
                transaction.set_rollback(n % 5 == 0)
        connection.close()

    stop = threading.Event()
    sealing = threading.Thread(target=audit_sealing.run, args=[stop])
    sealing.start()
    writers = [threading.Thread(target=write) for _ in range(6)]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    stop.set()
    sealing.join()
    audit_sealing.catch_up()
    report = verified(key)
    assert report.ok, report.faults
    assert report.size == AuditEntry.objects.count() == 6 * 16


def _begun(stop, ids):
    """Take an id, and commit when told: what it wrote becomes visible after later entries were sealed."""
    with transaction.atomic():
        ids.append(record("patient.view", BY, n="late").pk)
        stop.wait(20)
    connection.close()


@pytest.mark.django_db(transaction=True)
def test_an_entry_that_commits_late_is_awaited_and_sealed(key):
    if connection.vendor != "postgresql":
        pytest.skip("On SQLite transactions come one after another.")
    stop, ids = threading.Event(), []
    late = threading.Thread(target=_begun, args=[stop, ids])
    late.start()
    while not ids:
        stop.wait(0.01)
    after = record("patient.view", BY, n="after").pk
    sealer = Sealer(key)
    while sealer.seal():
        pass
    assert find(after) is not None
    assert find(ids[0]) is None
    assert verified(key).ok
    stop.set()
    late.join()
    assert sealer.seal() == 1
    assert find(ids[0]).index == find(after).index + 1
    assert verified(key).ok


@pytest.mark.django_db(transaction=True)
def test_an_id_that_a_rolled_back_transaction_took_is_awaited_no_longer_than_needed(key, monkeypatch):
    if connection.vendor != "postgresql":
        pytest.skip("On SQLite transactions come one after another.")
    monkeypatch.setattr(audit_seal, "AWAITED_SECONDS", 0)
    with transaction.atomic():
        gone = record("signin", BY).pk
        transaction.set_rollback(True)
    sealer = Sealer(key)
    for n in range(4):
        record("patient.view", BY, n=n)
        sealer.seal()
    assert gone not in unpacked(bytes(head().awaited))
    with as_thief() as cursor:
        _copy(cursor, AuditEntry.objects.latest("id").pk)
        cursor.execute(
            "UPDATE vault_auditentry SET id = %s, source = 'x' WHERE id = (SELECT max(id) FROM vault_auditentry)",
            [gone],
        )
    assert [fault.entry for fault in verified(key).faults] == [gone]
