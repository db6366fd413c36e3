"""A second factor confirmed during a call gives the session a new id: the call, the room and the dashboard go on."""

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import visit as course
from tests.browser.people import sign_in, visitor
from tests.browser.product import CLINICIAN, Product

pytestmark = pytest.mark.browser

LOOKED_AGAIN_MS = 5000


@pytest.mark.parametrize("running", ["embedded"], indirect=True)
def test_confirming_a_second_factor_ends_nothing(running: Product, browser: Browser) -> None:
    desk = visitor(browser)
    visit = course.start(running, sign_in(desk, running))
    course.make_link(visit)
    page = course.arrive(visit, visitor(browser, width=390, height=800))
    course.admit(visit, page)
    board = desk.new_page()
    board.goto(running.origin)
    board.locator("[data-lists]").wait_for()
    other = desk.new_page()
    other.goto(f"{running.origin}/account/confirm/")
    before = {c["name"]: c["value"] for c in desk.cookies()}["__Host-session"]
    other.locator("input[name=code]").fill(running.code(CLINICIAN))
    other.locator("form:has(input[name=code]) button[type=submit]").click()
    other.wait_for_url(lambda url: "/confirm/" not in url)
    running.sessions[CLINICIAN] = desk.cookies()
    assert {c["name"]: c["value"] for c in desk.cookies()}["__Host-session"] != before
    visit.room.wait_for_timeout(LOOKED_AGAIN_MS)
    for side in (visit.room, page):
        expect(side.locator("[data-call]")).to_have_attribute("data-connection", "connected")
    expect(visit.room.locator("[data-banner]")).to_be_hidden()
    expect(board.locator("[data-offline]")).to_be_hidden()
    course.sees_and_hears(page)
