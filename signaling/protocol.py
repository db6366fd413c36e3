"""Frames of the signaling protocol (PROTOCOL.md): parsed strictly, bounded, built anew. Pure."""

import json
from typing import Annotated, Any, Literal, get_args

import msgspec
import msgspec.inspect

VERSION = 1
MAX_FRAME = 32 * 1024
MAX_CANDIDATES = 64
MAX_MONITOR = 1024
#: frames of one socket that may wait to be read: more than a page may send at once, so that its close code comes first
MAX_WAITING = 200
#: bytes that may wait for a page that does not read; who does not take so much is gone
MAX_UNREAD = 1024 * 1024

Leg = Literal["call", "monitor", "voice"]
Negotiation = Annotated[int, msgspec.Meta(ge=0, le=2**31)]


class BadFrame(Exception):
    """The frame breaks the protocol; the socket is closed with 4400."""


class Frame(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind"):
    """Base of every frame from a browser."""


class Hello(Frame, tag="hello"):
    protocol: Literal[1]
    tab: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}\Z")]


class Description(Frame, tag="description"):
    leg: Leg
    negotiation: Negotiation
    type: Literal["offer", "answer"]
    sdp: Annotated[str, msgspec.Meta(min_length=1, max_length=24 * 1024)]


class Candidate(Frame, tag="candidate"):
    leg: Leg
    negotiation: Negotiation
    candidate: Annotated[str, msgspec.Meta(max_length=512)]
    mid: Annotated[str, msgspec.Meta(max_length=16)]


class Media(Frame, tag="media"):
    camera: bool
    microphone: bool
    screen: bool


Hex256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Proof(Frame, tag="proof"):
    """One step by which the two pages check each other's certificates; its value is theirs, the server judges none."""

    negotiation: Negotiation
    #: the page it is meant for, by its tab
    peer: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}\Z")]
    step: Literal["seen", "link", "commit", "nonce", "reveal", "agreed", "differ"]
    value: Hex256
    #: which link secret, where a page may know several
    key: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{16})?\Z")]


class Checked(Frame, tag="checked"):
    """What a page found out about the other end, for the log."""

    negotiation: Negotiation
    #: the other page that was checked, by its tab
    peer: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}\Z")]
    state: Literal["none", "link", "comparison", "failed"]
    #: over both certificates' fingerprints as this page sees them; empty when it failed before it saw them
    digest: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?\Z")]
    why: Literal["", "link", "certificate", "transports", "commitment", "differ", "tries"]


class VoiceStop(Frame, tag="voice_stop"):
    pass


class Phone(Frame, tag="phone"):
    """The page tells its person to go on by telephone."""


class Ping(Frame, tag="ping"):
    pass


Received = Hello | Description | Candidate | Media | Proof | Checked | VoiceStop | Phone | Ping


Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=60_000)]
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
Kbit = Annotated[float, msgspec.Meta(ge=0, le=1e6)]
Pixels = Annotated[int, msgspec.Meta(ge=0, le=16_384)]
Level = Annotated[float, msgspec.Meta(ge=0, le=1)]
Codec = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]{1,12}\Z")]
Candidates = Literal["host", "srflx", "prflx", "relay"]


class Quality(msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="kind", tag="quality"):
    """Two seconds of a call as a browser measured them; None where it had no figure."""

    rtt_ms: Milliseconds | None
    jitter_ms: Milliseconds | None
    buffer_ms: Milliseconds | None
    loss: Percent | None
    loss_up: Percent | None
    audio_packets: Annotated[int, msgspec.Meta(ge=0, le=100_000)] | None
    frames_per_second: Annotated[float, msgspec.Meta(ge=0, le=1000)] | None
    width: Pixels | None
    height: Pixels | None
    freezes: Annotated[int, msgspec.Meta(ge=0, le=1000)] | None
    frozen_seconds: Annotated[float, msgspec.Meta(ge=0, le=60)] | None
    kbit_in: Kbit | None
    kbit_out: Kbit | None
    level_in: Level | None
    level_out: Level | None
    audio_codec: Codec | None
    video_codec: Codec | None
    local: Candidates | None
    remote: Candidates | None
    relayed: bool
    limited: Literal["none", "cpu", "bandwidth", "other"] | None
    microphone: bool
    camera: bool
    server_rtt_ms: Milliseconds | None


class Heartbeat(msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="kind", tag="heartbeat"):
    pass


MonitorMessage = Quality | Heartbeat


def _quotes(kind: type[Frame]) -> int:
    """How many quotation marks a frame has where none stands in a value and no member stands twice."""
    strings = sum(
        isinstance(field.type, msgspec.inspect.StrType)
        or (isinstance(field.type, msgspec.inspect.LiteralType) and isinstance(field.type.values[0], str))
        for field in msgspec.inspect.type_info(kind).fields  # type: ignore[attr-defined]
    )
    return 2 * (1 + len(kind.__struct_fields__)) + 2 * (1 + strings)  # `kind` is one more of both


_RECEIVED: msgspec.json.Decoder[Received] = msgspec.json.Decoder(Received, strict=True)
_QUOTES: dict[type[Any], int] = {kind: _quotes(kind) for kind in get_args(Received)}


def parse(text: str) -> Received:
    """One frame from a browser. Raises `BadFrame` for anything that PROTOCOL.md does not allow."""
    try:
        if len(text) > MAX_FRAME or (not text.isascii() and len(text.encode()) > MAX_FRAME):
            raise BadFrame("too long")
        frame = _RECEIVED.decode(text)
        # A member more has two marks more. Where marks stand in a value, the members are looked at one by one.
        if text.count('"') != _QUOTES[type(frame)]:
            json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):  # of the libraries: not JSON, not text, or not a frame
        raise BadFrame("not a frame of this protocol") from None
    return frame


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        # Two readers could each believe another of the two values.
        raise BadFrame("duplicate member")


_MONITOR: msgspec.json.Decoder[MonitorMessage] = msgspec.json.Decoder(MonitorMessage, strict=True)


def parse_monitor(text: str) -> MonitorMessage:
    """One message of the monitor's data channel. It comes a thousand times a second and goes to one reader only."""
    if len(text) > MAX_MONITOR or not text.isascii():
        raise BadFrame("too long, or not ASCII")
    try:
        return _MONITOR.decode(text)
    except msgspec.DecodeError:
        raise BadFrame("not a message of this protocol") from None


def passed_on(frame: Description | Candidate | Media | Proof, sender: str) -> str:
    """The frame as the other side gets it, with `from` stamped by the server."""
    return f'{msgspec.json.encode(frame)[:-1].decode()},"from":"{sender}"}}'


def encode(frame: dict[str, Any]) -> str:
    return msgspec.json.encode(frame).decode()


class Rate:
    """A token bucket: `per_second` on average, `burst` at once. Times in seconds, given by the caller."""

    __slots__ = ("_burst", "_last", "_per_second", "_tokens")

    def __init__(self, per_second: float, burst: float, now: float) -> None:
        self._per_second, self._burst = per_second, burst
        self._tokens, self._last = burst, now

    def _filled(self, now: float) -> float:
        tokens = self._tokens + (now - self._last) * self._per_second
        return tokens if tokens < self._burst else self._burst

    def is_full(self, now: float) -> bool:
        """Nothing of it is used: whoever forgets it and makes it anew gives nothing away."""
        return self._filled(now) >= self._burst

    def take(self, now: float) -> bool:
        tokens, self._last = self._filled(now), now
        enough = tokens >= 1
        self._tokens = tokens - 1 if enough else tokens
        return enough
