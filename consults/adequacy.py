"""Whether a visit was clinically adequate, by a rule that is written here and nowhere else. Pure.

Adequate: the two heard each other within 30 seconds of admission; for at least four fifths of the measured time both
heard with a MOS of 3.1 or more (the mark below which ITU-T G.107 calls nearly all users dissatisfied); neither's
picture stood still for more than a tenth of the time; figures were away for a minute at most; nobody was told to go on
by telephone. Not adequate: they never heard each other, or that mark was kept for less than half of the time, or the
call went on by telephone. Limited: anything between. It speaks of the connection, not of medicine: the clinician
decides.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise, zip_longest
from typing import Any

WITHIN_SECONDS = 30
GOOD_MOS = 3.1
GOOD_SHARE, LEAST_SHARE = 0.8, 0.5
FROZEN_SHARE = 0.1
GAP_SECONDS = 60
#: of full scale: below this nothing was heard (as in signaling/watch_rules.py)
HEARD = 0.0003
#: a sample stands for this long at most
SAMPLE_SECONDS = 4.0
#: both sides measure about as often as this
SLOT_SECONDS = 2.0
#: points of a timeline
POINTS = 60
SIDES = ("clinician", "patient")

REASONS = {
    "never": "The two never heard each other.",
    "late": "It took longer than 30 seconds after admission until the two heard each other.",
    "phone": "The page told somebody to go on by telephone.",
    "poor": "For more than half of the time at least one of them heard the other badly.",
    "fair": "For more than a fifth of the time at least one of them heard the other badly.",
    "frozen": "The picture stood still for more than a tenth of the time.",
    "gap": "The connection was away for more than a minute.",
    "unmeasured": "The monitor was not there, so nobody measured.",
    "good": "The two heard each other soon and well, and the picture moved.",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One sample: seconds since admission, whose browser, and its figures."""

    at: float
    side: str
    mos: float | None
    level_in: float | None
    rtt_ms: float | None
    loss: float | None
    frozen_seconds: float | None
    freezes: int | None
    relayed: bool
    #: her own microphone or camera was on
    sending: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rule looks at. Shares are of the measured time; seconds are since admission."""

    monitored: bool
    phoned: bool
    two_way_after: float | None
    good_share: float | None
    frozen_share: float | None
    freezes: int
    longest_gap: float
    mos_clinician: float | None
    mos_patient: float | None
    worst_rtt: float | None
    worst_loss: float | None
    relayed: bool

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def judge(facts: Facts) -> tuple[str, list[str]]:
    """The verdict (`CallSummary.Verdict`) and its reasons, the weightiest first."""
    if facts.phoned:
        return "inadequate", ["phone", *(["never"] if facts.two_way_after is None else [])]
    if facts.two_way_after is None:
        return ("inadequate", ["never"]) if facts.monitored else ("unknown", ["unmeasured"])
    share = facts.good_share
    if share is None:
        return "unknown", ["unmeasured"]
    if share < LEAST_SHARE:
        return "inadequate", ["poor"]
    found = [
        code
        for code, holds in {
            "late": facts.two_way_after > WITHIN_SECONDS,
            "fair": share < GOOD_SHARE,
            "frozen": (facts.frozen_share or 0) > FROZEN_SHARE,
            "gap": facts.longest_gap > GAP_SECONDS,
        }.items()
        if holds
    ]
    return ("limited", found) if found else ("adequate", ["good"])


def rating(mos: float) -> float:
    """The R-factor that belongs to a MOS (ITU-T G.107, annex B, backwards): for those who think in it."""
    low, high = 6.5, 100.0
    while high - low > 0.01:
        r = (low + high) / 2
        low, high = (r, high) if 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6 < mos else (low, r)
    return 0.0 if mos <= 1 else low


def facts_of(samples: Sequence[Measured], *, seconds: float, monitored: bool, phoned: bool) -> Facts:
    """`samples` in the order of time; `seconds`: from admission to the end."""
    by_side = {side: [s for s in samples if s.side == side] for side in SIDES}
    heard = [_first_heard(by_side[side]) for side in SIDES]
    still = [share for side in SIDES if (share := _still_share(by_side[side])) is not None]
    return Facts(
        monitored=(monitored or bool(samples)) and not _says_nothing(samples),
        phoned=phoned,
        two_way_after=None if None in heard else round(max(h for h in heard if h is not None), 1),
        good_share=_good_share(samples),
        frozen_share=max(still, default=None),
        freezes=sum(s.freezes or 0 for s in samples),
        longest_gap=round(_longest_gap([s.at for s in samples], seconds), 1),
        mos_clinician=_mean(s.mos for s in by_side["clinician"]),
        mos_patient=_mean(s.mos for s in by_side["patient"]),
        worst_rtt=max((s.rtt_ms for s in samples if s.rtt_ms is not None), default=None),
        worst_loss=max((s.loss for s in samples if s.loss is not None), default=None),
        relayed=any(s.relayed for s in samples),
    )


def _good_share(samples: Iterable[Measured]) -> float | None:
    """How much of the judged time both heard well in: one who cannot follow spoils it for both."""
    worst: dict[int, float] = {}
    for sample in samples:
        if sample.mos is not None:
            slot = int(sample.at // SLOT_SECONDS)
            worst[slot] = min(sample.mos, worst.get(slot, sample.mos))
    return round(sum(mos >= GOOD_MOS for mos in worst.values()) / len(worst), 3) if worst else None


def _still_share(samples: Sequence[Measured]) -> float | None:
    """Of the time in which one side got pictures, how much they stood still in."""
    whole = sum(_span(sample, following) for sample, following in _pairs(samples) if sample.frozen_seconds is not None)
    return round(min(1.0, sum(s.frozen_seconds or 0 for s in samples) / whole), 3) if whole else None


def _first_heard(samples: Iterable[Measured]) -> float | None:
    """When she first heard a sound; where her browser gives no loudness, when sound first came that could be judged."""
    for sample in samples:
        if (sample.level_in is None and sample.mos is not None) or (sample.level_in or 0) >= HEARD:
            return max(0.0, sample.at)
    return None


def _says_nothing(samples: Sequence[Measured]) -> bool:
    """Samples of before sound was measured at all."""
    return bool(samples) and not any(s.sending or s.mos is not None or s.level_in is not None for s in samples)


def _pairs(samples: Sequence[Measured]) -> Iterable[tuple[Measured, Measured | None]]:
    return zip_longest(samples, samples[1:])


def _span(sample: Measured, following: Measured | None) -> float:
    """How long a sample stands for."""
    return min(SAMPLE_SECONDS, following.at - sample.at) if following else 2.0


def _longest_gap(times: Sequence[float], seconds: float) -> float:
    """Between two samples of either side. Before the first and after the last nobody says that there should be one."""
    inside = [at for at in times if at <= seconds]
    return max((later - at for at, later in pairwise(inside)), default=0.0)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 2) if known else None


@dataclass(frozen=True, slots=True)
class Point:
    """A stretch of the timeline; None where nothing was measured."""

    at: int
    mos_clinician: float | None
    mos_patient: float | None
    rtt_ms: float | None
    loss: float | None
    frozen_seconds: float


def timeline(samples: Sequence[Measured], *, seconds: float) -> list[Point]:
    """At most `POINTS` stretches of the call, oldest first."""
    step = max(2, -(-int(seconds) // POINTS))
    found: dict[int, list[Measured]] = {}
    for sample in samples:
        found.setdefault(max(0, int(sample.at)) // step, []).append(sample)
    return [_point(n * step, found.get(n, [])) for n in range(max(found, default=-1) + 1)]


def _point(at: int, samples: Sequence[Measured]) -> Point:
    return Point(
        at=at,
        mos_clinician=_mean(s.mos for s in samples if s.side == "clinician"),
        mos_patient=_mean(s.mos for s in samples if s.side == "patient"),
        rtt_ms=_mean(s.rtt_ms for s in samples),
        loss=_mean(s.loss for s in samples),
        frozen_seconds=round(sum(s.frozen_seconds or 0 for s in samples), 1),
    )
