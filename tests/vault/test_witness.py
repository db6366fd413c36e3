"""A witness over real HTTP cosigns what grew and nothing else, whoever asks at once and whenever it is killed."""

import datetime as dt
import http.client
import ipaddress
import os
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from tests.at_once import at_once
from tests.vault.test_notes import VECTORS, _each
from tests.vectors.make_tlog import AT, ORIGIN, WITNESS, private
from vault import witness
from vault.core import notes, tlog
from vault.core.notes import COSIGNATURE, BadNote, Checkpoint, Note, Signer, parse_checkpoint, parse_note, verify
from vault.witness import CannotWitness, NotCosigned, Server, States, Witness, add_checkpoint, file_of

ROOT = Path(__file__).resolve().parents[2]
STRANGER = Signer(ORIGIN, private(9))


class Log:
    """A log of this many leaves, and a fork of it that agrees on the first five."""

    signer = Signer(ORIGIN, private(1))

    def __init__(self, fork=b"", size=200):
        self.leaves = [tlog.leaf_hash(b"%d" % n + fork * (n >= 5)) for n in range(size)]

    def _read(self, level, index):
        frontier = tlog.Frontier()
        frontier.extend(self.leaves[index << level : (index + 1) << level])
        return frontier.root()

    def checkpoint(self, size):
        frontier = tlog.Frontier()
        frontier.extend(self.leaves[:size])
        return Checkpoint(ORIGIN, size, frontier.root())

    def note(self, size, *signers):
        text = self.checkpoint(size).text()
        return Note(text, tuple(signer.sign(text) for signer in signers or [self.signer])).encode()

    def proof(self, old, new):
        return tlog.consistency_proof(old, new, self._read)

    def asks(self, url, old, new):
        """The time at which the witness says it saw this growth."""
        note = self.note(new)
        lines = add_checkpoint(url, old, self.proof(old, new), note, timeout=10)
        (found,) = verify(parse_note(note + "".join(line + "\n" for line in lines).encode()), [WITNESS_KEY])
        return found.at


LOG, FORK, OTHER_FORK = Log(), Log(b"forked"), Log(b"forked otherwise")
COSIGNER = Signer(WITNESS, private(2), COSIGNATURE)
WITNESS_KEY = COSIGNER.key


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "state"
    made.mkdir(mode=0o700)
    return made


def _witness(folder, at=AT):
    return Witness(COSIGNER, {ORIGIN: [LOG.signer.key]}, folder, clock=lambda: at)


@pytest.fixture
def server(folder):
    with Server("127.0.0.1", 0, _witness(folder)) as made:
        running = threading.Thread(target=made.serve_forever, args=[0.05])
        running.start()
        yield made
        made.shutdown()
        running.join(10)


@pytest.fixture
def url(server):
    return f"http://127.0.0.1:{server.server_address[1]}"


def _post(url, body, path="/add-checkpoint", **headers):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    found = answer.status, answer.getheader("Content-Type"), answer.read()
    connection.close()
    return found


def _get(url, path):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def _status(url, old, new, *, log=LOG, proof=None, note=None):
    proof = log.proof(old, new) if proof is None else proof
    return _post(url, witness.write_request(old, proof, note or log.note(new)))[0]


def _size(url):
    """What the witness cosigned last, as it tells anyone who asks from nothing."""
    status, content_type, body = _post(url, witness.write_request(0, [], FORK.note(200)))
    assert (status, content_type) == (409, "text/x.tlog.size")
    return int(body)


# -- the protocol ------------------------------------------------------------------------------------------


def test_a_log_is_cosigned_from_its_first_checkpoint_on_as_it_grows(url):
    for old, new in ((0, 0), (0, 3), (3, 3), (3, 4), (4, 7), (7, 150), (150, 151)):
        assert LOG.asks(url, old, new) == AT


def test_a_log_may_begin_with_many_leaves(url):
    assert LOG.asks(url, 0, 150) == AT


def test_the_same_again_is_cosigned_again_with_the_time_it_is_then(folder):
    body = witness.write_request(0, [], LOG.note(5))
    assert _witness(folder).add_checkpoint(body).status == 200
    again = _witness(folder, AT + 60).add_checkpoint(witness.write_request(5, [], LOG.note(5)))
    assert again.body.decode() == COSIGNER.cosign(LOG.checkpoint(5).text(), AT + 60).line + "\n"


