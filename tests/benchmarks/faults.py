"""What a call does when its network or the server fails: real browsers in network namespaces, parts that are killed.

Needs what tests/faults needs. RUNS=20 makes it steadier.
"""

import math
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.browser import visit
from tests.browser.people import chromium, sign_in, until, visitor
from tests.faults import services, watching
from tests.faults.world import World, world

RUNS = int(os.environ.get("RUNS", "12"))
BLACKOUTS = (8, 25, 40)
#: a page that was loaded anew notes when it shows its first picture of the other side
FIRST_FRAME = """
() => {
  const clock = setInterval(() => {
    const video = document.querySelector("video[data-remote]");
    if (!video || video.getVideoPlaybackQuality().totalVideoFrames === 0) return;
    window.firstFrame = Date.now() / 1000;
    clearInterval(clock);
  }, 16);
}
"""


def run() -> list[dict[str, Any]]:
    with world() as places:
        found = _networks(places)
    with chromium() as browser, services.running(browser) as now:
        found += _killed(now)
    return found


def _result(
    what: str, unit: str, runs: dict[str, list[float]], kind: str, figure: float, target: float
) -> dict[str, Any]:
    return {
        **{"what": what, "unit": unit, "runs": runs, "kind": kind, "ratio": figure, "target": target},
        "met": figure <= target,
    }


def _at_least(what: str, unit: str, runs: dict[str, list[float]], kind: str, target: float) -> dict[str, Any]:
    least = min(value for values in runs.values() for value in values)
    return {
        **{"what": what, "unit": unit, "runs": runs, "kind": kind, "ratio": least, "target": target},
        **{"least": True, "met": least >= target},
    }


# -- networks -------------------------------------------------------------------------------------------------


def _networks(places: World) -> list[dict[str, Any]]:
    with ExitStack() as stack:
        product, playwright = stack.enter_context(places.product()), stack.enter_context(sync_playwright())
        desk, phone = (stack.enter_context(places.chromium(playwright, who)) for who in ("doctor", "patient"))
        now = visit.start(product, sign_in(visitor(desk), product))
        visit.make_link(now)
        page = visit.arrive(now, visitor(phone, width=390, height=800))
        page.add_init_script(f"({FIRST_FRAME})()")
        visit.admit(now, page)
        sides = {"clinician": now.room, "patient": page}
        for side in sides.values():
            visit.sees_and_hears(side)
            watching.watch(side)
        moved: dict[str, list[float]] = {f"the {who}'s picture": [] for who in sides}
        for _ in range(RUNS):
            at = places.move("patient")
            for who, seconds in _back(sides, at, 8).items():
                moved[f"the {who}'s picture"].append(seconds)
        found = [_p95("Media back after the patient's address was replaced", moved, 2.0)]
        found += _lossy(places, sides)
        cut: dict[str, list[float]] = {}
        for seconds in BLACKOUTS:
            places.cut("patient", seconds)
            over = time.time() + seconds
            now.room.wait_for_timeout(seconds * 1000)
            cut[f"after {seconds} s without a network"] = [max(_back(sides, over, 15).values())]
        found.append(_worst("Media back after the network came back, by itself", cut, 8.0))
        fresh = {"from the reload to the first frame": [_refreshed(page) for _ in range(RUNS)]}
        found.append(_p95("The patient loads her page anew", fresh, 3.0))
    return found


def _p95(what: str, runs: dict[str, list[float]], target: float) -> dict[str, Any]:
    return _result(what, "s", runs, "p95", max(map(_high, runs.values())), target)


def _high(values: list[float]) -> float:
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def _worst(what: str, runs: dict[str, list[float]], target: float) -> dict[str, Any]:
    return _result(what, "s", runs, "longest", max(max(values) for values in runs.values()), target)


