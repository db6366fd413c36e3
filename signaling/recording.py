"""A voice, recorded to an Ogg/Opus file in memory (RFC 7845). Pure media: no framework, nothing on disk."""

import asyncio
import io
import math

import av
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

RATE = 48_000
#: below this share of full scale a frame counts as silence
QUIET = 0.004


class Recorder:
    """Records one audio track until `stop`, the track's end, or `seconds_at_most`."""

    def __init__(self, track: MediaStreamTrack, *, seconds_at_most: float) -> None:
        self._track = track
        self._limit = int(seconds_at_most * RATE)
        self._file = io.BytesIO()
        self._container = av.open(self._file, "w", format="ogg")
        self._stream = self._container.add_stream("libopus", rate=RATE)
        self._stream.layout = "mono"
        self._stream.bit_rate = 32_000
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        self._samples = 0
        self._loud_samples = 0
        self._task = asyncio.ensure_future(self._run())

    @property
    def seconds(self) -> float:
        return self._samples / RATE

    @property
    def heard_seconds(self) -> float:
        """How long something louder than silence was heard."""
        return self._loud_samples / RATE

    async def _run(self) -> None:
        try:
            while self._samples < self._limit:
                self._encode(await self._track.recv())
        except MediaStreamError:
            return  # the track ended: what came until then is the recording

    def _encode(self, frame: av.AudioFrame) -> None:
        for piece in self._resampler.resample(frame):
            # Numbered by what was heard, so a gap on the network is a gap in time and never an error.
            piece.pts = self._samples
            self._samples += piece.samples
            if _loudness(piece) > QUIET:
                self._loud_samples += piece.samples
            for packet in self._stream.encode(piece):
                self._container.mux(packet)

    async def wait(self) -> None:
        """Until the track ended or the limit was reached."""
        await asyncio.wait({self._task})

    async def stop(self) -> bytes:
        """Finish, and give the file."""
        self._task.cancel()
        await asyncio.wait({self._task})
        if not self._task.cancelled() and self._task.exception():
            raise RuntimeError("recording failed") from self._task.exception()
        for packet in self._stream.encode(None):
            self._container.mux(packet)
        self._container.close()
        return self._file.getvalue()


def _loudness(frame: av.AudioFrame) -> float:
    """Root mean square of a mono s16 frame, 0 to 1."""
    samples = memoryview(bytes(frame.planes[0])[: frame.samples * 2]).cast("h")
    return math.sqrt(sum(s * s for s in samples[::8]) / max(1, len(samples[::8]))) / 32768