def test_a_fork_is_refused_at_the_same_size_and_at_any_later_one(url):
    LOG.asks(url, 0, 10)
    assert _status(url, 10, 10, log=FORK) == 422
    for proof in (FORK.proof(10, 20), LOG.proof(10, 20)):
        assert _status(url, 10, 20, log=FORK, proof=proof) == 422
    assert LOG.asks(url, 10, 20) == AT


def test_a_log_that_forked_is_remembered_by_what_it_signed(url, folder):
    LOG.asks(url, 0, 10)
    kept = folder / f"{file_of(ORIGIN)}.fork"
    assert _status(url, 10, 20, proof=[]) == 422  # a wrong proof accuses nobody
    assert not kept.exists()
    _status(url, 10, 10, log=FORK)
    _status(url, 10, 10, log=OTHER_FORK)
    found = parse_note(kept.read_bytes())
    assert verify(found, [LOG.signer.key])
    assert parse_checkpoint(found.text) == FORK.checkpoint(10)


def test_going_back_is_refused(url):
    LOG.asks(url, 0, 10)
    assert _status(url, 10, 9, proof=[]) == 400
    for old in (0, 5, 9):
        with pytest.raises(NotCosigned) as refused:
            LOG.asks(url, old, 9)
        assert (refused.value.status, refused.value.size) == (409, 10)
    assert _size(url) == 10


def test_a_log_that_does_not_know_where_it_was_is_told(url):
    LOG.asks(url, 0, 10)
    for old in (0, 9, 11):
        with pytest.raises(NotCosigned) as refused:
            LOG.asks(url, old, 20)
        assert (refused.value.status, refused.value.size) == (409, 10)
    assert _post(url, witness.write_request(0, [], LOG.note(20))) == (409, "text/x.tlog.size", b"10\n")


def test_what_is_not_proven_is_refused(url):
    assert _status(url, 0, 10, proof=[bytes(32)]) == 422
    LOG.asks(url, 0, 10)
    good = LOG.proof(10, 20)
    for proof in ([], good[:-1], good[::-1], [*good, good[0]], [bytes(32), *good[1:]], [bytes(32)] * 63):
        assert _status(url, 10, 20, proof=proof) == 422
    assert _status(url, 10, 10, proof=[LOG.checkpoint(10).root]) == 422
    assert _size(url) == 10


def test_an_empty_tree_has_one_root(url):
    text = Checkpoint(ORIGIN, 0, bytes(32)).text()
    note = Note(text, (LOG.signer.sign(text),)).encode()
    assert _status(url, 0, 0, note=note) == 422


def test_a_log_nobody_asked_to_witness_is_unknown(url):
    text = Checkpoint("other.example/log", 5, bytes(32)).text()
    for signer in (LOG.signer, Signer("other.example/log", private(5))):
        assert _status(url, 0, 5, note=Note(text, (signer.sign(text),)).encode()) == 404


def test_what_the_log_did_not_sign_is_refused(url, folder):
    text = LOG.checkpoint(5).text()
    good = LOG.signer.sign(text)
    forged = good._replace(value=bytes(64))
    for signatures in ([STRANGER.sign(text)], [forged], [good, forged], [COSIGNER.cosign(text, AT)]):
        assert _status(url, 0, 5, note=Note(text, tuple(signatures)).encode()) == 403
    assert list(folder.iterdir()) == []


def test_of_the_checks_that_fail_the_first_of_the_specification_is_told(url):
    LOG.asks(url, 0, 10)
    other = Checkpoint("other.example/log", 5, bytes(32)).text()
    assert _status(url, 9, 5, proof=[], note=Note(other, (STRANGER.sign(other),)).encode()) == 404
    assert _status(url, 9, 5, proof=[], note=LOG.note(5, STRANGER)) == 403
    assert _status(url, 9, 5, proof=[]) == 400
    assert _status(url, 3, 5, proof=[]) == 409


def test_a_strangers_signature_beside_the_logs_is_no_matter_and_not_passed_on(url):
    assert _status(url, 0, 5, note=LOG.note(5, STRANGER, LOG.signer, STRANGER)) == 200
    note = parse_note(_get(url, f"/{file_of(ORIGIN)}/checkpoint")[1])
    assert [one.key for one in verify(note, [STRANGER.key, LOG.signer.key, WITNESS_KEY])] == [
        LOG.signer.key,
        WITNESS_KEY,
    ]
    assert len(note.signatures) == 2


