"""A hundred calls with a server that cheats, ten of each attack, and a hundred that are honest, each in new browsers.

Seconds are from the click on "admit" (or from the moment the attack begins in a call) to the word on both pages.
"""

import itertools
import sys
import time
from typing import Any

from playwright.sync_api import Browser, BrowserContext

from tests.browser.people import chromium, sign_in, visitor
from tests.browser.product import Product, running
from tests.middle import runs
from tests.middle.man import ATTACKS, NOISE
from tests.middle.server import CHEATING

CALLS = 100


def run() -> list[dict[str, Any]]:
    attacks = list(itertools.islice(itertools.cycle(ATTACKS), CALLS))
    noises = list(itertools.islice(itertools.cycle(NOISE), CALLS))
    return [
        result("Somebody in between: caught, and no frame shown before", "caught", attacks),
        result("Nobody in between: the picture comes, and no alarm", "undisturbed", noises),
    ]


def result(what: str, word: str, plan: list[str]) -> dict[str, Any]:
    taken: dict[str, list[float]] = {}
    right, otherwise = 0, []
    with running(program=CHEATING) as product, chromium() as browser:
        desk = visitor(browser)
        sign_in(desk, product).close()
        for attack, visit in zip(plan, runs.prepare(product, plan), strict=True):
            try:
                came, seconds = call(browser, desk, product, visit, attack)
            except AssertionError as error:  # it counts as what it is, and the others are still made
                otherwise.append({"attack": attack, "pages": str(error)})
                print(f"otherwise: {otherwise[-1]}", file=sys.stderr, flush=True)
                continue
            taken.setdefault(attack, []).append(seconds)
            cheated = "swapped" in runs.did(product).get(visit[0], [])
            if getattr(runs, word)(came) and cheated == (word == "caught"):
                right += 1
                print(f"{word} {right}, {attack}, {seconds:.1f} s", file=sys.stderr, flush=True)
            else:
                otherwise.append({"attack": attack, "cheated": cheated, "pages": runs.told(came)})
                print(f"otherwise: {otherwise[-1]}", file=sys.stderr, flush=True)
    return {
        "what": what,
        "unit": "s",
        "runs": taken,
        "kind": word,
        "ratio": right,
        "target": len(plan),
        "least": True,
        "met": right == len(plan),
        "otherwise": otherwise,
    }


def call(browser: Browser, desk: BrowserContext, product: Product, visit: list[str], attack: str) -> Any:
    running_call = runs.call(browser, desk, product, visit, attack, runs.new_secret())
    began = time.monotonic()
    try:
        came = runs.settle(running_call)
    finally:
        runs.leave(running_call)
    return came, time.monotonic() - began
