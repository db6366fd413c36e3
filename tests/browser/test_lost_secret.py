"""What becomes of a proof that got lost on its way, or in the browser: nothing is shown until words were compared."""

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser import visit as course
from tests.browser.people import expect_stage, sign_in, until, visitor
from tests.browser.product import Product

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("running", ["embedded"], indirect=True)]

#: how many tracks of the other side can be seen or heard
SHOWN = "document.querySelector('video[data-remote]').srcObject?.getTracks().length ?? 0"
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


def in_a_call(visit: course.Visit, browser: Browser) -> Page:
    page = course.arrive(visit, phone_of(browser))
    course.admit(visit, page)
    return page


def shows_nobody(page: Page) -> None:
    page.locator("[data-proof-stuck]").wait_for()
    course.shows(page, "none")
    assert page.evaluate(SHOWN) == 0
    assert course.frames(page) == 0


def goes_on_once_compared(*pages: Page) -> None:
    course.compare(*pages)
    for page in pages:
        course.sees_and_hears(page)


@pytest.mark.parametrize("cut", [5, 43], ids=["in the secret", "before the secret"])
def test_a_link_that_a_messenger_has_cut_still_asks_for_the_proof(running: Product, browser: Browser, cut: int) -> None:
    visit = started(running, browser)
    visit.link = visit.link[:-cut]
    page = in_a_call(visit, browser)
    for _ in range(2):  # and after a refresh
        for side in (page, visit.room):
            shows_nobody(side)
        page.reload()
    goes_on_once_compared(page, visit.room)


@pytest.mark.parametrize("fails", FAILING)
@pytest.mark.parametrize("whose", ["patient", "clinician"])
def test_a_store_that_fails_later_does_not_open_what_a_secret_had_shut(
    running: Product, browser: Browser, whose: str, fails: str
) -> None:
    visit = started(running, browser)
    page = in_a_call(visit, browser)
    for side in (page, visit.room):
        course.shows(side, "link")
    loses = page if whose == "patient" else visit.room
    loses.context.add_init_script(FAILING[fails])
    loses.reload()
    for side in (page, visit.room):
        shows_nobody(side)
    goes_on_once_compared(page, visit.room)


@pytest.mark.parametrize("whose", ["patient", "clinician"])
def test_a_store_that_fails_later_does_not_open_what_compared_words_had_shut(
    running: Product, browser: Browser, whose: str
) -> None:
    visit = started(running, browser)
    course.mail_link(visit)
    page = in_a_call(visit, browser)
    course.compare(page, visit.room)
    loses = page if whose == "patient" else visit.room
    loses.context.add_init_script(FAILING["throws"])
    loses.reload()
    shows_nobody(loses)
    goes_on_once_compared(page, visit.room)


def test_a_store_that_fails_where_nothing_was_to_be_proved_leaves_the_call_plainly_not_checked(
    running: Product, browser: Browser
) -> None:
    """The clinician's browser had made a secret, and the link that she mailed after it has none."""
    visit = started(running, browser)
    course.mail_link(visit)
    page = in_a_call(visit, browser)
    for loses in (page, visit.room):
        loses.context.add_init_script(FAILING["throws"])
        loses.reload()
        for side in (page, visit.room):
            course.shows(side, "none")
            course.sees_and_hears(side)


def test_the_marks_of_a_visit_go_with_it_and_those_of_old_ones_too(running: Product, browser: Browser) -> None:
    visit = started(running, browser)
    marks = "Object.keys(localStorage).filter((name) => name.startsWith('telehealth-to-prove.'))"
    page = in_a_call(visit, browser)
    for side in (page, visit.room):
        assert side.evaluate(marks) == [f"telehealth-to-prove.{visit.consult}"]
        old = "JSON.stringify({ at: Date.now() - 8 * 24 * 3600_000 })"
        side.evaluate(f"localStorage.setItem('telehealth-to-prove.old', {old})")
    page.reload()
    until(page, f"({marks}).length === 1")
    course.end(visit)
    expect_stage(page, "ended")
    for side in (page, visit.room):
        until(side, f"({marks}).filter((name) => !name.endsWith('.old')).length === 0")


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


def alarmed(running: Product, browser: Browser) -> tuple[course.Visit, Page]:
    """A call by a mailed link, of whose words the patient has said that they differ."""
    visit = started(running, browser)
    course.mail_link(visit)
    page = in_a_call(visit, browser)
    for side in (page, visit.room):
        course.sees_and_hears(side)
    page.locator("[data-proof-chip]").click()
    page.locator("[data-proof-words] li").nth(3).wait_for()
    page.locator("[data-proof-differ]").click()
    for side in (page, visit.room):
        expect(side.locator("[data-proof-alarm]")).to_be_visible()
    return visit, page


def test_after_an_alarm_nothing_is_shown_before_words_were_compared(running: Product, browser: Browser) -> None:
    visit, page = alarmed(running, browser)
    for side in (page, visit.room):
        side.locator("[data-alarm-again]").click()
    for side in (page, visit.room):
        shows_nobody(side)
    goes_on_once_compared(page, visit.room)


def test_another_mailed_link_does_not_lift_what_an_alarm_has_shut_where_the_store_has_lost_it(
    running: Product, browser: Browser
) -> None:
    visit, page = alarmed(running, browser)
    for side in (page, visit.room):
        side.evaluate("new Promise((done) => (indexedDB.deleteDatabase('telehealth-visits').onsuccess = done))")
    linksecret = visit.room.evaluate(
        "performance.getEntriesByType('resource').find(({ name }) => /linksecret[^/]*[.]js$/.test(name)).name"
    )
    visit.room.evaluate(
        "([script, consult]) => import(script).then((of) => of.mailed(consult))", [linksecret, visit.consult]
    )
    for side in (page, visit.room):
        side.locator("[data-alarm-again]").click()
    for side in (page, visit.room):
        shows_nobody(side)
    goes_on_once_compared(page, visit.room)


def test_three_alarms_are_counted_also_where_the_store_fails(running: Product, browser: Browser) -> None:
    visit, page = alarmed(running, browser)
    page.context.add_init_script(FAILING["throws"])
    for again in (True, False):
        for side in (page, visit.room):
            side.locator("[data-alarm-again]").click()
        shows_nobody(page)
        page.locator("[data-proof-chip]").click()
        page.locator("[data-proof-words] li").nth(3).wait_for()
        page.locator("[data-proof-differ]").click()
        for side in (page, visit.room):
            expect(side.locator("[data-proof-alarm]")).to_be_visible()
            expect(side.locator("[data-alarm-again]")).to_be_visible(visible=again)
