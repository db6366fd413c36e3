"""Whether anybody is in between, on both pages: by the link's secret, by words that two people compare, or not yet."""

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import visit as course
from tests.browser.people import sign_in, until, visitor
from tests.browser.product import Product
from tests.browser.test_lost_secret import FAILING

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("running", ["embedded"], indirect=True)]

LOGGED = """
from vault.models import AuditEntry
found = AuditEntry.objects.filter(consult="CONSULT", action__startswith="consult.proof").order_by("id")
answer = [[e.role, e.action, e.outcome, e.detail] for e in found]
"""
KEPT = """
async () => (await indexedDB.databases()).length === 0 ? [] : new Promise((resolve) => {
  const opening = indexedDB.open("telehealth-visits");
  opening.onsuccess = () => {
    const asking = opening.result.transaction("links").objectStore("links").getAll();
    asking.onsuccess = () => {
      opening.result.close();
      resolve(asking.result.flatMap((kept) => kept.keys.map((key) => `${key.algorithm.name} ${key.extractable}`)));
    };
  };
})
"""
PHONED = """
from consults.models import Consult
answer = Consult.objects.get(pk="CONSULT").phoned_at is not None
"""
#: how many tracks of the other side can be seen or heard
SHOWN = "document.querySelector('video[data-remote]').srcObject?.getTracks().length ?? 0"


def shows(page: Page, state: str) -> None:
    expect(page.locator("[data-proof-chip]")).to_have_attribute("data-state", state, timeout=20_000)


def went_on_by_telephone(visit: course.Visit) -> bool:
    for _ in range(50):
        if visit.product.ask(PHONED.replace("CONSULT", visit.consult)):
            return True
        visit.room.wait_for_timeout(100)
    return False


def both_found(logged: list[list[Any]], state: str) -> None:
    """Both ends, and nothing else; of the same certificates, which a refresh keeps."""
    assert {(role, action, outcome, detail["state"]) for role, action, outcome, detail in logged} == {
        (role, "consult.proof", "done", state) for role in ("clinician", "patient")
    }
    assert len({detail["digest"] for *_, detail in logged}) == 1


def started(running: Product, browser: Browser) -> course.Visit:
    visit = course.start(running, sign_in(visitor(browser), running))
    course.make_link(visit)
    return visit


def test_a_link_that_is_handed_over_checks_the_call_by_itself(running: Product, browser: Browser) -> None:
    visit = started(running, browser)
    secret = visit.link.rpartition(".")[2]
    assert len(secret) == 43
    asked: list[str] = []
    phone = visitor(browser, width=390, height=800)
    for context in (phone, visit.room.context):
        context.on("request", lambda request: asked.append(request.url + (request.post_data or "")))
    page = course.arrive(visit, phone)
    assert secret not in page.evaluate("location.href + JSON.stringify(sessionStorage) + JSON.stringify(localStorage)")
    course.admit(visit, page)
    for side in (page, visit.room):
        shows(side, "link")
        course.sees_and_hears(side)
        expect(side.locator("[data-proof-word]")).to_have_text("Private: checked by the link")
        expect(side.locator("[data-privacy]")).to_have_text("Encrypted from browser to browser")
        expect(side.locator("[data-privacy]")).to_be_visible()  # also where the screen is narrow
        assert side.evaluate(KEPT) == ["HKDF false"]
    page.reload()
    for side in (page, visit.room):
        shows(side, "link")
        course.sees_and_hears(side)
    page.wait_for_timeout(1500)
    logged = running.ask(LOGGED.replace("CONSULT", visit.consult))
    assert len(logged) == 4
    both_found(logged, "link")
    course.end(visit)
    course.expect_stage(page, "ended")
    for side in (page, visit.room):
        until(side, f"({KEPT})().then((kept) => kept.length === 0)")
    assert asked
    assert not [one for one in asked if secret in one]


