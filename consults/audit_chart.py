"""Bars as an SVG that the server draws: shapes and class names only, so the stylesheet gives light and dark."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils import timezone

from consults.audit_activity import Bar, Span

#: units of the drawing; the page stretches it
WIDE, HIGH = 1000, 100


@dataclass(frozen=True, slots=True)
class Shape:
    """One bar: from the left, how wide, and top and height of what was done and of what was refused."""

    x: str
    width: str
    done: tuple[str, str]
    refused: tuple[str, str]
    title: str
    bar: Bar


@dataclass(frozen=True, slots=True)
class Chart:
    """`most`: entries at the top of the scale; `labels`: what stands below, each at the beginning of an equal part."""

    shapes: list[Shape]
    most: int
    labels: list[str]
    total: int
    refused: int

    @property
    def top(self) -> str:
        return f"{self.most:,}"

    @property
    def summary(self) -> tuple[str, str]:
        return f"{self.total:,}", f"{self.refused:,}"


def draw(bars: Sequence[Bar], span: Span) -> Chart:
    most = scale(max((bar.total for bar in bars), default=0))
    step = WIDE / max(len(bars), 1)
    shapes = [_shape(bar, at * step, step, most, span.daily) for at, bar in enumerate(bars)]
    total, refused = sum(bar.total for bar in bars), sum(bar.refused for bar in bars)
    return Chart(shapes, most, [_label(bar, span) for bar in bars[:: span.mark]], total, refused)


def scale(most: int) -> int:
    """The next round number: 1, 2 or 5 and noughts."""
    top = 1
    while True:
        for factor in (1, 2, 5):
            if top * factor >= most:
                return top * factor
        top *= 10


def _shape(bar: Bar, x: float, step: float, most: int, daily: bool) -> Shape:
    done, refused = bar.done / most * HIGH, bar.refused / most * HIGH
    gap = min(step * 0.2, 3)
    when = f"{timezone.localtime(bar.start):{'%d %B %Y' if daily else '%d %B, %H:%M'}}"
    said = (
        f"{when}: {bar.total:,} entries, {bar.refused:,} refused or failed" if bar.counted else f"{when}: not counted"
    )
    return Shape(
        f"{x + gap / 2:.2f}",
        f"{step - gap:.2f}",
        (f"{HIGH - done:.2f}", f"{done:.2f}"),
        (f"{HIGH - done - refused:.2f}", f"{refused:.2f}"),
        said,
        bar,
    )


def _label(bar: Bar, span: Span) -> str:
    at = timezone.localtime(bar.start)
    if span.daily:
        return f"{at.day} {at:%b}"
    return f"{at:%H:%M}" if span.bars <= 24 else f"{at:%a} {at.day}"
