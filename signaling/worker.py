"""The worker: a visible participant that takes spoken consent and watches connections, never a visit's media."""

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.conf import settings
from django.utils import timezone

from consults.models import QualitySample
from signaling import leases, protocol
from signaling.consumers import WORKERS, seat_group
from signaling.legs import Leg, MonitorLeg, VoiceLeg
from signaling.protocol import BadFrame, Quality, Rate
from signaling.recording import Recording

logger = logging.getLogger(__name__)

STORE_EVERY = 1.0
MAX_UNSTORED = 20_000
MAX_LEGS = 4_000
#: shorter than this, or with less to hear, a recording proves nothing and is not kept
LEAST_HEARD = 0.5


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose leg: ids as text, and the page it belongs to."""

    consult: str
    participant: str
    tab: str


class Worker:
    """Answers the browsers of the consults it has leased. Any number may run; the database says who has which."""

    def __init__(self, name: str = "") -> None:
        self.name = name or f"{socket.gethostname()[:40]}:{os.getpid()}:{secrets.token_hex(3)}"
        self.layer = get_channel_layer()
        self.legs: dict[tuple[str, str], tuple[Caller, Leg]] = {}
        self.samples: list[QualitySample] = []
        self._locks: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until cancelled; then close every leg and store what was measured."""
        channel = await self.layer.new_channel("worker")
        await self.layer.group_add(WORKERS, channel)
        keeper = asyncio.create_task(self._keep())
        logger.info("the worker is ready")
        try:
            while True:
                self._start(self._handle(await self.layer.receive(channel)))
        finally:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await self.layer.group_discard(WORKERS, channel)
            await asyncio.gather(*(leg.close() for _, leg in list(self.legs.values())), return_exceptions=True)
            await self._store()
            await leases.release_async(self.name)

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)  # a task nobody keeps may be collected before it ends
        task.add_done_callback(self._tasks.discard)

    # -- from the browsers -----------------------------------------------------------------------------

    async def _handle(self, message: dict[str, Any]) -> None:
        caller = Caller(message["consult"], message["participant"], message["tab"])
        frame = message["frame"]
        # One at a time and in order per participant: a candidate must not overtake its offer.
        lock = self._locks.setdefault(caller.participant, asyncio.Lock())
        try:
            async with lock:
                await self._carry_out(caller, frame)
        except Exception as error:
            # One browser's odd offer must not end another's leg. No message: it may hold an address.
            logger.error("a frame for the worker failed: %s", type(error).__name__)

    async def _carry_out(self, caller: Caller, frame: dict[str, Any]) -> None:
        kind, leg_name = frame["kind"], frame.get("leg", "")
        if kind == "description" and frame["type"] == "offer":
            await self._offered(caller, leg_name, frame)
            return
        known, leg = self.legs.get((caller.participant, leg_name), (None, None))
        if leg is None or known != caller:
            return
        if kind == "candidate":
            await leg.add_candidate(frame["candidate"], frame["mid"])
        elif kind == "voice_stop" and isinstance(leg, VoiceLeg):
            await leg.stop()

    async def _offered(self, caller: Caller, name: str, frame: dict[str, Any]) -> None:
        allowed = await leases.claim_async(self.name, UUID(caller.consult), UUID(caller.participant), name)
        if not allowed or len(self.legs) >= MAX_LEGS:
            return
        key = (caller.participant, name)
        if key in self.legs:
            await self.legs[key][1].close()
        leg = self._new_leg(caller, name)
        self.legs[key] = (caller, leg)
        try:
            answer = await leg.answer(frame["sdp"])
        except Exception:
            await leg.close()
            raise
        description = {"kind": "description", "leg": name, "negotiation": frame["negotiation"]}
        await self._tell(caller, {**description, "type": "answer", "sdp": answer, "from": "worker"})
        if name == "voice":
            begun = {"status": "recording", "recording": 0, "seconds": 0, "sha256": "", "fingerprints": []}
            await self._tell(caller, {"kind": "voice", **begun})

    def _new_leg(self, caller: Caller, name: str) -> Leg:
        def closed(leg: Leg) -> None:
            if self.legs.get((caller.participant, name), (None, None))[1] is leg:
                del self.legs[caller.participant, name]

        if name == "voice":

            async def recorded(made: Recording) -> None:
                await self._recorded(caller, voice, made)

            voice = VoiceLeg(closed, recorded, seconds_at_most=settings.VOICE_SECONDS)
            return voice
        rate = Rate(4, 8, time.monotonic())

        def message(text: str) -> None:
            if rate.take(time.monotonic()):
                self._measured(caller, text)

        return MonitorLeg(closed, message)

    def _measured(self, caller: Caller, text: str) -> None:
        try:
            message = protocol.parse_monitor(text)
        except BadFrame:
            return
        if isinstance(message, Quality) and len(self.samples) < MAX_UNSTORED:
            figures = {f: getattr(message, f) for f in message.__struct_fields__}
            self.samples.append(
                QualitySample(
                    consult_id=UUID(caller.consult),
                    participant_id=UUID(caller.participant),
                    at=timezone.now(),
                    **figures,
                )
            )

    async def _recorded(self, caller: Caller, leg: Leg, made: Recording) -> None:
        kept = None
        if made.heard_seconds >= LEAST_HEARD:
            kept = await leases.keep_voice_async(UUID(caller.participant), made.sound, seconds=made.seconds)
        await self._tell(
            caller,
            {
                "kind": "voice",
                "status": "kept" if kept else "failed",
                "recording": kept or 0,
                "seconds": round(made.seconds, 1),
                "sha256": made.sha256 if kept else "",
                "fingerprints": leg.fingerprints if kept else [],
            },
        )

    async def _tell(self, caller: Caller, frame: dict[str, Any]) -> None:
        message = {"type": "worker.frame", "tab": caller.tab, "frame": frame}
        await self.layer.group_send(seat_group(caller.participant), message)

    # -- by the clock ----------------------------------------------------------------------------------

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(STORE_EVERY)
            try:
                await self._store()
                await self._end_what_is_over()
            except asyncio.CancelledError:
                raise
            except Exception:  # the database is away; the samples wait, the next second tries again
                logger.exception("the worker could not reach the database")

    async def _store(self) -> None:
        batch, self.samples = self.samples, []
        if not batch:
            return
        try:
            await database_sync_to_async(QualitySample.objects.bulk_create)(batch)
        except Exception:
            self.samples = batch + self.samples
            raise

    async def _end_what_is_over(self) -> None:
        """Renew the leases; close the legs of consults that are over, and voice legs past the consent step."""
        if not self.legs:
            return
        pairs = {(UUID(c.consult), UUID(c.participant), name) for (_, name), (c, _) in self.legs.items()}
        gone = await leases.renew_async(self.name, pairs)
        for (participant, name), (_, leg) in list(self.legs.items()):
            if (UUID(participant), name) in gone:
                await leg.close()
        busy = {participant for participant, _ in self.legs}
        for participant in [p for p, lock in self._locks.items() if p not in busy and not lock.locked()]:
            del self._locks[participant]
