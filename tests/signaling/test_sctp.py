"""What a browser can send over its own data channel: aiortc reads on for ever, the guard before it does not."""

import asyncio
import os
import random
import signal
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from aiortc.rtcsctptransport import parse_packet, serialize_packet

from signaling.sctp import LARGEST_MESSAGE, PIECES, STREAMS, harmless
from tests.signaling.test_guard import Session, session


class Raw:
    """A chunk as it is said to be, whatever it is."""

    def __init__(self, kind: int, body: bytes, flags: int = 0, length: int | None = None) -> None:
        self.kind, self.body, self.flags = kind, body, flags
        self.length = len(body) + 4 if length is None else length

    def __bytes__(self) -> bytes:
        head = struct.pack("!BBH", self.kind, self.flags, self.length)
        return head + self.body + bytes(-len(self.body) % 4)


def packet(*chunks: Raw, tag: int = 7) -> bytes:
    return serialize_packet(5000, 5000, tag, _Several(chunks))


class _Several:
    def __init__(self, chunks: tuple[Raw, ...]) -> None:
        self.chunks = chunks

    def __bytes__(self) -> bytes:
        return b"".join(map(bytes, self.chunks))


def data(tsn: int, text: bytes, *, stream: int = 1, flags: int = 7, kind: int = 51) -> Raw:
    return Raw(0, struct.pack("!LHHL", tsn, stream, 0, kind) + text, flags)


ENDLESS = struct.pack("!HH", 1, 0) + bytes(4)
SACK = struct.pack("!LLHH", 1, 100_000, 300, 0) + struct.pack("!HH", 0, 65_535) * 300
#: a chunk each that aiortc alone would read for ever, or for seconds, or fill its memory with
WICKED = {
    "a parameter of length 0": Raw(4, ENDLESS),
    "one in a greeting": Raw(1, struct.pack("!LLHHL", 1, 100_000, 8, 8, 1) + ENDLESS),
    "one in an answer to it": Raw(2, struct.pack("!LLHHL", 1, 100_000, 8, 8, 1) + ENDLESS),
    "one in an abort": Raw(6, ENDLESS),
    "one in an error": Raw(9, ENDLESS),
    "one in a change of streams": Raw(130, ENDLESS),
    "twenty million numbers": Raw(3, SACK),
    "a range that is not there": Raw(3, SACK[:40]),
    "sixty thousand streams": Raw(192, struct.pack("!L", 5) + b"".join(struct.pack("!HH", n, 1) for n in range(300))),
    "half a stream": Raw(192, bytes(6)),
    "a piece of nothing": Raw(0, bytes(12)),
    "a chunk of length 0": Raw(4, b"", length=0),
    "a chunk longer than the packet": Raw(4, bytes(8), length=400),
}


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fails in the middle of a loop that does not end; without it the test would take the machine's memory."""

    def over(*_words: object) -> None:
        raise AssertionError("it is read on and on")

    before = signal.signal(signal.SIGALRM, over)
    # Again and again: an exception raised while something is being collected is only printed.
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", WICKED)
def test_what_lies_about_its_length_is_not_read(name: str) -> None:
    assert not harmless(packet(WICKED[name]))
    assert not harmless(packet(data(1, b"good"), WICKED[name]))


PARAMETERS = struct.pack("!HH", 0x8008, 6) + b"\xc0\x82" + bytes(2) + struct.pack("!HH", 0xC000, 4)
USUAL = {
    "greeting": Raw(1, struct.pack("!LLHHL", 1, 100_000, 65_535, 65_535, 1) + PARAMETERS),
    "acknowledgement": Raw(3, struct.pack("!LLHH", 1, 100_000, 2, 1) + struct.pack("!HHHHL", 2, 3, 5, 9, 1)),
    "sign of life": Raw(4, struct.pack("!HH", 1, 12) + os.urandom(8)),
    "cookie": Raw(10, os.urandom(24)),
    "what is skipped": Raw(192, struct.pack("!LHH", 9, 1, 4)),
    "a change of streams": Raw(130, struct.pack("!HHLLLH", 13, 18, 1, 1, 9, 1)),
    "of a kind that is not known here": Raw(64, os.urandom(20)),
    "a message": data(1, b"x"),
}


@pytest.mark.parametrize("name", USUAL)
def test_what_browsers_send_is_read(name: str) -> None:
    assert harmless(packet(USUAL[name]))


