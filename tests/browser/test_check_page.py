"""The page that checks receipts, opened from a disk by a browser that has no network."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import receipts
from tests.browser.people import visitor
from tests.browser.test_pages import Watcher, dark, look  # noqa: F401
from tests.receipts import HOSTILE, RIGHT
from vault import check_page

pytestmark = pytest.mark.browser


@pytest.fixture
def opened(browser: Browser, dark: bool, tmp_path) -> tuple[Page, Watcher]:  # noqa: F811
    file = tmp_path / "check-receipt.html"
    file.write_text(check_page.page())
    context = visitor(browser, dark=dark)
    context.set_offline(True)
    watch = Watcher(context, file.as_uri())
    page = context.new_page()
    page.goto(file.as_uri())
    return page, watch


def give(page: Page, data: bytes) -> None:
    page.locator("[data-file]").set_input_files({"name": "r.json", "mimeType": "application/json", "buffer": data})


def test_a_receipt_is_checked_without_a_network(opened: tuple[Page, Watcher], dark: bool) -> None:  # noqa: F811
    page, watch = opened
    look(page, "check-empty", dark, watch)
    give(page, RIGHT["withdrawn"])
    expect(page.get_by_role("heading", name="This receipt holds")).to_contain_text("withdrawn later")
    expect(page.get_by_text("I agree to video_visit.")).to_be_visible()
    expect(page.get_by_text(receipts.LOG.key.vkey)).to_be_visible()
    look(page, "check-holds", dark, watch)
    page.locator("[data-key]").fill(receipts.LOG.key.vkey)
    page.locator("[data-key]").blur()
    expect(page.get_by_text(receipts.LOG.key.vkey)).to_have_count(0)
    page.locator("[data-key]").fill(receipts.OTHER_LOG.key.vkey)
    page.locator("[data-key]").blur()
    expect(page.get_by_role("heading", name="This receipt does not hold")).to_be_visible()
    page.locator("[data-key]").fill("")
    give(page, HOSTILE["other words"][0])
    expect(page.get_by_text("The words: The text for video_visit is not the one that was signed.")).to_be_visible()
    expect(page.get_by_text("I sell all.")).to_have_count(0)
    look(page, "check-wrong", dark, watch)
    assert watch.complaints == []


def test_what_is_in_a_receipt_is_never_obeyed(opened: tuple[Page, Watcher]) -> None:
    page, watch = opened
    evil = '<img src="https://example.com/x" onerror="document.title=1">'
    give(page, receipts.issue([receipts.act(receipts.made.changed(name=evil))]))
    expect(page.get_by_text(evil)).to_be_visible()
    assert page.title() == "Check a receipt of consent"
    assert watch.complaints == []
