"""The receipt's link in real browsers: kept, opened elsewhere, checked away from here, and used to withdraw."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import visit as course
from tests.browser.people import expect_stage, sign_in, visitor
from tests.browser.product import Product
from tests.browser.test_pages import Watcher, look

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("running", ["embedded"], indirect=True)]
ROOT = Path(__file__).parents[2]


def kept_link(page: Page) -> str:
    page.locator("[data-record] summary").click()
    page.locator("[data-receipt-link] [data-copy]").click()
    expect(page.locator("[data-copy-said]")).to_contain_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert re.search(r"/receipt/#[\w-]{43}$", copied)
    return copied


def open_own_page(page: Page, link: str, *, birth_date: str = course.BIRTH_DATE) -> None:
    page.goto(link)
    assert "#" not in page.evaluate("location.href")
    page.get_by_label("Your full name").fill(course.NAME)
    page.get_by_label("Your date of birth").fill(birth_date)
    page.get_by_role("button", name="Show my page").click()


def verified(file: Path, *more: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "vault.verify", str(file), *more], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def waiting(running: Product, browser: Browser) -> tuple[course.Visit, Page]:
    visit = course.start(running, sign_in(visitor(browser), running))
    course.make_link(visit)
    page = course.arrive(visit, visitor(browser, width=390, height=800))
    return visit, page


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_link_leads_to_a_file_that_holds_and_to_withdrawing(
    running: Product, browser: Browser, waiting: tuple[course.Visit, Page], tmp_path: Path, dark: bool
) -> None:
    visit, page = waiting
    link = kept_link(page)
    course.admit(visit, page)
    # Another device, that has neither her seat nor her key.
    elsewhere = visitor(browser, width=390, height=800, dark=dark)
    watch = Watcher(elsewhere, running.origin)
    own = elsewhere.new_page()
    own.goto(link)
    own.get_by_role("button", name="Show my page").wait_for()
    look(own, "receipt-who", dark, watch)
    open_own_page(own, link)
    own.get_by_role("heading", name="Who looked at your record").wait_for()
    own.locator("article summary").first.click()
    look(own, "receipt-yours", dark, watch)
    with own.expect_download() as download:
        own.get_by_role("link", name="Download the receipt").click()
    file = tmp_path / "receipt.json"
    download.value.save_as(file)
    own.get_by_text("Check a receipt yourself").click()
    key = own.locator("ol code").inner_text()
    assert f"signed as “{course.NAME}”" in verified(file, "--key", key)
    own.locator("[data-withdraw]").click()
    look(own, "receipt-withdraw", dark, watch)
    own.locator("[data-withdraw-yes]").click()
    expect(own.get_by_text("You withdrew it")).to_be_visible()
    expect_stage(page, "consent")
    expect(visit.room.locator("[data-call]")).not_to_have_attribute("data-connection", "connected")
    with own.expect_download() as download:
        own.get_by_role("link", name="Download the receipt").click()
    download.value.save_as(file)
    assert "given, and withdrawn later" in verified(file, "--key", key)


def test_somebody_else_with_the_link_sees_nothing(
    running: Product, browser: Browser, waiting: tuple[course.Visit, Page]
) -> None:
    _visit, page = waiting
    link = kept_link(page)
    stranger = visitor(browser).new_page()
    open_own_page(stranger, link, birth_date="1984-03-18")
    expect(stranger.locator("[data-open-error]")).to_contain_text("does not match")
    stranger.goto(f"{running.origin}/receipt/yours/")
    expect(stranger.get_by_role("heading", name="Please open your link again")).to_be_visible()


def test_she_closes_her_page_for_good(running: Product, browser: Browser, waiting: tuple[course.Visit, Page]) -> None:
    _visit, page = waiting
    link = kept_link(page)
    own = visitor(browser).new_page()
    open_own_page(own, link)
    own.get_by_text("Somebody else has my link").click()
    own.locator("[data-close]").click()
    expect(own.get_by_role("heading", name="Please open your link again")).to_be_visible()
    open_own_page(own, link)
    expect(own.locator("[data-open-error]")).to_contain_text("does not work")
