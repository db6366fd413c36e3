"""A whole visit in Debian's Firefox ESR: with a clinician in Chromium, and with one in Firefox too."""

import pytest
from playwright.sync_api import Browser

from tests.browser import visit as course
from tests.browser.firefox import Firefox, Page
from tests.browser.people import expect_stage, sign_in, until, visitor
from tests.browser.product import Product

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("running", ["embedded"], indirect=True)]

PROVED = "document.querySelector('[data-proof-chip]')?.dataset.state === 'link'"
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


def sees_and_hears(page: Page) -> None:
    before = page.evaluate(PICTURE)
    later = f"now.frames > {before['frames'] + 10} && now.at > {before['at'] + 0.3}"
    page.until(f"{PICTURE.strip()}.then((now) => {later})")
    page.until(HEARD)


def test_a_patient_in_firefox_and_a_clinician_in_chromium(running: Product, browser: Browser, fox: Firefox) -> None:
    visit = course.start(running, sign_in(visitor(browser), running))
    patient = fox.person()
    arrive(patient, course.make_link(visit))
    visit.room.locator("[data-admit]:not([disabled])").click()
    for _ in range(2):
        patient.until(PROVED)
        until(visit.room, PROVED)
        sees_and_hears(patient)
        course.sees_and_hears(visit.room)
        patient.reload()  # the second time her page has another certificate
    course.end(visit)
    patient.until("Boolean(document.querySelector('[data-stage=ended]'))")
    expect_stage(visit.room, "ended")


def test_both_in_firefox(running: Product, browser: Browser, fox: Firefox) -> None:
    desk = visitor(browser)
    visit = course.start(running, sign_in(desk, running))
    address = visit.room.url
    visit.room.close()
    room = fox.person(desk.cookies())
    room.goto(address)
    room.click("[data-invite]")
    room.until("document.querySelector('[data-link]')?.value")
    patient = fox.person()
    arrive(patient, room.evaluate("document.querySelector('[data-link]').value"))
    room.click("[data-admit]")
    for page in (patient, room):
        page.until(PROVED)
        sees_and_hears(page)
    room.click("[data-call] [data-end]")
    room.click("[data-end-yes]")
    for page in (patient, room):
        page.until("Boolean(document.querySelector('[data-stage=ended]'))")
