"""The man in the middle of one consult: swaps, bridges, replays, reorders, drops, injects, forges."""

import asyncio
import random
import re
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from signaling import protocol
from tests.middle.bridge import Bridge
from tests.middle.odd import ODD

OTHER = {"clinician": "patient", "patient": "clinician"}
FINGERPRINT = re.compile(r"a=fingerprint:sha-256 [0-9A-F:]+", re.I)
#: addresses that nobody should be sent to, and one where nobody answers
INJECTED = ("127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "0.0.0.0", "224.0.0.1", "192.0.2.9")  # noqa: S104
#: attacks that put somebody in between, or try to; each has to be caught
ATTACKS = (
    "swap",
    "odd_lines",
    "restart",
    "replay",
    "drop_proof",
    "bridge",
    "bridge_forging",
    "bridge_reflecting",
    "bridge_withholding",
    "bridge_later",
)
#: those of them that are attacks too where there is no secret and two people compare words
COMPARING = ("swap", "odd_lines", "restart", "bridge", "bridge_forging", "bridge_later")
#: what people, a bad network or a silly server do to an honest call; none may raise an alarm. With
#: what the man notes of his own part
NOISE = {
    **{"honest": "", "restarted": "", "reloaded": "", "double": "doubled"},
    **{"reorder": "reordered", "drop_candidates": "dropped", "inject_candidates": "injected"},
}


def invented() -> str:
    digits = secrets.token_hex(32).upper()
    return "a=fingerprint:sha-256 " + ":".join(digits[i : i + 2] for i in range(0, 64, 2))


def begin_file(data: Path, consult: str) -> Path:
    """Is there once an attack that comes later in a call may begin."""
    return data / f"middle.begin.{consult}"


class Man:
    """`sockets`: the newest socket of each side."""

    def __init__(self, consult: str, attack: str, log: Path) -> None:
        self.consult = consult
        self.attack = attack
        self.log = log
        self.sockets: dict[str, Any] = {}
        self.bridge: Bridge | None = None
        self.fingerprint = invented()
        self.odd = random.choice(ODD)  # noqa: S311
        #: first descriptions and link tags of each side, and the pages that were first there
        self.recorded: dict[tuple[str, str], Any] = {}
        self.pages: dict[str, str] = {}
        self.dropped = False

    @property
    def may_begin(self) -> bool:
        """Whether the call was seen to be honest so far. A busy machine may say a description twice before that."""
        return begin_file(self.log.parent, self.consult).exists()

    def did(self, what: str) -> None:
        with self.log.open("a") as log:
            log.write(f"{self.consult} {what}\n")

    async def tell(self, role: str, frame: dict[str, Any]) -> None:
        """To one side, as if it came from the other."""
        text = protocol.encode({**frame, "from": OTHER[role]})
        if role in self.sockets:
            await self.sockets[role].base_send({"type": "websocket.send", "text": text})

    async def left(self, socket: Any) -> None:
        """A bridge that nobody uses would go on decoding."""
        if self.sockets.get(socket.role) is socket:
            del self.sockets[socket.role]
        if not self.sockets and self.bridge:
            await self.bridge.close()
            self.bridge = None

    async def heard(self, socket: Any, frame: Any, pass_on: Callable[[Any, Any], Awaitable[None]]) -> None:
        first = self.pages.setdefault(socket.role, socket.tab) == socket.tab
        step = getattr(self, f"_{self.attack}")
        await step(socket, frame, lambda changed: pass_on(socket, changed), first)

    async def _honest(self, _socket: Any, frame: Any, on: Any, _first: bool) -> None:
        await on(frame)

    _restarted = _reloaded = _honest

    # -- noise -----------------------------------------------------------------------------------------

    async def _reorder(self, _socket: Any, frame: Any, on: Any, _first: bool) -> None:
        self.did("reordered")
        asyncio.get_running_loop().call_later(random.uniform(0, 0.15), lambda: asyncio.ensure_future(on(frame)))  # noqa: S311

    async def _drop_candidates(self, _socket: Any, frame: Any, on: Any, _first: bool) -> None:
        if isinstance(frame, protocol.Candidate) and (not self.dropped or random.random() < 0.5):  # noqa: S311
            self.dropped = True
            self.did("dropped")
        else:
            await on(frame)

    async def _inject_candidates(self, _socket: Any, frame: Any, on: Any, _first: bool) -> None:
        await on(frame)
        if isinstance(frame, protocol.Candidate) and frame.candidate:
            self.did("injected")
            for address in INJECTED:
                text = f"candidate:1 1 udp 2122260223 {address} 9999 typ host"
                await on(protocol.Candidate("call", frame.negotiation, text, frame.mid))

    async def _double(self, _socket: Any, frame: Any, on: Any, _first: bool) -> None:
        await on(frame)
        if not isinstance(frame, protocol.Description):
            self.did("doubled")
            await on(frame)

    # -- attacks ---------------------------------------------------------------------------------------

    async def _swap(self, _socket: Any, frame: Any, on: Any, _first: bool) -> None:
        if isinstance(frame, protocol.Description):
            frame = msgspec.structs.replace(frame, sdp=FINGERPRINT.sub(self.fingerprint, frame.sdp))
            self.did("swapped")
        await on(frame)

    async def _odd_lines(self, _socket: Any, frame: Any, on: Any, _first: bool) -> None:
        """The right fingerprint for whoever reads carelessly, another for who reads on."""
        if isinstance(frame, protocol.Description):
            other = self.odd.format(self.fingerprint.partition(" ")[2])
            sdp = re.sub(r"(a=setup:)", lambda found: f"{other}\r\n{found[1]}", frame.sdp)
            frame = msgspec.structs.replace(frame, sdp=sdp)
            self.did("swapped")
            self.did(f"by {self.odd!r}")
        await on(frame)

    async def _restart(self, _socket: Any, frame: Any, on: Any, _first: bool) -> None:
        """Honest until a connection is renewed."""
        if isinstance(frame, protocol.Description) and self.may_begin:
            frame = msgspec.structs.replace(frame, sdp=FINGERPRINT.sub(self.fingerprint, frame.sdp))
            self.did("swapped")
        await on(frame)

    async def _replay(self, socket: Any, frame: Any, on: Any, first: bool) -> None:
        """When the patient's page is loaded anew her first page's words are said instead of hers."""
        kind = frame.step if isinstance(frame, protocol.Proof) else type(frame).__name__
        both_first = self.pages.get("patient") == getattr(self.sockets.get("patient"), "tab", "")
        if both_first and kind in ("link", "Description"):
            self.recorded.setdefault((socket.role, kind), frame)
        elif not both_first and self.may_begin and (before := self.recorded.get((socket.role, kind))):
            news = {"peer": frame.peer} if isinstance(frame, protocol.Proof) else {}
            frame = msgspec.structs.replace(before, negotiation=frame.negotiation, **news)
            self.did("swapped")
        await on(frame)

    async def _drop_proof(self, _socket: Any, frame: Any, on: Any, _first: bool) -> None:
        if isinstance(frame, protocol.Proof):
            self.did("swapped")
        else:
            await on(frame)

    async def _keep_back(self, _socket: Any, frame: Any, on: Any, _first: bool) -> None:
        """Neither page learns anything of the other."""
        if not isinstance(frame, protocol.Description | protocol.Candidate):
            await on(frame)

    async def _bridge(self, socket: Any, frame: Any, on: Any, _first: bool) -> None:
        """Two connections instead of one; the pages' own words go on as they are."""
        if isinstance(frame, protocol.Description | protocol.Candidate):
            await self._through(socket, frame)
        else:
            await on(frame)

    async def _bridge_forging(self, socket: Any, frame: Any, on: Any, _first: bool) -> None:
        """All that can be computed without the secret is computed; what cannot is invented."""
        if isinstance(frame, protocol.Description | protocol.Candidate):
            await self._through(socket, frame)
        elif not isinstance(frame, protocol.Proof):
            await on(frame)
        elif frame.step == "link":
            await on(msgspec.structs.replace(frame, value=secrets.token_hex(32)))
        elif self.bridge:
            await self.bridge.play(socket.role, frame)

    async def _bridge_reflecting(self, socket: Any, frame: Any, on: Any, first: bool) -> None:
        if isinstance(frame, protocol.Proof) and frame.step == "link":
            said = {**msgspec.to_builtins(frame), "peer": socket.tab}
            await self.tell(socket.role, said)
        else:
            await self._bridge_forging(socket, frame, on, first)

    async def _bridge_withholding(self, socket: Any, frame: Any, on: Any, first: bool) -> None:
        if not (isinstance(frame, protocol.Proof) and frame.step == "link"):
            await self._bridge_forging(socket, frame, on, first)

    async def _bridge_later(self, socket: Any, frame: Any, on: Any, first: bool) -> None:
        """Honest until the patient's page is loaded anew."""
        again = self.pages.get("patient") != getattr(self.sockets.get("patient"), "tab", "")
        if again and self.may_begin:
            await self._bridge_forging(socket, frame, on, first)
        else:
            await on(frame)

    async def _through(self, socket: Any, frame: Any) -> None:
        self.bridge = self.bridge or Bridge(self)
        await self.bridge.take(socket, frame)
