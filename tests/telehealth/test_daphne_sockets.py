"""Sockets under Daphne: what goes the short way is what the library would have made of it, and piles do not grow."""

import asyncio
import contextlib
import logging
import socket
import ssl
import struct
import subprocess
import sys

import pytest
from daphne.server import Server
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol
from django.conf import settings as django_settings
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionAborted
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from signaling.protocol import MAX_FRAME, MAX_UNREAD, MAX_WAITING
from signaling.short_way import EXTENSION, REST
from telehealth import certificate
from telehealth.daphne_sockets import BoundedProtocol, _with_the_short_way
from tests.engines import free_port
from tests.telehealth.test_uvicorn_sockets import AFTER, ENDING, GOOD, HEAD, TEXT, frame

SLOW = {"of 65,535", "with its length in eight bytes"}  # to be cut anywhere


class Wire(StringTransport):
    """`connected` until either side has ended it."""

    def abortConnection(self) -> None:
        self.loseConnection()

    def unregisterProducer(self) -> None:
        """As the true ones, with which there need not be one."""


def answer(text: str) -> str:
    return f"<{text[:200]}>"


class App:
    """Answers each text with its beginning."""

    def __init__(self, kind: type[WebSocketProtocol], *, short: bool = False) -> None:
        self.heard: list[str] = []
        self.queue: asyncio.Queue = asyncio.Queue()
        factory = WebSocketFactory(self)
        factory.setProtocolOptions(maxFramePayloadSize=65_536, maxMessagePayloadSize=65_536)
        self.made = kind()
        self.made.factory = factory
        self.made._raw_query_string = b""
        self.wire = Wire()
        self.made.makeConnection(self.wire)
        self.made.dataReceived(HEAD)
        self.made.handle_reply({"type": "websocket.accept"})
        assert b" 101 " in self.wire.value()
        self.wire.clear()
        self.events()
        if short:
            self.made.hears = self.hear

    # -- as daphne.server.Server
    root_path, proxy_forwarded_address_header = "", None

    def create_application(self, _protocol, _scope):
        return self.queue

    def protocol_connected(self, _protocol): ...

    def protocol_disconnected(self, _protocol): ...

    def log_action(self, *_words): ...

    # -- as a consumer
    def hear(self, text: str):
        self.heard.append(text)
        self.made.say(answer(text))
        if text == "wait":
            self.made.hears = None  # as while its task does what is left
            return self.left
        return None

    async def left(self) -> None: ...

    def events(self) -> list[dict]:
        found = []
        while not self.queue.empty():
            found.append(self.queue.get_nowait())
        return found

    def told(self, pieces: list[bytes]) -> tuple[list, bytes, bool]:
        for piece in pieces:
            self.made.dataReceived(piece)
            for event in self.events():
                self.heard.append(event.get("text", event.get("bytes")))
                if self.made.state == self.made.STATE_OPEN and "text" in event:
                    self.made.handle_reply({"type": "websocket.send", "text": answer(event["text"])})
        return self.heard, self.wire.value(), self.wire.disconnecting


@pytest.mark.parametrize("name", [*GOOD, *ENDING])
def test_a_frame_is_what_the_library_makes_of_it(name):
    pieces = [frame(TEXT, b"before it"), {**GOOD, **ENDING}[name], AFTER]
    alone = App(WebSocketProtocol).told(pieces)
    assert App(BoundedProtocol, short=True).told(pieces) == alone
    assert alone[0][0] == "before it"
    assert (alone[0][-1] == "after it") == (name in GOOD or name == "a last word")


@pytest.mark.parametrize("name", [*GOOD, *ENDING])
def test_it_may_come_in_two_pieces(name):
    whole = {**GOOD, **ENDING}[name]
    heard, said, ended = App(WebSocketProtocol).told([whole, AFTER])
    alone = (heard, sorted(said), ended)
    for at in range(1, min(len(whole), 24)):
        for pieces in ([whole[:at], whole[at:], AFTER], [whole[:at], whole[at:] + AFTER]):
            heard, said, ended = App(BoundedProtocol, short=True).told(pieces)
            assert (heard, sorted(said), ended) == alone, at


