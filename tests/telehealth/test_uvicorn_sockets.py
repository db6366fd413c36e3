"""Sockets under uvicorn: whatever way the bytes come, they are what the library alone would have made of them."""

import asyncio
import base64
import contextlib
import logging
import socket
import struct
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from django.conf import settings as django_settings
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from signaling.protocol import MAX_UNREAD, MAX_WAITING
from signaling.short_way import EXTENSION, REST
from telehealth import uvicorn_sockets
from telehealth.uvicorn_sockets import Sockets

KEY = base64.b64encode(bytes(16))
HEAD = (
    b"GET /ws HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: keep-alive, Upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: " + KEY + b"\r\n\r\n"
)
TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
MOST = 65_536


def frame(kind: int, body: bytes = b"", *, last: bool = True, mask: bytes | None = b"\x01\x02\x03\x04") -> bytes:
    size = len(body)
    masked = 0x80 if mask is not None else 0
    head = bytes([(0x80 if last else 0) | kind])
    if size < 126:
        head += bytes([masked | size])
    elif size < 2**16:
        head += struct.pack("!BH", masked | 126, size)
    else:
        head += struct.pack("!BQ", masked | 127, size)
    if mask is None:
        return head + body
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(body))


class Wire(asyncio.Transport):
    """A transport that goes nowhere: what is written is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.unread, self.ended, self.lost = b"", 0, "", False

    def write(self, data: bytes) -> None:
        if self.lost:
            raise RuntimeError("the handler is closed")  # as uvloop's do
        if not self.ended:
            self.written += data

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = self.ended or "aborted"

    def is_closing(self) -> bool:
        return bool(self.ended)

    def get_write_buffer_size(self) -> int:
        return self.unread

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class App:
    """Answers each message with itself; whoever says "bye" is told so, and closed."""

    def __init__(self, *, reads: bool = True) -> None:
        self.heard: list[dict] = []
        self.reads = reads

    async def __call__(self, scope, receive, send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        self.send = send
        if not self.reads:
            await asyncio.sleep(30)
        while True:
            message = await receive()
            self.heard.append(message)
            if message["type"] == "websocket.disconnect":
                return
            await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})
            if message.get("text") == "bye":
                await send({"type": "websocket.send", "text": "and good luck"})
                await send({"type": "websocket.close", "code": 4409})


class ShortApp(App):
    """The same by the short way, as the product's consumers do it."""

    by_it = 0

    async def __call__(self, scope, receive, send) -> None:
        self.way = scope["extensions"][EXTENSION]

        async def next_one():
            self.way.hears = self.hear
            try:
                message = await receive()
            finally:
                self.way.hears = None
            if message["type"] != REST:
                return message
            await message["rest"]()
            return await next_one()

        await super().__call__(scope, next_one, send)

    def hear(self, text):
        self.by_it += 1
        self.heard.append({"type": "websocket.receive", "text": text})
        self.way.say(text)
        return self.part if text == "bye" else None

    async def part(self):
        await self.send({"type": "websocket.send", "text": "and good luck"})
        await self.send({"type": "websocket.close", "code": 4409})


def lose(made: WebSocketsSansIOProtocol, wire: Wire) -> None:
    wire.lost = True
    made.connection_lost(None)


def begun(kind: type[WebSocketsSansIOProtocol], app) -> tuple[WebSocketsSansIOProtocol, Wire]:
    config = uvicorn.Config(app, ws_max_size=MOST, ws_per_message_deflate=False, log_config=None, lifespan="off")
    config.load()
    wire = Wire()
    made = kind(config=config, server_state=ServerState(), app_state={})
    made.connection_made(wire)
    return made, wire


async def opened(kind: type[WebSocketsSansIOProtocol], app: App) -> tuple[WebSocketsSansIOProtocol, Wire]:
    made, wire = begun(kind, app)
    made.data_received(HEAD)
    await settled()
    assert b" 101 " in wire.written
    wire.written = b""
    return made, wire


async def settled() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