def _back(sides: dict[str, Page], at: float, within: float) -> dict[str, float]:
    """When each side's pictures came again for good: looked at when they have come for two seconds on both."""
    page = sides["patient"]
    page.wait_for_timeout(2000)
    while time.time() - at < within:
        page.wait_for_timeout(2000)
        back = {who: watching.back_after(side, at, gap=0.5) for who, side in sides.items()}
        if all(seconds < time.time() - at - 1.9 for seconds in back.values()):
            return back
    return {who: watching.back_after(side, at, gap=0.5) for who, side in sides.items()}


def _refreshed(page: Page) -> float:
    page.wait_for_timeout(1500)
    at = time.time()
    page.reload(wait_until="commit")
    until(page, "window.firstFrame")
    return float(page.evaluate("window.firstFrame")) - at


def _lossy(places: World, sides: dict[str, Page]) -> list[dict[str, Any]]:
    places.delay(100)
    _lose(places, 5)
    sides["patient"].wait_for_timeout(6000)
    rates = _each(sides, visit.frames, 15)
    places.delay(0)
    _lose(places, 20)
    sides["patient"].wait_for_timeout(4000)
    came, made_up = _sounds(sides, 15)
    _lose(places, 0)
    sides["patient"].wait_for_timeout(25_000)  # so that the ladder has climbed back
    return [
        _at_least("Pictures at 5 % loss each way and 100 ms one way", "a second", rates, "lowest", 15),
        _worst_of("Sound made up for what is missing, at 20 % loss each way", made_up, 10),
        _at_least("Packets of sound that come, at 20 % loss each way", "a second", came, "lowest", 0.7 * watching.SENT),
    ]


def _sounds(sides: dict[str, Page], seconds: float) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Packets of sound that came, a second, and percent of what was played that was made up."""
    before, began = {who: watching.sound(side) for who, side in sides.items()}, time.monotonic()
    sides["patient"].wait_for_timeout(seconds * 1000)
    came: dict[str, list[float]] = {}
    made_up: dict[str, list[float]] = {}
    took = time.monotonic() - began
    for who, side in sides.items():
        grown = {what: value - before[who][what] for what, value in watching.sound(side).items()}
        came[who] = [grown["packets"] / took]
        # A browser that plays nothing at all has made all of it up.
        made_up[who] = [100 * grown["concealed"] / grown["played"] if grown["played"] else 100.0]
    return came, made_up


def _worst_of(what: str, runs: dict[str, list[float]], target: float) -> dict[str, Any]:
    return _result(what, "%", runs, "highest", max(max(values) for values in runs.values()), target)


def _lose(places: World, percent: int) -> None:
    for who in ("doctor", "patient"):
        places.lose(who, percent)


def _each(sides: dict[str, Page], count: Callable[[Page], float], seconds: float) -> dict[str, list[float]]:
    """How much a count rises a second, on each side."""
    before = {who: (count(side), time.monotonic()) for who, side in sides.items()}
    sides["patient"].wait_for_timeout(seconds * 1000)
    return {who: [(count(side) - before[who][0]) / (time.monotonic() - before[who][1])] for who, side in sides.items()}


# -- parts of the product -------------------------------------------------------------------------------------


def _killed(now: services.Running) -> list[dict[str, Any]]:
    frozen: dict[str, list[float]] = {}
    rate: dict[str, list[float]] = {}
    back: dict[str, list[float]] = {}
    for part in services.PARTS:
        for _ in range(max(2, RUNS // 4)):
            said = services.one(now, part)
            frozen.setdefault(part, []).append(said["frozen"])
            rate.setdefault(part, []).append(said["rate"])
            back.setdefault(part, []).append(said["back"])
    return [
        _result(
            "The picture stands still when a part is killed", "s", frozen, "longest", max(map(max, frozen.values())), 0
        ),
        # A freeze that does not end is in no browser's figure of freezes.
        _at_least("Pictures while a part is killed and comes back", "a second", rate, "lowest", 10),
        _worst("A word passes, and all is ready again, after a part was killed", back, 10.0),
    ]
