"""Checkpoints get out: to files, addresses, buckets and a real witness; and come back to verify the log with."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import CommandError, call_command
from django.db import connection

from tests.cast import BY
from tests.vault.test_audit_verify import as_thief, edit, key, log, verified  # noqa: F401  (fixtures)
from vault import audit_publish, audit_sealing, audit_verify
from vault.audit import record
from vault.audit_tree import head
from vault.core.notes import COSIGNATURE, BadNote, Checkpoint, Note, Signer, parse_note, verify
from vault.models import AuditBatch, AuditWitnessing
from vault.witness import NotCosigned, Server, Witness


@pytest.fixture
def published(settings, tmp_path):
    settings.AUDIT_PUBLISH = [f"file:{tmp_path / 'kept' / 'checkpoints.jsonl'}"]
    return tmp_path / "kept" / "checkpoints.jsonl"


@pytest.fixture
def witness(settings, tmp_path, key):  # noqa: F811
    signer = Signer("hospital.example/witness", Ed25519PrivateKey.generate(), COSIGNATURE)
    (tmp_path / "witness").mkdir(mode=0o700)
    server = Server("127.0.0.1", 0, Witness(signer, {key.key.name: [key.key]}, tmp_path / "witness"))
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    settings.AUDIT_WITNESSES = [f"{signer.key.vkey}@http://127.0.0.1:{server.server_address[1]}"]
    yield signer
    server.shutdown()
    server.server_close()
    serving.join()


class Receiver(BaseHTTPRequestHandler):
    """Takes what is posted or put; answers with the status that the test has set."""

    def do_POST(self):
        if self.headers["Expect"]:  # boto waits a second for it
            self.handle_expect_100()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, body, dict(self.headers)))
        if self.server.raw:
            self.wfile.write(self.server.raw.pop(0))
            return
        if self.command == "PUT":
            self.server.kept[self.path.partition("?")[0]] = body
        self._answer(b"")

    do_PUT = do_POST

    def do_GET(self):
        self.server.got.append((self.path, None, dict(self.headers)))
        if self.server.raw:
            self.wfile.write(self.server.raw.pop(0))
            return
        path, _, query = self.path.partition("?")
        if "list-type=2" in query:
            self._answer(_listed(self.server.kept, path, parse_qs(query)))
        elif self.server.is_bucket and path not in self.server.kept:
            self._answer(b"<Error><Code>NoSuchKey</Code></Error>", 404)
        else:
            self._answer(self.server.kept.get(path, b""))

    def _answer(self, body, status=None):
        self.send_response(status or self.server.status)
        for name, value in {**self.server.headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words):
        pass


def _listed(kept, bucket, query):
    """As S3 lists: in order, after a key, two at a time, so that asking on is tested too."""
    (prefix,), (after,) = query["prefix"], query.get("continuation-token") or query["start-after"]
    keys = sorted(path.removeprefix(f"{bucket}/") for path in kept)
    keys = [one for one in keys if one.startswith(prefix) and one > after]
    found = "".join(f"<Contents><Key>{one}</Key></Contents>" for one in keys[:2])
    if len(keys) > 2:
        found += f"<IsTruncated>true</IsTruncated><NextContinuationToken>{keys[1]}</NextContinuationToken>"
    return f"<ListBucketResult>{found}</ListBucketResult>".encode()


@pytest.fixture
def receiver():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.got, server.status, server.headers, server.raw, server.kept = [], 200, {}, [], {}
    server.is_bucket = False
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield server
    server.shutdown()
    server.server_close()
    serving.join()


def test_a_file_gets_each_checkpoint_once_and_the_log_is_verified_against_it(log, key, published):  # noqa: F811
    publisher = audit_publish.Publisher()
    publisher.publish()
    publisher.publish()
    record("signin", BY)
    audit_sealing.catch_up()
    publisher.publish()
    lines = published.read_text().splitlines()
    assert len(lines) == 2
    verify(parse_note(json.loads(lines[1])["note"].encode()), [key.key])
    seen = list(audit_publish.seen_in(published, key.key))
    assert [one.size for one in seen] == [12, 13]
    report = verified(key, seen)
    assert (report.ok, report.checkpoints) == (True, 2)


def test_a_checkpoint_that_the_logs_key_did_not_sign_is_refused(log, key, published):  # noqa: F811
    audit_publish.Publisher().publish()
    stranger = Signer(key.key.name, Ed25519PrivateKey.generate())
    with pytest.raises(BadNote):
        list(audit_publish.seen_in(published, stranger.key))


def test_a_checkpoint_of_another_log_that_has_the_same_key_is_refused(log, key, tmp_path):  # noqa: F811
    text = Checkpoint("clinic.example/other", 12, bytes(head().root)).text()
    (tmp_path / "note").write_bytes(Note(text, (key.sign(text),)).encode())
    with pytest.raises(BadNote, match="another log"):
        list(audit_publish.seen_in(tmp_path / "note", key.key))


def test_an_address_gets_the_note(log, key, settings, receiver):  # noqa: F811
    settings.AUDIT_PUBLISH = [f"http://127.0.0.1:{receiver.server_address[1]}/log"]
    audit_publish.Publisher().publish()
    ((path, body, _),) = receiver.got
    assert path == "/log"
    verify(parse_note(body), [key.key])


@pytest.fixture
def bucket(settings, receiver, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "for-tests")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    settings.AUDIT_S3_ENDPOINT = f"http://127.0.0.1:{receiver.server_address[1]}"
    settings.AUDIT_PUBLISH = ["s3://evidence/clinic"]
    receiver.is_bucket = True
    return receiver


def test_a_bucket_gets_it_under_its_size_and_as_the_newest(log, key, bucket):  # noqa: F811
    receiver = bucket
    publisher = audit_publish.Publisher()
    publisher.publish()
    assert not publisher.trouble
    assert list(receiver.kept) == [f"/evidence/clinic/checkpoints/{12:020d}", "/evidence/clinic/checkpoint"]
    for note in receiver.kept.values():
        verify(parse_note(note), [key.key])


def _grown(by):
    for n in range(by):
        record("signin", BY, n=n)
        audit_sealing.catch_up()
        publisher = audit_publish.Publisher()
        publisher.publish()
        assert not publisher.trouble


def test_all_of_a_bucket_is_compared_however_many_pages_it_takes(log, key, bucket):  # noqa: F811
    audit_publish.Publisher().publish()
    _grown(4)
    bucket.kept["/evidence/clinic/checkpoints/README"] = b"of somebody else"
    seen, silent = audit_publish.asked_outside(key.key)
    assert [one.size for one in seen] == [12, 13, 14, 15, 16]
    assert not silent
    assert verified(key, seen).ok


def test_of_a_bucket_with_very_many_the_newest_and_some_of_all_before_are_compared(log, key, bucket, monkeypatch):  # noqa: F811
    audit_publish.Publisher().publish()
    _grown(7)
    monkeypatch.setattr(audit_publish, "OF_BUCKET", 2)
    assert [one.size for one in audit_publish.asked_outside(key.key)[0]] == [12, 16, 18, 19]


def test_a_log_that_was_put_back_does_not_write_over_what_a_bucket_has(log, key, bucket, capsys):  # noqa: F811
    audit_publish.Publisher().publish()
    before = dict(bucket.kept)
    with as_thief() as cursor:
        _put_back(cursor, log)
    publisher = audit_publish.Publisher()  # the server was started anew
    publisher.publish()
    assert "put back or cut" in publisher.trouble["s3://evidence/clinic"]
    assert bucket.kept == before
    _command_finds(capsys, "s3://evidence/clinic")


def test_a_forked_log_does_not_write_over_what_a_bucket_has_and_is_found_after_it_grew_on(log, key, bucket, capsys):  # noqa: F811
    audit_publish.Publisher().publish()
    before = dict(bucket.kept)
    with as_thief() as cursor:
        edit(cursor, log)
        for table in ("vault_auditbatch", "vault_auditnode"):
            cursor.execute(f"DELETE FROM {table}")
    audit_sealing.catch_up()
    publisher = audit_publish.Publisher()
    publisher.publish()
    assert "another log of 12 entries" in publisher.trouble["s3://evidence/clinic"]
    assert bucket.kept == before
    _grown(2)
    with pytest.raises(SystemExit):
        call_command("audit_verify")
    assert "is another than the one of 12 entries that s3://evidence/clinic has" in capsys.readouterr().out


def test_a_place_that_fails_holds_up_nobody_and_is_told_again(log, key, settings, receiver, published):  # noqa: F811
    away = f"http://127.0.0.1:{receiver.server_address[1]}/log"
    settings.AUDIT_PUBLISH = [away, *settings.AUDIT_PUBLISH]
    receiver.status = 503
    publisher = audit_publish.Publisher()
    publisher.publish()
    assert publisher.trouble == {away: "It answered with 503."}
    assert published.exists()
    receiver.status = 200
    publisher.publish()
    assert not publisher.trouble
    assert len(published.read_text().splitlines()) == 1


def test_a_witness_cosigns_and_its_word_goes_along(log, key, witness, published):  # noqa: F811
    audit_publish.Publisher().publish()
    for n in range(3):
        record("patient.view", BY, n=n)
        audit_sealing.catch_up()
    audit_publish.Publisher().publish()
    assert list(AuditWitnessing.objects.values_list("size", "witness")) == [
        (12, "hospital.example/witness"),
        (15, "hospital.example/witness"),
    ]
    last = parse_note(json.loads(published.read_text().splitlines()[-1])["note"].encode())
    assert {one.key.name for one in verify(last, [key.key, witness.key])} == {key.key.name, witness.key.name}
    seen = list(audit_publish.seen_by_witnesses(key.key))
    assert [(one.size, one.where) for one in seen] == [(12, witness.key.name), (15, witness.key.name)]
    assert verified(key, seen).ok


def test_a_witness_whose_lines_were_lost_is_found_again(log, key, witness):  # noqa: F811
    audit_publish.Publisher().publish()
    with as_thief() as cursor:
        cursor.execute("DELETE FROM vault_auditwitnessing")
    record("signin", BY)
    audit_sealing.catch_up()
    publisher = audit_publish.Publisher()
    publisher.publish()
    assert not publisher.trouble
    assert AuditWitnessing.objects.get().size == 13


def test_a_witness_cosigns_no_log_that_was_made_anew(log, key, witness):  # noqa: F811
    audit_publish.Publisher().publish()
    with as_thief() as cursor:
        for table in ("vault_auditbatch", "vault_auditnode", "vault_auditwitnessing"):
            cursor.execute(f"DELETE FROM {table}")
        edit(cursor, log)
    record("signin", BY)
    audit_sealing.catch_up()  # with the log's own key
    with pytest.raises(NotCosigned, match="422"):
        audit_publish.cosign(*next(iter(audit_publish.witnesses().items())), key.key, head())


def test_a_witness_cosigns_no_log_that_was_put_back(log, key, witness):  # noqa: F811
    audit_publish.Publisher().publish()
    with as_thief() as cursor:
        cursor.execute("DELETE FROM vault_auditwitnessing")
        cursor.execute("DELETE FROM vault_auditbatch WHERE first = 9")
    with pytest.raises(NotCosigned):
        audit_publish.cosign(*next(iter(audit_publish.witnesses().items())), key.key, head())


def test_a_disk_that_takes_half_a_line_leaves_none(log, key, published, monkeypatch):  # noqa: F811
    audit_publish.Publisher().publish()
    before, write = published.read_bytes(), audit_publish.os.write
    monkeypatch.setattr(audit_publish.os, "write", lambda to, line: write(to, line[:20]))
    publisher = audit_publish.Publisher()
    publisher.publish()
    assert "disk full" in next(iter(publisher.trouble.values()))
    assert published.read_bytes() == before


# -- what was seen outside is asked for ----------------------------------------------------------------------


def _put_back(cursor, ids):
    """As a backup of before the last batch would have it, the witness's lines too."""
    last = AuditBatch.objects.order_by("-first").first()
    cursor.execute("DELETE FROM vault_auditbatch WHERE first = %s", [last.first])
    cursor.execute("DELETE FROM vault_auditwitnessing")
    cursor.execute("DELETE FROM vault_auditentry WHERE id >= %s", [ids[9]])