async def told(
    kind: type[WebSocketsSansIOProtocol], pieces: list[bytes], app: App | None = None
) -> tuple[list[dict], bytes, str]:
    """What the application heard, what was written to the page, and how it ended."""
    app = app or App()
    made, wire = await opened(kind, app)
    for piece in pieces:
        if wire.ended:
            break
        made.data_received(piece)
        await settled()
    said, ended = wire.written, wire.ended
    lose(made, wire)
    await settled()
    return app.heard, said, ended


#: what is read as a frame by whoever takes the middle of another for its beginning
INSIDE, OVER_IT = b"\x81\x81\x00\x00\x81\x81a", b"\xc1\xc1AA"
TWO = bytes(a ^ b for a, b in zip(INSIDE, OVER_IT * 2, strict=False))
GOOD = {
    "short": frame(TEXT, b"hello"),
    "empty": frame(TEXT),
    "of 125": frame(TEXT, b"a" * 125),
    "of 126": frame(TEXT, b"b" * 126),
    "of 65,535": frame(TEXT, b"c" * 65_535),
    "with its length in eight bytes": frame(TEXT, b"d" * 65_536),
    "letters of more than a byte": frame(TEXT, "žluťoučký 🐎".encode()),
    "one that looks like two": frame(TEXT, TWO, mask=OVER_IT),
    "one that looks like another from its second byte on": frame(TEXT, b"a", mask=b"\x81\xc1\x00\x00"),
    "a ping that looks like a text": frame(PING, TWO, mask=OVER_IT),
    "in fragments": frame(TEXT, b"he", last=False) + frame(0, b"ll", last=False) + frame(0, b"o"),
    "in fragments, a ping between": frame(TEXT, b"he", last=False) + frame(PING, b"?") + frame(0, b"llo"),
    "binary": frame(BINARY, b"\x00\xff"),
    "a ping": frame(PING, b"there?"),
    "a pong of nobody": frame(10, b"there"),
}
ENDING = {
    "a close": frame(CLOSE, struct.pack("!H", 1000) + b"done"),
    "a close without a word": frame(CLOSE),
    "a last word": frame(TEXT, b"bye"),
    "not masked": frame(TEXT, b"hello", mask=None),
    "not UTF-8": frame(TEXT, b"\xff\xfe"),
    "a reserved bit": bytes([0xC1]) + frame(TEXT, b"hello")[1:],
    "of no kind": frame(3, b"hello"),
    "a text within a text": frame(TEXT, b"he", last=False) + frame(TEXT, b"llo"),
    "the rest of nothing": frame(0, b"llo"),
    "a ping in fragments": frame(PING, b"?", last=False),
    "too large": frame(TEXT, b"e" * (MOST + 1)),
    "too large by its head alone": frame(TEXT, b"f" * 70_000)[:20],
}
AFTER = frame(TEXT, b"after it")


@pytest.mark.parametrize("kind", [App, ShortApp])
@pytest.mark.parametrize("name", [*GOOD, *ENDING])
async def test_a_frame_is_what_the_library_makes_of_it(name, kind):
    pieces = [frame(TEXT, b"before it"), {**GOOD, **ENDING}[name], AFTER]
    alone = await told(WebSocketsSansIOProtocol, pieces)
    assert await told(Sockets, pieces, kind()) == alone
    assert alone[0][0] == {"type": "websocket.receive", "text": "before it"}
    assert (alone[0][-2].get("text") == "after it") == (name in GOOD)


@pytest.mark.parametrize("kind", [App, ShortApp])
@pytest.mark.parametrize("name", ENDING)
async def test_what_ends_it_may_come_in_two_pieces(name, kind):
    alone, _, ended = await told(WebSocketsSansIOProtocol, [ENDING[name]])
    for at in range(1, min(len(ENDING[name]), 20)):
        heard, _, ended_too = await told(Sockets, [ENDING[name][:at], ENDING[name][at:]], kind())
        assert (heard[-1], ended_too) == (alone[-1], ended), at


@given(st.lists(st.sampled_from(sorted(set(GOOD) - {"of 65,535"})), max_size=5), st.booleans(), st.data())
@settings(max_examples=200, deadline=None)
def test_frames_may_be_cut_anywhere(names, short, data):
    frames = [GOOD[name] for name in names] + [AFTER]
    stream = b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, min(len(stream), 300)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True) if b > a]
    heard, said, _ = asyncio.run(told(Sockets, pieces, ShortApp() if short else App()))
    alone, same, _ = asyncio.run(told(WebSocketsSansIOProtocol, frames))
    assert heard == alone
    assert sorted(said) == sorted(same)  # a pong may come before or after