def test_monitors_read_the_last_checkpoint_with_the_cosignature(url, folder):
    def get(path):
        return _get(url, path)

    (folder / "key").write_text("secret")
    path = f"/{file_of(ORIGIN)}/checkpoint"
    assert get(path)[0] == 404
    LOG.asks(url, 0, 5)
    LOG.asks(url, 5, 9)
    status, data = get(path)
    assert status == 200
    assert parse_checkpoint(parse_note(data).text) == LOG.checkpoint(9)
    assert {one.key for one in verify(parse_note(data), [LOG.signer.key, WITNESS_KEY])} == {LOG.signer.key, WITNESS_KEY}
    for other in (
        "/",
        "/key/checkpoint",
        f"/{file_of('x')}/checkpoint",
        f"/{file_of(ORIGIN)}",
        "/../state/key",
        path + "/",
    ):
        assert get(other)[0] == 404


def test_monitors_are_not_shown_what_is_not_safe_on_the_disk_yet(url, folder):
    LOG.asks(url, 0, 5)
    with ThreadPoolExecutor(1) as pool:
        with _witness(folder).states.alone():
            asked = pool.submit(_get, url, f"/{file_of(ORIGIN)}/checkpoint")
            time.sleep(0.2)
            assert not asked.done()
        assert asked.result(10)[0] == 200


def test_logs_are_witnessed_apart(folder):
    other = Signer("other.example/log", private(5))
    both = Witness(COSIGNER, {ORIGIN: [LOG.signer.key], other.key.name: [other.key]}, folder)
    assert both.add_checkpoint(witness.write_request(0, [], LOG.note(10))).status == 200
    text = LOG.checkpoint(4)._replace(origin=other.key.name).text()
    assert both.add_checkpoint(witness.write_request(0, [], Note(text, (other.sign(text),)).encode())).status == 200
    # One log's key signs nothing for another.
    assert (
        both.add_checkpoint(witness.write_request(4, [], Note(text, (LOG.signer.sign(text),)).encode())).status == 403
    )
    assert both.states.latest(ORIGIN).size == 10
    assert both.states.latest(other.key.name).size == 4


# -- requests ----------------------------------------------------------------------------------------------


def _body(vector):
    return vector["body"].encode("utf-8", "surrogateescape")


@_each("requests", good=True)
def test_good_requests_are_read_and_written_the_same(vector):
    asked = witness.parse_request(_body(vector))
    assert [asked.old, len(asked.proof)] == vector["says"]
    assert witness.write_request(asked.old, asked.proof, asked.note.encode()) == _body(vector)


@_each("requests", good=False)
def test_hostile_requests_are_bad_requests(vector, folder):
    with pytest.raises(BadNote):
        witness.parse_request(_body(vector))
    assert _witness(folder).add_checkpoint(_body(vector)).status == 400


GOOD = _body(next(vector for vector in VECTORS["requests"] if vector["says"]))


@given(st.integers(0, len(GOOD)), st.binary(max_size=4), st.integers(0, 4))
def test_a_request_that_is_read_is_written_the_same(at, data, gone):
    body = GOOD[:at] + data + GOOD[at + gone :]
    try:
        asked = witness.parse_request(body)
    except BadNote:
        return
    assert witness.write_request(asked.old, asked.proof, asked.note.encode()) == body


def test_garbage_is_answered_and_the_witness_goes_on(url):
    for body in (b"", b"\0" * 1000, b"\n\n", b"old 0\n\n", os.urandom(5000)):
        assert _post(url, body)[0] == 400
    assert _post(url, b"old 0\n\n", "/elsewhere")[0] == 404
    assert LOG.asks(url, 0, 5) == AT


def test_bodies_too_long_or_of_no_stated_length_are_not_read(url):
    assert _post(url, b"x" * (witness.REQUEST_MOST_BYTES + 1))[0] == 413
    assert _post(url, iter([b"old 0\n\n"]))[0] == 411  # sent in chunks
    for lengths in (["-1"], ["x"], ["5", "6"], [], ["9" * 13]):
        head = "".join(f"Content-Length: {length}\r\n" for length in lengths)
        answer = _raw(url, f"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\n{head}\r\n")
        assert answer.startswith(b"HTTP/1.1 411 ")
    both = (
        "POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    assert _raw(url, both).startswith(b"HTTP/1.1 411 ")
    assert _post(url, b"x" * witness.REQUEST_MOST_BYTES)[0] == 400
    assert LOG.asks(url, 0, 5) == AT


def _raw(url, text, seconds=10):
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        connection.sendall(text.encode())
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(4096), b""))


