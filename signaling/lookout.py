"""One look for all visits' sockets of this process: what changed is then looked at closely, the rest is left alone.

A close look is up to nine queries; at some two hundred sockets they would fill a core without anybody saying a word.
Here nine queries read, for all sockets at once, every row that a close look depends on (and one whether the
background work goes on). What a row says is compared,
never judged: who may stay is decided by the close look alone.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Hashable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID
from weakref import WeakKeyDictionary

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.sessions.models import Session
from django.utils import timezone

from accounts.models import Authenticator, User
from consults import alerts, consent, visit
from consults.models import Consult, Participant
from signaling import watched
from signaling.ending import ended

logger = logging.getLogger(__name__)

#: a close look all the same after so long. What runs out without any row changing, the socket itself knows
CLOSELY_EVERY = 300.0


class Place(NamedTuple):
    """What a socket stands for."""

    consult: UUID
    participant: UUID
    #: of the tab that has the seat (`Participant.connection`)
    connection: str
    #: of staff; empty for a patient
    session: str


class Watchable(Protocol):
    @property
    def place(self) -> Place | None:
        """None before its page has said who it is."""

    async def check_pulse(self) -> bool:
        """False where it was just shut for saying nothing."""

    async def look_again(self) -> None: ...

    async def looked(self, away: Sequence[str]) -> None:
        """With what of the clinic is away, in the words of `missing` (signaling/PROTOCOL.md)."""

    def wants_look(self) -> bool:
        """Whether something of it ran out, or will soon."""


# -- what stands in the database -----------------------------------------------------------------------------


def marks(places: Sequence[Place]) -> dict[Place, Hashable]:
    """For each place what a close look would see; and note of those who hold their seats that they are there."""
    now, consults = timezone.now(), {place.consult for place in places}
    seats = Participant.objects.filter(consult__in=consults, left_at=None).values_list(
        *("consult", "pk", "role", "connection", "seen_at", "seat_digest", "waiting_since", "identity_confirmed_at"),
        "devices",
    )
    by_consult: defaultdict[UUID, list[tuple[Any, ...]]] = defaultdict(list)
    for row in seats:
        by_consult[row[0]].append(row)
    _note_presence(places, by_consult, now)
    rows = {row[0]: row for row in _consults(consults)}
    standing = set(consent.standing_in(consults, now))
    queues = _queues({row[1] for row in rows.values()}) if any(s[6] for s in seats) else {}
    sessions = _by_first(Session.objects.filter(pk__in={p.session for p in places if p.session}), "session_data")
    people = {row[1] for row in rows.values()}
    users = _by_first(User.objects.filter(pk__in=people), "password", "is_active", "role", "clinic")
    devices = defaultdict(list)
    for person, *device in Authenticator.objects.filter(user__in=people).values_list("user", "pk", "confirmed"):
        devices[person].append(tuple(device))
    found: dict[Place, Hashable] = {}
    for place in places:
        row = rows.get(place.consult, ())
        person = row[1] if row else None
        found[place] = (
            row,
            tuple(sorted(_seen(seat, now) for seat in by_consult[place.consult])),
            place.consult in standing,
            tuple(queues.get(person, ())) if row and row[3] is None and row[4] is None else (),
            sessions.get(place.session) if place.session else None,
            (users.get(person), tuple(sorted(devices[person]))) if place.session else None,
        )
    return found


def _consults(ids: set[UUID]) -> Any:
    return Consult.objects.filter(pk__in=ids).values_list(
        *("pk", "clinician", "negotiation", "admitted_at", "ended_at", "phoned_at", "relay_only", "clinic__relay_only")
    )


def _by_first(rows: Any, *columns: str) -> dict[Any, tuple[Any, ...]]:
    return {row[0]: row[1:] for row in rows.values_list("pk", *columns)}


def _queues(clinicians: set[Any]) -> dict[Any, list[UUID]]:
    """Who waits for whom, longest first: a place in it changes when somebody else goes."""
    found: defaultdict[Any, list[UUID]] = defaultdict(list)
    rows = visit.waiting_for(clinicians).values_list("consult__clinician", "pk")
    for clinician, seat in rows:
        found[clinician].append(seat)
    return found


def _seen(seat: tuple[Any, ...], now: datetime) -> tuple[str, ...]:
    """Not the moment itself, which changes all the time, but whether she counts as being there."""
    _, pk, role, connection, seen_at, digest, waiting, confirmed, devices = seat
    here = bool(connection and seen_at and now - seen_at < 2 * visit.PRESENCE)
    return (str(pk), role, connection, str(here), digest, str(waiting), str(confirmed), str(devices is None))


def _note_presence(places: Sequence[Place], seats: dict[UUID, list[tuple[Any, ...]]], now: datetime) -> None:
    """As often as presence needs and no oftener: each note is a write. All of them are one."""
    there = {(place.participant, place.connection) for place in places}
    stale = [
        seat[1]
        for rows in seats.values()
        for seat in rows
        if (seat[1], seat[3]) in there and (seat[4] is None or now - seat[4] > visit.PRESENCE / 2)
    ]
    if stale:
        Participant.objects.filter(pk__in=stale).exclude(connection="").update(seen_at=now)


def read(places: Sequence[Place]) -> tuple[dict[Place, Hashable], bool]:
    """The marks, and whether the background work is late."""
    return marks(places), alerts.is_late(timezone.now())


_read_async = database_sync_to_async(read)


# -- looking -------------------------------------------------------------------------------------------------


class Known:
    """What was last known of a socket, and the close look that may be under way."""

    def __init__(self) -> None:
        self.mark: Hashable = None
        self.looked_at = 0.0
        self.task: asyncio.Task[None] | None = None


class Lookout:
    def __init__(self) -> None:
        self._sockets: dict[Watchable, Known] = {}
        self._clock: asyncio.Task[None] | None = None

    def join(self, socket: Watchable) -> None:
        self._sockets[socket] = Known()
        if self._clock is None or self._clock.done():
            self._clock = asyncio.create_task(self._run())

    async def leave(self, socket: Watchable) -> None:
        known = self._sockets.pop(socket, None)
        if known and known.task and known.task is not asyncio.current_task():
            await ended(known.task)

    async def _run(self) -> None:
        """While there is a socket. Whatever goes wrong with one look, the next one comes."""
        while self._sockets:
            await asyncio.sleep(watched.LOOK_EVERY)
            try:
                await self._look()
            except Exception:
                logger.exception("sockets could not be looked at")

    async def _look(self) -> None:
        idle = [(socket, known) for socket, known in self._sockets.items() if known.task is None or known.task.done()]
        places = {socket: socket.place for socket, _ in idle}
        found: dict[Place, Hashable] | None = None
        late = False
        try:
            found, late = await _read_async([place for place in places.values() if place])
        except Exception as error:  # the database is away: calls go on, the next look tries again
            logger.error("the records could not be read: %s", type(error).__name__)
        now = time.monotonic()
        for socket, known in idle:
            place = places[socket]
            mark = found.get(place) if found is not None and place else None
            closely = bool(place and found is not None) and (
                mark != known.mark or now - known.looked_at > CLOSELY_EVERY or socket.wants_look()
            )
            # Each by itself: a page that does not read must not keep the others from being looked at.
            if socket in self._sockets:
                away = [part for part, gone in (("records", found is None), ("tasks", late)) if gone]
                known.task = asyncio.create_task(self._one(socket, known, mark, away, closely=closely))

    async def _one(self, socket: Watchable, known: Known, mark: Hashable, away: list[str], *, closely: bool) -> None:
        try:
            if not await socket.check_pulse():
                return
            if closely:
                await socket.look_again()
                known.mark, known.looked_at = mark, time.monotonic()
        except Exception:
            logger.exception("a socket could not be looked at")
            away = sorted({*away, "records"})
        await socket.looked(away)


_lookouts: WeakKeyDictionary[asyncio.AbstractEventLoop, Lookout] = WeakKeyDictionary()


def lookout() -> Lookout:
    """The one of this process, or in tests of this event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _lookouts:
        _lookouts[loop] = Lookout()
    return _lookouts[loop]


def session_key(scope: dict[str, Any]) -> str:
    return str(scope["cookies"].get(settings.SESSION_COOKIE_NAME, ""))