@given(st.lists(st.sampled_from(sorted({*GOOD, *ENDING} - SLOW)), max_size=5), st.data())
@settings(max_examples=150, deadline=None)
def test_frames_may_be_cut_anywhere(names, data):
    frames = [*({**GOOD, **ENDING}[name] for name in names), AFTER]
    stream = b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, min(len(stream), 300)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True) if b > a]
    heard, said, ended = App(BoundedProtocol, short=True).told(pieces)
    alone, same, ended_too = App(WebSocketProtocol).told(frames)
    assert (heard, ended) == (alone, ended_too)
    assert sorted(said) == sorted(same)  # an answer to what came in one piece with it may come before or after


def test_most_frames_go_past_the_library(monkeypatch):
    """Or the tests above would compare it with itself."""
    longer = []
    app = App(BoundedProtocol, short=True)
    monkeypatch.setattr(WebSocketProtocol, "dataReceived", lambda _self, data: longer.append(data))
    app.made.dataReceived(frame(TEXT, b"a") + frame(TEXT, b"b" * 500) + frame(TEXT, b"c" * MAX_FRAME))
    assert [len(text) for text in app.heard] == [1, 500, MAX_FRAME]
    assert longer == []


def test_a_frame_is_an_answer_to_a_ping_that_waits_for_one():
    app, ended = App(BoundedProtocol, short=True), []
    app.made.autoPingTimeoutCall = type("Call", (), {"cancel": lambda _self: ended.append(True)})()
    app.made.dataReceived(AFTER)
    assert (app.heard, ended) == (["after it"], [True])


def test_nothing_overtakes_what_is_left_to_do():
    app = App(BoundedProtocol, short=True)
    app.made.dataReceived(frame(TEXT, b"first") + frame(TEXT, b"wait") + frame(TEXT, b"second") + AFTER)
    assert app.heard == ["first", "wait"]
    assert [event.get("text", event["type"]) for event in app.events()] == [REST, "second", "after it"]


def test_nothing_is_handed_over_at_once_while_something_waits():
    app = App(BoundedProtocol, short=True)
    app.queue.put_nowait({"type": REST, "rest": app.left})
    app.made.dataReceived(AFTER)
    assert app.heard == []
    assert len(app.events()) == 2


def test_what_is_said_to_a_closed_socket_is_nobodys_trouble():
    app = App(BoundedProtocol, short=True)
    app.made.serverClose(4401)
    said = app.wire.value()
    app.made.say("too late")
    assert app.wire.value() == said


@pytest.mark.parametrize("state", ["not read", "closing"])
def test_a_page_that_sends_faster_than_it_is_read_is_dropped(caplog, state):
    app = App(BoundedProtocol, short=state == "closing")
    if state == "closing":
        app.made.serverClose(4429)  # and its page does not answer
    with caplog.at_level(logging.WARNING, "telehealth.daphne_sockets"):
        app.made.dataReceived(frame(TEXT, b"{}") * MAX_WAITING)
        assert not app.wire.disconnecting
        app.made.dataReceived(frame(TEXT, b"{}"))
    assert app.wire.disconnecting
    assert app.queue.qsize() <= MAX_WAITING + 1  # that it is gone is one more
    assert [record.message for record in caplog.records] == ["a socket was dropped: it sent faster than it was read"]