def test_one_connection_serves_many_requests(url):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    for old, new, status in ((0, 5, 200), (5, 8, 200), (0, 9, 409), (8, 9, 200)):
        connection.request("POST", "/add-checkpoint", witness.write_request(old, LOG.proof(old, new), LOG.note(new)))
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, answer.will_close) == (status, False)
    connection.close()


@pytest.mark.parametrize(
    "begun", ["", "POST /add-checkpoint HTTP/1.1\r\n", "POST /add-checkpoint HTTP/1.1\r\nContent-Length: 99\r\n\r\n"]
)
def test_a_slow_client_is_cut_off_however_often_it_sends_a_byte(url, monkeypatch, begun):
    monkeypatch.setattr(witness, "REQUEST_WITHIN", 0.4)
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(begun.encode())
        until = time.monotonic() + 4
        with pytest.raises(OSError):  # noqa: PT012  (the byte that finds it closed is not known)
            while time.monotonic() < until:
                connection.sendall(b"x")
                time.sleep(0.05)
    assert time.monotonic() < until


def test_a_connection_in_use_is_not_cut_off(url, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(witness, "time", SimpleNamespace(monotonic=lambda: now[0]))
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.connect()
    first = connection.sock
    for old in (0, 5, 5, 5, 5):
        connection.request("POST", "/add-checkpoint", witness.write_request(old, [], LOG.note(5)))
        answer = connection.getresponse()
        assert (answer.status, bool(answer.read())) == (200, True)
        assert connection.sock is first
        now[0] += witness.REQUEST_WITHIN * 0.6
        time.sleep(0.2)  # the server looks four times
    connection.close()


def test_too_many_connections_are_closed_and_later_ones_served_again(url, monkeypatch):
    monkeypatch.setattr(witness, "MOST_CONNECTIONS", 3)
    host, _, port = url.removeprefix("http://").partition(":")
    held = [socket.create_connection((host, int(port)), timeout=5) for _ in range(3)]
    with pytest.raises(NotCosigned, match="cannot be reached"):
        LOG.asks(url, 0, 5)
    for connection in held:
        connection.close()
    _eventually(lambda: LOG.asks(url, 0, 5))


def _eventually(call):
    until = time.monotonic() + 5
    while True:
        try:
            return call()
        except NotCosigned:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


# -- many at once, and death -------------------------------------------------------------------------------


@pytest.fixture
def slow_to_judge(monkeypatch):
    """So that whoever is not kept out is in the middle too."""
    real = witness.verify_consistency

    def slowly(*said):
        real(*said)
        time.sleep(0.05)

    monkeypatch.setattr(witness, "verify_consistency", slowly)


@pytest.mark.usefixtures("slow_to_judge")
def test_of_two_forks_at_once_just_one_wins(url, folder):
    LOG.asks(url, 0, 5)
    asked = [(log, new) for log in (LOG, FORK) for new in (10, 11, 12, 13)]
    statuses = at_once([lambda log=log, new=new: _status(url, 5, new, log=log) for log, new in asked])
    assert sorted(statuses) == [200] + [409] * 7
    won = asked[statuses.index(200)]
    assert _witness(folder).states.latest(ORIGIN) == won[0].checkpoint(won[1])


@pytest.mark.usefixtures("slow_to_judge")
def test_of_two_witnesses_on_one_folder_just_one_wins(folder):
    """As when one process is started while the other still runs; the lock is the folder's."""
    bodies = [witness.write_request(0, [], log.note(10)) for log in (LOG, FORK)]
    replies = at_once([lambda body=body: _witness(folder).add_checkpoint(body) for body in bodies * 2])
    assert sorted(reply.status for reply in replies) == [200, 409, 409, 409]


@pytest.mark.usefixtures("slow_to_judge")
def test_no_request_among_many_makes_it_forget_a_larger_tree(url, folder):
    with ThreadPoolExecutor(8) as pool:

        def keep_asking(chance):
            largest = 0
            for _ in range(8):
                old = _witness(folder).states.latest(ORIGIN).size
                new = min(old + chance.randrange(10), 200)
                if _status(url, old, new) == 200:
                    largest = max(largest, new)
            return largest

        largest = max(pool.map(keep_asking, map(random.Random, range(8))))
    assert _witness(folder).states.latest(ORIGIN) == LOG.checkpoint(largest)


def test_nothing_is_answered_before_it_is_safe_on_the_disk(folder, monkeypatch):
    done = []
    real = {name: getattr(os, name) for name in ("fsync", "rename")}

    def fsync(descriptor):
        done.append(("fsync", os.path.realpath(f"/proc/self/fd/{descriptor}")))
        real["fsync"](descriptor)

    def rename(one, other):
        done.append(("rename", str(other)))
        real["rename"](one, other)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    asked = _witness(folder)
    name = file_of(ORIGIN)
    for old in (0, 5):  # the same again as well: it may not have been safe the first time
        done.clear()
        assert asked.add_checkpoint(witness.write_request(old, [], LOG.note(5))).status == 200
        assert done == [
            ("fsync", f"{folder}/.{name}.new"),
            ("rename", f"{folder}/{name}"),
            ("fsync", str(folder)),
        ]


@pytest.mark.parametrize("name", ["fsync", "rename", "open"])
def test_a_disk_that_fails_leaves_no_cosignature_and_the_old_state(url, folder, monkeypatch, name):
    LOG.asks(url, 0, 5)

    def fail(*_args, **_options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, name, fail)
        status, _, body = _post(url, witness.write_request(5, LOG.proof(5, 9), LOG.note(9)))
        assert (status, body) == (500, b"")
    assert _size(url) == 5
    assert LOG.asks(url, 5, 9) == AT


def test_what_one_who_died_left_half_written_is_no_matter(folder):
    (folder / f".{file_of(ORIGIN)}.new").write_bytes(b"half")
    assert _witness(folder).add_checkpoint(witness.write_request(0, [], LOG.note(5))).status == 200
    assert [path.name for path in folder.iterdir()] == [file_of(ORIGIN)]


def _damaged(data):
    other = Note(LOG.checkpoint(3).text(), (LOG.signer.sign(LOG.checkpoint(3).text()),))
    yield from (b"", data[:-1], data[:40], data.replace(b"\n10\n", b"\n11\n"), other.encode())
    foreign = LOG.checkpoint(10)._replace(origin="other.example/log").text()
    yield Note(foreign, (COSIGNER.cosign(foreign, AT),)).encode()


def test_a_damaged_state_is_never_taken_for_a_log_never_seen(url, folder):
    LOG.asks(url, 0, 10)
    path = folder / file_of(ORIGIN)
    data = path.read_bytes()
    for damaged in _damaged(data):
        path.write_bytes(damaged)
        assert _status(url, 0, 5) == 500
        assert _status(url, 10, 20) == 500
        assert path.read_bytes() == damaged
    path.write_bytes(data)
    assert LOG.asks(url, 10, 20) == AT


class Process:
    """A witness of its own, as another house runs it."""

    def __init__(self, state, logs, *, environment=None):
        command = [sys.executable, "-m", "vault.witness", "--state", state, "--logs", logs, "--listen", "127.0.0.1:0"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes)
        self.said = self.process.stdout.readline()
        self.url = self.said.split()[-1].rstrip("/")

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def made(tmp_path):
    """A folder with a fresh key, the file of logs, and the key."""
    key = witness.new_key(tmp_path / "made", "witness.example/new")
    logs = tmp_path / "logs"
    logs.write_text(f"# ours\n\n{ORIGIN} {LOG.signer.key.vkey}\n")
    return tmp_path / "made", logs, key


@pytest.mark.engines  # starts twenty processes
def test_a_witness_killed_at_any_moment_never_goes_back(made):
    folder, logs, key = made
    chance, sure, log = random.Random(7), 0, Log(size=4000)
    notes_of = {}

    def ask(url, old, new):
        notes_of[new] = log.note(new)
        return add_checkpoint(url, old, log.proof(old, new), notes_of[new], timeout=5)

    statuses = []
    for _ in range(20):
        with Process(folder, logs) as running:
            latest = States(folder, key).latest(ORIGIN)
            assert latest.size >= sure
            assert latest == log.checkpoint(latest.size)
            if sure:  # and nobody gets it to say anything else
                status, _, said = _post(running.url, witness.write_request(0, [], log.note(1)))
                assert (status, int(said)) == (409, latest.size)
            timer = threading.Timer(chance.uniform(0.01, 0.25), running.process.send_signal, [signal.SIGKILL])
            timer.start()
            size = latest.size
            try:
                while True:
                    new = size + chance.randrange(1, 4)
                    ask(running.url, size, new)
                    size = sure = new
            except NotCosigned as error:
                statuses.append(error.status)
            timer.join()
    assert statuses == [None] * 20  # it was killed in the middle, and refused nothing before
    assert sure > 40


def test_the_command_line_makes_a_key_once_and_serves_with_it(tmp_path):
    folder, logs = tmp_path / "deep" / "state", tmp_path / "logs"
    command = [sys.executable, "-m", "vault.witness", "--state", str(folder), "--new-key", "witness.example/w9"]
    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    key = notes.parse_vkey(first.stdout.rstrip("\n"))
    assert (first.returncode, key.name, key.kind) == (0, "witness.example/w9", COSIGNATURE)
    assert (folder / "key").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    secret = (folder / "key").read_bytes()
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (again.returncode, again.stdout) == (1, "")
    assert "left as it is" in again.stderr
    assert (folder / "key").read_bytes() == secret
    assert [path.name for path in folder.iterdir()] == ["key"]
    logs.write_text(f"{ORIGIN} {LOG.signer.key.vkey}\n")
    with Process(folder, logs) as running:
        assert key.vkey in running.said
        note = LOG.note(5)
        (line,) = add_checkpoint(running.url, 0, [], note, timeout=10)
        (found,) = verify(parse_note(note + line.encode() + b"\n"), [key])
        assert abs(found.at - time.time()) < 60


def test_it_needs_no_django():
    code = "import sys, vault.witness; sys.exit(any(name.split('.')[0] == 'django' for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


# -- its key and its logs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o601, 0o700, 0o4600, 0o777])
def test_a_key_that_others_can_reach_is_refused(made, mode):
    folder, _, _ = made
    os.chmod(folder / "key", mode)
    with pytest.raises(CannotWitness, match="chmod 600"):
        witness.load_key(folder)


def test_a_key_that_only_its_owner_can_read_is_fine(made):
    folder, _, key = made
    os.chmod(folder / "key", 0o400)
    assert witness.load_key(folder).key == key


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o720, 0o1777])
def test_a_folder_that_others_can_change_is_refused(made, mode):
    folder, _, _ = made
    os.chmod(folder, mode)
    with pytest.raises(CannotWitness, match="chmod 700"):
        witness.load_key(folder)
    with pytest.raises(CannotWitness, match="chmod 700"):
        witness.new_key(folder, "another")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_another_account_is_refused(made):
    folder, _, _ = made
    os.chown(folder / "key", 12345, 12345)
    with pytest.raises(CannotWitness, match="account"):
        witness.load_key(folder)


