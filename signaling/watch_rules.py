"""What goes wrong in a call, from what both sides measured: one-way audio, silence, a frozen picture, and so on. Pure.

Samples and times come in, what stands comes out. Times are seconds of any one clock.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

#: of full scale: above this somebody speaks, below this there is no sound at all; a quiet room lies between
SPOKEN, SILENT = 0.01, 0.0003
#: frames a second below which a picture stands still
STILL = 1.0
#: what stands is over only when it got better by this much, so that it does not come and go
BETTER_BY = 0.2
#: samples that a stretch must have, or too little is known
LEAST = 3
#: seconds after which a side's last sample says nothing of now, and after which a consult is forgotten
STALE, FORGET = 8.0, 90.0


class Figures(Protocol):
    """What the rules read of a sample (`signaling.protocol.Quality`)."""

    @property
    def microphone(self) -> bool: ...
    @property
    def camera(self) -> bool: ...
    @property
    def level_in(self) -> float | None: ...
    @property
    def level_out(self) -> float | None: ...
    @property
    def audio_packets(self) -> int | None: ...
    @property
    def frames_per_second(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that something must last before it is said; `mos` below which a call is poor."""

    heartbeat: float = 15
    one_way: float = 12
    silent: float = 90
    frozen: float = 12
    poor: float = 20
    mos: float = 3.1


@dataclass(frozen=True, slots=True)
class Finding:
    """`about`: whose voice is not heard, who is silent, whose picture stands still, who hears badly, who is away.

    `other`: it is not about this participant but about the one on the other side, of whom nothing was ever heard.
    """

    kind: str
    about: UUID
    other: bool = False


@dataclass(slots=True)
class Side:
    """One participant: when anything was last heard of her, and (time, figures, MOS) of late."""

    heard: float
    since: float
    seen: deque[tuple[float, Figures, float | None]] = field(default_factory=deque)

    def stretch(self, now: float, seconds: float) -> list[tuple[Figures, float | None]] | None:
        """Her samples of the last seconds; None while they do not reach that far back, or the last is stale."""
        if not self.seen or self.seen[0][0] > now - seconds or now - self.seen[-1][0] > STALE:
            return None
        found = [(figures, mos) for at, figures, mos in self.seen if at > now - seconds]
        return found if len(found) >= LEAST else None


Sides = dict[UUID, Side]


def standing(sides: Sides, now: float, limits: Limits, before: Iterable[Finding] = ()) -> frozenset[Finding]:
    """What stands now, given what stood at the last look."""
    before = frozenset(before)
    found: set[Finding] = set()
    for who, side in sides.items():
        other = next((s for w, s in sides.items() if w != who), None)
        found |= {
            Finding(kind, who)
            for kind, rule in _RULES.items()
            if rule(side, other, now, limits, Finding(kind, who) in before)
        }
        if other is None and _in_call(side, now) and now - side.since > limits.heartbeat:
            found.add(Finding("heartbeat_lost", who, other=True))
    return frozenset(found)


def _in_call(side: Side | None, now: float) -> bool:
    return bool(side and side.seen and now - side.seen[-1][0] <= STALE)


def _away(side: Side, other: Side | None, now: float, limits: Limits, _stood: bool) -> bool:
    """Nothing comes from her page, while the other side is in the call."""
    return _in_call(other, now) and now - side.heard > limits.heartbeat


def _not_heard(side: Side, other: Side | None, now: float, limits: Limits, stood: bool) -> bool:
    """She speaks, or at least sends, and nothing of it comes out on the other side."""
    sent, got = side.stretch(now, limits.one_way), other.stretch(now, limits.one_way) if other else None
    if not sent or not got or not all(figures.microphone for figures, _ in sent):
        return False
    packets = [figures.audio_packets for figures, _ in got]
    if None not in packets and sum(p or 0 for p in packets) == 0:
        return True
    levels = [figures.level_in for figures, _ in got if figures.level_in is not None]
    spoke = sum((figures.level_out or 0) >= SPOKEN for figures, _ in sent)
    return bool(levels) and max(levels) < SILENT and (stood or spoke >= 2)