def test_two_people_compare_words_where_the_link_has_no_secret(running: Product, browser: Browser) -> None:
    visit = started(running, browser)
    course.mail_link(visit)
    expect(visit.room.locator("#announcements")).to_contain_text("compare four words")
    for _ in range(2):  # and after a refresh
        expect(visit.room.locator("[data-mailed]")).to_contain_text("compare four words")
        visit.room.reload()
    page = course.arrive(visit, visitor(browser, width=390, height=800))
    course.admit(visit, page)
    for side in (page, visit.room):
        shows(side, "none")
        course.sees_and_hears(side)  # plainly not checked, and said so
        expect(side.locator("[data-privacy]")).to_have_text("Encrypted")
    read = []
    for side in (page, visit.room):
        side.locator("[data-proof-chip]").click()
        side.locator("[data-proof-words] li").nth(3).wait_for()
        read.append(side.locator("[data-proof-words] li, [data-proof-pictures] li").all_inner_texts())
    assert read[0] == read[1]
    assert len(read[0]) == 8
    page.locator("[data-proof-same]").click()
    status = visit.room.locator("[data-proof-status]")
    expect(status).to_contain_text("has pressed it. Press it too only when you have heard the same words")
    shows(visit.room, "none")
    visit.room.locator("[data-proof-same]").click()
    for side in (page, visit.room):
        shows(side, "comparison")
        expect(side.locator("[data-privacy]")).to_have_text("Encrypted from browser to browser")
    for refreshed in (page, visit.room):  # each keeps its certificate, and whom it compared words with
        refreshed.reload()
        for side in (page, visit.room):
            shows(side, "comparison")
            course.sees_and_hears(side)
    page.wait_for_timeout(1500)
    logged = running.ask(LOGGED.replace("CONSULT", visit.consult))
    both_found([entry for entry in logged if entry[3]["state"] == "comparison"], "comparison")


#: of each set of new words in the dialog, whether they can be agreed to in the moment they come
NOTE_WORDS = """
() => {
  window.came = [];
  const dialog = document.querySelector("[data-proof-dialog]");
  const note = () => window.came.push(dialog.querySelector("[data-proof-same]").disabled);
  new MutationObserver(note).observe(dialog, { attributeFilter: ["data-seed"] });
}
"""


def test_words_that_have_only_just_come_cannot_be_agreed_to(running: Product, browser: Browser) -> None:
    """Whoever is in between could bring his own in the moment before a click."""
    visit = started(running, browser)
    course.mail_link(visit)
    page = course.arrive(visit, visitor(browser, width=390, height=800))
    course.admit(visit, page)
    visit.room.locator("[data-proof-chip]").click()
    expect(visit.room.locator("[data-proof-same]")).to_be_enabled()
    visit.room.evaluate(NOTE_WORDS)
    page.reload()
    until(visit.room, "window.came.length > 0")
    assert visit.room.evaluate("window.came") == [True]
    expect(visit.room.locator("[data-proof-same]")).to_be_enabled()


def test_somebody_else_in_her_place_is_not_shown_once_words_were_compared(running: Product, browser: Browser) -> None:
    """She may have taken another device; whoever it is, nothing of them is shown before words are compared again."""
    visit = started(running, browser)
    course.mail_link(visit)
    page = course.arrive(visit, visitor(browser, width=390, height=800))
    course.admit(visit, page)
    course.compare(page, visit.room)
    page.evaluate("indexedDB.deleteDatabase('telehealth-visits')")
    page.reload()
    visit.room.locator("[data-proof-stuck]").wait_for()
    assert visit.room.evaluate(SHOWN) == 0
    visit.room.locator("[data-proof-stuck] button").click()
    until(visit.room, "document.querySelector('video[data-remote]').srcObject?.getAudioTracks().length === 1")
    visit.room.locator("[data-proof-close]").click()
    course.compare(page, visit.room)
    course.sees_and_hears(visit.room)


def test_people_who_read_different_words_end_the_call_on_both_pages(running: Product, browser: Browser) -> None:
    visit = started(running, browser)
    page = course.arrive(visit, visitor(browser, width=390, height=800))
    page.evaluate("indexedDB.deleteDatabase('telehealth-visits')")
    page.reload()
    course.expect_stage(page, "waiting")
    visit.room.locator("[data-admit]:not([disabled])").click()
    # The clinician handed a secret over that the patient's page does not know: nothing is shown.
    stuck = visit.room.locator("[data-proof-stuck]")
    stuck.wait_for()
    assert course.frames(visit.room) == 0
    stuck.get_by_role("button").click()
    visit.room.locator("[data-proof-words] li").nth(3).wait_for()
    until(visit.room, "document.querySelector('video[data-remote]').srcObject.getAudioTracks().length === 1")
    assert visit.room.evaluate("document.querySelector('video[data-remote]').srcObject.getVideoTracks().length") == 0
    visit.room.locator("[data-proof-differ]").click()
    for side in (page, visit.room):
        expect(side.locator("[data-proof-alarm]")).to_be_visible()
        expect(side.locator("[data-call]")).to_have_attribute("data-connection", "closed")
        shows(side, "failed")
    page.wait_for_timeout(500)
    logged = running.ask(LOGGED.replace("CONSULT", visit.consult))
    assert ["clinician", "consult.proof", "failed"] in [entry[:3] for entry in logged]
    assert ["patient", "consult.proof", "failed"] in [entry[:3] for entry in logged]
    assert went_on_by_telephone(visit)  # as both are told to