async def test_byte_by_byte_it_is_the_same_text():
    pieces = [bytes([byte]) for byte in frame(TEXT, b"x" * 300) + AFTER]
    heard, _, _ = await told(Sockets, pieces)
    assert [message.get("text") for message in heard[:2]] == ["x" * 300, "after it"]


async def test_most_frames_go_the_short_way(monkeypatch):
    """Or all the tests above would compare the library with itself."""
    longer = []
    monkeypatch.setattr(Sockets, "_by_the_library", lambda _self, data: longer.append(data))
    app = App()
    monkeypatch.undo()
    made, _ = await opened(Sockets, app)
    monkeypatch.setattr(Sockets, "_by_the_library", lambda _self, data: longer.append(data))
    made.data_received(frame(TEXT, b"a") + frame(TEXT, b"b" * 500) + frame(TEXT, b"c" * 65_535))
    await settled()
    assert [len(message["text"]) for message in app.heard] == [1, 500, 65_535]
    assert longer == []


async def test_what_is_heard_at_once_needs_no_task_and_what_is_left_of_it_comes_in_its_turn():
    app = ShortApp()
    made, _ = await opened(Sockets, app)
    made.data_received(frame(TEXT, b"a") + frame(TEXT, b"b") + frame(TEXT, b"bye") + AFTER)
    assert [message["text"] for message in app.heard] == ["a", "b", "bye"]  # what comes after waits for what is left
    await settled()
    assert app.by_it == 3
    assert app.heard[3]["text"] == "after it"


@pytest.mark.parametrize("error", [RuntimeError, ConnectionResetError])
async def test_a_handler_that_fails_at_once_ends_its_application_as_by_asgi(error, caplog):
    class Broken(ShortApp):
        def hear(self, text):
            self.heard.append(text)
            raise error

    app = Broken()
    made, wire = await opened(Sockets, app)
    made.data_received(frame(TEXT, b"a") + frame(TEXT, b"b"))
    await settled()
    assert wire.ended == "closed"
    assert app.heard == ["a"]
    assert error.__name__ in caplog.text


@pytest.mark.parametrize("at", range(1, 9))
@pytest.mark.parametrize("early", [False, True])
async def test_what_is_said_before_the_socket_is_open_is_the_librarys(at, early):
    """A frame that has begun there goes on to it."""
    app = App()
    made, _ = begun(Sockets, app)
    whole = frame(TEXT, TWO, mask=OVER_IT)
    pieces = [HEAD + whole[:at], whole[at:]] if early else [HEAD[:-at], HEAD[-at:] + whole[:at], whole[at:]]
    for piece in pieces:
        made.data_received(piece)
        if piece is not pieces[0] or early:
            await settled()
    made.data_received(AFTER)
    await settled()
    assert [message.get("text") for message in app.heard] == [TWO.decode(), "after it"]


@pytest.mark.parametrize("kind", [App, ShortApp])
async def test_what_is_said_before_a_close_comes_before_it(kind):
    _, said, _ = await told(Sockets, [frame(TEXT, b"bye")], kind())
    assert said == b"\x81\x03bye" + b"\x81\x0dand good luck" + b"\x88\x02" + struct.pack("!H", 4409)


async def test_an_answer_to_a_close_comes_after_what_was_said_before():
    app = App(reads=False)
    made, wire = await opened(Sockets, app)
    await app.send({"type": "websocket.send", "text": "last"})
    made.data_received(frame(CLOSE, struct.pack("!H", 1000)))
    assert wire.written == b"\x81\x04last" + b"\x88\x02" + struct.pack("!H", 1000)


async def test_what_is_said_at_once_goes_out_in_one_piece():
    app = App(reads=False)
    _, wire = await opened(Sockets, app)
    wrote = []
    wire.write = wrote.append
    for text in ("one", "two"):
        await app.send({"type": "websocket.send", "text": text})
    assert wrote == []
    await settled()
    assert wrote == [b"\x81\x03one\x81\x03two"]