def _command_finds(capsys, what):
    with pytest.raises(SystemExit):
        call_command("audit_verify")
    said = capsys.readouterr().out
    assert said.startswith("BAD  at 9: The log was put back or cut")
    assert what in said


def test_a_restored_snapshot_is_shorter_than_the_witness_remembers(log, key, witness, settings, capsys):  # noqa: F811
    settings.AUDIT_PUBLISH = []
    audit_publish.Publisher().publish()
    call_command("audit_verify")
    assert "2 checkpoints kept outside" in capsys.readouterr().out  # its line in the database, and its own word
    with as_thief() as cursor:
        _put_back(cursor, log)
    call_command("audit_verify", "--offline")
    assert "The log holds: 9" in capsys.readouterr().out  # from the inside it is a good log
    _command_finds(capsys, witness.key.name)


def test_a_restored_snapshot_is_shorter_than_the_bucket_remembers(log, key, bucket, capsys):  # noqa: F811
    audit_publish.Publisher().publish()
    with as_thief() as cursor:
        _put_back(cursor, log)
    _command_finds(capsys, "s3://evidence/clinic")


def test_a_log_made_anew_with_the_stolen_key_is_not_the_one_whose_lines_are_kept(log, key, witness, settings):  # noqa: F811
    settings.AUDIT_PUBLISH = []
    audit_publish.Publisher().publish()
    with as_thief() as cursor:
        edit(cursor, log)
        for table in ("vault_auditbatch", "vault_auditnode"):
            cursor.execute(f"DELETE FROM {table}")
    audit_sealing.catch_up()
    for seen in (list(audit_publish.seen_by_witnesses(key.key)), audit_publish.asked_outside(key.key)[0]):
        assert "is another than the one of 12 entries" in verified(key, seen).faults[0].what