def test_a_browser_that_keeps_nothing_proves_itself_by_the_link_all_the_same(
    running: Product, browser: Browser
) -> None:
    visit = started(running, browser)
    phone = visitor(browser, width=390, height=800)
    phone.add_init_script(FAILING["throws"])
    page = course.arrive(visit, phone)
    course.admit(visit, page)
    for _ in range(2):  # and after a refresh
        for side in (page, visit.room):
            shows(side, "link")
            course.sees_and_hears(side)
        page.reload()


#: one that may keep nothing at all, as where a person forbids it to every page
FORBIDS_ALL = """
for (const name of ["sessionStorage", "localStorage", "indexedDB"]) {
  Object.defineProperty(window, name, { get() { throw new DOMException("no", "SecurityError"); } });
}
"""


def test_a_patient_whose_browser_may_keep_nothing_gets_in_and_is_shown_once_words_were_compared(
    running: Product, browser: Browser
) -> None:
    """Her link's secret is gone with its page, so the clinician's, which has it, shows nothing before that."""
    visit = started(running, browser)
    phone = visitor(browser, width=390, height=800)
    phone.add_init_script(FORBIDS_ALL)
    broken: list[str] = []
    phone.on("weberror", lambda error: broken.append(str(error.error)))
    page = course.arrive(visit, phone)
    course.admit(visit, page)
    for _ in range(2):  # what was compared is not kept either
        visit.room.locator("[data-proof-stuck]").wait_for()
        for side in (page, visit.room):
            shows(side, "none")
        assert course.frames(page) == 0
        assert visit.room.evaluate(SHOWN) == 0
        course.compare(page, visit.room)
        for side in (page, visit.room):
            course.sees_and_hears(side)
        page.reload()
    assert broken == []


def test_a_visit_of_two_browsers_that_may_keep_nothing_is_plainly_not_checked(
    running: Product, browser: Browser
) -> None:
    desk, phone = visitor(browser), visitor(browser, width=390, height=800)
    broken: list[str] = []
    for context in (desk, phone):
        context.add_init_script(FORBIDS_ALL)
        context.on("weberror", lambda error: broken.append(str(error.error)))
    visit = course.start(running, sign_in(desk, running))
    assert "." not in course.make_link(visit).partition("#")[2]  # a secret that her page cannot keep is not in the link
    page = course.arrive(visit, phone)
    course.admit(visit, page)
    for side in (page, visit.room):
        shows(side, "none")
        course.sees_and_hears(side)
    course.compare(page, visit.room)
    assert broken == []


FAILED_BEFORE = """
(consult) => new Promise((resolve) => {
  indexedDB.open("telehealth-visits").onsuccess = ({ target: { result: base } }) => {
    const write = base.transaction("links", "readwrite");
    write.objectStore("links").put({ keys: [], required: false, failures: 3, at: Date.now() }, consult);
    write.oncomplete = resolve;
  };
})
"""


def test_a_device_on_which_three_calls_were_stopped_says_so_and_does_not_call(
    running: Product, browser: Browser
) -> None:
    visit = started(running, browser)
    page = course.arrive(visit, visitor(browser, width=390, height=800))
    page.evaluate(FAILED_BEFORE, visit.consult)
    page.reload()
    expect(page.locator("[data-proof-alarm]")).to_be_visible()
    expect(page.locator("[data-alarm-again]")).to_be_hidden()
    visit.room.locator("[data-admit]:not([disabled])").click()
    expect(page.locator("[data-proof-word]").first).to_have_text("Not private: stopped")
    for _ in range(50):
        logged = running.ask(LOGGED.replace("CONSULT", visit.consult))
        if logged:
            break
        page.wait_for_timeout(100)
    assert [entry[:3] for entry in logged] == [["patient", "consult.proof", "failed"]]
    assert logged[0][3]["why"] == "tries"
    assert went_on_by_telephone(visit)  # she was told to before there was a call
    assert course.frames(visit.room) == 0
