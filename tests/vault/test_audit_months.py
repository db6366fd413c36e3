"""Months of the log: closed, archived into files that verify alone, and dropped from a database that still verifies."""

import gzip
import io
import shutil
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from tests.cast import BY
from tests.vault.test_audit_verify import as_thief
from vault import audit_archive, audit_key, audit_months, audit_seal, audit_sealing, audit_verify, patients
from vault.audit import record
from vault.core import archives
from vault.core.entries import id_of
from vault.core.sealing import CannotOpen
from vault.models import AuditArchive, AuditBatch, AuditCarried, AuditEntry, SealedRecord
from vault.records import read_record

on_postgres = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="months are parts on Postgres only")


@pytest.fixture(autouse=True)
def nothing_under_way(monkeypatch):
    """Ids that tests before this one used up are awaited by nobody."""
    monkeypatch.setattr(audit_seal, "_transactions", lambda: (0, 0))


@pytest.fixture(autouse=True)
def place(settings, tmp_path):
    settings.AUDIT_ARCHIVE = str(tmp_path / "archive")
    return tmp_path / "archive"


@pytest.fixture
def key(settings, tmp_path):
    settings.AUDIT_KEY_FILE = str(tmp_path / "audit_key")
    return audit_key.create("clinic.example/audit").key


def some(count, **detail):
    return [record("patient.view", BY, n=n, **detail).pk for n in range(count)]


def next_month():
    return (timezone.now().replace(day=1) + timedelta(days=32)).replace(day=2)


def over(now=None):
    """The month is over; as it is then."""
    now = now or next_month()
    audit_months.close(now=now)
    return [one for one in audit_months.months(now=now) if one.end][-1]


@pytest.fixture
def month(db, key):
    """Twelve entries in four batches, the month over, more after it; the last batch has entries of both."""
    for part in range(4):
        some(3, part=part)
        if part < 3:
            audit_sealing.catch_up()
    now = over()
    some(5, part="after")
    audit_sealing.catch_up()
    return now


@pytest.fixture
def archived(month, key):
    return audit_archive.write(month, key)


@pytest.fixture
def dropped(archived, month, key, monkeypatch):
    monkeypatch.setattr(audit_archive, "KEPT", 0)
    return audit_archive.drop(month, key)


def looked_at(key, data):
    return archives.check(io.BytesIO(data), key)


# -- closing -------------------------------------------------------------------------------------------------


@on_postgres
def test_a_month_that_is_over_becomes_a_part_of_its_own(month, key):
    names = [one.name for one in audit_months.months()]
    assert names == [f"{timezone.now():%Y-%m}", ""]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*), max(id) FROM {audit_months.part_of(month.name)}")
        count, last = cursor.fetchone()
    assert (count, last) == (12, month.end - 1)
    assert audit_verify.verify(key).ok


@on_postgres
def test_a_month_that_is_not_over_stays_open(db, key):
    some(3)
    assert audit_months.close() is None
    assert [one.end for one in audit_months.months()] == [None]


@on_postgres
@pytest.mark.parametrize("statement", ["TRUNCATE {}", "DELETE FROM {}", "UPDATE {} SET person = ''"])
@pytest.mark.parametrize("which", ["closed", "open", "whole"])
def test_no_part_can_be_rewritten(month, statement, which):
    table = {
        "closed": audit_months.part_of(month.name),
        "open": audit_months.OPEN,
        "whole": audit_months.TABLE,
    }[which]
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement.format(table))


@on_postgres
def test_every_part_has_every_index_of_the_log(month):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename, array_agg(substring(indexdef FROM 'USING [^)]*'))  FROM pg_indexes"
            " WHERE tablename LIKE 'vault_auditentry%' GROUP BY tablename"
        )
        found = {table: sorted(definitions) for table, definitions in cursor.fetchall()}
    assert len(found) == 3
    assert len(set(map(tuple, found.values()))) == 1
    assert len(found[audit_months.TABLE]) == 9


