"""The people of `soak`: visits opened and closed through sockets and legs, a tenth left at a random step. Prints JSON.

A visit that is left says nothing: its sockets and its legs' ports are shut without a word, as by a flat battery.
"""

import asyncio
import json
import os
import random
import secrets
import sys
from typing import Any

import django
import websockets
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from channels.db import database_sync_to_async

from tests.benchmarks.worker_load import Voice

AT_ONCE = 6
#: seconds that a page waits for its leg (monitor.js), and how often it is tried here
ANSWER_WITHIN, TRIES = 6, 3
STEPS = ("socket", "offered", "monitor", "voice", "admitted", "both", "talking")
FINGERPRINT = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)
CALL = f"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n{FINGERPRINT}\r\n"


class Left(Exception):
    """This visit is left here."""


class Page:
    """One side: a socket, and a leg to the worker."""

    def __init__(self, socket: Any) -> None:
        self.socket, self.tab = socket, secrets.token_hex(8)
        self.frames: list[dict[str, Any]] = []
        self.heard = asyncio.Condition()
        self.reader = asyncio.create_task(self._read())
        self.peers: list[RTCPeerConnection] = []

    @classmethod
    async def open(cls, port: int, path: str, cookie: str) -> "Page":
        headers = {"Cookie": cookie, "Host": "localhost:8443"}
        address = f"ws://localhost:{port}{path}"
        socket = await websockets.connect(
            address, origin="https://localhost:8443", additional_headers=headers, compression=None, open_timeout=20
        )
        page = cls(socket)
        await page.send({"kind": "hello", "protocol": 1, "tab": page.tab})
        await page.until("state")
        return page

    async def _read(self) -> None:
        try:
            async for text in self.socket:
                async with self.heard:
                    self.frames.append(json.loads(text))
                    self.heard.notify_all()
        except websockets.ConnectionClosed:
            return

    async def send(self, frame: dict[str, Any]) -> None:
        await self.socket.send(json.dumps(frame))

    async def until(self, kind: str, *, within: float = 20, since: int = 0, **members: Any) -> dict[str, Any]:
        """The first frame like this that came, or comes: a state is not said twice."""
        async with asyncio.timeout(within), self.heard:
            while True:
                for frame in self.frames[since:]:
                    if frame["kind"] == kind and members.items() <= frame.items():
                        return frame
                await self.heard.wait()

    async def leg(self, name: str, *, vanish: bool = False) -> Any:
        """As the product's page does it: a leg that is not open in time is offered anew."""
        for _ in range(TRIES):
            try:
                return await self._leg(name, vanish)
            except TimeoutError:
                continue
        raise TimeoutError(name)

    async def _leg(self, name: str, vanish: bool) -> Any:
        since, peer = len(self.frames), RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.peers.append(peer)
        opened, channel = asyncio.Event(), None
        if name == "voice":
            peer.addTrack(Voice())
            peer.on("connectionstatechange", lambda: peer.connectionState == "connected" and opened.set())
        else:
            channel = peer.createDataChannel("monitor")
            channel.on("open", opened.set)
        await peer.setLocalDescription(await peer.createOffer())
        # As a browser does, which goes on telling addresses after its offer.
        sdp = peer.localDescription.sdp.replace("a=end-of-candidates\r\n", "")
        await self.send({"kind": "description", "leg": name, "negotiation": 0, "type": "offer", "sdp": sdp})
        if vanish:
            raise Left
        answer = await self.until("description", within=ANSWER_WITHIN, since=since, leg=name)
        await peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        await asyncio.wait_for(opened.wait(), ANSWER_WITHIN)
        return channel

    async def close(self) -> None:
        self.reader.cancel()
        await self.socket.close()
        for peer in self.peers:
            await peer.close()

    def vanish(self) -> None:
        self.reader.cancel()
        self.socket.transport.abort()
        for peer in self.peers:
            parts = {t.receiver.transport for t in peer.getTransceivers()} | (
                {peer.sctp.transport} if peer.sctp else set()
            )
            for part in parts:
                for protocol in part.transport._connection._protocols:
                    protocol.transport.abort()


class People:
    def __init__(self, port: int, seed: int) -> None:
        from tests.cast import assemble

        self.port, self.random = port, random.Random(seed)
        self.cast = assemble()
        self.done = self.left = 0

    async def visits(self, count: int) -> dict[str, int]:
        places = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            async with places:
                await self._visit(self.random.choice(STEPS) if number % 10 == 9 else "")

        await asyncio.gather(*(one(number) for number in range(count)))
        return {"done": self.done, "left": self.left}

    async def _visit(self, leave_at: str) -> None:
        from tests.cast import bring_to

        now = await database_sync_to_async(bring_to)("tested", self.cast.clinician, self.cast.patient)
        pages: list[Page] = []
        try:
            await self._course(now, pages, leave_at)
            self.done += 1
            for page in pages:
                await page.close()
        except Left:
            self.left += 1
            for page in pages:
                page.vanish()

    async def _course(self, now: Any, pages: list[Page], leave_at: str) -> None:
        from consults import visit
        from tests.cast import BY, agree, session_key

        def step(name: str) -> None:
            if name == leave_at:
                raise Left

        do = database_sync_to_async
        name, secret = now.patients_cookie
        patient = await Page.open(self.port, f"/ws/visit/{now.consult.pk}/patient/", f"{name}={secret}")
        pages.append(patient)
        step("socket")
        channel = await patient.leg("monitor", vanish=leave_at == "offered")
        step("monitor")
        if self.random.random() < 0.2 or leave_at == "voice":
            await patient.leg("voice")
            await patient.until("voice", status="recording")
            await asyncio.sleep(1.2)
            step("voice")
            await patient.send({"kind": "voice_stop"})
            await patient.until("voice", status="kept")
        await do(agree)(now)
        await do(visit.wait)(now.seat, source="test")
        await do(visit.admit)(now.consult, BY)
        step("admitted")
        cookie = f"__Host-session={await do(session_key)(self.cast.clinician)}"
        clinician = await Page.open(self.port, f"/ws/visit/{now.consult.pk}/clinician/", cookie)
        pages.append(clinician)
        await clinician.leg("monitor")
        step("both")
        await clinician.until("state", peer=patient.tab)
        await clinician.send({"kind": "description", "leg": "call", "negotiation": 1, "type": "offer", "sdp": CALL})
        await patient.until("description", leg="call")
        for _ in range(3):
            channel.send('{"kind":"heartbeat"}')
            await asyncio.sleep(0.2)
        step("talking")
        await do(visit.end)(now.consult, BY)


async def main(people: People) -> None:
    """Each line that comes in is a number of visits."""
    while count := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await people.visits(int(count))), flush=True)
    os._exit(0)


if __name__ == "__main__":
    django.setup()
    asyncio.run(main(People(int(sys.argv[1]), seed=1)))