def test_a_link_a_pipe_or_nothing_in_place_of_a_key_is_refused(made, tmp_path):
    folder, _, _ = made
    os.rename(folder / "key", tmp_path / "key")
    with pytest.raises(CannotWitness, match="--new-key"):
        witness.load_key(folder)
    (folder / "key").symlink_to(tmp_path / "key")
    with pytest.raises(CannotWitness):
        witness.load_key(folder)
    with pytest.raises(CannotWitness, match="left as it is"):
        witness.new_key(folder, "another")
    (folder / "key").unlink()
    os.mkfifo(folder / "key", 0o600)
    with pytest.raises(CannotWitness, match="plain file"):
        witness.load_key(folder)
    with pytest.raises(CannotWitness, match="cannot be read"):
        witness.load_key(tmp_path / "nowhere")


def test_a_key_file_that_holds_something_else_is_refused(made):
    folder, _, _ = made
    good = (folder / "key").read_bytes()
    for data in (
        b"",
        good[:-2],
        good + b"\n",
        b"\xff",
        good.replace(b"example", b"exempla"),
        Log.signer.secret().encode(),
    ):
        (folder / "key").write_bytes(data)
        with pytest.raises(CannotWitness, match="holds no witness's key"):
            witness.load_key(folder)


def test_a_umask_that_lets_everybody_read_makes_no_difference(tmp_path):
    before = os.umask(0)
    try:
        witness.new_key(tmp_path / "state", "w")
    finally:
        os.umask(before)
    assert (tmp_path / "state" / "key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_logs_are_read_from_their_file(tmp_path):
    file, other = tmp_path / "logs", Signer("clinic.example/new", private(5))
    file.write_text(
        f"# remark\n\n{ORIGIN} {LOG.signer.key.vkey}\n{ORIGIN} {other.key.vkey}\ngo.sum tree {other.key.vkey}\n"
    )
    assert witness.load_logs(file) == {ORIGIN: [LOG.signer.key, other.key], "go.sum tree": [other.key]}


@pytest.mark.parametrize(
    "line",
    [
        ORIGIN,
        f"{ORIGIN} x",
        LOG.signer.key.vkey,
        f" {LOG.signer.key.vkey}",
        f"{ORIGIN} {WITNESS_KEY.vkey}",
        f"{ORIGIN} {LOG.signer.key.vkey} ",
    ],
)
def test_a_file_of_logs_that_says_something_else_is_refused_with_the_lines_number(tmp_path, line):
    (tmp_path / "logs").write_text(f"# remark\n{line}\n")
    with pytest.raises(CannotWitness, match="line 2"):
        witness.load_logs(tmp_path / "logs")


def test_the_management_command_does_the_same(made, tmp_path, capsys):
    folder, logs, _ = made
    call_command("witness", "--state", str(tmp_path / "other"), "--new-key", "witness.example/w2")
    assert notes.parse_vkey(capsys.readouterr().out.rstrip("\n")) == witness.load_key(tmp_path / "other").key
    for options in (
        ["--state", str(folder), "--new-key", "again"],
        ["--state", str(tmp_path / "another"), "--new-key", "a b"],
        ["--state", str(folder), "--listen", "127.0.0.1:0"],
        ["--state", str(folder), "--logs", str(logs), "--listen", "8090"],
        ["--state", str(folder), "--logs", str(logs), "--listen", "127.0.0.1:99999"],
        ["--state", str(folder), "--logs", str(tmp_path / "none"), "--listen", "127.0.0.1:0"],
        ["--state", str(tmp_path / "none"), "--logs", str(logs), "--listen", "127.0.0.1:0"],
    ):
        with pytest.raises(CommandError):
            call_command("witness", *options)


# -- asking ------------------------------------------------------------------------------------------------


class Hostile:
    """A witness that answers with just these bytes, some of them again and again."""

    def __init__(self, answer, again=b"", pause=0.05, tls=None):
        self._socket = socket.create_server(("127.0.0.1", 0))
        if tls:
            self._socket = tls.wrap_socket(self._socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._socket.getsockname()[1]}/prefix/"
        self._thread = threading.Thread(target=self._serve, args=[answer, again, pause])
        self._thread.start()

    def _serve(self, answer, again, pause):
        try:
            connection, _ = self._socket.accept()
        except OSError:  # a certificate was not taken
            return
        with connection:
            try:
                self.asked = b""
                while not _is_whole(self.asked) and (more := connection.recv(65536)):
                    self.asked += more
                connection.sendall(answer)
                until = time.monotonic() + 8
                while again and time.monotonic() < until:
                    connection.sendall(again)
                    time.sleep(pause)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self._socket.close()
        self._thread.join(10)


def _is_whole(asked):
    """Who hangs up on a request that is still being written is not heard: the kernel takes his answer back."""
    head, end, body = asked.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return end and len(body) >= int(length[1] if length else 0)


def _answer(body, status=200, kind="text/plain", length=None):
    head = (
        f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body) if length is None else length}\r\n"
    )
    return head.encode() + b"\r\n" + body


