"""A call while parts of the product are killed and come back as systemd brings them: seen and heard all the time."""

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser import people
from tests.faults import services

pytestmark = [pytest.mark.browser, pytest.mark.engines]


@pytest.fixture(scope="module")
def now() -> Iterator[services.Running]:
    with people.chromium() as browser, services.running(browser) as made:
        yield made


#: part -> what both pages say of it while it is away. Background work is missed only when it is away for longer
SAYS = {
    "web": "Connection to the clinic lost",
    "Redis": "What the other page says may come late",
    "Postgres": "The clinic cannot read or write its records",
    "worker": "",
    "tasks": "",
    "clock": "",
}
#: that the page says so is kept: another worker may be there before anybody looks
LISTENS = """
() => {
  const monitor = document.querySelector("[data-monitor]");
  new MutationObserver(() => {
    if (monitor.textContent === "The session monitor is not connected; the call goes on.")
      document.documentElement.dataset.monitorWas = "away";
  }).observe(monitor, { childList: true, subtree: true });
}
"""


@pytest.mark.parametrize("part", SAYS)
def test_the_picture_goes_on_and_words_pass_again(now: services.Running, part: str) -> None:
    loads = [page.evaluate("performance.timeOrigin") for page in (now.room, now.page)]
    for page in (now.room, now.page):
        page.evaluate(LISTENS)
    killed = time.monotonic()
    now.kill(part)
    for page in (now.room, now.page):
        if SAYS[part]:
            expect(page.locator("[data-banner]")).to_contain_text(SAYS[part], timeout=15_000)
            expect(page.locator("[data-banner]")).to_contain_text("the call goes on")
            expect(page.locator("[data-banner]")).to_be_visible()
        if part == "worker":
            # As an attribute, which Playwright can wait for: the page's own policy lets nobody evaluate a text in it.
            expect(page.locator("html[data-monitor-was=away]")).to_be_attached(timeout=30_000)
    before = now.frozen()
    now.room.wait_for_timeout(2000)
    for then, after in zip(before, now.frozen(), strict=True):
        assert after["frames"] - then["frames"] > 10
    now.start_again(part)
    assert now.back_after(killed, monitors=part == "worker") < 60
    for page, load in zip((now.room, now.page), loads, strict=True):
        expect(page.locator("[data-banner]")).to_be_hidden(timeout=15_000)
        expect(page.locator("[data-call]")).to_have_attribute("data-connection", "connected")
        assert page.evaluate("performance.timeOrigin") == load


@pytest.mark.parametrize("part", ["tasks", "clock"])
def test_background_work_that_stands_still_is_said_and_the_picture_goes_on(now: services.Running, part: str) -> None:
    """Killed it is back before anybody misses it. One that hangs is not, and nobody starts it again."""
    with now.stopped(part):
        banner = now.room.locator(
            "[data-banner]:not([hidden])", has_text="Warnings about privacy and consent do not come"
        )
        expect(banner).to_be_visible(timeout=40_000)
        expect(banner).to_contain_text("Tell your clinic's operator. The call goes on.")
        expect(now.page.locator("[data-banner]")).to_be_hidden()  # she misses nothing, and can do nothing
        before = now.frozen()
        now.room.wait_for_timeout(2000)
        for then, after in zip(before, now.frozen(), strict=True):
            assert after["frames"] - then["frames"] > 10
        assert now.word_passes(5)
    for page in (now.room, now.page):
        expect(page.locator("[data-banner]")).to_be_hidden(timeout=30_000)