async def test_a_page_that_sends_faster_than_it_is_read_is_dropped(caplog):
    app = App(reads=False)
    made, wire = await opened(Sockets, app)
    made.data_received(frame(TEXT, b"{}") * (MAX_WAITING - 1))
    assert not wire.ended
    assert made.read_paused
    with caplog.at_level(logging.WARNING):
        made.data_received(frame(TEXT, b"{}") * 50)
    assert wire.ended == "aborted"
    assert made.queue.qsize() <= MAX_WAITING
    assert [record.message for record in caplog.records] == ["a socket was dropped: it sent faster than it was read"]


async def test_nobody_waits_for_a_page_that_does_not_read():
    app = App(reads=False)
    made, wire = await opened(Sockets, app)
    made.pause_writing()
    wire.unread = MAX_UNREAD
    await asyncio.wait_for(app.send({"type": "websocket.send", "text": "still kept"}), 1)
    await settled()
    assert wire.written.endswith(b"still kept")
    wire.unread = MAX_UNREAD + 1
    await asyncio.wait_for(app.send({"type": "websocket.send", "text": "too much"}), 1)
    assert wire.ended == "aborted"


async def test_who_pings_and_never_reads_the_answers_is_dropped():
    made, wire = await opened(Sockets, App(reads=False))
    made.pause_writing()
    wire.unread = MAX_UNREAD
    made.data_received(frame(PING))
    assert not wire.ended
    wire.unread += 1
    made.data_received(frame(PING))
    assert wire.ended == "aborted"


async def test_nobody_waits_for_a_close_whose_last_words_are_too_much():
    app = App(reads=False)
    made, wire = await opened(Sockets, app)
    wire.write = lambda _data: made.pause_writing()
    await app.send({"type": "websocket.send", "text": "a long last word"})
    await asyncio.wait_for(app.send({"type": "websocket.close", "code": 4401}), 1)
    assert wire.ended == "aborted"


async def test_nobody_waits_to_close_a_page_that_does_not_read():
    app = App(reads=False)
    made, wire = await opened(Sockets, app)
    made.pause_writing()
    await asyncio.wait_for(app.send({"type": "websocket.close", "code": 4401}), 1)
    assert wire.ended == "aborted"


async def test_what_is_sent_to_a_page_that_is_gone_is_nobodys_trouble():
    app = App(reads=False)
    made, wire = await opened(Sockets, app)
    lose(made, wire)
    await app.send({"type": "websocket.send", "text": "hello?"})
    await settled()
    assert wire.written == b""


async def test_whoever_is_gone_keeps_nobody_from_what_was_said_to_them():
    left, stays = App(reads=False), App(reads=False)
    gone, gone_wire = await opened(Sockets, left)
    _, wire = await opened(Sockets, stays)
    for app in (left, stays):
        await app.send({"type": "websocket.send", "text": "news"})
    lose(gone, gone_wire)
    await settled()
    assert wire.written == b"\x81\x04news"
    await stays.send({"type": "websocket.send", "text": "more"})
    await settled()
    assert wire.written.endswith(b"\x81\x04more")


@pytest.mark.parametrize(
    "more",
    [b"content-length: 3\r\n", b"transfer-encoding: chunked\r\n", b"a: b\r\n" * 130, b"a: " + b"b" * 9000 + b"\r\n"],
)
async def test_what_is_no_handshake_is_answered_and_ended(more):
    made, wire = begun(Sockets, App())
    made.data_received(HEAD.replace(b"host:", more + b"host:"))
    await settled()
    assert wire.written.startswith(b"HTTP/1.1 400 ")
    assert wire.ended == "closed"
    made.shutdown()


async def test_who_is_not_let_in_in_time_is_dropped(monkeypatch):
    monkeypatch.setattr(uvicorn_sockets, "OPEN_WITHIN", 0.01)

    async def thinking(_scope, _receive, _send):
        await asyncio.sleep(30)

    made, wire = begun(Sockets, thinking)
    made.data_received(HEAD)
    await asyncio.sleep(0.1)
    assert wire.ended == "aborted"


