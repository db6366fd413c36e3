"""The worker's ends of its small peer connections (aiortc). No framework: what to do with what arrives is passed in."""

import asyncio
from collections.abc import Awaitable, Callable

from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack
from aiortc.sdp import candidate_from_sdp

from signaling import guard
from signaling.recording import Recorder

#: aiortc asks a public server for addresses when it gets no list, so it always gets an empty one
NO_SERVERS = RTCConfiguration(iceServers=[])
guard.install()


class Leg:
    """One peer connection between the worker and a browser. aiortc has no ICE restart: a new offer makes a new leg."""

    def __init__(self, on_closed: Callable[["Leg"], None]) -> None:
        self.pc = RTCPeerConnection(NO_SERVERS)
        self._on_closed = on_closed
        self._closed = False
        self.pc.on("connectionstatechange", self._state_changed)

    async def answer(self, offer: str) -> str:
        """Take the browser's offer (SDP), give the answer (SDP, all candidates in it)."""
        await self.pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await self.pc.setLocalDescription(await self.pc.createAnswer())
        return str(self.pc.localDescription.sdp)

    async def add_candidate(self, text: str, mid: str) -> None:
        if not text or self._closed:
            return
        candidate = candidate_from_sdp(text.removeprefix("candidate:"))
        candidate.sdpMid = mid
        await self.pc.addIceCandidate(candidate)

    async def _state_changed(self) -> None:
        if self.pc.connectionState in ("failed", "closed"):
            await self.close()

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self.pc.close()
            self._on_closed(self)


class MonitorLeg(Leg):
    """Heartbeats and quality samples over a data channel. It never carries audio or video."""

    def __init__(self, on_closed: Callable[[Leg], None], on_message: Callable[[str], None]) -> None:
        super().__init__(on_closed)
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
        on_recorded: Callable[[Recorder, bytes], Awaitable[None]],
        *,
        seconds_at_most: float,
    ) -> None:
        super().__init__(on_closed)
        self._on_recorded = on_recorded
        self._limit = seconds_at_most
        self._recorder: Recorder | None = None
        self._finishing: asyncio.Task[None] | None = None
        self.pc.on("track", self._track_opened)

    def _track_opened(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio" and self._recorder is None:
            self._recorder = Recorder(track, seconds_at_most=self._limit)
            self._finishing = asyncio.ensure_future(self._finish(self._recorder))

    async def _finish(self, recorder: Recorder) -> None:
        await recorder.wait()
        await self._on_recorded(recorder, await recorder.stop())
        await self.close()

    async def stop(self) -> None:
        """End of speech: the receiving tracks end, the recorder finishes what it has."""
        for receiver in self.pc.getReceivers():
            if receiver.track is not None:
                receiver.track.stop()
        if self._finishing:
            await asyncio.wait({self._finishing}, timeout=5)
        await self.close()
