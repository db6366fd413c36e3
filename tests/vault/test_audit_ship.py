"""Entries reach a SIEM at least once and in order, over real TLS, and a place that is away holds up nobody."""

import json
import re
import socket
import ssl
import struct
import threading

import pytest

from telehealth import certificate
from tests.cast import BY
from tests.vault.test_audit_publish import receiver  # noqa: F401  (fixture)
from tests.vault.test_audit_verify import as_thief, key, log  # noqa: F401  (fixtures)
from vault import audit_sealing, audit_ship
from vault.audit import record
from vault.core.entries import COLUMNS
from vault.exchange import NoAnswer
from vault.models import AuditShipment


class Collector:
    """A syslog server over TLS: reads to the end of each connection, then closes in its turn."""

    def __init__(self, folder):
        key_file, self.certificate = certificate.ensure(folder, "localhost")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, key_file)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.messages, self.break_off = [], False
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            try:
                with self.context.wrap_socket(plain, server_side=True) as sealed:
                    self._read(sealed)
            except (OSError, ssl.SSLError):
                plain.close()

    def _read(self, sealed):
        if self.break_off:  # what came is left unread
            self.break_off = False
            sealed.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        data = b""
        while piece := sealed.recv(65536):
            data += piece
        while data:
            length, _, data = data.partition(b" ")
            self.messages.append(data[: int(length)].decode())
            data = data[int(length) :]

    def close(self):
        self.listener.close()


@pytest.fixture
def collector(settings, tmp_path):
    one = Collector(tmp_path / "tls")
    settings.AUDIT_SHIP, settings.AUDIT_SHIP_CA = [f"syslog+tls://localhost:{one.port}"], str(one.certificate)
    yield one
    one.close()


def _only_place():
    ((address, send),) = audit_ship.places().items()
    return address, send


def _shipped():
    address, send = _only_place()
    total = 0
    while piece := audit_ship.ship(address, send).entries:
        total += len(piece)
    return total


def test_each_entry_is_one_syslog_message_with_all_that_it_says(log, collector):  # noqa: F811
    assert _shipped() == 12
    assert len(collector.messages) == 12
    head, _, said = collector.messages[4].partition(" - {")
    assert re.fullmatch(r"<110>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z \S+ telehealth - patient\.view", head)
    entry = json.loads("{" + said)
    assert set(entry) == {"index", *COLUMNS}
    assert (entry["id"], entry["index"], entry["detail"]) == (log[4], 4, {"n": 4})


def test_only_what_is_new_is_sent_and_only_what_is_sealed(log, collector):  # noqa: F811
    _shipped()
    record("signin", BY)
    assert _shipped() == 0
    audit_sealing.catch_up()
    assert _shipped() == 1


def test_what_a_broken_connection_may_have_lost_is_sent_again(log, collector):  # noqa: F811
    collector.break_off = True
    address, send = _only_place()
    with pytest.raises(OSError, match=".*"):
        audit_ship.ship(address, send)
    assert AuditShipment.objects.get().sent_to == 0
    assert _shipped() == 12
    assert [json.loads("{" + m.partition(" - {")[2])["index"] for m in collector.messages[-12:]] == list(range(12))


def test_a_stranger_with_another_certificate_gets_nothing(log, collector, settings, tmp_path):  # noqa: F811
    _, other = certificate.ensure(tmp_path / "other", "localhost")
    settings.AUDIT_SHIP_CA = str(other)
    address, send = _only_place()
    with pytest.raises(ssl.SSLCertVerificationError):
        audit_ship.ship(address, send)
    assert not collector.messages


def test_a_webhook_gets_lines_with_its_token_and_again_when_it_refused(log, receiver, settings):  # noqa: F811
    settings.AUDIT_SHIP = [f"http://127.0.0.1:{receiver.server_address[1]}/siem"]
    settings.AUDIT_SHIP_TOKEN = "let-me-in"
    receiver.status = 503
    address, send = _only_place()
    with pytest.raises(NoAnswer, match="503"):
        audit_ship.ship(address, send)
    receiver.status = 202
    assert _shipped() == 12
    path, body, headers = receiver.got[-1]
    assert (path, headers["Authorization"]) == ("/siem", "Bearer let-me-in")
    assert [json.loads(line)["id"] for line in body.splitlines()] == log


