"""The worker's ends of its small peer connections (aiortc). No framework: what to do with what arrives is passed in."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack
from aiortc.sdp import candidate_from_sdp

from signaling import guard, sdp
from signaling.recording import Recorder, Recording

#: aiortc asks a public server for addresses when it gets no list, so it always gets an empty one
NO_SERVERS = RTCConfiguration(iceServers=[])
#: seconds that a browser may take until its voice comes
TO_CONNECT = 10.0
#: seconds after which a leg that is not connected is given up; the page does after 6
TO_OPEN = 20.0
#: seconds that aiortc may take to close one; the worker's leases wait for it
TO_CLOSE = 2.0
guard.install()


@dataclass(frozen=True, slots=True)
class Ended:
    """How a leg ended: why, when the last packet of its browser came (seconds since 1970), how many of each kind."""

    why: str
    last: float | None
    stun: int
    dtls: int
    media: int
    dropped: int


class Leg:
    """One peer connection between the worker and a browser. aiortc has no ICE restart: a new offer makes a new leg.

    `private`: whether addresses of private networks are asked, as in a clinic's own house.
    """

    def __init__(self, on_closed: Callable[["Leg"], None], *, private: bool = False) -> None:
        self.pc = RTCPeerConnection(NO_SERVERS)
        self._on_closed = on_closed
        self._closed = False
        self.ended: Ended | None = None
        self._private = private
        self._made = time.monotonic()
        self.pc.on("connectionstatechange", self._state_changed)

    async def answer(self, offer: str) -> str:
        """Take the browser's offer (SDP), give the answer (SDP, all candidates in it)."""
        asked = sdp.asked_by_worker(offer, private=self._private)
        await self.pc.setRemoteDescription(RTCSessionDescription(asked, "offer"))
        await self.pc.setLocalDescription(await self.pc.createAnswer())
        return str(self.pc.localDescription.sdp)

    async def add_candidate(self, text: str, mid: str) -> None:
        if not text or self._closed or not sdp.candidate_allowed(text, "monitor", private=self._private):
            return
        candidate = candidate_from_sdp(text.removeprefix("candidate:"))
        candidate.sdpMid = mid
        await self.pc.addIceCandidate(candidate)

    @property
    def is_late(self) -> bool:
        """Its browser is gone before it was there: ICE alone would wait for ever for more of its addresses."""
        return self.pc.connectionState != "connected" and time.monotonic() - self._made > TO_OPEN

    def _transports(self) -> set[Any]:
        sctp = [self.pc.sctp.transport] if self.pc.sctp else []
        return {*sctp, *(transceiver.receiver.transport for transceiver in self.pc.getTransceivers())}

    @property
    def fingerprints(self) -> list[str]:
        """Of the certificate that this end shows: one for each hash, as in the answer."""
        found = (f for transport in self._transports() for f in transport.getLocalParameters().fingerprints)
        return [f"{f.algorithm} {f.value}" for f in found]

    def _end(self, why: str) -> Ended:
        came = [transport.transport._connection.arrivals for transport in self._transports()]
        return Ended(
            why=why,
            last=max((a.last for a in came if a.last is not None), default=None),
            **{kind: sum(getattr(a, kind) for a in came) for kind in ("stun", "dtls", "media", "dropped")},
        )

    async def _state_changed(self) -> None:
        if self.pc.connectionState in ("failed", "closed"):
            await self.close("failed" if self.pc.connectionState == "failed" else "left")

    async def close(self, why: str) -> None:
        """Close the sockets; what came until then is counted. `why` is a word of the log."""
        if not self._closed:
            self._closed = True
            try:
                async with asyncio.timeout(TO_CLOSE):
                    await self.pc.close()
            finally:
                self.ended = self._end(why)
                self._on_closed(self)


class MonitorLeg(Leg):
    """Heartbeats and quality samples over a data channel. It never carries audio or video."""

    def __init__(
        self, on_closed: Callable[[Leg], None], on_message: Callable[[str], None], *, private: bool = False
    ) -> None:
        super().__init__(on_closed, private=private)
        self._on_message = on_message
        self.pc.on("datachannel", self._channel_opened)

    def _channel_opened(self, channel: RTCDataChannel) -> None:
        @channel.on("message")
        def message(data: str | bytes) -> None:
            if isinstance(data, str) and channel.label == "monitor":
                self._on_message(data)


class VoiceLeg(Leg):
    """The patient's spoken consent, towards the worker only."""

    def __init__(
        self,
        on_closed: Callable[[Leg], None],
        on_recorded: Callable[[Recording], Awaitable[None]],
        *,
        seconds_at_most: float,
        private: bool = False,
    ) -> None:
        super().__init__(on_closed, private=private)
        self._on_recorded = on_recorded
        self._limit = seconds_at_most
        self._recorder: Recorder | None = None
        self._finishing: asyncio.Task[None] | None = None
        self.over = asyncio.Event()
        self.pc.on("track", self._track_opened)

    def _track_opened(self, track: MediaStreamTrack) -> None:
        if track.kind != "audio" or self._recorder is not None:
            return
        (transceiver,) = self.pc.getTransceivers()
        transceiver._codecs = [codec for codec in transceiver._codecs if codec.name == "opus"]
        if not transceiver._codecs:
            raise ValueError("no Opus offered")
        self._recorder = Recorder(seconds_at_most=self._limit)
        transceiver.receiver.sink = self._recorder.take
        self._finishing = asyncio.create_task(self._finish(self._recorder))

    async def _finish(self, recorder: Recorder) -> None:
        await self._on_recorded(await recorder.finish(within=self._limit + TO_CONNECT))
        await self.close("done")

    async def stop(self) -> None:
        """End of speech: what came until now is kept."""
        if self._recorder and self._finishing:
            self._recorder.end()
            await asyncio.wait({self._finishing}, timeout=5)
        await self.close("done")

    async def close(self, why: str) -> None:
        if self._recorder:
            self._recorder.drop()
        try:
            await super().close(why)
        finally:
            self.over.set()
