"""Frames of the signaling protocol (PROTOCOL.md): parsed strictly, bounded, built anew. Pure."""

import json
from typing import Annotated, Any, Literal

import msgspec

VERSION = 1
MAX_FRAME = 32 * 1024
MAX_CANDIDATES = 64
MAX_MONITOR = 1024

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


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        # Two readers could each believe another of the two values.
        raise BadFrame("duplicate member")
    return members


def _no_constant(_name: str) -> Any:
    raise BadFrame("not a number")


def _strict_json(text: str, limit: int) -> Any:
    try:
        if len(text) > limit or len(text.encode()) > limit:
            raise BadFrame("too long")
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        if "\\u" in text:
            # Half a surrogate pair is valid JSON and no text: it could not be encoded again for the other side.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise BadFrame("not JSON") from None
    return value


def parse(text: str) -> Received:
    """One frame from a browser. Raises `BadFrame` for anything that PROTOCOL.md does not allow."""
    frame: Received = _convert(_strict_json(text, MAX_FRAME), Received)
    return frame


_MONITOR: msgspec.json.Decoder[MonitorMessage] = msgspec.json.Decoder(MonitorMessage, strict=True)


def parse_monitor(text: str) -> MonitorMessage:
    """One message of the monitor's data channel. It comes a thousand times a second and goes to one reader only."""
    if len(text) > MAX_MONITOR or not text.isascii():
        raise BadFrame("too long, or not ASCII")
    try:
        return _MONITOR.decode(text)
    except msgspec.DecodeError:
        raise BadFrame("not a message of this protocol") from None


def _convert(value: Any, kinds: Any) -> Any:
    try:
        return msgspec.convert(value, type=kinds, strict=True)
    except msgspec.ValidationError:
        raise BadFrame("not a frame of this protocol") from None


def passed_on(frame: Description | Candidate | Media | Proof, sender: str) -> dict[str, Any]:
    """The frame as the other side gets it, with `from` stamped by the server."""
    return {**msgspec.to_builtins(frame), "from": sender}


def encode(frame: dict[str, Any]) -> str:
    return msgspec.json.encode(frame).decode()


class Rate:
    """A token bucket: `per_second` on average, `burst` at once. Times in seconds, given by the caller."""

    __slots__ = ("_burst", "_last", "_per_second", "_tokens")

    def __init__(self, per_second: float, burst: float, now: float) -> None:
        self._per_second, self._burst = per_second, burst
        self._tokens, self._last = burst, now

    def is_full(self, now: float) -> bool:
        """Nothing of it is used: whoever forgets it and makes it anew gives nothing away."""
        self._fill(now)
        return self._tokens >= self._burst

    def _fill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._last) * self._per_second)
        self._last = now

    def take(self, now: float) -> bool:
        self._fill(now)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
