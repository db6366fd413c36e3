"""The patient's whole way on an old phone: a small screen, a sixth of this machine's speed, a third-generation network.

With the keyboard alone, and as a screen reader has it: each screen has one title that says where she is, and every
control has a name of its own.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import visit as course
from tests.browser.people import sign_in, until, visitor
from tests.browser.product import Product
from tests.browser.test_pages import Watcher, serious_faults

pytestmark = pytest.mark.browser

PICTURES = os.environ.get("PICTURES", "")
#: as Chromium's own tools imitate a third-generation network: 1.44 Mbit/s down, 675 kbit/s up, 562 ms there and back
NETWORK = {"offline": False, "latency": 562.5, "downloadThroughput": 180_000, "uploadThroughput": 84_375}
SLOWER = 6
#: where the focus is, and what is read out there
FOCUSED = "(document.activeElement?.innerText || document.activeElement?.getAttribute('aria-label') || '').trim()"
#: what a screen reader would say of a control, and where it says nothing
NAMELESS = """
() => [...document.querySelectorAll("button, a[href], input:not([type=hidden]), select, textarea, summary, video")]
  .filter((one) => one.checkVisibility({ visibilityProperty: true }))
  .filter((one) => !(one.innerText?.trim() || one.getAttribute("aria-label") || one.labels?.length))
  .map((one) => one.outerHTML.slice(0, 120))
"""
#: scripts that the page did not name, so that the browser learnt of them from other scripts
LATE = """
() => {
  const named = [...document.querySelectorAll("script, [rel=modulepreload]")].map((one) => one.src ?? one.href);
  const asked = performance.getEntriesByType("resource").filter((one) => one.initiatorType !== "link");
  return asked.map((one) => one.name).filter((name) => name.endsWith(".js") && !named.includes(name));
}
"""
#: a new page has a title before it has its looks
STYLED = """
document.readyState === "complete" && [...document.querySelectorAll("link[rel=stylesheet]")].every((one) => one.sheet)
"""
#: smaller than a thumb
SMALL = """
() => [...document.querySelectorAll("main button, main a[href].button, main summary")]
  .filter((one) => one.checkVisibility({ visibilityProperty: true }))
  .map((one) => [one.innerText.trim(), one.getBoundingClientRect()])
  .filter(([, box]) => box.height < 40 || box.width < 40)
  .map(([name, box]) => `${name}: ${Math.round(box.width)} x ${Math.round(box.height)}`)
"""


class Phone:
    def __init__(self, page: Page, watch: Watcher) -> None:
        self.page, self.watch = page, watch
        self.took: dict[str, float] = {}
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.send("Network.emulateNetworkConditions", NETWORK)
        session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
        self.session = session

    def step(self, name: str, act: Callable[[], None], title: str) -> None:
        """Do something, wait for the next screen's title, and look at that screen."""
        begun = time.monotonic()
        act()
        heading = self.page.locator("h1:visible")
        expect(heading).to_have_text(title, timeout=60_000)
        self.took[name] = time.monotonic() - begun
        expect(heading).to_have_count(1)
        self.look(name)

    def look(self, name: str) -> None:
        page = self.page
        until(page, STYLED, seconds=30)
        late = page.evaluate(LATE)
        assert late == [], f"{name}: asked for late: {late}"
        if PICTURES:
            Path(PICTURES).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=f"{PICTURES}/phone-{name}.png", full_page=True)
            Path(f"{PICTURES}/phone-{name}.txt").write_text(page.locator("body").aria_snapshot())
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 360, name
        assert page.evaluate(NAMELESS) == [], name
        assert page.evaluate(SMALL) == [], name
        self.session.send("Emulation.setCPUThrottlingRate", {"rate": 1})
        assert self.watch.deafly(lambda: serious_faults(page)) == [], name
        self.session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})

    def press(self, name: str) -> None:
        """With the keyboard: Tab until the button has the focus, then Enter."""
        for _ in range(40):
            if self.page.evaluate(FOCUSED) == name:
                self.page.keyboard.press("Enter")
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"the keyboard does not get to {name!r}")

    def tab_to(self, label: str, *, exact: bool = False) -> None:
        field = self.page.get_by_label(label, exact=exact)
        for _ in range(20):
            if field.evaluate("(one) => one === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"the keyboard does not get to {label!r}")


@pytest.mark.parametrize("running", ["embedded"], indirect=True)
def test_from_the_link_to_the_first_picture_and_the_end(running: Product, browser: Browser) -> None:
    visit = course.start(running, sign_in(visitor(browser), running))
    course.make_link(visit)
    context = visitor(browser, width=360, height=640)
    # As on a phone that was never asked: cleared alone, this browser says that camera and microphone are allowed.
    context.clear_permissions()
    context.grant_permissions(["clipboard-write"])
    watch = Watcher(context, running.origin)
    phone = Phone(context.new_page(), watch)
    page = phone.page
    phone.step("1-invited", lambda: page.goto(visit.link) and None, "Dr Elena García invites you to a video visit")
    phone.step("2-identity", lambda: phone.press("Start"), "Who you are")

    def who() -> None:
        phone.tab_to("Your full name")
        page.keyboard.type(course.NAME)
        phone.tab_to("Your date of birth")
        page.keyboard.type("03171984")
        phone.press("Continue")

    phone.step("3-devices", who, "Camera and sound")
    phone.press("Turn on camera and microphone")
    page.locator("[data-devices-done]").wait_for(timeout=30_000)
    until(page, "document.querySelector('[data-step=devices] video')?.readyState >= 2", seconds=30)
    phone.look("4-devices-on")
    phone.step("5-consent", lambda: phone.press("Continue"), "Your agreement")

    def agree() -> None:
        phone.tab_to("I have read this and agree to the video visit.")
        page.keyboard.press("Space")
        phone.tab_to("Your name", exact=True)
        page.keyboard.type(course.NAME)
        phone.press("I agree")

    phone.step("6-waiting", agree, "You are in the waiting room")
    in_the_call(phone, visit)
    print({name: round(seconds, 1) for name, seconds in phone.took.items()})
    assert watch.complaints == []


def in_the_call(phone: Phone, visit: course.Visit) -> None:
    page = phone.page
    begun = time.monotonic()
    visit.room.locator("[data-admit]:not([disabled])").click()
    until(page, "document.querySelector('video[data-remote]').getVideoPlaybackQuality().totalVideoFrames > 0")
    phone.took["first frame"] = time.monotonic() - begun
    expect(page.locator("h1:visible")).to_have_text("Dr Elena García")
    assert page.evaluate(FOCUSED) == "Dr Elena García"
    phone.look("7-call")
    phone.press("More")
    page.locator("[data-panel]").wait_for()
    phone.look("8-call-more")
    phone.press("Close")
    phone.press("Leave")
    page.get_by_role("heading", name="Leave the visit?").wait_for()
    phone.look("9-call-leave")
    phone.step("9-left", lambda: phone.press("Leave"), "You left the visit")
    phone.step("10-back", lambda: phone.press("Come back"), "Dr Elena García")
    expect(page.locator("[data-call]")).to_have_attribute("data-connection", "connected", timeout=60_000)
    course.end(visit)
    phone.step("11-ended", lambda: None, "Your visit has ended")
