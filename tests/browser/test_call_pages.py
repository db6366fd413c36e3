"""The pages of calls in a clinic that has many: the live board, a call that goes badly, failures by the week."""

from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.people import sign_in, visitor
from tests.browser.product import OPERATOR, Product
from tests.browser.test_pages import Watcher, look

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("running", ["embedded"], indirect=True)
def test_empty_and_full(running: Product, browser: Browser) -> None:
    found: list[tuple[Any, Any, bool]] = []
    for dark in (False, True):
        context = visitor(browser, dark=dark)
        watch = Watcher(context, running.origin)
        page = sign_in(context, running, OPERATOR)
        found.append((page, watch, dark))
        for path, name in (("", "board-empty"), ("reliability/", "reliability-empty")):
            page.goto(f"{running.origin}/board/{path}")
            page.locator(".empty").wait_for()
            look(page, name, dark, watch)
    bad = running.ask("from tests.browser.call_rows import fill\nanswer = fill()")
    for page, watch, dark in found:
        page.goto(f"{running.origin}/board/")
        expect(page.locator("[data-session]")).to_have_count(3)
        worst = page.locator("[data-session]").first
        expect(worst.locator("[data-warning]")).to_contain_text("What the clinician hears is hard to follow")
        look(page, "board-full", dark, watch)
        page.goto(f"{running.origin}/board/{bad}/")
        expect(page.locator(".now")).to_contain_text("1280 × 720, 24 a second")
        look(page, "board-visit-bad", dark, watch)
        page.goto(f"{running.origin}/board/reliability/")
        expect(page.locator(".chart-scroll tbody tr")).to_have_count(22)
        look(page, "reliability-full", dark, watch)
        assert watch.complaints == []


@pytest.mark.parametrize("running", ["embedded"], indirect=True)
def test_a_call_that_goes_on_is_looked_at_again_and_what_was_opened_stays_open(
    running: Product, browser: Browser
) -> None:
    bad = running.ask("from tests.browser.call_rows import fill\nanswer = fill()")
    page = sign_in(visitor(browser), running, OPERATOR)
    page.goto(f"{running.origin}/board/{bad}/")
    page.get_by_text("The same as a table").click()
    sends = page.get_by_role("row", name="Sends").get_by_role("cell").last
    expect(sends).to_have_text("sound and picture")
    running.ask(
        "from consults.quality_models import QualitySample\n"
        f"answer = QualitySample.objects.filter(consult='{bad}').update(camera=False)"
    )
    expect(sends).to_have_text("sound", timeout=10_000)
    expect(page.get_by_role("columnheader", name="Delay, ms")).to_be_visible()