FLOODS = {
    "texts": frame(TEXT, b"{}"),
    "binary frames": frame(BINARY),
    "pings": frame(PING),
    "pongs": frame(10),
    "beginnings": frame(TEXT, last=False) + frame(0, last=False) * 9 + frame(0),
    "fragments without end": frame(0, last=False),
}


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_is_dropped_whatever_it_consists_of(name):
    made, wire = await opened(Sockets, App(reads=False))
    if name.startswith("fragments"):
        made.data_received(frame(TEXT, last=False))
    for _ in range(100):
        made.data_received(FLOODS[name] * 30)
        if wire.ended:
            break
    assert wire.ended == "aborted"
    assert made.queue.qsize() <= MAX_WAITING
    assert len(made.frames) <= 2 * MAX_WAITING


async def test_what_comes_after_a_socket_was_dropped_costs_nothing(monkeypatch):
    made, wire = await opened(Sockets, App(reads=False))
    longer = []
    monkeypatch.setattr(Sockets, "_by_the_library", lambda _self, data: longer.append(data))
    made.data_received(frame(TEXT, b"{}") * 1000)
    assert wire.ended == "aborted"
    assert longer == []


async def test_an_application_that_fails_has_said_what_it_said():
    async def failing(_scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "last"})

    made, wire = begun(Sockets, failing)
    made.data_received(HEAD)
    await settled()
    assert wire.written.endswith(b"\x81\x04last")
    assert wire.ended == "closed"


async def test_after_the_pages_own_close_nothing_is_said():
    app = App(reads=False)
    made, wire = await opened(Sockets, app)
    made.data_received(ENDING["a close"])
    said = wire.written
    await app.send({"type": "websocket.send", "text": "late"})
    await settled()
    assert wire.written == said
    assert said.startswith(b"\x88")


async def test_a_server_that_stops_says_what_it_had_to_say_first():
    app = App(reads=False)
    made, wire = await opened(Sockets, app)
    await app.send({"type": "websocket.send", "text": "last"})
    made.shutdown()
    assert wire.written == b"\x81\x04last" + b"\x88\x02" + struct.pack("!H", 1012)
    assert wire.ended == "closed"


async def test_a_server_stops_whatever_state_its_sockets_are_in():
    early, wire = begun(Sockets, App())
    early.shutdown()
    assert wire.ended
    closing, wire = await opened(Sockets, App(reads=False))
    closing.data_received(ENDING["a close"])
    closing.shutdown()
    assert wire.ended
    lost, wire = await opened(Sockets, App(reads=False))
    lose(lost, wire)
    lost.shutdown()


def test_no_log_of_uvicorns_own_has_a_path_or_an_address():
    access = django_settings.LOGGING["loggers"]["uvicorn.access"]
    assert (access["handlers"], access["propagate"]) == ([], False)
    own = [django_settings.LOGGING["loggers"][name] for name in ("uvicorn", "uvicorn.error")]
    assert {logger["level"] for logger in own} == {"WARNING"}


# -- a real one -----------------------------------------------------------------------------------------------


@pytest.fixture
def port() -> Iterator[int]:
    config = uvicorn.Config(
        App(), port=0, ws=Sockets, ws_per_message_deflate=False, log_config=None, lifespan="off", access_log=False
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


def exactly(line: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size:
        more = line.recv(size - len(got))
        assert more
        got += more
    return got


def test_over_a_real_connection(port):
    with contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as line:
        line.sendall(HEAD)
        assert b" 101 " in line.recv(4096)
        for size in (1, 200, 20_000):
            line.sendall(frame(TEXT, b"x" * size))
            answer = frame(TEXT, b"x" * size, mask=None)
            assert exactly(line, len(answer)) == answer
        # All at once, more than the kernel takes in one piece.
        line.sendall(frame(TEXT, b"y" * 3000) * 100)
        answer = frame(TEXT, b"y" * 3000, mask=None) * 100
        assert exactly(line, len(answer)) == answer
        line.sendall(frame(TEXT, b"bye"))
        last = b"\x81\x03bye" + b"\x81\x0dand good luck" + b"\x88\x02" + struct.pack("!H", 4409)
        assert exactly(line, len(last)) == last
        line.sendall(frame(CLOSE, struct.pack("!H", 4409)))
        assert line.recv(10) == b""
    assert uvicorn_sockets._full == []
