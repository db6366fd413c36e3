"""The sockets. A frame goes: parsed, allowed now, within rate, built anew, passed on. No query per frame."""

import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, get_args
from uuid import UUID

import msgspec
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import DatabaseError

from consults import proofs
from consults.hints import consult_group, tell
from consults.models import Participant
from consults.visit import View
from signaling import entry, ice, presence, protocol, sdp
from signaling.entry import Visitor
from signaling.lookout import Place, lookout, session_key
from signaling.relay import Letter, TooManyWait, relay
from signaling.short_way import Rest
from signaling.watched import BAD_FRAME, LATER, NOT_ALLOWED, OVER, REPLACED, SIGNED_OUT, TOO_FAST, Watched

logger = logging.getLogger(__name__)

HELLO_WITHIN = 5.0
#: pages say something every three seconds: one that has not for so long sleeps, or its path is gone
QUIET = 15.0
FRAMES_PER_SECOND = 40
FRAMES_AT_ONCE = 120
#: addresses that one page sends another's browser, or the worker, to; by leg, so that none takes from another
ADDRESSES_PER_SECOND = 4
#: a leg to the worker costs it a key, a socket and a log entry; a page makes one or two, and another when it breaks
WORKER_OFFERS_PER_SECOND = 0.5
WORKER_OFFERS_AT_ONCE = 6
#: each is an entry in the log
CHECKS_PER_SECOND = 0.2
CHECKS_AT_ONCE = 8
WORKERS = "workers"


def seat_group(participant_id: object) -> str:
    return f"seat.{participant_id}"


_STALE = ("stale", "That belongs to an earlier connection.")
Passed = protocol.Description | protocol.Candidate | protocol.Media | protocol.Proof


