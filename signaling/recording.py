"""A voice, kept as its Opus packets came and put into an Ogg file in memory (RFC 7845). Pure media, nothing on disk.

Nothing is decoded while somebody speaks. What was lost on the way stays a gap of the same length, filled with packets
that ask the player to conceal it (RFC 7845, 4.1); so does silence for which the browser sent nothing.
"""

import asyncio
import hashlib
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import aiortc.rtcpeerconnection
import av
from aiortc import RTCRtpReceiver
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtp import RtpPacket

RATE = 48_000
#: below this share of full scale a packet counts as silence
QUIET = 0.004
#: what a second may bring at most: frames of 10 ms with as many again to spare, and Opus's highest rate (510 kbit/s)
PACKETS_A_SECOND, BYTES_A_SECOND = 200, 64_000
#: senders of one leg whose losses are counted; a browser has one
SOURCES = 4
_SHORTEST = (120, 0xE0)  # 2.5 ms, and the table of contents that says so


@dataclass(frozen=True, slots=True)
class Recording:
    """A finished file: an Ogg/Opus stream, how long it is, and for how long something louder than silence is heard."""

    sound: bytes
    seconds: float
    heard_seconds: float
    packets: int
    sha256: str


class Recorder:
    """Keeps the packets of the first sender heard, until `end`, `drop` or `seconds_at_most`."""

    def __init__(self, *, seconds_at_most: float) -> None:
        self._limit = int(seconds_at_most * RATE)
        self._most_packets = int(seconds_at_most * PACKETS_A_SECOND)
        self._bytes_left = int(seconds_at_most * BYTES_A_SECOND)
        self._first: RtpPacket | None = None
        self._packets: dict[int, tuple[int, bytes]] = {}
        self._newest = 0
        self._over = asyncio.Event()

    def take(self, packet: RtpPacket) -> None:
        """One packet as it came, in any order. Numbers wrap around, so both are kept as distances from the first."""
        if self._over.is_set():
            return
        first = self._first = self._first or packet
        if packet.ssrc != first.ssrc or not packet.payload:
            return
        at = _signed(packet.timestamp - first.timestamp, 32)
        if at >= self._limit or len(self._packets) >= self._most_packets or len(packet.payload) > self._bytes_left:
            self._over.set()
            return
        number = self._newest + _signed(packet.sequence_number - first.sequence_number - self._newest, 16)
        self._newest = max(self._newest, number)
        if number not in self._packets:
            self._packets[number] = (at, packet.payload)
            self._bytes_left -= len(packet.payload)

    def end(self) -> None:
        """End of speech: what came until now is the recording."""
        self._over.set()

    def drop(self) -> None:
        """Forget what came: the leg is lost, and nobody said that this was all."""
        self._packets = {}
        self._over.set()

    async def finish(self, *, within: float) -> Recording:
        """Wait for the end, at most so many seconds; then give the file."""
        try:
            async with asyncio.timeout(within):
                await self._over.wait()
        except TimeoutError:
            self._over.set()
        packets, self._packets = [self._packets[n] for n in sorted(self._packets)], {}
        return await asyncio.to_thread(_recorded, packets, self._limit)


class PacketReceiver(RTCRtpReceiver):
    """A receiver that can hand its packets on as they came, instead of decoding them."""

    sink: Callable[[RtpPacket], None] | None = None

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        if self.sink is None:
            await super()._handle_rtp_packet(packet, arrival_time_ms)
            return
        codec = self._RTCRtpReceiver__codecs.get(packet.payload_type)
        sources = self._RTCRtpReceiver__remote_streams
        if codec is None or codec.name != "opus" or (packet.ssrc not in sources and len(sources) >= SOURCES):
            return
        # Its reports to the sender still say what was lost.
        sources.setdefault(packet.ssrc, StreamStatistics(RATE)).add(packet)
        self.sink(packet)


aiortc.rtcpeerconnection.RTCRtpReceiver = PacketReceiver


def length_of(payload: bytes) -> int:
    """Samples at 48 kHz that an Opus packet holds; 0 for one that is none (RFC 6716, 3.1 and 3.2)."""
    frames = (1, 2, 2, payload[1] & 0x3F if len(payload) > 1 else 0)[payload[0] & 3]
    length = _frame_length(payload[0]) * frames
    return length if length <= RATE * 120 // 1000 else 0


def _frame_length(contents: int) -> int:
    config = contents >> 3
    if config < 12:
        return (480, 960, 1920, 2880)[config & 3]
    return (480, 960)[config & 1] if config < 16 else 120 << (config & 3)


def _signed(value: int, bits: int) -> int:
    half = 1 << (bits - 1)
    return (value + half) % (2 * half) - half


def _without_gaps(packets: list[tuple[int, bytes]], limit: int) -> Iterator[tuple[int, int, bytes, bool]]:
    """Each packet's place, its length, itself, and whether it was received or stands for what was not."""
    place = due = 0
    contents = _SHORTEST[1]
    origin = packets[0][0] if packets else 0
    for at, payload in packets:
        length, start = length_of(payload), at - origin
        if not length or start < due or place + (start - due) + length > limit:
            continue
        for unit, mark in ((_frame_length(contents), contents & 0xFC), _SHORTEST):
            while due + unit <= start:
                yield place, unit, bytes([mark]), False
                place, due = place + unit, due + unit
        yield place, length, payload, True
        place, due, contents = place + length, start + length, payload[0]


def _recorded(packets: list[tuple[int, bytes]], limit: int) -> Recording:
    file = io.BytesIO()
    samples = heard = count = 0
    decoder = av.CodecContext.create("libopus", "r")
    decoder.sample_rate, decoder.layout = RATE, "mono"
    with av.open(file, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=RATE, layout="mono")
        for place, length, payload, received in _without_gaps(packets, limit):
            packet = av.Packet(payload)
            packet.stream, packet.time_base = stream, Fraction(1, RATE)
            packet.pts = packet.dts = place
            packet.duration = length
            container.mux(packet)
            samples = place + length
            if received:
                count += 1
                heard += length if _loudness(decoder, payload) > QUIET else 0
    sound = file.getvalue() if count else b""
    return Recording(sound, samples / RATE, heard / RATE, count, hashlib.sha256(sound).hexdigest())


def _loudness(decoder: Any, payload: bytes) -> float:
    """Root mean square of a packet's sound, 0 to 1; 0 for what is no sound."""
    try:
        frames = decoder.decode(av.Packet(payload))
    except av.FFmpegError:
        return 0.0
    samples = [s for f in frames for s in memoryview(bytes(f.planes[0])[: f.samples * 2]).cast("h")[::16]]
    return math.sqrt(sum(s * s for s in samples) / max(1, len(samples))) / 32768
