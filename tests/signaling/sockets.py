"""Sockets for tests: real consumers behind the product's own ASGI application, with the headers a browser sends."""

import asyncio
import contextlib
import json
import secrets
from collections.abc import Callable
from typing import Any

from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings

from signaling.short_way import EXTENSION, REST, Rest, heard
from tests.cast import Cast, Visit, bring_to, session_key

WITHIN = 10.0
FINGERPRINT = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)


def description(*media: str, fingerprint: str = FINGERPRINT, more: str = "") -> str:
    """A session description as short as can be."""
    lines = [
        "v=0",
        "o=- 1 1 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        fingerprint,
        *(media or ("audio", "video")),
        *more.split("|"),
    ]
    profile = {"application": "UDP/DTLS/SCTP webrtc-datachannel"}
    return (
        "\r\n".join(
            f"m={x} 9 {profile.get(x, 'UDP/TLS/RTP/SAVPF 111')}" if x in ("audio", "video", "application") else x
            for x in lines
            if x
        )
        + "\r\n"
    )


def offer(leg: str = "call", negotiation: int = 1, sdp: str = "", **more: Any) -> dict[str, Any]:
    sdp = sdp or description(*{"monitor": ["application"], "voice": ["audio"]}.get(leg, []))
    return {"kind": "description", "leg": leg, "negotiation": negotiation, "type": "offer", "sdp": sdp, **more}


class Way:
    """The short way, as a server offers it."""

    hears: Callable[[str], Rest] | None = None

    def __init__(self, wire: WebsocketCommunicator) -> None:
        self.wire, self.passed = wire, 0

    def say(self, text: str) -> None:
        self.wire.output_queue.put_nowait({"type": "websocket.send", "text": text})

    def take(self, text: str) -> bool:
        """False where the frame has to go by ASGI."""
        if self.hears is None or not self.wire.input_queue.empty():
            return False
        self.passed += 1
        if (rest := heard(self.hears, text)) is not None:
            self.wire.input_queue.put_nowait({"type": REST, "rest": rest})
        return True


class Socket:
    """One socket. Frames are awaited for a bounded time, and a close is a frame {"kind": "closed", "code": …}."""

    def __init__(
        self,
        path: str,
        *,
        cookies: dict[str, str],
        origin: str | None,
        more: list[tuple[bytes, bytes]],
        short_way: bool,
    ) -> None:
        headers = [(b"host", b"localhost:8443"), *more]
        if cookies:
            headers.append((b"cookie", "; ".join(f"{k}={v}" for k, v in cookies.items()).encode()))
        if origin is not None:
            headers.append((b"origin", origin.encode()))
        from telehealth.asgi import application

        self.wire = WebsocketCommunicator(application, path, headers)
        self.way = Way(self.wire) if short_way else None
        if self.way:
            self.wire.scope["extensions"] = {EXTENSION: self.way}
        self.tab, self.sent = secrets.token_hex(8), 0
        self.accepted = False

    async def open(self) -> "Socket":
        self.accepted, self.refused_with = await self.wire.connect(timeout=WITHIN)
        return self

    async def hello(self) -> "Socket":
        await self.send({"kind": "hello", "protocol": 1, "tab": self.tab})
        await self.until("state")
        return self

    async def send(self, frame: dict[str, Any] | str) -> None:
        text = frame if isinstance(frame, str) else json.dumps(frame)
        self.sent += 1
        await asyncio.sleep(0)  # as between two pieces that come by the network
        if not (self.way and self.way.take(text)):
            await self.wire.send_to(text_data=text)

    async def next(self) -> dict[str, Any]:
        message = await self.wire.receive_output(timeout=WITHIN)
        if message["type"] == "websocket.close":
            return {"kind": "closed", "code": message["code"]}
        return json.loads(message["text"])

    async def until(self, kind: str, **members: Any) -> dict[str, Any]:
        """The next frame of this kind with these members; others before it are passed over."""
        while True:
            frame = await self.next()
            if frame["kind"] == kind and members.items() <= frame.items():
                return frame
            assert frame["kind"] != "closed", f"closed with {frame['code']} while waiting for {kind}"

    async def closed_with(self) -> int:
        while (frame := await self.next())["kind"] != "closed":
            pass
        return int(frame["code"])

    async def nothing_but_states(self, seconds: float = 0.15) -> bool:
        """Whether nothing came but what the server says of itself."""
        while not await self.wire.receive_nothing(timeout=seconds, interval=0.02):
            if (await self.next())["kind"] not in ("state", "welcome", "fault", "pong"):
                return False
        return True

    async def close(self) -> None:
        if self.accepted:
            with contextlib.suppress(Exception):
                await self.wire.disconnect(timeout=WITHIN)
        self.wire.stop(exceptions=False)


class Sockets:
    def __init__(self, cast: Cast, *, short_way: bool = False) -> None:
        self.cast, self.short_way = cast, short_way
        self.all: list[Socket] = []

    async def visit(self, stage: str, *, of: str = "clinician") -> Visit:
        clinician = getattr(self.cast, of)
        patient = self.cast.patient if of == "clinician" else self.cast.colleagues_patient
        now = await database_sync_to_async(bring_to)(stage, clinician, patient)
        now.consult.clinician = clinician  # known, so that no test looks it up in the event loop
        return now

    async def open(
        self,
        path: str,
        cookies: dict[str, str] | None = None,
        *,
        origin: str | None = "https://localhost:8443",
        more: list[tuple[bytes, bytes]] | None = None,
    ) -> Socket:
        socket = Socket(path, cookies=cookies or {}, origin=origin, more=more or [], short_way=self.short_way)
        self.all.append(socket)
        return await socket.open()

    async def staff(self, visit: Visit, user: Any = None, *, role: str = "clinician", **more: Any) -> Socket:
        """A member of staff at the clinician's address of this consult."""
        cookies = await self.signed_in(user or visit.consult.clinician)
        return await self.open(f"/ws/visit/{visit.consult.id}/{role}/", cookies, **more)

    async def signed_in(self, user: Any) -> dict[str, str]:
        return {settings.SESSION_COOKIE_NAME: await database_sync_to_async(session_key)(user)}

    async def patient(self, visit: Visit, *, role: str = "patient", **more: Any) -> Socket:
        name, secret = visit.patients_cookie
        return await self.open(f"/ws/visit/{visit.consult.id}/{role}/", {name: secret}, **more)

    async def in_call(self, visit: Visit) -> tuple[Socket, Socket]:
        """Clinician and patient of an admitted consult, each having heard of the other's page."""
        clinician, patient = await self.staff(visit), await self.patient(visit)
        await clinician.hello()
        await patient.send({"kind": "hello", "protocol": 1, "tab": patient.tab})
        await patient.until("state", peer=clinician.tab)
        await clinician.until("state", peer=patient.tab)
        return clinician, patient

    async def close(self) -> None:
        for socket in self.all:
            # Or what is meant to go the short way would go by ASGI, and nobody would see.
            assert socket.way is None or socket.way.passed or socket.sent < 2
            await socket.close()
