"""Packets as they come off a bad line, and the file that is made of them."""

import base64
import fractions
import hashlib
import io
import math
import random

import av
import pytest
from aiortc.rtp import RtpPacket

from signaling import recording
from signaling.recording import Recorder, length_of

FRAME = 960  # 20 ms


def _encoded(frames: int, loudness: float) -> list[bytes]:
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "mono", "s16"
    made = []
    for number in range(frames):
        frame = av.AudioFrame("s16", "mono", FRAME)
        wave = (math.sin(2 * math.pi * 440 * (number * FRAME + n) / 48_000) for n in range(FRAME))
        frame.planes[0].update(b"".join(int(loudness * 32767 * w).to_bytes(2, "little", signed=True) for w in wave))
        frame.sample_rate, frame.pts, frame.time_base = 48_000, number * FRAME, fractions.Fraction(1, 48_000)
        made += [bytes(packet) for packet in encoder.encode(frame)]
    return made


SPEECH = _encoded(100, 0.3)  # two seconds


def packet(number: int, payload: bytes, *, at: int | None = None, ssrc: int = 7) -> RtpPacket:
    """Numbers and times begin shortly before they wrap around."""
    at = number * FRAME if at is None else at
    return RtpPacket(
        payload_type=111,
        sequence_number=(65_530 + number) % 2**16,
        timestamp=(2**32 - 5000 + at) % 2**32,
        ssrc=ssrc,
        payload=payload,
    )


async def _recorded(packets, seconds=30.0):
    recorder = Recorder(seconds_at_most=seconds)
    for one in packets:
        recorder.take(one)
    recorder.end()
    return await recorder.finish(within=1)


def _decoded(sound: bytes) -> float:
    """Seconds, as another decoder than the recorder's finds them."""
    with av.open(io.BytesIO(sound)) as file:
        return sum(frame.samples for frame in file.decode(audio=0)) / 48_000


WHOLE = [packet(n, payload) for n, payload in enumerate(SPEECH)]


async def test_the_packets_stand_in_the_file_as_they_came():
    made = await _recorded(WHOLE)
    assert (made.packets, made.seconds, made.sha256) == (100, 2.0, hashlib.sha256(made.sound).hexdigest())
    with av.open(io.BytesIO(made.sound)) as file:
        assert [bytes(p) for p in file.demux(audio=0) if p.size] == SPEECH
    assert abs(_decoded(made.sound) - 2.0) < 0.02
    assert made.heard_seconds > 1.9


@pytest.mark.parametrize("lost", [range(10, 11), range(30, 60), range(0, 100, 5)], ids=["one", "a row", "a fifth"])
async def test_what_was_lost_is_a_gap_of_the_same_length(lost):
    made = await _recorded([p for n, p in enumerate(WHOLE) if n not in lost])
    expected = 2.0 - (0.02 if lost.start == 0 else 0)  # before the first packet there is no gap
    assert made.seconds == pytest.approx(expected)
    assert abs(_decoded(made.sound) - expected) < 0.02
    assert made.packets == 100 - len(lost)
    assert made.heard_seconds < 2.0 - 0.02 * len(lost) + 0.01


async def test_silence_that_was_not_sent_is_silence_of_the_same_length():
    """DTX: the numbers go on, the time jumps."""
    pause = [packet(50 + n, p, at=(75 + n) * FRAME) for n, p in enumerate(SPEECH[50:])]
    made = await _recorded([*WHOLE[:50], *pause])
    assert made.seconds == pytest.approx(2.5)
    assert abs(_decoded(made.sound) - 2.5) < 0.02


async def test_order_doubles_and_strangers_change_nothing():
    mixed = [p for start in range(0, 100, 10) for p in random.Random(1).sample(WHOLE[start : start + 10], 10)]
    first = mixed.index(WHOLE[0])
    mixed[0], mixed[first] = mixed[first], mixed[0]
    strange = [packet(n, b"\xfc" + b"x" * 40, ssrc=8) for n in range(100)]
    made = await _recorded([*mixed[:1], *strange, *mixed[1:], *mixed])
    with av.open(io.BytesIO(made.sound)) as file:
        assert [bytes(p) for p in file.demux(audio=0) if p.size] == SPEECH


@pytest.mark.parametrize("junk", [b"", b"\xff", b"\xff\x00", b"\xff\x3f" + b"x" * 40, b"\x03\x31\x00"])
async def test_what_is_no_opus_is_left_out(junk):
    made = await _recorded([*WHOLE[:50], packet(50, junk), *WHOLE[51:]])
    assert (made.packets, made.seconds) == (99, 2.0)


async def test_it_ends_at_its_limit_and_takes_no_more_than_that_can_hold():
    made = await _recorded(WHOLE, seconds=1)
    assert (made.packets, made.seconds) == (50, 1.0)
    recorder = Recorder(seconds_at_most=1)
    for number in range(10_000):  # all at one time, which a limit in time would never see
        recorder.take(packet(number, b"\xfc" + bytes(50), at=0))
    assert len(recorder._packets) == recording.PACKETS_A_SECOND
    recorder = Recorder(seconds_at_most=1)
    for number in range(1000):
        recorder.take(packet(number, b"\xfc" + bytes(1400), at=number))
    assert sum(len(payload) for _, payload in recorder._packets.values()) <= recording.BYTES_A_SECOND


async def test_a_clock_that_jumps_makes_no_long_file():
    jump = [packet(n, SPEECH[n], at=n * 2**30) for n in range(1, 5)]
    assert (await _recorded([*WHOLE[:1], *jump])).seconds <= 30
    back = [packet(n, SPEECH[n], at=-n * FRAME) for n in range(1, 5)]
    assert (await _recorded([*WHOLE[:1], *back])).seconds <= 30


async def test_silence_and_nothing_are_not_heard():
    quiet = await _recorded([packet(n, p) for n, p in enumerate(_encoded(100, 0.0))])
    assert (quiet.seconds, quiet.heard_seconds) == (2.0, 0.0)
    nothing = await _recorded([])
    assert (nothing.sound, nothing.seconds, nothing.heard_seconds) == (b"", 0.0, 0.0)


async def test_a_lost_leg_leaves_nothing():
    recorder = Recorder(seconds_at_most=30)
    for one in WHOLE:
        recorder.take(one)
    recorder.drop()
    recorder.take(WHOLE[0])
    assert (await recorder.finish(within=1)).sound == b""


def test_lengths_are_those_of_the_table():
    """RFC 6716, table 2, and the four ways to count frames."""
    for config, length in {0: 480, 3: 2880, 12: 480, 13: 960, 16: 120, 19: 960, 28: 120, 31: 960}.items():
        assert length_of(bytes([config << 3])) == length
    assert [length_of(bytes([31 << 3 | code, 3])) for code in range(4)] == [960, 1920, 1920, 2880]


@pytest.mark.browser
async def test_a_browser_plays_it_at_its_length():
    from playwright.async_api import async_playwright

    made = await _recorded([p for n, p in enumerate(WHOLE) if not 40 <= n < 60])
    async with async_playwright() as play:
        chromium = await play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = await chromium.new_page()
        seconds = await page.evaluate(
            """async (text) => {
                const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
                const context = new OfflineAudioContext(1, 48000, 48000);
                return (await context.decodeAudioData(bytes.buffer)).duration;
            }""",
            base64.b64encode(made.sound).decode(),
        )
        await chromium.close()
    assert abs(seconds - made.seconds) < 0.05