def _silent(side: Side, _other: Side | None, now: float, limits: Limits, _stood: bool) -> bool:
    """Her microphone is on, and there is not a sound in it: muted on the device, or the wrong one."""
    sent = side.stretch(now, limits.silent)
    levels = [figures.level_out if figures.microphone else None for figures, _ in sent or []]
    known = [level for level in levels if level is not None]
    return bool(levels) and len(known) == len(levels) and max(known) < SILENT


def _frozen(side: Side, other: Side | None, now: float, limits: Limits, _stood: bool) -> bool:
    """Her camera is on, and the other side gets no new pictures."""
    sent, got = side.stretch(now, limits.frozen), other.stretch(now, limits.frozen) if other else None
    if not sent or not got or not all(figures.camera for figures, _ in sent):
        return False
    frames = [figures.frames_per_second for figures, _ in got]
    return all(rate is not None and rate < STILL for rate in frames)


def _poor(side: Side, _other: Side | None, now: float, limits: Limits, stood: bool) -> bool:
    """What she hears is hard to follow."""
    marks = [mos for _, mos in side.stretch(now, limits.poor) or [] if mos is not None]
    return len(marks) >= LEAST and sum(marks) / len(marks) < limits.mos + (BETTER_BY if stood else 0)


_RULES: dict[str, Callable[[Side, Side | None, float, Limits, bool], bool]] = {
    "heartbeat_lost": _away,
    "one_way_audio": _not_heard,
    "silent": _silent,
    "frozen_video": _frozen,
    "poor_quality": _poor,
}
KINDS = frozenset(_RULES)


class Watch:
    """All consults of one worker. `heard` at every message, `changed` now and then, `told` when it was written down."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._keep = max(limits.one_way, limits.silent, limits.frozen, limits.poor) + STALE
        self._consults: dict[UUID, Sides] = {}
        self._stands: dict[UUID, frozenset[Finding]] = {}
        self._told: dict[UUID, frozenset[Finding]] = {}
        self._turn = 0

    def heard(self, consult: UUID, who: UUID, figures: Figures | None, mos: float | None, now: float) -> None:
        """A heartbeat (no figures) or a sample."""
        sides = self._consults.setdefault(consult, {})
        side = sides.get(who)
        if side is None:
            side = sides[who] = Side(heard=now, since=now)
        side.heard = now
        if figures is not None:
            side.seen.append((now, figures, mos))
            while side.seen[0][0] < now - self._keep:
                side.seen.popleft()

    def changed(self, now: float, *, part: int = 1) -> list[tuple[UUID, frozenset[Finding]]]:
        """Consults where something else stands than was told last; each call looks at one `part`-th of them.

        Of a consult that is new here what stands is told once it was watched long enough to know: another worker may
        have raised what is over by now.
        """
        self._turn += 1
        for consult, sides in list(self._consults.items()):
            if consult.int % part == self._turn % part:
                self._look(consult, sides, now)
        return [
            (c, stands) for c, stands in self._stands.items() if self._told.get(c) != stands and self._known(c, now)
        ]

    def _look(self, consult: UUID, sides: Sides, now: float) -> None:
        if all(now - side.heard > FORGET for side in sides.values()):
            self.forget(consult)
            return
        self._stands[consult] = standing(sides, now, self._limits, self._stands.get(consult, ()))

    def _known(self, consult: UUID, now: float) -> bool:
        if self._told.get(consult) is not None or self._stands[consult]:
            return True
        return all(now - side.since > self._keep for side in self._consults[consult].values())

    def told(self, consult: UUID, stands: frozenset[Finding]) -> None:
        if consult in self._consults:
            self._told[consult] = stands

    def forget(self, consult: UUID) -> None:
        for table in (self._consults, self._stands, self._told):
            table.pop(consult, None)