LINE = COSIGNER.cosign(LOG.checkpoint(5).text(), AT).line.encode() + b"\n"


def test_a_witness_is_asked_below_its_prefix():
    with Hostile(_answer(LINE * 2)) as other:
        assert add_checkpoint(other.url, 0, [], LOG.note(5), timeout=5) == [LINE.decode().rstrip("\n")] * 2
    assert other.asked.startswith(b"POST /prefix/add-checkpoint HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("answer", "status", "size"),
    [
        (_answer(b""), 200, None),
        (_answer(LINE.rstrip(b"\n")), 200, None),
        (_answer(LINE + b"\n"), 200, None),
        (_answer(LINE.rstrip(b"\n") + b"x"), 200, None),
        (_answer(LINE, 500), 500, None),
        (b"HTTP/1.1 200 X\r\n\r\n" + LINE * 2000, None, None),
        (_answer(LINE + b"junk\n"), 200, None),
        (_answer(b"\xff\n"), 200, None),
        (_answer(b"10\n", 409, "text/x.tlog.size"), 409, 10),
        (_answer(b"10", 409, "text/x.tlog.size"), 409, None),
        (_answer(b"010\n", 409, "text/x.tlog.size"), 409, None),
        (_answer(b"9" * 30 + b"\n", 409, "text/x.tlog.size"), 409, None),
        (_answer(b"10\n", 409), 409, None),
        (_answer(b"", 500), 500, None),
        (_answer(b"", 302).replace(b"\r\n\r\n", b"\r\nLocation: /elsewhere\r\n\r\n"), 302, None),
        (_answer(LINE, length=len(LINE) + 5), None, None),
        (_answer(LINE * 2000), None, None),
        (b"junk\r\n\r\n", None, None),
        (b"", None, None),
    ],
)
def test_whatever_a_witness_answers_there_is_one_error(answer, status, size):
    with Hostile(answer) as other, pytest.raises(NotCosigned) as refused:
        add_checkpoint(other.url, 0, [], LOG.note(5), timeout=5)
    assert (refused.value.status, refused.value.size) == (status, size)