def test_no_packet_that_passes_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty thousand packets changed at random: each is refused, or taken apart at once."""
    monkeypatch.setattr("aiortc.rtcsctptransport.crc32c", lambda _data: 0)
    chance = random.Random(20)
    seeds = [bytes(chunk) for chunk in (*WICKED.values(), *USUAL.values())]
    passed = 0
    for _ in range(20_000):
        body = bytearray(chance.choice(seeds)[:200] + chance.choice(seeds)[:200])
        for _ in range(chance.randrange(6)):
            body[chance.randrange(len(body))] = chance.choice((0, 1, 4, 8, 255, chance.randrange(256)))
        made = bytes(12) + bytes(body)
        if harmless(made):
            passed += 1
            with within(1):
                try:
                    parse_packet(made)
                except (ValueError, struct.error):
                    continue
    assert passed > 300


# -- over a leg that stands ------------------------------------------------------------------------------------


async def _send(one: Session, *chunks: Raw) -> None:
    sctp = one.browser.sctp
    await sctp.transport._send_data(packet(*chunks, tag=sctp._remote_verification_tag))


def _next(one: Session) -> int:
    return int(one.leg.pc.sctp._last_received_tsn) + 1


@pytest.mark.parametrize("name", WICKED)
async def test_one_browser_that_sends_it_disturbs_nobody(name: str) -> None:
    async with session() as wicked, session() as other:
        for one in (wicked, other):
            await one.accept(await one.answer())
        with within(10):
            for _ in range(3):
                await _send(wicked, WICKED[name])
            assert await other.works()
            assert await wicked.works()  # it was passed over; she may go on


async def test_whole_messages_behind_a_piece_that_never_comes_are_bounded() -> None:
    async with session() as one:
        await one.accept(await one.answer())
        first = _next(one)
        for number in range(PIECES * 3):
            await _send(one, data(first + 1 + number, b"x"))
            if number % 50 == 0:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert len(one.leg.pc.sctp._sack_misordered) == PIECES


async def test_a_long_message_is_not_handed_on_and_a_long_name_is_not_kept() -> None:
    async with session() as one:
        await one.accept(await one.answer())
        one.channel.send("x" * (LARGEST_MESSAGE + 1))
        one.browser.createDataChannel("y" * (LARGEST_MESSAGE * 2))
        assert await one.works()
        assert len(one.leg.pc.sctp._data_channels) == 1


@pytest.mark.parametrize("wrong", ["text", "open twice", "a name"])
async def test_what_cannot_be_read_ends_its_own_leg_and_is_not_printed(
    wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    canary = b"\xff\xfe Gonzalez"
    twice = struct.pack("!BBHLHH", 3, 0, 0, 0, 0, 0)
    name = struct.pack("!BBHLHH", 3, 0, 0, 0, len(canary), 0) + canary
    async with session() as one, session() as other:
        for each in (one, other):
            await each.accept(await each.answer())
        stream = {"text": one.channel.id, "open twice": one.channel.id, "a name": STREAMS - 1}[wrong]
        body, kind = {"text": (canary, 51), "open twice": (twice, 50), "a name": (name, 50)}[wrong]
        sctp = one.leg.pc.sctp
        before = sctp._inbound_streams[one.channel.id].sequence_number
        made = struct.pack("!LHHL", _next(one), stream, before if stream == one.channel.id else 0, kind) + body
        await _send(one, Raw(0, made, flags=3))
        for _ in range(100):
            if one.leg.ended:
                break
            await asyncio.sleep(0.02)
        assert one.leg.ended
        assert await other.works()
    assert "could not be read" in caplog.text
    assert "Gonzalez" not in caplog.text
    assert "Traceback" not in caplog.text


def test_aiortc_alone_would_read_on_and_on() -> None:
    """Where this fails the library has learned it, and the guard may go."""
    with pytest.raises(AssertionError, match="on and on"), within(0.05):
        parse_packet(packet(WICKED["a parameter of length 0"]))


async def test_a_browser_that_floods_its_leg_leaves_time_for_the_others() -> None:
    async with session() as loud, session() as other:
        for one in (loud, other):
            await one.accept(await one.answer())
        pair = loud.ice._nominated[1]
        for _ in range(20):
            for _ in range(1000):
                pair.protocol.datagram_received(bytes([23]) + os.urandom(60), pair.remote_addr)
            await asyncio.sleep(0)
        assert loud.ice.arrivals.dropped > 15_000
        started = time.monotonic()
        assert await other.works()
        assert time.monotonic() - started < 5