@on_postgres
def test_months_follow_each_other(month, key):
    later = next_month().replace(day=1) + timedelta(days=40)
    audit_months.close(now=later)
    some(2)
    audit_sealing.catch_up()
    bounds = [(one.first, one.end) for one in audit_months.months()]
    assert [end for _, end in bounds[:-1]] == [first for first, _ in bounds[1:]]
    assert len(bounds) == 3
    assert audit_verify.verify(key).ok


# -- the file ------------------------------------------------------------------------------------------------


def test_an_archive_verifies_alone(archived, month, key):
    data = audit_archive.file_of(month.name).read_bytes()
    found = looked_at(key, data)
    assert found.ok, found.faults
    assert (found.month, found.first, found.size) == (month.name, 0, archived.size)
    assert found.root == bytes(AuditBatch.objects.get(size=found.size).root)
    assert found.entries == archived.size >= 12
    assert AuditEntry.objects.filter(action="audit.archive", detail__sha256=archived.digest).exists()
    assert audit_archive.file_of(month.name).stat().st_mode & 0o777 == 0o600


def test_the_same_month_makes_the_same_file(archived, month, key):
    first = audit_archive.file_of(month.name).read_bytes()
    with as_thief(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM vault_auditarchive")
    audit_archive.write(month, key)
    assert audit_archive.file_of(month.name).read_bytes() == first


def test_a_changed_byte_anywhere_is_noticed(archived, month, key):
    plain = bytearray(gzip.decompress(audit_archive.file_of(month.name).read_bytes()))
    begins = plain.index(b"\n") + 1
    label = slice(plain.index(month.name.encode()), plain.index(month.name.encode()) + 7)
    for at in range(begins, len(plain), 7):
        plain[at] ^= 1
        assert not looked_at(key, gzip.compress(plain, 1)).ok, at
        plain[at] ^= 1
    for at in range(begins):
        plain[at] ^= 1
        found = looked_at(key, gzip.compress(plain, 1))
        # The month is a label: who asks for a month compares it (see below).
        assert not found.ok or (label.start <= at < label.stop and found.month != month.name), at
        plain[at] ^= 1
    assert looked_at(key, gzip.compress(plain, 1)).ok


def test_a_changed_entry_is_named(archived, month, key):
    plain = bytearray(gzip.decompress(audit_archive.file_of(month.name).read_bytes()))
    at = plain.index(b"patient.view", plain.index(b"patient.view") + 12)
    plain[at] ^= 1
    found = looked_at(key, gzip.compress(plain))
    second = AuditEntry.objects.order_by("id")[1].pk
    assert ("An entry was changed.", second) in found.faults


@pytest.mark.parametrize("keep", [0, 1, 40, 0.5, -1])
def test_a_cut_file_is_noticed(archived, month, key, keep):
    data = audit_archive.file_of(month.name).read_bytes()
    cut = data[: int(len(data) * keep) if isinstance(keep, float) else keep]
    found = looked_at(key, cut)
    assert not found.ok
    assert found.faults


def test_more_at_the_end_and_another_logs_key_are_noticed(archived, month, key, settings, tmp_path):
    data = audit_archive.file_of(month.name).read_bytes()
    assert "follows" in looked_at(key, gzip.compress(gzip.decompress(data) + b"x")).faults[0][0]
    settings.AUDIT_KEY_FILE = str(tmp_path / "other")
    other = audit_key.create("clinic.example/audit").key
    assert "not signed" in looked_at(other, data).faults[0][0]
    assert "another log" in looked_at(other._replace(name="elsewhere/audit"), data).faults[0][0]


def test_what_was_rewritten_is_not_archived(month, key):
    with as_thief() as cursor:
        cursor.execute(
            "UPDATE vault_auditentry SET person = 'x' WHERE id = %s",
            [month.first or AuditEntry.objects.earliest("id").pk],
        )
    with pytest.raises(audit_archive.NotArchived, match="do not agree"):
        audit_archive.write(month, key)
    assert not audit_archive.file_of(month.name).exists()
    assert not AuditArchive.objects.exists()


def test_a_month_with_unsealed_entries_waits(db, key):
    some(3)
    month = over()
    with pytest.raises(audit_archive.NotArchived, match="sealed"):
        audit_archive.write(month, key)


def test_archives_follow_each_other(archived, month, key):
    later = next_month().replace(day=1) + timedelta(days=40)
    second = over(later)
    some(2)
    audit_sealing.catch_up()
    if connection.vendor != "postgresql":
        pytest.skip("the second month has no entries of its own where months go by their times")
    row = audit_archive.write(second, key)
    assert row.first == archived.size
    found = looked_at(key, audit_archive.file_of(second.name).read_bytes())
    assert found.ok
    assert found.before_root == bytes(AuditBatch.objects.get(size=archived.size).root)


# -- leaving the database ------------------------------------------------------------------------------------


@on_postgres
def test_a_log_without_its_oldest_month_verifies_with_the_archive(dropped, month, key):
    audit_sealing.catch_up()
    assert not AuditEntry.objects.filter(id__lt=month.end).exists()
    report = audit_verify.verify(key)
    assert report.ok, report.faults
    assert report.size == AuditBatch.objects.latest("first").size


@on_postgres
def test_without_the_file_it_does_not(dropped, month, key, place):
    audit_sealing.catch_up()
    audit_archive.file_of(month.name).unlink()
    report = audit_verify.verify(key)
    assert not report.ok
    assert "not in the database" in report.faults[0].what


@on_postgres
def test_the_folder_may_be_elsewhere(dropped, month, key, place, tmp_path):
    audit_sealing.catch_up()
    shutil.move(place, tmp_path / "moved")
    assert not audit_verify.verify(key).ok
    assert audit_verify.verify(key, archive=tmp_path / "moved").ok


@on_postgres
def test_a_deleted_month_is_not_excused_by_a_row_that_says_archived(month, key):
    AuditArchive.objects.create(month=month.name, first=0, size=12, digest="0" * 64, dropped=True, at=timezone.now())
    with as_thief() as cursor:
        cursor.execute("DELETE FROM vault_auditentry WHERE id < %s", [month.end])
    assert not audit_verify.verify(key).ok


@on_postgres
def test_an_entry_that_is_archived_and_still_there_cannot_be_changed(dropped, month, key):
    audit_sealing.catch_up()
    straddler = AuditEntry.objects.order_by("id").first()
    assert straddler.pk >= month.end
    with as_thief() as cursor:
        cursor.execute("UPDATE vault_auditentry SET person = 'x' WHERE id = %s", [straddler.pk])
    report = audit_verify.verify(key)
    assert [fault.entry for fault in report.faults] == [straddler.pk]


@on_postgres
def test_entries_put_below_the_dropped_month_are_noticed(dropped, month, key):
    audit_sealing.catch_up()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE back PARTITION OF vault_auditentry FOR VALUES FROM (MINVALUE) TO (5)")
        columns = ", ".join(field.column for field in AuditEntry._meta.fields[1:])
        cursor.execute(
            f"INSERT INTO vault_auditentry (id, {columns}) SELECT 3, {columns} FROM vault_auditentry LIMIT 1"
        )
    assert 3 in [fault.entry for fault in audit_verify.verify(key).faults]


@on_postgres
def test_a_month_leaves_only_when_it_may(archived, month, key, monkeypatch):
    with pytest.raises(audit_archive.NotArchived, match="13 months stay"):
        audit_archive.drop(month, key)
    monkeypatch.setattr(audit_archive, "KEPT", 0)
    file = audit_archive.file_of(month.name)
    good = file.read_bytes()
    file.write_bytes(good[:-9])
    with pytest.raises(audit_archive.NotArchived):
        audit_archive.drop(month, key)
    file.write_bytes(gzip.compress(gzip.decompress(good), 9))
    with pytest.raises(audit_archive.NotArchived, match="another file"):
        audit_archive.drop(month, key)
    file.write_bytes(good)
    from vault.models import AuditShipment

    AuditShipment.objects.create(address="https://siem.example/", sent_to=3, moved_at=timezone.now())
    with pytest.raises(audit_archive.NotArchived, match="siem"):
        audit_archive.drop(month, key)
    assert AuditEntry.objects.filter(id__lt=month.end).count() == 12


@on_postgres
def test_an_older_record_is_still_refused_when_its_change_has_left(cast, key, monkeypatch):
    monkeypatch.setattr(audit_archive, "KEPT", 0)
    patient = cast.patient
    old = SealedRecord.objects.get(patient=patient)
    patients.change(patient, {"phone": "+31 6 1234 5678"}, BY)
    audit_sealing.catch_up()
    month = over()
    some(2)
    audit_sealing.catch_up()
    audit_archive.write(month, key)
    audit_archive.drop(month, key)
    patient.refresh_from_db()
    assert read_record(patient).values["phone"]
    assert AuditCarried.objects.filter(patient=str(patient.id)).exists()
    SealedRecord.objects.filter(patient=patient).update(version=old.version, sealed=old.sealed)
    with pytest.raises(CannotOpen):
        read_record(patient)
    audit_sealing.catch_up()
    assert audit_verify.verify(key).ok
    with as_thief(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM vault_auditcarried")
    assert not audit_verify.verify(key).ok


# -- stretches at once ---------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_several_processes_find_what_one_finds(key, monkeypatch):
    monkeypatch.setattr(audit_verify, "STRETCH", 4)
    made = []
    for part in range(8):
        made += some(3, part=part)
        audit_sealing.catch_up()
    assert len(audit_verify._stretches(0, 2)) > 3
    report = audit_verify.verify(key, processes=2)
    assert (report.ok, report.entries, report.size) == (True, 24, 24), report.faults
    with as_thief() as cursor:
        cursor.execute("UPDATE vault_auditentry SET person = 'x' WHERE id IN (%s, %s)", [made[4], made[20]])
    one, two = audit_verify.verify(key), audit_verify.verify(key, processes=2)
    assert one.faults == two.faults
    assert [fault.entry for fault in two.faults] == [made[4], made[20]]


def test_each_stretch_goes_on_from_a_signed_root(db, key, monkeypatch):
    monkeypatch.setattr(audit_verify, "STRETCH", 4)
    for _ in range(8):
        some(3)
        audit_sealing.catch_up()
    batch = AuditBatch.objects.get(size=6)
    with as_thief() as cursor:
        cursor.execute("UPDATE vault_auditbatch SET root = %s WHERE first = %s", [b"x" * 32, batch.first])
    monkeypatch.setattr(
        audit_verify,
        "_side_by_side",
        lambda key, outside, stretches, *_: [audit_verify.look_at(key, outside, one) for one in stretches],
    )
    faults = audit_verify.verify(key, processes=2).faults
    assert any("root" in fault.what for fault in faults)


# -- the command ---------------------------------------------------------------------------------------------


def said(*arguments):
    out = io.StringIO()
    call_command("audit_months", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_checks_a_file_and_says_what_is_wrong(archived, month, key):
    file = audit_archive.file_of(month.name)
    assert f"{archived.size:,} entries" in said("check", str(file))
    assert "holds" in said("check", str(file), "--vkey", key.vkey)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(SystemExit):
        said("check", str(file))
    with pytest.raises(CommandError, match="cannot be used"):
        said("check", str(file.with_name("none")))


@on_postgres
def test_the_monthly_run_closes_archives_and_keeps(db, key, settings, monkeypatch):
    monkeypatch.setattr(audit_archive, "KEPT", 1)
    settings.AUDIT_KEEP_MONTHS = 1
    now = timezone.now()
    for turn in range(3):
        now = (now.replace(day=1) + timedelta(days=32)).replace(day=1)
        some(3, turn=turn)
        assert audit_months.close(now=now)
        some(1, turn=turn)
        audit_sealing.catch_up()
    said("monthly")
    closed = [one for one in audit_months.months() if one.end]
    assert len(closed) == 1
    assert AuditArchive.objects.filter(dropped=False).count() == 3
    assert AuditArchive.objects.filter(dropped=True).count() == 2
    audit_sealing.catch_up()
    assert audit_verify.verify(key).ok
    assert "only" in said("list")


def test_leaves_are_the_bytes_of_the_tree(archived, month, key):
    plain = gzip.decompress(audit_archive.file_of(month.name).read_bytes())
    from vault.audit_leaves import leaves_between

    for leaf in leaves_between(0, month.end - 1):
        assert leaf in plain
        assert id_of(leaf) < month.end
