"""A call while a part of the product is killed: does the picture stand still, and when do words pass again?"""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from tests import engines
from tests.browser import product as products
from tests.browser import visit as course
from tests.browser.people import sign_in, visitor

PARTS = ("web", "worker", "tasks", "clock", "log", "Redis", "Postgres")
#: what the browser itself counts as standing still (webrtc-stats, totalFreezesDuration), and pictures decoded: a freeze
#: is counted when it ends, so of one that lasts only the pictures tell
FROZEN = """
async () => {
  const sum = { frozen: 0, frames: 0 };
  for (const pc of window.connections) {
    if (pc.connectionState === "closed") continue;
    for (const entry of (await pc.getStats()).values()) {
      if (entry.type !== "inbound-rtp" || entry.kind !== "video") continue;
      sum.frozen += entry.totalFreezesDuration ?? 0;
      sum.frames += entry.framesDecoded ?? 0;
    }
  }
  return sum;
}
"""
SENDS_WORD = "document.querySelector('[data-toggle=microphone]').click()"
MUTED = "document.querySelector('[data-remote-muted]').hidden === false"


@dataclass
class Running:
    product: products.Product
    engines: dict[str, engines.Address]
    numbers: Path
    room: Page
    page: Page

    def kill(self, part: str) -> None:
        """SIGKILL, as when memory runs out. Whoever looks after the part starts it again a second later."""
        if part not in self.engines:
            os.kill(json.loads(self.numbers.read_text())[part], signal.SIGKILL)
            return
        self.engines[part].engine.kill()

    @contextmanager
    def stopped(self, part: str) -> Iterator[None]:
        """It hangs: there, and doing nothing."""
        number = json.loads(self.numbers.read_text())[part]
        os.kill(number, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(number, signal.SIGCONT)

    def start_again(self, part: str) -> None:
        if part in self.engines:
            self.engines[part].engine.start()

    def word_passes(self, within: float) -> bool:
        """Whether the patient's page learns of a switch on the clinician's, over sockets and server."""
        before = self.page.evaluate(MUTED)
        self.room.evaluate(SENDS_WORD)
        until = time.monotonic() + within
        while time.monotonic() < until:
            if self.page.evaluate(MUTED) != before:
                return True
            self.room.wait_for_timeout(50)
        return False

    def back_after(self, killed: float, *, monitors: bool) -> float:
        """Seconds from the kill until a word passes and the server says of itself that it is ready."""
        while time.monotonic() - killed < 60:
            legs = not monitors or all(p.locator("[data-monitor=connected]").count() for p in (self.room, self.page))
            if legs and products.ready(self.product.origin) and self.word_passes(1):
                return time.monotonic() - killed
            self.room.wait_for_timeout(100)
        return float("inf")

    def frozen(self) -> list[dict[str, float]]:
        return [p.evaluate(FROZEN) for p in (self.room, self.page)]


@contextmanager
def running(browser: Browser) -> Iterator[Running]:
    with ExitStack() as stack:
        database, redis = stack.enter_context(engines.postgres()), stack.enter_context(engines.redis())
        settings: dict[str, Any] = {"database_url": str(database), "redis_url": str(redis), "WATCH_LATE_SECONDS": "25"}
        product = stack.enter_context(products.running(program=("-m", "tests.faults.supervised"), **settings))
        visit = course.start(product, sign_in(visitor(browser), product))
        course.make_link(visit)
        page = course.arrive(visit, visitor(browser, width=390, height=800))
        course.admit(visit, page)
        for side in (visit.room, page):
            course.sees_and_hears(side)
        numbers = product.data / "parts.json"
        yield Running(product, {"Redis": redis, "Postgres": database}, numbers, visit.room, page)


def one(now: Running, part: str, *, down: float = 2.0) -> dict[str, float]:
    """Kill a part of a running call; engines come back after `down` seconds. `rate`: pictures a second meanwhile."""
    before, killed = now.frozen(), time.monotonic()
    now.kill(part)
    now.room.wait_for_timeout(down * 1000)
    now.start_again(part)
    if part == "worker":
        now.page.wait_for_timeout(500)
    back = now.back_after(killed, monitors=part == "worker")
    now.room.wait_for_timeout(3000)
    after, seconds = now.frozen(), time.monotonic() - killed
    pairs = list(zip(before, after, strict=True))
    return {
        "back": back,
        "frozen": max(a["frozen"] - b["frozen"] for b, a in pairs),
        "rate": min((a["frames"] - b["frames"]) / seconds for b, a in pairs),
    }
