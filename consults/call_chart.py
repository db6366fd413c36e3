"""A call's timeline and the clinic's weeks as SVG drawn by the server: shapes and class names only, colours are CSS."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from consults.adequacy import GOOD_MOS, Point
from consults.audit_chart import HIGH, WIDE, scale
from consults.call_summary import Call, Week

#: MOS at the bottom and the top of the drawing
LOWEST, HIGHEST = 1.0, 4.5


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table beside the drawing."""

    clock: str
    point: Point


@dataclass(frozen=True, slots=True)
class CallChart:
    """`lines`: runs of points of each side, broken where nothing was measured. `frozen`: bars where a picture stood."""

    clinician: list[str]
    patient: list[str]
    frozen: list[tuple[str, str]]
    limit: str
    labels: list[str]
    rows: list[Row]


def draw(call: Call) -> CallChart | None:
    """None where nothing was measured."""
    points = call.points
    if not points:
        return None
    step = points[1].at - points[0].at if len(points) > 1 else 2
    whole = max(call.seconds, points[-1].at + step)
    width = WIDE * step / whole
    return CallChart(
        clinician=_runs(points, whole, lambda p: p.mos_clinician),
        patient=_runs(points, whole, lambda p: p.mos_patient),
        frozen=[(f"{_x(p, whole):.1f}", f"{width:.1f}") for p in points if p.frozen_seconds > 0.5],
        limit=f"{_y(GOOD_MOS):.1f}",
        labels=[_clock(whole * n // 4) for n in range(5)],
        rows=[Row(_clock(p.at), p) for p in points],
    )


def _runs(points: Sequence[Point], whole: int, value: Callable[[Point], float | None]) -> list[str]:
    runs: list[list[str]] = [[]]
    for point in points:
        mos = value(point)
        if mos is None:
            runs.append([])
        else:
            runs[-1].append(f"{_x(point, whole):.1f},{_y(mos):.1f}")
    # A single point draws no line: it becomes a short one.
    return [" ".join(run if len(run) > 1 else [run[0], _beside(run[0])]) for run in runs if run]


def _beside(at: str) -> str:
    x, y = at.split(",")
    return f"{float(x) + 4:.1f},{y}"


def _x(point: Point, whole: int) -> float:
    return WIDE * point.at / whole


def _y(mos: float) -> float:
    return HIGH * (1 - (mos - LOWEST) / (HIGHEST - LOWEST))


def _clock(seconds: int) -> str:
    return f"{seconds // 60}:{seconds % 60:02d}"


@dataclass(frozen=True, slots=True)
class WeekBar:
    x: str
    width: str
    never: tuple[str, str]
    phoned: tuple[str, str]
    title: str


@dataclass(frozen=True, slots=True)
class WeekChart:
    bars: list[WeekBar]
    most: int
    labels: list[str]


def draw_weeks(weeks: Sequence[Week]) -> WeekChart:
    """Failed visits of each week in percent of those that were measured."""
    most = min(100, scale(max((round(week.percent or 0) for week in weeks), default=0)))
    step = WIDE / len(weeks)
    bars = [_bar(week, at * step, step, most) for at, week in enumerate(weeks)]
    return WeekChart(bars, most, [f"{week.monday.day} {week.monday:%b}" for week in weeks[:: max(1, len(weeks) // 4)]])


def _bar(week: Week, x: float, step: float, most: int) -> WeekBar:
    never, phoned = ((100 * n / week.known / most * HIGH if week.known else 0.0) for n in (week.never, week.phoned))
    gap = step * 0.2
    said = f"Week of {week.monday:%d %B}: {week.failed} of {week.known} visits failed"
    return WeekBar(
        f"{x + gap / 2:.1f}",
        f"{step - gap:.1f}",
        (f"{HIGH - never:.1f}", f"{never:.1f}"),
        (f"{HIGH - never - phoned:.1f}", f"{phoned:.1f}"),
        said,
    )
