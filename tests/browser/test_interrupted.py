"""What breaks into a patient's call: her tab crashes, a telephone call takes the microphone."""

import pytest
from playwright.sync_api import Browser, Error, Page, expect

from tests.browser import visit as course
from tests.browser.people import sign_in, until, visitor
from tests.browser.product import Product

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("running", ["embedded"], indirect=True)]

#: as iOS does when the telephone rings: the track ends, or falls silent, and the page did nothing
TAKEN = """
(() => {
  window.taken = [];
  const native = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wanted) => {
    const stream = await native(wanted);
    window.taken.push(...stream.getTracks());
    return stream;
  };
})();
"""
ENDS = """
(kind) => {
  const track = window.taken.findLast((one) => one.kind === kind);
  track.stop();
  track.dispatchEvent(new Event("ended"));
}
"""
FALLS_SILENT = """
(kind) => {
  const track = window.taken.findLast((one) => one.kind === kind);
  window.silent = track;
  Object.defineProperty(track, "muted", { get: () => true });
  track.dispatchEvent(new Event("mute"));
}
"""
CALL_IS_OVER = 'document.dispatchEvent(new Event("visibilitychange"))'
#: which track of a kind is sent now
SENT = """
(kind) => {
  const running = window.connections.filter((one) => one.connectionState === "connected");
  const tracks = running.flatMap((one) => one.getSenders()).map((one) => one.track);
  return tracks.find((one) => one?.kind === kind && one.readyState === "live")?.id ?? "";
}
"""
IDENTITY = """
from consults.models import Consent, Consult, Participant
consult = Consult.objects.get(pk="CONSULT")
seat = Participant.objects.get(consult=consult, role="patient")
answer = [str(seat.id), str(seat.identity_confirmed_at), Consent.objects.filter(participant=seat).count()]
"""


def in_a_call(running: Product, browser: Browser) -> tuple[course.Visit, Page]:
    visit = course.start(running, sign_in(visitor(browser), running))
    course.make_link(visit)
    phone = visitor(browser, width=390, height=800)
    phone.add_init_script(TAKEN)
    page = course.arrive(visit, phone)
    course.admit(visit, page)
    course.sees_and_hears(page)
    return visit, page


def test_a_tab_that_crashed_is_opened_again_and_the_call_goes_on(running: Product, browser: Browser) -> None:
    visit, page = in_a_call(running, browser)
    question = IDENTITY.replace("CONSULT", visit.consult)
    before, address = running.ask(question), page.url
    with pytest.raises(Error, match="crash"):
        page.goto("chrome://crash")
    again = page.context.new_page()
    again.goto(address)
    expect(again.locator("[data-call]")).to_have_attribute("data-connection", "connected", timeout=20_000)
    course.sees_and_hears(again)
    course.sees_and_hears(visit.room)
    assert running.ask(question) == before
    assert before[2] == 1


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_a_track_that_the_telephone_ended_is_taken_again(running: Product, browser: Browser, kind: str) -> None:
    visit, page = in_a_call(running, browser)
    before = page.evaluate(SENT, kind)
    page.evaluate(ENDS, kind)
    expect(page.locator("[data-call-notice]")).to_contain_text("comes back by itself")
    is_sent_again(page, kind, before)
    course.sees_and_hears(visit.room)


def test_a_microphone_that_stays_silent_after_a_telephone_call_is_taken_again(
    running: Product, browser: Browser
) -> None:
    visit, page = in_a_call(running, browser)
    before = page.evaluate(SENT, "audio")
    page.evaluate(FALLS_SILENT, "audio")
    expect(page.locator("[data-call-notice]")).to_contain_text("perhaps a telephone call")
    page.wait_for_timeout(1500)
    assert page.evaluate(SENT, "audio") == before, "it was asked for during the telephone call"
    page.evaluate(CALL_IS_OVER)
    is_sent_again(page, "audio", before)
    assert page.evaluate("window.silent.readyState") == "ended"
    course.sees_and_hears(visit.room)


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_a_track_that_stays_silent_is_taken_again_though_nobody_says_that_it_is_over(
    running: Product, browser: Browser, kind: str
) -> None:
    visit, page = in_a_call(running, browser)
    before = page.evaluate(SENT, kind)
    page.evaluate(FALLS_SILENT, kind)
    is_sent_again(page, kind, before)
    course.sees_and_hears(visit.room)


def is_sent_again(page: Page, kind: str, before: str) -> None:
    sent = SENT.strip()
    until(page, f"(() => {{ const id = ({sent})('{kind}'); return id !== '' && id !== '{before}'; }})()")
