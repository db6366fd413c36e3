"""A whole visit in Debian's Firefox ESR: with a clinician in Chromium, and with one in Firefox too.

A server that cheats a patient in Firefox: test_middle.py.
"""

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser

from tests.browser import visit as course
from tests.browser.firefox import Firefox, Page
from tests.browser.people import Asked, expect_stage, sign_in, until, visitor
from tests.browser.product import Product
from tests.middle.runs import CALL

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("running", ["embedded"], indirect=True)]

#: Firefox counts no frames of a stream in getVideoPlaybackQuality(): decoded ones, and that the element plays on
PICTURE = """
(async () => {
  const video = document.querySelector("video[data-remote]");
  let frames = 0;
  for (const connection of window.connections) {
    for (const entry of (await connection.getStats()).values()) {
      if (entry.type === "inbound-rtp" && entry.kind === "video") frames += entry.framesDecoded ?? 0;
    }
  }
  return { frames, at: video.videoWidth > 0 && video.checkVisibility() && !video.paused ? video.currentTime : 0 };
})()
"""
HEARD = """
(async () => {
  for (const connection of window.connections) {
    for (const entry of (await connection.getStats()).values()) {
      if (entry.type === "inbound-rtp" && entry.kind === "audio" && entry.packetsReceived > 25) return true;
    }
  }
  return false;
})()
"""
ENDED = "Boolean(document.querySelector('[data-stage=ended]'))"
#: both fingerprints of the call's connection
CERTIFICATES = f"""
[{CALL}.localDescription, {CALL}.remoteDescription].map(({{ sdp }}) => sdp.match(/a=fingerprint:.*/)[0])
"""
#: of how many visits this browser keeps something
KEPT = """
() => new Promise((resolve) => {
  indexedDB.open("telehealth-visits").onsuccess = ({ target: { result: base } }) => {
    const asking = base.transaction("links").objectStore("links").count();
    asking.onsuccess = () => {
      base.close();
      resolve(asking.result);
    };
  };
})
"""
#: by what name each side's end of the path goes; a renewed one has others
PATH = f"""
[{CALL}.currentLocalDescription, {CALL}.currentRemoteDescription].map((one) => one?.sdp.match(/a=ice-ufrag:(.*)/)[1])
""".strip()
#: whether packets take the path that was described last
TAKEN = f"""
{CALL}.getStats().then((report) => {{
  const transport = [...report.values()].find(({{ type }}) => type === "transport");
  const pair = report.get(transport.selectedCandidatePairId);
  return pair !== undefined && report.get(pair.localCandidateId)?.usernameFragment === {PATH}[0];
}})
"""
#: what the page says of the check from now on, and how many connections it makes
NOTE_STATES = """
(() => {
  const chip = document.querySelector("[data-proof-chip]");
  const states = new Set([chip.dataset.state]);
  const note = () => states.add(chip.dataset.state);
  new MutationObserver(note).observe(chip, { attributeFilter: ["data-state"] });
  const made = window.connections.length;
  window.told = () => [[...states], window.connections.length - made];
})()
"""


def arrive(page: Page, link: str) -> None:
    """From the link to the waiting room, as in tests.browser.visit."""
    page.goto(link)
    page.click("main button[type=submit], main form button")
    page.fill("input[name=name]", course.NAME)
    page.fill("input[name=birth_date]", course.BIRTH_DATE)
    page.click("main form button[type=submit]")
    # Firefox does not tell that the permission is there, so the page waits to be told.
    page.click("[data-turn-on]")
    page.until("document.querySelector('[data-step=devices] video')?.readyState >= 2")
    page.click("[data-devices-done]")
    page.until("document.querySelector('[data-stage]')?.dataset.stage === 'consent'")
    page.evaluate("document.querySelector('input[name=agreed][value=video_visit]').click()")
    page.fill("#signed-name", course.NAME)
    page.click("[data-consent-form] button[type=submit]")
    page.until("document.querySelector('[data-step=waiting] video')?.readyState >= 2")


