"""The browsers' ends of `worker`, in a process of their own: many peers, each with a leg. Reads a plan, prints JSON.

What it measures of the worker's process it reads in /proc.
"""

import asyncio
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import aiortc.rtcdtlstransport
import av
import uvloop
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from signaling.protocol import Quality

TICKS = os.sysconf("SC_CLK_TCK")
ONE = aiortc.rtcdtlstransport.RTCCertificate.generateCertificate()
# Cheap at this end; what is measured is the other.
aiortc.rtcdtlstransport.RTCCertificate.generateCertificate = classmethod(lambda cls: ONE)


def cpu(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / TICKS


def memory(pid: int) -> float:
    """Megabytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Voice(MediaStreamTrack):
    """Somebody hums; prepared once, so that this process has time for twenty of them."""

    kind = "audio"
    WAVE = [
        b"".join(
            int(9000 * math.sin(2 * math.pi * 300 * (n * 960 + i) / 48_000)).to_bytes(2, "little", signed=True)
            for i in range(960)
        )
        for n in range(10)
    ]

    def __init__(self) -> None:
        super().__init__()
        self.began, self.number = time.time(), 0

    async def recv(self) -> av.AudioFrame:
        await asyncio.sleep(max(0.0, self.began + self.number * 0.02 - time.time()))
        frame = av.AudioFrame("s16", "mono", 960)
        frame.planes[0].update(self.WAVE[self.number % 10])
        frame.sample_rate, frame.pts, frame.time_base = 48_000, self.number * 960, Fraction(1, 48_000)
        self.number += 1
        return frame


class Bare:
    """Signaling to worker_bare."""

    def __init__(self, path: str) -> None:
        self.path, self.number = path, 0
        self.waiting: dict[int, asyncio.Future[Any]] = {}
        self.folder = tempfile.mkdtemp(prefix="bench-voices-")

    async def ready(self, _who: list[tuple[str, str]]) -> None:
        self.reader, self.writer = await asyncio.open_unix_connection(self.path, limit=1 << 20)
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while line := await self.reader.readline():
            said = json.loads(line)
            self.waiting.pop(said["n"]).set_result(said)

    async def _call(self, **words: Any) -> Any:
        self.number += 1
        future = self.waiting[self.number] = asyncio.get_running_loop().create_future()
        self.writer.write(json.dumps({**words, "n": self.number}).encode() + b"\n")
        return await asyncio.wait_for(future, 30)

    async def answer(self, who: tuple[str, str], _leg: str, sdp: str) -> str:
        said = await self._call(op="offer", who=who[1], sdp=sdp, file=f"{self.folder}/{who[1]}.ogg")
        return str(said["sdp"])

    async def stop(self, who: tuple[str, str]) -> bool:
        return bool((await self._call(op="stop", who=who[1], file=f"{self.folder}/{who[1]}.ogg"))["kept"])


class Product:
    """Signaling to the product's worker, through its channel layer as the sockets do."""

    def __init__(self) -> None:
        import django

        django.setup()
        from channels.layers import get_channel_layer

        from signaling.consumers import WORKERS, seat_group

        self.layer, self.workers, self.seat_group = get_channel_layer(), WORKERS, seat_group
        self.heard: dict[tuple[str, str], asyncio.Future[dict[str, Any]]] = {}
        self.tasks: list[asyncio.Task[None]] = []

    async def ready(self, who: list[tuple[str, str]]) -> None:
        for _, participant in who:
            channel = await self.layer.new_channel()
            await self.layer.group_add(self.seat_group(participant), channel)
            self.tasks.append(asyncio.create_task(self._read(participant, channel)))

    async def _read(self, participant: str, channel: str) -> None:
        while True:
            frame = (await self.layer.receive(channel))["frame"]
            what = frame["kind"] if frame["kind"] != "voice" else frame["status"]
            if (future := self.heard.get((participant, what))) and not future.done():
                future.set_result(frame)

    async def _send(self, who: tuple[str, str], frame: dict[str, Any], *awaited: str) -> dict[str, Any]:
        futures = [asyncio.get_running_loop().create_future() for _ in awaited]
        self.heard.update({(who[1], name): future for name, future in zip(awaited, futures, strict=True)})
        message = {"type": "leg.frame", "consult": who[0], "participant": who[1], "tab": "0" * 16, "frame": frame}
        await self.layer.group_send(self.workers, message)
        done, _ = await asyncio.wait(futures, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        return dict(done.pop().result())

    async def answer(self, who: tuple[str, str], leg: str, sdp: str) -> str:
        frame = {"kind": "description", "leg": leg, "negotiation": 0, "type": "offer", "sdp": sdp}
        return str((await self._send(who, frame, "description"))["sdp"])

    async def stop(self, who: tuple[str, str]) -> bool:
        said = await self._send(who, {"kind": "voice_stop", "leg": "voice"}, "kept", "failed")
        return bool(said["status"] == "kept" and said["seconds"] > 5)


class Load:
    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan, self.pid = plan, plan["pid"]
        self.signal: Any = Bare(plan["socket"]) if plan.get("socket") else Product()
        self.legs: list[tuple[RTCPeerConnection, Any]] = []

    async def leg(self, who: tuple[str, str], name: str = "monitor") -> float:
        """Seconds from the offer to the open channel; for a voice, to the connection."""
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        opened, channel = asyncio.Event(), None
        if name == "voice":
            peer.addTrack(Voice())
            peer.on("connectionstatechange", lambda: peer.connectionState == "connected" and opened.set())
        else:
            channel = peer.createDataChannel("monitor")
            channel.on("open", opened.set)
        began = time.perf_counter()
        await peer.setLocalDescription(await peer.createOffer())
        answer = await self.signal.answer(who, name, peer.localDescription.sdp)
        await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await asyncio.wait_for(opened.wait(), 30)
        took = time.perf_counter() - began
        self.legs.append((peer, channel))
        return took

    async def legs_for(self, who: list[tuple[str, str]], at_once: int) -> tuple[list[float], float]:
        places, began = asyncio.Semaphore(at_once), time.perf_counter()

        async def one(seat: tuple[str, str]) -> float:
            async with places:
                return await self.leg(seat)

        took = await asyncio.gather(*(one(seat) for seat in who))
        return took, time.perf_counter() - began

    async def setup(self) -> dict[str, float]:
        seats = self.plan["monitor"]
        await self.signal.ready(seats)
        await self.legs_for(seats[:2], 1)
        alone, _ = await self.legs_for(seats[2:22], 1)
        began = cpu(self.pid)
        together, seconds = await self.legs_for(seats[22:], 10)
        return {
            "alone_ms": statistics.median(alone) * 1000,
            "per_second": len(together) / seconds,
            "cpu_ms": 1000 * (cpu(self.pid) - began) / len(together),
        }

    async def hold(self) -> dict[str, float]:
        seats = self.plan["monitor"]
        await self.signal.ready(seats)
        await self.legs_for(seats[:1], 1)
        base = memory(self.pid)
        await self.legs_for(seats[1:], 5)
        await asyncio.sleep(1)
        sending = asyncio.create_task(self._send_samples())
        await asyncio.sleep(3)
        began, at, own = cpu(self.pid), time.perf_counter(), time.process_time()
        await asyncio.sleep(self.plan["seconds"])
        seconds = time.perf_counter() - at
        figures = {
            "percent": 100 * (cpu(self.pid) - began) / seconds,
            "own_percent": 100 * (time.process_time() - own) / seconds,
            "mb_per_leg": (memory(self.pid) - base) / (len(seats) - 1),
            "open": sum(peer.connectionState == "connected" for peer, _ in self.legs),
        }
        sending.cancel()
        await asyncio.sleep(2.5)
        return {**figures, "sent": self.sent}

    async def _send_samples(self) -> None:
        """Each leg once a second, all through the second."""
        self.sent, began, count = 0, time.perf_counter(), len(self.legs)
        while True:
            self.legs[self.sent % count][1].send(_sample())
            self.sent += 1
            await asyncio.sleep(max(0.0, began + self.sent / count - time.perf_counter()))

    async def voices(self) -> dict[str, float]:
        seats = self.plan["voice"]
        await self.signal.ready(seats)
        began = cpu(self.pid)
        await asyncio.gather(*(self.leg(seat, "voice") for seat in seats))
        connected, at = cpu(self.pid), time.perf_counter()
        await asyncio.sleep(self.plan["seconds"])
        kept = await asyncio.gather(*(self.signal.stop(seat) for seat in seats))
        return {
            "percent": 100 * (cpu(self.pid) - connected) / (time.perf_counter() - at) / len(seats),
            "connect_ms": 1000 * (connected - began) / len(seats),
            "kept": sum(kept),
        }

    async def flood(self) -> dict[str, float]:
        """Round trips of the browser's own checks, while a stranger sends ten thousand packets a second."""
        seats = self.plan["monitor"][:3]
        await self.signal.ready(seats)
        await self.legs_for(seats, 3)
        peer = self.legs[0][0]
        ice = peer.sctp.transport.transport._connection
        pair = ice._nominated[1]
        quiet = await self._round_trips(ice, pair, 2)
        before = memory(self.pid)
        words = [sys.executable, "-m", "tests.benchmarks.worker_flood", *map(str, pair.remote_addr)]
        stranger = await asyncio.create_subprocess_exec(
            *words, str(self.plan["seconds"]), stdout=asyncio.subprocess.PIPE
        )
        await asyncio.sleep(0.3)
        began, at = cpu(self.pid), time.perf_counter()
        trips = await self._round_trips(ice, pair, self.plan["seconds"] - 1)
        percent = 100 * (cpu(self.pid) - began) / (time.perf_counter() - at)
        sent = int((await stranger.communicate())[0])
        grown = memory(self.pid) - before
        return {
            "quiet_p95_ms": _p(quiet, 95),
            "p95_ms": _p(trips, 95),
            "lost": sum(trip is None for trip in trips),
            "grown_mb": grown,
            "percent": percent,
            "rate": sent / self.plan["seconds"],
            "open": sum(peer.connectionState == "connected" for peer, _ in self.legs),
        }

    async def _round_trips(self, ice: Any, pair: Any, seconds: float) -> list[float | None]:
        trips: list[float | None] = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            began = time.perf_counter()
            request, key = ice.build_request(pair, nominate=False), ice.remote_password.encode()
            try:
                await pair.protocol.request(request, pair.remote_addr, integrity_key=key, retransmissions=0)
                trips.append(1000 * (time.perf_counter() - began))
            except Exception:
                trips.append(None)
            await asyncio.sleep(0.02)
        return trips


_EMPTY = {"kind": "quality", **dict.fromkeys(Quality.__struct_fields__)}


def _sample() -> str:
    """A sample of 1 KB. When it was sent stands in it, in milliseconds of the minute."""
    at = 1000 * (time.time() % 60)
    figures = {"rtt_ms": round(at, 3), "jitter_ms": 1.5, "loss": 0.5, "frames_per_second": 29.9, "audio_packets": 50}
    levels = {"level_in": 0.02, "level_out": 0.02, "kbit_in": 900.5, "kbit_out": 850.1, "audio_codec": "opus"}
    flags = {"relayed": False, "microphone": True, "camera": True}
    text = json.dumps(_EMPTY | figures | levels | flags, separators=(",", ":"))
    return text + " " * (1024 - len(text))


def _p(values: list[float | None], percent: int) -> float:
    found = sorted(math.inf if value is None else value for value in values)
    return found[min(len(found) - 1, len(found) * percent // 100)]


async def main(plan: dict[str, Any]) -> None:
    load = Load(plan)
    do: Callable[[], Awaitable[dict[str, float]]] = getattr(load, plan["what"])
    print(json.dumps(await do()), flush=True)
    os._exit(0)  # hundreds of peers need not be taken down in order


if __name__ == "__main__":
    uvloop.run(main(json.load(sys.stdin)))