@pytest.mark.parametrize("way", ["short", "long"])
def test_a_page_that_does_not_read_is_dropped(caplog, way):
    app = App(BoundedProtocol)
    say, text = app.made.say if way == "short" else app.made.serverSend, "a" * 65_000
    for _ in range(40):  # it reads
        say(text)
    app.wire.producer.pauseProducing()
    app.made.dataReceived(AFTER)  # it still talks
    with caplog.at_level(logging.WARNING, "telehealth.daphne_sockets"):
        for _ in range(MAX_UNREAD // 65_100):
            app.wire.producer.pauseProducing()  # as over TCP alone, at each write
            say(text)
        assert not app.wire.disconnecting
        say(text)
        say(text)
    assert app.wire.disconnecting
    assert [record.message for record in caplog.records] == ["a socket was dropped: it did not read"]


def test_a_close_that_is_too_much_ends_it_and_the_consumer_is_told():
    app = App(BoundedProtocol)
    app.wire.producer.pauseProducing()
    app.made.unread = MAX_UNREAD - 1
    app.made.serverClose(4401)
    assert app.wire.disconnecting
    app.made.connectionLost(Failure(ConnectionAborted()))
    assert [event["type"] for event in app.events()] == ["websocket.disconnect"]


def test_a_page_that_reads_again_is_kept():
    app = App(BoundedProtocol)
    for _ in range(40):
        app.wire.producer.pauseProducing()
        app.made.say("a" * 65_000)
        app.wire.producer.resumeProducing()
    assert not app.wire.disconnecting


#: a server that says 64 MB to whoever comes, and does not wait for him
TALKS = """
import asyncio, sys, twisted.internet.asyncioreactor
twisted.internet.asyncioreactor.install()
from daphne.server import Server
from telehealth import daphne_sockets

async def talks(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    for _ in range(1000):
        await send({"type": "websocket.send", "text": "a" * 64_000})
        await asyncio.sleep(0)
    print("said all", flush=True)

daphne_sockets.install()
Server(talks, endpoints=[sys.argv[1]], signal_handlers=False, ready_callable=lambda: print("ready", flush=True)).run()
"""


@pytest.mark.parametrize("kind", ["ssl", "tcp"])
def test_over_a_real_connection_too_it_is_dropped(tmp_path, kind):
    key, crt = certificate.ensure(tmp_path, "localhost")
    port = free_port()
    endpoint = f"{kind}:{port}:interface=127.0.0.1" + (f":privateKey={key}:certKey={crt}" if kind == "ssl" else "")
    server = subprocess.Popen(
        ["timeout", "40", sys.executable, "-c", TALKS, endpoint], stdout=subprocess.PIPE, cwd=django_settings.BASE_DIR
    )
    try:
        assert server.stdout.readline() == b"ready\n"
        context = ssl.create_default_context(cafile=str(crt))
        with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
            page = context.wrap_socket(raw, server_hostname="localhost") if kind == "ssl" else raw
            page.sendall(HEAD)
            assert server.stdout.readline() == b"said all\n"
            taken = 0
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                while piece := page.recv(65_536):
                    taken += len(piece)
        assert taken < 32_000_000
    finally:
        server.terminate()
        server.communicate()


@pytest.mark.parametrize("code", [None, 1013, 4401])
def test_every_code_that_the_product_closes_with_is_said(code):
    app = App(BoundedProtocol)
    app.made.handle_reply({"type": "websocket.close", "code": code})
    assert app.wire.value() == b"\x88\x02" + struct.pack("!H", code or 1000)
    assert app.made.state == app.made.STATE_CLOSING


def test_what_fails_at_once_is_left_to_the_task():
    app = App(BoundedProtocol, short=True)
    app.made.hears = lambda _text: 1 / 0
    app.made.dataReceived(AFTER + AFTER)
    failed, waits = app.events()
    with pytest.raises(ZeroDivisionError):
        asyncio.run(failed["rest"]())
    assert waits["text"] == "after it"


def test_the_product_is_offered_it(monkeypatch):
    scopes = []
    monkeypatch.setattr(
        "telehealth.daphne_sockets._create_application", lambda _server, _protocol, scope: scopes.append(scope)
    )
    made = BoundedProtocol()
    _with_the_short_way(Server, made, {"type": "websocket"})
    _with_the_short_way(Server, object(), {"type": "http"})
    assert scopes == [{"type": "websocket", "extensions": {EXTENSION: made}}, {"type": "http"}]
