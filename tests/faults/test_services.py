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


@pytest.mark.parametrize("part", ["web", "tasks", "Redis", "Postgres"])
def test_the_picture_goes_on_and_words_pass_again(now: services.Running, part: str) -> None:
    loads = [page.evaluate("performance.timeOrigin") for page in (now.room, now.page)]
    killed = time.monotonic()
    now.kill(part)
    if part == "web":
        for page in (now.room, now.page):
            expect(page.locator("[data-banner]")).to_be_visible(timeout=15_000)
            expect(page.locator("[data-banner]")).to_contain_text("the call goes on")
    before = now.frozen()
    now.room.wait_for_timeout(2000)
    for then, after in zip(before, now.frozen(), strict=True):
        assert after["frames"] - then["frames"] > 10
    now.start_again(part)
    assert now.back_after(killed, monitors=False) < 60
    for page, load in zip((now.room, now.page), loads, strict=True):
        expect(page.locator("[data-banner]")).to_be_hidden(timeout=15_000)
        expect(page.locator("[data-call]")).to_have_attribute("data-connection", "connected")
        assert page.evaluate("performance.timeOrigin") == load