@pytest.mark.parametrize("answer", [b"nonsense", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"])
def test_a_witness_that_lies_or_is_away_is_said_and_stops_nothing(log, key, settings, receiver, answer, capsys):  # noqa: F811
    vkey = Signer("liar.example/w", Ed25519PrivateKey.generate(), COSIGNATURE).key.vkey
    settings.AUDIT_PUBLISH = []
    settings.AUDIT_WITNESSES = [f"{vkey}@http://127.0.0.1:{receiver.server_address[1]}"]
    receiver.raw = [answer]
    call_command("audit_verify")
    said = capsys.readouterr().out
    assert "The log holds" in said
    assert "was not compared" in said


def test_a_witness_cannot_pass_off_what_it_did_not_sign_itself(log, key, settings, receiver):  # noqa: F811
    vkey = Signer("liar.example/w", Ed25519PrivateKey.generate(), COSIGNATURE).key.vkey
    settings.AUDIT_PUBLISH = []
    settings.AUDIT_WITNESSES = [f"{vkey}@http://127.0.0.1:{receiver.server_address[1]}"]
    note = audit_publish.note_of(key.key, head()).encode()  # the log's own signature only
    receiver.raw = [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(note), note)]
    seen, silent = audit_publish.asked_outside(key.key)
    assert not seen
    assert len(silent) == 1


def test_a_file_beside_the_data_that_was_removed_is_said(log, key, published, capsys):  # noqa: F811
    audit_publish.Publisher().publish()
    published.unlink()
    call_command("audit_verify")
    assert f"NOTE {published} was not compared: it is not there." in capsys.readouterr().out


def test_a_dropped_table_is_said_in_words(log, key, published):  # noqa: F811
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE vault_auditbatch RENAME TO elsewhere")
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("audit_verify")


# -- the command ---------------------------------------------------------------------------------------------


def test_the_command_says_what_holds(log, key, published, capsys):  # noqa: F811
    audit_publish.Publisher().publish()
    call_command("audit_verify")
    said = capsys.readouterr().out
    assert "The log holds: 12 entries" in said
    assert "1 checkpoints kept outside" in said


class Terminal(StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("where", "shown"), [(Terminal, ["[####################"]), (StringIO, [])])
def test_the_command_shows_how_far_it_has_come_where_somebody_looks_on(log, key, published, where, shown, monkeypatch):  # noqa: F811
    monkeypatch.setattr(audit_verify, "WINDOW", 6)
    call_command("audit_verify", stderr=(screen := where()))
    bars = screen.getvalue().split("\r")[1:]
    assert [bar.partition("-")[0] for bar in bars[:1]] == shown
    assert all("] 100%  12 entries" in bar for bar in bars[1:])
    assert len(bars) == 2 * len(shown)


def test_the_command_names_the_first_bad_entry_and_fails(log, key, published, capsys):  # noqa: F811
    with as_thief() as cursor:
        edit(cursor, log)
    with pytest.raises(SystemExit) as ended:
        call_command("audit_verify")
    assert ended.value.code == 1
    assert capsys.readouterr().out.startswith(f"BAD  entry {log[4]:,}: An entry was changed.")


def test_the_command_fails_for_an_empty_log_and_without_a_key(db, key, settings, tmp_path):  # noqa: F811
    settings.AUDIT_PUBLISH = []
    with pytest.raises(SystemExit):
        call_command("audit_verify")
    settings.AUDIT_KEY_FILE = str(tmp_path / "gone")
    with pytest.raises(CommandError, match="missing"):
        call_command("audit_verify")


def test_a_copy_kept_elsewhere_finds_what_the_database_hides(log, key, published, tmp_path, settings, capsys):  # noqa: F811
    audit_publish.Publisher().publish()
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(published.read_bytes())
    published.unlink()
    with as_thief() as cursor:
        last = AuditBatch.objects.order_by("-first").first()
        cursor.execute("DELETE FROM vault_auditbatch WHERE first = %s", [last.first])
        cursor.execute("DELETE FROM vault_auditentry WHERE id >= %s", [log[9]])
    call_command("audit_verify")
    with pytest.raises(SystemExit):
        call_command("audit_verify", against=[str(copy)])
    assert "put back or cut" in capsys.readouterr().out