def sees_and_hears(page: Asked) -> None:
    before = page.evaluate(PICTURE)
    later = f"now.frames > {before['frames'] + 10} && now.at > {before['at'] + 0.3}"
    until(page, f"{PICTURE.strip()}.then((now) => {later})")
    until(page, HEARD)


def end(visit: course.Visit, patient: Page) -> None:
    visit.room.click("[data-call] [data-end]")
    visit.room.click("[data-end-yes]")
    patient.until(ENDED)


def in_chromium(running: Product, browser: Browser, _fox: Firefox) -> course.Visit:
    return course.start(running, sign_in(visitor(browser), running))


def in_firefox(running: Product, browser: Browser, fox: Firefox) -> course.Visit:
    """The clinician signs in and starts in Chromium, and goes on in Firefox."""
    desk = visitor(browser)
    visit = course.start(running, sign_in(desk, running))
    address = visit.room.url
    visit.room.close()
    visit.room = fox.person(desk.cookies())
    visit.room.goto(address)
    return visit


def test_a_patient_in_firefox_and_a_clinician_in_chromium(running: Product, browser: Browser, fox: Firefox) -> None:
    visit = in_chromium(running, browser, fox)
    patient = fox.person()
    arrive(patient, course.make_link(visit))
    visit.room.click("[data-admit]:not([disabled])")
    for _ in range(2):
        for page in (patient, visit.room):
            course.shows(page, "link")
        sees_and_hears(patient)
        course.sees_and_hears(visit.room)
        patient.reload()
    end(visit, patient)
    expect_stage(visit.room, "ended")


def test_both_in_firefox(running: Product, browser: Browser, fox: Firefox) -> None:
    visit = in_firefox(running, browser, fox)
    patient = fox.person()
    arrive(patient, course.make_link(visit))
    visit.room.click("[data-admit]")
    for page in (patient, visit.room):
        course.shows(page, "link")
        sees_and_hears(page)
    end(visit, patient)
    visit.room.until(ENDED)


@pytest.mark.parametrize("start", [in_chromium, in_firefox])
def test_words_are_compared_and_a_refresh_keeps_what_they_proved(
    running: Product, browser: Browser, fox: Firefox, start: Callable[..., course.Visit]
) -> None:
    visit = start(running, browser, fox)
    course.make_link(visit)
    patient = fox.person()
    arrive(patient, course.mail_link(visit))
    visit.room.click("[data-admit]:not([disabled])")
    pages = (patient, visit.room)
    for page in pages:
        sees_and_hears(page)
        course.shows(page, "none")
    course.compare(*pages)
    before = [page.evaluate(CERTIFICATES) for page in pages]
    visit.room.evaluate(NOTE_STATES)
    patient.reload()
    for page in pages:
        course.shows(page, "comparison")
        sees_and_hears(page)
    # Of the page that is gone nothing is said, of the one that came what is proved of it.
    assert set(visit.room.evaluate("window.told()")[0]) <= {"comparison", "none"}
    assert [page.evaluate(CERTIFICATES) for page in pages] == before
    assert patient.evaluate(KEPT) == 1
    end(visit, patient)
    until(patient, f"({KEPT})().then((kept) => kept === 0)")


@pytest.mark.parametrize("first", ["firefox", "chromium"])
def test_a_path_that_one_of_them_renews_changes_nothing_else(
    running: Product, browser: Browser, fox: Firefox, first: str
) -> None:
    visit = in_chromium(running, browser, fox)
    patient = fox.person()
    arrive(patient, course.make_link(visit))
    visit.room.click("[data-admit]:not([disabled])")
    pages = {"firefox": patient, "chromium": visit.room}
    for page in pages.values():
        course.shows(page, "link")
        sees_and_hears(page)
        page.evaluate(NOTE_STATES)
    before = {name: page.evaluate(PATH) for name, page in pages.items()}
    pages[first].evaluate(f"{CALL}.restartIce()")
    for name, page in pages.items():
        until(page, f"{PATH}.every((one, at) => one && one !== {json.dumps(before[name])}[at])")
        until(page, TAKEN)
        sees_and_hears(page)
    for page in pages.values():
        assert page.evaluate("window.told()") == [["link"], 0]