@pytest.mark.parametrize("again", [b"x", LINE])
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 X\r\n", _answer(b"", length=10**6), b"HTTP/1.1 200 X\r\n\r\n"])
def test_a_witness_that_never_ends_is_not_waited_for(answer, again):
    begun = time.monotonic()
    with Hostile(answer, again) as other, pytest.raises(NotCosigned):
        add_checkpoint(other.url, 0, [], LOG.note(5), timeout=0.4)
    assert time.monotonic() - begun < 4


@pytest.fixture
def tls(tmp_path):
    """For a server at 127.0.0.1, whose certificate nobody has signed but itself."""
    private_key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now, address = dt.datetime.now(dt.UTC), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = x509.CertificateBuilder(name, name, private_key.public_key(), 1, now, now + dt.timedelta(hours=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=True)
    pem = serialization.Encoding.PEM
    file = tmp_path / "certificate.pem"
    file.write_bytes(
        private_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + builder.sign(private_key, hashes.SHA256()).public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    context.file = file
    return context


def test_over_tls_only_a_witness_with_a_trusted_certificate_is_asked(tls, monkeypatch):
    with Hostile(_answer(LINE), tls=tls) as other, pytest.raises(NotCosigned, match="SSLCertVerificationError"):
        add_checkpoint(other.url, 0, [], LOG.note(5), timeout=5)
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.file))
    with Hostile(_answer(LINE), tls=tls) as other:
        assert add_checkpoint(other.url, 0, [], LOG.note(5), timeout=5) == [LINE.decode().rstrip("\n")]


@pytest.mark.parametrize("again", [b"x", LINE])
def test_over_tls_a_witness_that_never_ends_is_not_waited_for(tls, monkeypatch, again):
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.file))
    begun = time.monotonic()
    with Hostile(b"HTTP/1.1 200 X\r\n\r\n", again, tls=tls) as other, pytest.raises(NotCosigned):
        add_checkpoint(other.url, 0, [], LOG.note(5), timeout=0.4)
    assert time.monotonic() - begun < 4


def test_a_witness_that_is_not_there_is_one_error_too():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}", f"https://127.0.0.1:{port}", "http://nowhere.invalid"):
        with pytest.raises(NotCosigned, match="cannot be reached"):
            add_checkpoint(url, 0, [], LOG.note(5), timeout=2)


@pytest.mark.parametrize(
    "url",
    ["", "x", "file:///etc/passwd", "ftp://x", "http://", "http://a:b", "http://x?y", "http://u:p@x", "http://[x"],
)
def test_only_plain_web_addresses_are_asked(url):
    with pytest.raises(NotCosigned, match="must be http"):
        add_checkpoint(url, 0, [], LOG.note(5), timeout=2)
