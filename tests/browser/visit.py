"""A visit as its two people live it, page by page. Tests put their questions in between."""

import re
import time
from dataclasses import dataclass

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser import firefox
from tests.browser.people import Asked, expect_stage, until
from tests.browser.product import Product

NAME, BIRTH_DATE = "Maria Gonzalez", "1984-03-17"
#: words and pictures to compare, as a page shows them
READ = """
() => [...document.querySelectorAll("[data-proof-words] li, [data-proof-pictures] li")]
  .map((li) => li.textContent.trim())
"""

WAITING = """
from accounts.models import User
from accounts.sessions import staff_actor
from consults import consent, invitations, seats, visit
from tests.signer import Signer
from vault.models import Patient
user = User.objects.get(email="garcia@riverside.example")
by = staff_actor(user)
answer = []
for _ in range({runs}):
    consult = visit.start(user, Patient.objects.order_by("created_at").first(), by)
    seat = invitations.redeem(invitations.invite(consult, by)[1], source="")
    here = seat.participant
    here.identity_confirmed_at = here.joined_at
    here.save()
    visit.devices_tested(here, {{"camera": True, "microphone": True, "speaker": True}}, source="test")
    hers = Signer()
    consent.give(here, **hers.signed(hers.giving(here, "A")), source="")
    visit.wait(here, source="")
    answer.append([str(consult.id), seats.cookie_name(consult.id), seat.secret])
"""


@dataclass
class Visit:
    product: Product
    consult: str
    room: Page | firefox.Page
    link: str = ""


def start(product: Product, desk: Page, *, search: str = "mar gon") -> Visit:
    """From the dashboard: find the patient as one types, start the consult."""
    desk.goto(f"{product.origin}/")
    desk.get_by_role("searchbox").press_sequentially(search, delay=20)
    found = desk.locator("[data-result]").first
    found.wait_for()
    found.get_by_role("button", name="Start consult").click()
    desk.wait_for_url("**/consults/*/")
    return Visit(product, desk.url.rstrip("/").rpartition("/")[2], desk)


def waiting(product: Product, runs: int) -> list[list[str]]:
    """So many visits of which the patient waits to be admitted: consult, her cookie's name and its value."""
    visits: list[list[str]] = product.ask(WAITING.format(runs=runs))
    return visits


def make_link(visit: Visit) -> str:
    visit.room.click("[data-invite]")
    until(visit.room, "document.querySelector('[data-link]')?.value")
    visit.link = visit.room.evaluate("document.querySelector('[data-link]').value")
    return visit.link


def mail_link(visit: Visit) -> str:
    """By the server, which knows what it mails: nothing in the link proves anything."""
    letters = visit.product.letters.letters
    before = len(letters)
    visit.room.click("[data-invite-mail]")
    for _ in range(100):
        if len(letters) > before:
            break
        time.sleep(0.1)
    letter = letters[-1].get_body(("plain",)).get_content()
    visit.link = str(re.search(r"https://\S+#\S+", letter)[0])
    return visit.link


def open_link(visit: Visit, phone: BrowserContext) -> Page:
    page = phone.new_page()
    page.goto(visit.link)
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/visit/*/")
    return page


def confirm_identity(page: Page, *, name: str = NAME, birth_date: str = BIRTH_DATE) -> None:
    page.get_by_label("Your full name").fill(name)
    page.get_by_label("Your date of birth").fill(birth_date)
    page.get_by_role("button", name="Continue").click()


def test_devices(page: Page) -> None:
    expect_stage(page, "devices")
    # These browsers have given their permission, so the test starts by itself.
    done = page.locator("[data-devices-done]")
    done.wait_for()
    until(page, "document.querySelector('[data-step=devices] video')?.readyState >= 2")
    done.click()


test_devices.__test__ = False


def speak_consent(page: Page, *, seconds: float = 3) -> None:
    """Choose to say it, say it, and hear it played back."""
    expect_stage(page, "consent")
    page.locator("input[name=aloud][value='1']").check()
    page.locator("[data-voice-start]").click()
    page.locator("[data-voice-stop]").wait_for()
    page.wait_for_timeout(seconds * 1000)
    page.locator("[data-voice-stop]").click()
    page.locator("[data-voice-player]").wait_for()
    until(page, "document.querySelector('[data-voice-player]').duration > 1")


def choose(page: Page, *, name: str = NAME, scopes: tuple[str, ...] = ("video_visit",)) -> None:
    expect_stage(page, "consent")
    for scope in scopes:
        page.locator(f"input[name=agreed][value={scope}]").check()
    page.locator("#signed-name").fill(name)


def agree(page: Page, *, name: str = NAME, scopes: tuple[str, ...] = ("video_visit",)) -> None:
    choose(page, name=name, scopes=scopes)
    page.locator("[data-consent-form] button[type=submit]").click()
    expect_stage(page, "waiting")
    page.locator("[data-record]").wait_for()


def arrive(visit: Visit, phone: BrowserContext, *, spoken: bool = False) -> Page:
    """From the link to the waiting room."""
    page = open_link(visit, phone)
    confirm_identity(page)
    test_devices(page)
    if spoken:
        speak_consent(page)
    agree(page)
    return page


def admit(visit: Visit, page: Page) -> None:
    visit.room.locator("[data-admit]:not([disabled])").click()
    for side in (visit.room, page):
        expect(side.locator("[data-call]")).to_have_attribute("data-connection", "connected", timeout=20_000)


def frames(page: Page) -> int:
    """Decoded frames of the other side's picture."""
    return int(page.evaluate("document.querySelector('video[data-remote]').getVideoPlaybackQuality().totalVideoFrames"))


def sees_and_hears(page: Page) -> None:
    """Decoded remote frames go up, and what comes in over the call's audio has energy."""
    before = frames(page)
    until(
        page, f"document.querySelector('video[data-remote]').getVideoPlaybackQuality().totalVideoFrames > {before + 10}"
    )
    until(
        page,
        """async () => {
          for (const connection of window.connections) {
            for (const entry of (await connection.getStats()).values()) {
              const heard = entry.type === "inbound-rtp" && entry.kind === "audio";
              if (heard && entry.totalAudioEnergy > 0.0001) return true;
            }
          }
          return false;
        }""",
    )


def shows(page: Asked, state: str) -> None:
    until(page, f"document.querySelector('[data-proof-chip]')?.dataset.state === '{state}'")


def compare(*pages: Asked) -> None:
    """All open the words, which are the same, and say so."""
    for page in pages:
        page.click("[data-proof-chip]")
        until(page, f"({READ})().length === 8")
    read = [page.evaluate(READ) for page in pages]
    assert all(one == read[0] for one in read), read
    for page in pages:
        page.click("[data-proof-same]")
    for page in pages:
        shows(page, "comparison")
        page.click("[data-proof-close]")


def end(visit: Visit) -> None:
    visit.room.locator("[data-call] [data-end]").click()
    visit.room.locator("[data-end-yes]").click()
    expect_stage(visit.room, "ended")
