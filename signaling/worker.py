"""The worker: a visible participant that takes spoken consent and watches connections, never a visit's media."""

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from channels.layers import get_channel_layer
from django.conf import settings

from signaling import leases, metrics, protocol, watching
from signaling.consumers import WORKERS, seat_group
from signaling.ending import ended
from signaling.legs import Ended, Leg, MonitorLeg, VoiceLeg
from signaling.protocol import BadFrame, Quality, Rate
from signaling.recording import Recording
from signaling.sharing import Sharing

logger = logging.getLogger(__name__)

STORE_EVERY = 1.0
MAX_UNSTORED = 20_000
MAX_LEGS = 4_000
#: offers of one participant, over all her sockets: a page that loses its leg tries again more and more rarely
OFFERS_A_SECOND, OFFERS_AT_ONCE = 0.5, 10
#: endings that may wait for the database
MAX_UNWRITTEN = 20_000
#: seconds that a worker waits when another has less to do
AFTER_OTHERS = 0.3
#: shorter than this, or with less to hear, a recording proves nothing and is not kept
LEAST_HEARD = 0.5
#: seconds that a stopping worker gives people to finish speaking, and then itself to close and store
TO_SPEAK, TO_LEAVE = 8.0, 8.0


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
        self.samples: list[leases.Sample] = []
        self.health = metrics.Health()
        self.sharing = Sharing(self.name)
        self._leased: set[str] = set()
        self._asks: list[tuple[leases.Ask, asyncio.Future[bool]]] = []
        self._asking = False
        self._ended: list[tuple[UUID, UUID, str, Ended]] = []
        self.watch = watching.watch()
        self._locks: dict[str, asyncio.Lock] = {}
        self._offers: dict[str, Rate] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled or told to `stop`; then close every leg and store what was measured."""
        channel = await self.layer.new_channel("worker")
        await self.layer.group_add(WORKERS, channel)
        keeper = asyncio.create_task(self._keep())
        receiving = asyncio.create_task(self._receive(channel))
        stopping = asyncio.create_task(self._stopping.wait())
        logger.info("the worker is ready")
        try:
            await asyncio.wait({receiving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if receiving.done():
                receiving.result()
            await self._drain()
        finally:
            try:
                await ended(receiving, stopping, keeper)
            finally:
                await self._leave(channel)

    def stop(self) -> None:
        """Take nothing new, hand everything over, end."""
        self._stopping.set()

    async def _receive(self, channel: str) -> None:
        while True:
            try:
                message = await self.layer.receive(channel)
                if message["type"] == "worker.load":
                    self.sharing.heard(message["name"], message["consults"], time.monotonic())
                else:
                    self._start(self._handle(message))
            except Exception as error:
                # Not sealed by this product, or of another version: whoever writes into Redis may not stop the worker.
                logger.error("a message for the workers could not be read: %s", type(error).__name__)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)  # a task nobody keeps may be collected before it ends
        task.add_done_callback(self._tasks.discard)

    # -- from the browsers -----------------------------------------------------------------------------

    async def _handle(self, message: dict[str, Any]) -> None:
        try:
            caller = Caller(message["consult"], message["participant"], message["tab"])
            # One at a time and in order per participant: a candidate must not overtake its offer.
            async with self._locks.setdefault(caller.participant, asyncio.Lock()):
                await self._carry_out(caller, message["frame"])
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
        # A socket counts its own; whoever opens one socket after another is counted here.
        rate = self._offers.setdefault(caller.participant, Rate(OFFERS_A_SECOND, OFFERS_AT_ONCE, time.monotonic()))
        if not rate.take(time.monotonic()):
            return
        ours = caller.consult in self._leased
        if not ours and not self.sharing.mine(caller.consult, len(self._leased), time.monotonic()):
            await asyncio.sleep(AFTER_OTHERS)
        if self.health.draining or len(self.legs) >= MAX_LEGS:
            return
        if not await self._claim((UUID(caller.consult), UUID(caller.participant), name)):
            return
        self._leased.add(caller.consult)
        key = (caller.participant, name)
        if key in self.legs:
            await self.legs[key][1].close("replaced")
        leg = self._new_leg(caller, name)
        self.legs[key] = (caller, leg)
        try:
            answer = await leg.answer(frame["sdp"])
        except Exception:
            await leg.close("failed")
            raise
        description = {"kind": "description", "leg": name, "negotiation": frame["negotiation"]}
        await self._tell(caller, {**description, "type": "answer", "sdp": answer, "from": "worker"})
        if name == "voice":
            begun = {"status": "recording", "recording": 0, "seconds": 0, "sha256": "", "fingerprints": []}
            await self._tell(caller, {"kind": "voice", **begun})

    async def _claim(self, ask: leases.Ask) -> bool:
        """Ask for a lease, together with what others ask while the database answers the ones before."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._asks.append((ask, answer))
        if len(self._asks) == 1 and not self._asking:
            self._asking = True
            self._start(self._ask())
        return await answer

    async def _ask(self) -> None:
        while self._asks:
            batch, self._asks = self._asks, []
            try:
                granted = await leases.claim_many_async(self.name, [ask for ask, _ in batch])
            except Exception as error:  # the database is away; the pages try again
                for _, answer in batch:
                    answer.set_exception(error)
            else:
                for (_, answer), yes in zip(batch, granted, strict=True):
                    answer.set_result(yes)
        self._asking = False

    def _new_leg(self, caller: Caller, name: str) -> Leg:
        consult, participant = UUID(caller.consult), UUID(caller.participant)
        private = settings.WORKER_PRIVATE_ADDRESSES

        def closed(leg: Leg) -> None:
            if self.legs.get((caller.participant, name), (None, None))[1] is leg:
                del self.legs[caller.participant, name]
            assert leg.ended  # noqa: S101  (a leg says how it ended before it says that)
            metrics.CLOSED.labels(leg.ended.why).inc()
            metrics.DROPPED.inc(leg.ended.dropped)
            if len(self._ended) < MAX_UNWRITTEN:
                self._ended.append((consult, participant, name, leg.ended))

        if name == "voice":

            async def recorded(made: Recording) -> None:
                await self._recorded(caller, voice, made)

            voice = VoiceLeg(closed, recorded, seconds_at_most=settings.VOICE_SECONDS, private=private)
            return voice
        rate = Rate(4, 8, time.monotonic())

        def message(text: str) -> None:
            if rate.take(time.monotonic()):
                self._measured(consult, participant, text)

        return MonitorLeg(closed, message, private=private)

    def _measured(self, consult: UUID, participant: UUID, text: str) -> None:
        try:
            message = protocol.parse_monitor(text)
        except BadFrame:
            return
        mos = watching.mos_of(message) if isinstance(message, Quality) else None
        watching.heard(self.watch, consult, participant, message, mos)
        if isinstance(message, Quality) and len(self.samples) < MAX_UNSTORED:
            # Not Django's clock, which asks the settings first: a thousand times a second that is felt.
            self.samples.append((consult, participant, datetime.now(UTC), message, mos))

    async def _recorded(self, caller: Caller, leg: Leg, made: Recording) -> None:
        kept = None
        if made.heard_seconds >= LEAST_HEARD:
            kept = await leases.keep_voice_async(
                UUID(caller.participant), made.sound, seconds=made.seconds, fingerprints=leg.fingerprints
            )
        metrics.VOICES.labels("kept" if kept else "failed").inc()
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
            failed: Exception | None = None
            for part in (
                *(self._close_late, self._say_load, self._store, self._end_what_is_over, self._take_over),
                *(self._write_endings, self._look),
            ):
                try:
                    await part()
                except Exception as error:  # what there is waits, the next second tries again; the rest goes on
                    failed = failed or error
            if failed:
                logger.error("the worker could not do all that it does every second", exc_info=failed)
            else:
                self.health.looked = time.monotonic()
            self._show()

    async def _close_late(self) -> None:
        await asyncio.gather(*(leg.close("failed") for _, leg in list(self.legs.values()) if leg.is_late))

    async def _look(self) -> None:
        await watching.look(self.watch)

    async def _say_load(self) -> None:
        consults = None if self.health.draining else len(self._leased)
        await self.layer.group_send(WORKERS, {"type": "worker.load", "name": self.name, "consults": consults})

    async def _store(self) -> None:
        batch, self.samples = self.samples, []
        if not batch:
            return
        try:
            await leases.store_async(batch)
        except BaseException:
            self.samples = batch + self.samples
            raise
        now = datetime.now(UTC)
        metrics.STORED.inc(len(batch))
        for _, _, at, *_ in batch:
            metrics.STORE_SECONDS.observe((now - at).total_seconds())

    async def _end_what_is_over(self) -> None:
        """Renew the leases; close legs of consults that are over and voice legs past their step; free what is empty."""
        held = set(self._leased)
        if self.legs:
            pairs = {(UUID(c.consult), UUID(c.participant), name) for (_, name), (c, _) in self.legs.items()}
            gone = await leases.renew_async(self.name, pairs)
            closing = [
                leg.close(gone[UUID(participant), name])
                for (participant, name), (_, leg) in list(self.legs.items())
                if (UUID(participant), name) in gone
            ]
            await asyncio.gather(*closing)
        in_use = {caller.consult for caller, _ in self.legs.values()}
        # Only what was held before the look above: a consult that was leased since has its leg in the making.
        if empty := held - in_use:
            self._leased -= empty
            await leases.release_async(self.name, map(UUID, empty))
        now = time.monotonic()
        self._offers = {participant: rate for participant, rate in self._offers.items() if not rate.is_full(now)}
        busy = {participant for participant, _ in self.legs}
        for participant in [p for p, lock in self._locks.items() if p not in busy and not lock.locked()]:
            del self._locks[participant]

    async def _take_over(self) -> None:
        """Where a worker renews no more, free its consults and have their pages build the leg anew."""
        for consult, participant, tab in await leases.free_lapsed_async():
            await self._tell(Caller(str(consult), str(participant), tab), {"kind": "worker", "status": "gone"})

    async def _write_endings(self) -> None:
        batch, self._ended = self._ended, []
        if not batch:
            return
        try:
            await leases.closed_async(self.name, batch)
        except BaseException:
            self._ended = batch + self._ended
            raise

    def _show(self) -> None:
        legs = Counter(name for _, name in self.legs)
        for name in ("monitor", "voice"):
            metrics.LEGS.labels(name).set(legs[name])
        metrics.CONSULTS.set(len(self._leased))
        metrics.TASKS.set(len(asyncio.all_tasks()))
        metrics.WAITING.set(len(self.samples))

    # -- the end ---------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Hand over at once what can be; whoever is speaking may finish, for a bounded time."""
        self.health.draining = True
        with contextlib.suppress(Exception):
            await self._say_load()
        voices = {caller.consult: leg for caller, leg in self.legs.values() if isinstance(leg, VoiceLeg)}
        # Free first: the pages come back as soon as their leg is closed.
        with contextlib.suppress(Exception):
            await leases.release_async(self.name, [UUID(c) for c in self._leased - voices.keys()])
        idle = [leg for caller, leg in list(self.legs.values()) if caller.consult not in voices]
        await asyncio.wait({asyncio.gather(*(leg.close("handed over") for leg in idle))}, timeout=TO_LEAVE)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TO_SPEAK):
                await asyncio.gather(*(leg.over.wait() for leg in voices.values()))

    async def _leave(self, channel: str) -> None:
        self.health.draining = True
        parts = (
            asyncio.gather(*(leg.close("handed over") for _, leg in list(self.legs.values()))),
            self._store(),
            self._write_endings(),
            leases.release_async(self.name),
            self._say_load(),
            self.layer.group_discard(WORKERS, channel),
        )
        for part in parts:
            try:
                async with asyncio.timeout(TO_LEAVE / len(parts)):
                    await part
            except Exception as error:
                logger.error("a part of the worker's end failed: %s", type(error).__name__)
        if self.samples or self._ended:
            logger.error("%d samples and %d endings are lost", len(self.samples), len(self._ended))