def test_pieces_meet_without_gap_or_overlap(log, receiver, settings, monkeypatch):  # noqa: F811
    settings.AUDIT_SHIP = [f"http://127.0.0.1:{receiver.server_address[1]}/siem"]
    monkeypatch.setattr(audit_ship.piece_after, "__defaults__", (5,))
    assert _shipped() == 12
    sizes = [len(body.splitlines()) for _, body, _ in receiver.got]
    assert sizes == [5, 5, 2]
    assert [json.loads(line)["index"] for _, body, _ in receiver.got for line in body.splitlines()] == list(range(12))


def test_a_redirection_is_no_receipt_and_gets_no_token(log, receiver, settings):  # noqa: F811
    settings.AUDIT_SHIP = [f"http://127.0.0.1:{receiver.server_address[1]}/siem"]
    settings.AUDIT_SHIP_TOKEN = "let-me-in"
    receiver.status, receiver.headers["Location"] = 302, f"http://127.0.0.1:{receiver.server_address[1]}/elsewhere"
    with pytest.raises(NoAnswer, match="302"):
        audit_ship.ship(*_only_place())
    assert [path for path, _, _ in receiver.got] == ["/siem"]
    assert AuditShipment.objects.get().sent_to == 0


def test_entries_that_are_gone_do_not_stop_those_that_are_there(log, receiver, settings, monkeypatch):  # noqa: F811
    settings.AUDIT_SHIP = [f"http://127.0.0.1:{receiver.server_address[1]}/siem"]
    monkeypatch.setattr(audit_ship.piece_after, "__defaults__", (5,))
    with as_thief() as cursor:
        cursor.execute("DELETE FROM vault_auditentry WHERE id <= %s", [log[6]])
    address, send = _only_place()
    pieces = [audit_ship.ship(address, send) for _ in range(4)]
    assert [(len(piece.entries), piece.places) for piece in pieces] == [(0, 5), (3, 5), (2, 2), (0, 0)]
    assert [json.loads(line)["id"] for _, body, _ in receiver.got for line in body.splitlines()] == log[7:]


@pytest.mark.parametrize("change", ["outcome = 'odd'", "action = 'two words'", "action = 'é'"])
def test_an_entry_that_was_rewritten_is_still_one_message(log, collector, change):  # noqa: F811
    with as_thief() as cursor:
        cursor.execute(f"UPDATE vault_auditentry SET {change} WHERE id = %s", [log[4]])
    assert _shipped() == 12
    head = collector.messages[4].partition(" {")[0]
    assert re.fullmatch(r"<1(07|10)>1 \S+ \S+ telehealth - (-|patient\.view) -", head), head


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "answer", [b"hello\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n" + b"x" * 99999]
)
def test_a_place_that_talks_nonsense_is_told_again_and_gets_all_of_it(receiver, settings, key, monkeypatch, answer):  # noqa: F811
    settings.AUDIT_SHIP = [f"http://127.0.0.1:{receiver.server_address[1]}/siem"]
    monkeypatch.setattr(audit_ship, "EVERY_SECONDS", 0.05)
    receiver.raw = [answer, answer]
    record("signin", BY)
    audit_sealing.catch_up()
    stop = threading.Event()
    threads = audit_ship.start(stop)
    for _ in range(100):
        if AuditShipment.objects.filter(sent_to=1).exists() or stop.wait(0.05):
            break
    stop.set()
    for thread in threads:
        thread.join(10)
    assert len(receiver.got) == 3


@pytest.mark.parametrize("address", ["syslog://siem:514", "ftp://siem", "https://", "siem"])
def test_an_address_that_is_none_is_refused_in_words(settings, address):
    settings.AUDIT_SHIP = [address]
    with pytest.raises(audit_ship.NotShipped, match="AUDIT_SHIP takes"):
        audit_ship.places()


@pytest.mark.django_db(transaction=True)
def test_a_place_that_is_away_holds_up_nobody(receiver, settings, key, monkeypatch, caplog):  # noqa: F811
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        away = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
    settings.AUDIT_SHIP = [away, f"http://127.0.0.1:{receiver.server_address[1]}/siem"]
    record("signin", BY)
    audit_sealing.catch_up()
    stop, done = threading.Event(), threading.Event()
    monkeypatch.setattr(audit_ship, "EVERY_SECONDS", 0.05)
    threads = audit_ship.start(stop)
    for _ in range(100):
        if receiver.got or done.wait(0.05):
            break
    stop.set()
    for thread in threads:
        thread.join(10)
    assert len(receiver.got) == 1
    assert caplog.text.count(away) == 1
