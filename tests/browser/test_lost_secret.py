"""What becomes of a link's secret on its way to the visit that it belongs to."""

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.browser import visit as course
from tests.browser.people import expect_stage, sign_in, until, visitor
from tests.browser.product import Product

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("running", ["embedded"], indirect=True)]

#: a browser whose store does not open, in the two ways in which that is said
STORE_FAILS = """
const open = IDBFactory.prototype.open;
IDBFactory.prototype.open = function (name, ...more) {
  if (name !== "telehealth-visits") return open.call(this, name, ...more);
  HOW
};
"""
FAILING = {
    "throws": STORE_FAILS.replace("HOW", 'throw new DOMException("no", "InvalidStateError");'),
    "errors": STORE_FAILS.replace(
        "HOW",
        """
        const request = { error: new DOMException("no", "UnknownError") };
        setTimeout(() => request.onerror(new Event("error")));
        return request;
        """,
    ),
}


def started(running: Product, browser: Browser) -> course.Visit:
    visit = course.start(running, sign_in(visitor(browser), running))
    course.make_link(visit)
    return visit


def phone_of(browser: Browser) -> BrowserContext:
    return visitor(browser, width=390, height=800)


@pytest.mark.parametrize("keeps", [True, False], ids=["keeps", "keeps nothing"])
def test_a_link_of_another_visit_in_the_same_tab_takes_nothing_from_this_one(
    running: Product, browser: Browser, keeps: bool
) -> None:
    other = started(running, browser)
    visit = started(running, browser)
    phone = phone_of(browser)
    if not keeps:
        phone.add_init_script(FAILING["throws"])
    page = course.arrive(visit, phone)
    here = page.url
    page.goto(other.link)
    page.get_by_role("button", name="Start").wait_for()
    if not keeps:  # one that keeps takes a link's secret over as soon as it was opened
        page.get_by_role("button", name="Start").click()
        page.wait_for_url(f"**/visit/{other.consult}/")
    page.goto(here)
    expect_stage(page, "waiting")
    course.admit(visit, page)
    for side in (page, visit.room):
        course.shows(side, "link")
        course.sees_and_hears(side)


def test_start_opens_the_link_that_is_shown_with_its_own_secret(running: Product, browser: Browser) -> None:
    """Another link is opened in the tab, and the clinic has not answered yet what it is."""
    other = started(running, browser)
    visit = started(running, browser)
    page = phone_of(browser).new_page()
    page.goto(visit.link)
    page.get_by_role("button", name="Start").wait_for()
    page.route("**/look/", lambda _route: None)
    page.evaluate("(link) => { location.href = link; }", other.link)
    until(page, "location.hash === ''")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url(f"**/visit/{visit.consult}/")
    course.confirm_identity(page)
    course.test_devices(page)
    course.agree(page)
    course.admit(visit, page)
    for side in (page, visit.room):
        course.shows(side, "link")
