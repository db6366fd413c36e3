"""A call's timeline and the clinic's weeks as SVG drawn by the server: shapes and class names only, colours are CSS."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from consults.adequacy import GOOD_MOS, Point
from consults.alert_words import Said
from consults.audit_chart import HIGH, WIDE, scale
from consults.call_summary import Call, Week

#: MOS at the bottom and the top of the drawing
LOWEST, HIGHEST = 1.0, 4.5
#: the scales reach as far as this at least, so that what is little looks little
DELAY_MS, LOSS = 400, 10


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table beside the drawing."""

    clock: str
    point: Point


@dataclass(frozen=True, slots=True)
class Bar:
    x: str
    width: str
    y: str = "0"
    height: str = str(HIGH)


@dataclass(frozen=True, slots=True)
class Episode:
    """A warning of the call: when it came, on the timeline's clock, and how long it stood."""

    said: Said
    at: str
    lasted: str
    bar: Bar


@dataclass(frozen=True, slots=True)
class CallChart:
    """Runs of points are broken where nothing was measured. `frozen`: where a picture stood still."""

    clinician: list[str]
    patient: list[str]
    limit: str
    delay: list[str]
    delay_most: int
    loss: list[Bar]
    loss_most: int
    frozen: list[Bar]
    episodes: list[Episode]
    labels: list[str]
    rows: list[Row]


def draw(call: Call, begun: datetime | None = None, warnings: Iterable[Said] = ()) -> CallChart | None:
    """None where nothing was measured. `begun`: when the timeline begins, for the warnings."""
    points = call.points
    if not points:
        return None
    step = points[1].at - points[0].at if len(points) > 1 else 2
    whole = max(call.seconds, points[-1].at + step)
    delay_most = scale(max(DELAY_MS, *(round(p.rtt_ms or 0) for p in points)))
    loss_most = min(100, scale(max(LOSS, *(round(p.loss or 0) for p in points))))
    return CallChart(
        clinician=_runs(points, whole, lambda p: _y(p.mos_clinician)),
        patient=_runs(points, whole, lambda p: _y(p.mos_patient)),
        limit=f"{_y(GOOD_MOS):.1f}",
        delay=_runs(points, whole, lambda p: None if p.rtt_ms is None else HIGH * (1 - p.rtt_ms / delay_most)),
        delay_most=delay_most,
        loss=[_rising(p, step, whole, HIGH * min(1, p.loss / loss_most)) for p in points if p.loss],
        loss_most=loss_most,
        frozen=[_bar(p.at, step, whole) for p in points if p.frozen_seconds > 0.5],
        episodes=[_episode(one, begun, whole) for one in warnings] if begun else [],
        labels=[_clock(whole * n // 4) for n in range(5)],
        rows=[Row(_clock(p.at), p) for p in points],
    )


def _runs(points: Sequence[Point], whole: int, height: Callable[[Point], float | None]) -> list[str]:
    runs: list[list[str]] = [[]]
    for point in points:
        y = height(point)
        if y is None:
            runs.append([])
        else:
            runs[-1].append(f"{WIDE * point.at / whole:.1f},{y:.1f}")
    # A single point draws no line: it becomes a short one.
    return [" ".join(run if len(run) > 1 else [run[0], _beside(run[0])]) for run in runs if run]


def _beside(at: str) -> str:
    x, y = at.split(",")
    return f"{float(x) + 4:.1f},{y}"


def _y(mos: float | None) -> float | None:
    return None if mos is None else HIGH * (1 - (mos - LOWEST) / (HIGHEST - LOWEST))


def _bar(at: float, lasts: float, whole: int) -> Bar:
    """Wide enough to be seen, and inside the drawing."""
    width = max(4.0, WIDE * lasts / whole)
    return Bar(f"{max(0.0, min(WIDE * at / whole, WIDE - width)):.1f}", f"{min(width, WIDE):.1f}")


def _rising(point: Point, step: int, whole: int, height: float) -> Bar:
    flat = _bar(point.at, step * 0.8, whole)
    return Bar(flat.x, flat.width, f"{HIGH - height:.1f}", f"{height:.1f}")


def _episode(one: Said, begun: datetime, whole: int) -> Episode:
    at = max(0.0, (one.alert.raised_at - begun).total_seconds())
    over = one.alert.cleared_at
    lasted = (over - one.alert.raised_at).total_seconds() if over else None
    bar = _bar(at, whole - at if lasted is None else lasted, whole)
    return Episode(one, _clock(round(at)), "to the end" if lasted is None else f"for {_long(round(lasted))}", bar)


def _clock(seconds: int) -> str:
    return f"{seconds // 60}:{seconds % 60:02d}"


def _long(seconds: int) -> str:
    if seconds < 60:
        return f"{max(1, seconds)} s"
    return f"{seconds // 60} min" + (f" {seconds % 60} s" if seconds % 60 else "")


@dataclass(frozen=True, slots=True)
class WeekBar:
    """`fine`: visits were measured in this week, and none of them failed."""

    x: str
    width: str
    never: tuple[str, str]
    phoned: tuple[str, str]
    fine: bool
    title: str


@dataclass(frozen=True, slots=True)
class WeekChart:
    bars: list[WeekBar]
    most: int
    labels: list[str]


def draw_weeks(weeks: Sequence[Week]) -> WeekChart:
    """Failed visits of each week in percent of those that were measured."""
    most = min(100, scale(max(LOSS, *(round(week.percent or 0) for week in weeks))))
    step = WIDE / len(weeks)
    bars = [_week(week, at * step, step, most) for at, week in enumerate(weeks)]
    marks = [weeks[(len(weeks) - 1) * n // 4] for n in range(5)] if len(weeks) > 4 else weeks
    return WeekChart(bars, most, [f"{week.monday.day} {week.monday:%b}" for week in marks])


def _week(week: Week, x: float, step: float, most: int) -> WeekBar:
    never, phoned = ((100 * n / week.known / most * HIGH if week.known else 0.0) for n in (week.never, week.phoned))
    gap = step * 0.2
    said = f"Week of {week.monday:%d %B}: {week.failed} of {week.known} visits failed"
    return WeekBar(
        f"{x + gap / 2:.1f}",
        f"{step - gap:.1f}",
        (f"{HIGH - never:.1f}", f"{never:.1f}"),
        (f"{HIGH - never - phoned:.1f}", f"{phoned:.1f}"),
        bool(week.known) and not week.failed,
        said,
    )
