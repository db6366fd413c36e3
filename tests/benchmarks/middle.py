"""A hundred calls with a server that cheats, ten of each attack, and a hundred that are honest, each in new browsers.

Then the same for people whose link has no secret, as one that was mailed, and who compare words: with those attacks
that do not begin at the link's secret.

Seconds are from the click on "admit" (or from the moment the attack begins in a call) to the word on both pages.
"""

import itertools
import sys
import time
from collections.abc import Iterable
from typing import Any

from playwright.sync_api import Browser, BrowserContext

from tests.browser.people import chromium, sign_in, visitor
from tests.browser.product import Product, running
from tests.middle import runs
from tests.middle.man import ATTACKS, COMPARING, NOISE
from tests.middle.server import CHEATING

CALLS = 100
#: seven of each attack, six of each noise
COMPARED = 42


def run() -> list[dict[str, Any]]:
    return [
        result("Somebody in between: caught, and no frame shown before", "caught", ATTACKS, CALLS),
        result("Nobody in between: the picture comes, and no alarm", "undisturbed", NOISE, CALLS),
        result("No secret, somebody in between: never called private", "caught", COMPARING, COMPARED, secret=False),
        result("No secret, nobody in between: same words, no alarm", "undisturbed", NOISE, COMPARED, secret=False),
    ]


def result(what: str, word: str, kinds: Iterable[str], calls: int, *, secret: bool = True) -> dict[str, Any]:
    plan = list(itertools.islice(itertools.cycle(kinds), calls))
    taken: dict[str, list[float]] = {}
    right, otherwise = 0, []
    with running(program=CHEATING) as product, chromium() as browser:
        desk = visitor(browser)
        sign_in(desk, product).close()
        for attack, visit in zip(plan, runs.prepare(product, plan), strict=True):
            try:
                came, seconds = call(browser, desk, product, visit, attack, runs.new_secret() if secret else "")
            except AssertionError as error:  # it counts as what it is, and the others are still made
                otherwise.append({"attack": attack, "pages": str(error)})
                print(f"otherwise: {otherwise[-1]}", file=sys.stderr, flush=True)
                continue
            taken.setdefault(attack, []).append(seconds)
            cheated = "swapped" in runs.did(product).get(visit[0], [])
            fine = runs.caught(came) if word == "caught" else runs.undisturbed(came, "link" if secret else "comparison")
            if fine and cheated == (word == "caught"):
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


def call(browser: Browser, desk: BrowserContext, product: Product, visit: list[str], attack: str, secret: str) -> Any:
    running_call = runs.call(browser, desk, product, visit, attack, secret)
    began = time.monotonic()
    try:
        came = runs.settle(running_call)
    finally:
        runs.leave(running_call)
    return came, time.monotonic() - began