class VisitConsumer(Watched):
    """One side of a consult: the clinician or the patient."""

    visitor: Visitor | None = None
    view: View | None = None
    connection = ""
    tab = ""
    peer = ""
    peer_id = ""
    peer_process = ""
    sent_state: dict[str, Any] | None = None
    issued = 0.0
    heard = 0.0
    #: what the page was told is away
    missing: tuple[str, ...] = ()

    #: of the last look, for each frame: may it pass, in which negotiation, and may it name an address
    gate = False
    negotiation = 0
    relay_only = False

    async def connect(self) -> None:
        words = self.scope["url_route"]["kwargs"]
        self.role: str = words["role"]
        self.consult_id: UUID = words["consult_id"]
        self.relay = relay()
        self.visitor = await entry.visitor_async(self.scope, self.consult_id, self.role)
        if self.visitor is None:
            await self.refuse()
            return
        self.ask_by = self.visitor.ask_by
        now = time.monotonic()
        self.rate = protocol.Rate(FRAMES_PER_SECOND, FRAMES_AT_ONCE, now)
        self.offers = protocol.Rate(WORKER_OFFERS_PER_SECOND, WORKER_OFFERS_AT_ONCE, now)
        self.checks = protocol.Rate(CHECKS_PER_SECOND, CHECKS_AT_ONCE, now)
        self.addresses = {
            leg: protocol.Rate(ADDRESSES_PER_SECOND, protocol.MAX_CANDIDATES, now) for leg in get_args(protocol.Leg)
        }
        self.early: list[tuple[str, str]] = []
        await self.channel_layer.group_add(consult_group(self.consult_id), self.channel_name)
        await self.channel_layer.group_add(seat_group(self.visitor.participant.id), self.channel_name)
        await self.relay.join(str(self.visitor.participant.id), self)
        await self.accept()
        await self.send_frame({"kind": "welcome", "protocol": protocol.VERSION, "role": self.role})
        self.opened = time.monotonic()
        lookout().join(self)

    async def disconnect(self, code: int) -> None:
        await lookout().leave(self)
        if self.visitor is None:
            return
        self.relay.leave(str(self.visitor.participant.id), self)
        await self.channel_layer.group_discard(consult_group(self.consult_id), self.channel_name)
        await self.channel_layer.group_discard(seat_group(self.visitor.participant.id), self.channel_name)
        if self.connection:
            await presence.leave_async(self.visitor, self.connection)

    # -- from the browser ------------------------------------------------------------------------------

    def hear(self, text: str | None) -> Rest:
        if self.closing:
            return None
        self.heard = time.monotonic()
        if not self.rate.take(self.heard):
            return partial(self.shut, TOO_FAST)
        try:
            if text is None:
                raise protocol.BadFrame("binary")
            frame = protocol.parse(text)
            if isinstance(frame, protocol.Hello) == bool(self.connection):
                raise protocol.BadFrame("hello comes first, and once")
            return self.carry_out(frame)
        except (protocol.BadFrame, sdp.BadDescription) as error:
            logger.info("a frame was refused: %s", error)
            return partial(self.shut, BAD_FRAME)

    def carry_out(self, frame: protocol.Received) -> Rest:
        match frame:
            case protocol.Candidate():
                return self.trickle(frame)
            case protocol.Description():
                return self.describe(frame)
            case protocol.Hello():
                return partial(self.arrive, frame)
            case protocol.Checked():
                return partial(self.note_check, frame)
            case protocol.Media() | protocol.Proof():
                return self.to_peer(frame) if self.gate else None
            case protocol.VoiceStop():
                return partial(self.to_worker, {"kind": "voice_stop", "leg": "voice"})
            case protocol.Phone():
                return self.phone
            case protocol.Ping():
                return partial(self.send_frame, {"kind": "pong"})

    async def arrive(self, hello: protocol.Hello) -> None:
        assert self.visitor is not None  # noqa: S101  (accepted sockets have a visitor)
        self.tab = hello.tab
        try:
            self.connection = await presence.arrive_async(self.visitor, hello.tab, self.relay.process)
            await self.look()
        except DatabaseError:  # nobody comes in unwritten; the page comes back by itself
            logger.exception("an arrival could not be written down")
            await self.shut(LATER)
            return
        early, self.early = self.early, []
        for text, from_tab in early:
            if (rest := self.take(text, from_tab)) is not None:
                await rest()

    def describe(self, frame: protocol.Description) -> Rest:
        sdp.check_description(frame.sdp, frame.leg)
        if (why := self.not_open(frame)) is not None:
            return partial(self.fault, *why) if why[0] else None
        if frame.leg != "call" and not self.offers.take(time.monotonic()):
            return partial(self.fault, "too_often", "The connection is tried too often. Wait a moment.")
        relay_only = self.relay_only and frame.leg == "call"
        text = sdp.without_bad_candidates(frame.sdp, frame.leg, relay_only=relay_only)
        cleaned = protocol.Description(frame.leg, frame.negotiation, frame.type, text)
        return self.forward(cleaned)

    def trickle(self, frame: protocol.Candidate) -> Rest:
        if not self.addresses[frame.leg].take(self.heard):
            return partial(self.fault, "too_many", "Too many network addresses were offered.")
        if (why := self.not_open(frame)) is not None:
            return partial(self.fault, *why) if why[0] else None
        relay_only = self.relay_only and frame.leg == "call"
        if not sdp.candidate_allowed(frame.candidate, frame.leg, relay_only=relay_only):
            return None
        if relay_only:
            frame.candidate = sdp.without_related(frame.candidate)
        return self.forward(frame)

    async def phone(self) -> None:
        if self.visitor and self.view and self.gate and self.view.consult.phoned_at is None:
            try:
                await presence.phoned_async(self.consult_id, self.visitor.actor)
            except DatabaseError:
                logger.exception("that a visit goes on by telephone could not be written down")
                await self.fault("unwritten", "That you go on by telephone is written down later.")

    def not_open(self, frame: protocol.Description | protocol.Candidate) -> tuple[str, str] | None:
        """Why this leg may not be negotiated now: a fault's code and words, both empty to say nothing. None: it may."""
        view = self.view
        if frame.leg == "call" and self.gate:
            return None if frame.negotiation == self.negotiation else _STALE
        if view is None or view.consult.is_over:
            return "", ""
        if frame.leg == "call":
            return "gate_shut", "The call is not open yet."
        if frame.leg == "voice" and not (self.role == "patient" and view.stage == "consent"):
            return "no_voice", "There is nothing to record now."
        return None

    def forward(self, frame: protocol.Description | protocol.Candidate) -> Rest:
        if frame.leg == "call":
            return self.to_peer(frame)
        return partial(self.to_worker, {**msgspec.to_builtins(frame), "from": self.role})

    async def note_check(self, frame: protocol.Checked) -> None:
        """What this page knows of the other end goes into the log; a call goes on when that cannot be written now."""
        view = self.view
        if self.visitor is None or view is None or frame.negotiation != view.consult.negotiation:
            return
        if not self.checks.take(time.monotonic()):
            await self.fault("unwritten", "The check is written down later.")
            return
        tabs = (self.tab, frame.peer) if self.role == Participant.Role.CLINICIAN else (frame.peer, self.tab)
        found = proofs.Found(f"{frame.negotiation}.{'.'.join(tabs)}", frame.state, frame.digest, frame.why)
        try:
            await database_sync_to_async(proofs.note)(self.visitor.participant, found, self.visitor.actor)
        except DatabaseError:
            logger.exception("a check could not be written down")
            await self.fault("unwritten", "The check is written down later.")

    def to_peer(self, frame: Passed) -> Rest:
        if not self.peer:
            return None
        letter = Letter(self.peer_id, self.peer, self.tab, protocol.passed_on(frame, self.role))
        try:
            return self.relay.pass_on(self.peer_process, letter)
        except TooManyWait:
            return partial(self.fault, "not_now", "The other side cannot be reached for the moment.")

    async def to_worker(self, frame: dict[str, Any]) -> None:
        assert self.visitor is not None  # noqa: S101
        participant = str(self.visitor.participant.id)
        await tell(
            WORKERS,
            {
                "type": "leg.frame",
                "consult": str(self.consult_id),
                "participant": participant,
                "role": self.role,
                "tab": self.tab,
                "frame": frame,
            },
        )

    # -- from the channel layer ------------------------------------------------------------------------

    async def consult_changed(self, _event: dict[str, Any]) -> None:
        if self.connection and not self.closing:
            await self.look()

    def take(self, text: str, from_tab: str) -> Rest:
        """A frame from the other side, if the gate is still open and the other side's page is the one we know."""
        if self.closing:
            return None
        if self.view is None:
            # The other side heard of this page sooner than this socket has looked: kept until it has.
            if len(self.early) < protocol.MAX_CANDIDATES:
                self.early.append((text, from_tab))
            return None
        if from_tab != self.peer:
            return partial(self.look_and_take, text, from_tab)
        if not self.gate:
            return None
        if self.way is None:
            return partial(self.send_text, text)
        self.way.say(text)
        return None

    async def look_and_take(self, text: str, from_tab: str) -> None:
        """The other side's page is newer than what this socket knows: look, so that the tab comes first."""
        await self.look()
        if self.gate and from_tab == self.peer:
            await self.send_text(text)

    async def worker_frame(self, event: dict[str, Any]) -> None:
        if not self.closing and event["tab"] == self.tab:
            await self.send_frame(event["frame"])

    # -- what stands in the database -------------------------------------------------------------------

    async def look_again(self) -> None:
        """By the clock: may this socket still be here at all? Then what a hint would have told."""
        if self.closing or not self.connection:
            return
        visitor = await entry.visitor_async(self.scope, self.consult_id, self.role)
        if visitor is None:
            await self.shut(SIGNED_OUT if self.role == Participant.Role.CLINICIAN else NOT_ALLOWED)
            return
        self.ask_by = visitor.ask_by
        await self.look()

    @property
    def place(self) -> Place | None:
        if self.visitor is None or not self.connection or self.closing:
            return None
        session = session_key(self.scope) if self.role == Participant.Role.CLINICIAN else ""
        return Place(self.consult_id, self.visitor.participant.pk, self.connection, session)

    async def check_pulse(self) -> bool:
        now = time.monotonic()
        if self.closing or self.visitor is None:
            return False
        if not self.connection and now - self.opened > HELLO_WITHIN:
            await self.shut(BAD_FRAME)
            return False
        if self.connection and now - self.heard > QUIET:
            # Its socket may stay open for minutes; whoever waits for it has to know now.
            await presence.leave_async(self.visitor, self.connection)
            await self.shut(LATER)
            return False
        return True

    def wants_look(self) -> bool:
        return self.credentials_are_old or time.time() > self.ask_by

    @property
    def credentials_are_old(self) -> bool:
        """Those for the relay die within the hour; a long call gets new ones while the old still work."""
        return time.monotonic() - self.issued > settings.TURN_SECONDS / 2

    async def looked(self, away: Sequence[str]) -> None:
        """Say what is away, once, and once that it is back. The call needs none of it.

        What is late in the background a patient does not miss, and can do nothing about.
        """
        missing = tuple(part for part in away if part != "tasks" or self.role == Participant.Role.CLINICIAN)
        missing += () if self.relay.is_up else ("messages",)
        if self.connection and not self.closing and missing != self.missing:
            self.missing = missing
            await self.send_frame({"kind": "missing", "parts": missing})

    async def look(self) -> None:
        view = await presence.look_async(self.consult_id)
        if self.closing or self.visitor is None:
            return
        own = view.clinician_seat if self.role == Participant.Role.CLINICIAN else view.seat
        if own is None or own.id != self.visitor.participant.id:
            await self.shut(NOT_ALLOWED)
        elif own.connection != self.connection:
            await self.shut(REPLACED)
        else:
            self.view, self.gate = view, view.gate_open
            self.negotiation, self.relay_only = view.consult.negotiation, view.consult.is_relayed
            await self.tell_state(view, own)

    async def tell_state(self, view: View, own: Participant) -> None:
        gate = self.gate
        other = view.seat if self.role == Participant.Role.CLINICIAN else view.clinician_seat
        self.peer, self.peer_process = presence.whereabouts(other) if gate else ("", "")
        self.peer_id = str(other.id) if gate and other else ""
        state = {
            "kind": "state",
            "stage": view.stage,
            "gate": gate,
            "negotiation": self.negotiation,
            "peer": self.peer,
            "clinician_here": view.clinician_here,
            "patient_here": view.patient_here,
            "place": view.place,
            "phoned": view.consult.phoned_at is not None,
            "relay_only": self.relay_only,
        }
        if state != self.sent_state or self.credentials_are_old:
            self.sent_state, self.issued = state, time.monotonic()
            # A clinician may gather before she admits; a waiting patient gets no credentials.
            early = self.role == Participant.Role.CLINICIAN and not view.consult.is_over
            servers = ice.servers(str(own.id)) if gate or early else []
            await self.send_frame({**state, "ice": servers})
        if view.consult.is_over:
            await self.shut(OVER)

    # -- to the browser --------------------------------------------------------------------------------

    async def send_frame(self, frame: dict[str, Any]) -> None:
        await self.send_text(protocol.encode(frame))

    async def fault(self, code: str, text: str) -> None:
        await self.send_frame({"kind": "fault", "code": code, "text": text})

    async def shut(self, code: int) -> None:
        if not self.closing:
            self.closing = True
            if self.way is not None:
                self.way.hears = None  # what comes now piles up, and the server drops who does not stop
            if self.visitor:
                # At once: over a dead path the close is not answered for minutes, and frames would go astray here.
                self.relay.leave(str(self.visitor.participant.id), self)
            await self.close(code=code)
