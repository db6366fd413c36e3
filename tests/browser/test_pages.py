"""Every page, looked at as its user does: 360 and 1280 px, light and dark; nothing sticks out, nothing is foreign."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser import visit as course
from tests.browser.people import sign_in, visitor
from tests.browser.product import OPERATOR, PRIVACY_OFFICER, ROOT, Product

pytestmark = pytest.mark.browser

AXE = (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text()
#: set to a folder to keep a picture of every page
PICTURES = os.environ.get("PICTURES", "")
SIZES = [(360, 760), (1280, 800)]


@pytest.fixture(params=[False, True], ids=["light", "dark"])
def dark(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


class Watcher:
    """Notes what a page should not do: errors, refusals of its own policy, requests elsewhere."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.complaints: list[str] = []
        self.origin = urlsplit(origin).netloc
        context.on("console", lambda message: self._said(message.type, message.text))
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("request", lambda request: self._asked(request.url))

    def deafly(self, examine: Callable[[], list[str]]) -> list[str]:
        """axe-core tries inline styles, which the policy refuses: that is no fault of the page."""
        before = list(self.complaints)
        found = examine()
        self.complaints = before
        return found

    def _said(self, kind: str, text: str) -> None:
        if kind == "error" and "Failed to load resource" not in text:
            self.complaints.append(text)

    def _asked(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.netloc != self.origin:
            self.complaints.append(f"foreign request: {parts.netloc}")


def look(page: Page, name: str, dark: bool, watch: Watcher) -> None:
    """Both widths: no sideways scrolling; a picture if wanted. No accessibility fault that axe-core calls serious,
    looked for on the small screen in the light, on the large one in the dark.
    """
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(100)
        wide = page.evaluate("document.scrollingElement.scrollWidth")
        if PICTURES:
            Path(PICTURES).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=f"{PICTURES}/{name}-{width}-{'dark' if dark else 'light'}.png", full_page=True)
        assert wide <= width, f"{name} is {wide} px wide at {width}"
        if (width, height) == SIZES[dark]:
            faults = watch.deafly(lambda: serious_faults(page))
            assert not faults, f"{name} at {width}: {faults}"


def serious_faults(page: Page) -> list[str]:
    # Evaluated by the debugger, so the page's own policy, which allows no such script, stays as it is.
    page.evaluate(f"() => {{ {AXE} }}") if not page.evaluate("typeof window.axe === 'object'") else None
    found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})")
    return [
        f"{fault['id']}: {fault['nodes'][0]['html'][:160]}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
    ]


@pytest.fixture
def watched(running: Product, browser: Browser, dark: bool) -> Callable[[], tuple[BrowserContext, Watcher]]:
    def make() -> tuple[BrowserContext, Watcher]:
        context = visitor(browser, dark=dark)
        return context, Watcher(context, running.origin)

    return make


@pytest.mark.parametrize("running", ["embedded"], indirect=True)
def test_pages_of_a_visit(running: Product, watched: Callable, dark: bool) -> None:
    desk, desk_watch = watched()
    page = desk.new_page()
    page.goto(f"{running.origin}/signin/")
    look(page, "signin", dark, desk_watch)
    page = sign_in(desk, running)
    look(page, "dashboard-empty", dark, desk_watch)
    page.goto(f"{running.origin}/patients/new/")
    look(page, "patient-new", dark, desk_watch)
    page.goto(f"{running.origin}/account/")
    look(page, "account", dark, desk_watch)
    visit = course.start(running, page)
    look(page, "room-new", dark, desk_watch)
    course.make_link(visit)
    look(page, "room-invite", dark, desk_watch)
    phone, phone_watch = watched()
    guest = phone.new_page()
    guest.goto(visit.link)
    guest.get_by_role("button", name="Start").wait_for()
    look(guest, "invited", dark, phone_watch)
    guest.get_by_role("button", name="Start").click()
    guest.wait_for_url("**/visit/*/")
    look(guest, "identity", dark, phone_watch)
    course.confirm_identity(guest)
    course.expect_stage(guest, "devices")
    look(guest, "devices", dark, phone_watch)
    course.test_devices(guest)
    course.expect_stage(guest, "consent")
    look(guest, "consent", dark, phone_watch)
    course.agree(guest)
    look(guest, "waiting", dark, phone_watch)
    look(page, "room-waiting", dark, desk_watch)
    board = desk.new_page()
    board.goto(f"{running.origin}/")
    board.locator("[data-lists] form").first.wait_for()
    look(board, "dashboard-waiting", dark, desk_watch)
    board.close()
    page.set_viewport_size({"width": 1280, "height": 800})
    course.admit(visit, guest)
    course.sees_and_hears(page)
    look(guest, "call-patient", dark, phone_watch)
    look(page, "call-clinician", dark, desk_watch)
    guest.locator("[data-panel-toggle]").click()
    look(guest, "call-patient-panel", dark, phone_watch)
    page.locator("[data-panel-toggle]").click()
    look(page, "call-clinician-panel", dark, desk_watch)
    office, office_watch = watched()
    live = sign_in(office, running, OPERATOR)
    look_at_the_board(live, visit, dark, office_watch)
    board = desk.new_page()
    board.goto(f"{running.origin}/board/")
    look(board, "board-clinician", dark, desk_watch)
    board.close()
    page.set_viewport_size({"width": 1280, "height": 800})
    course.end(visit)
    look(page, "ended-clinician", dark, desk_watch)
    look_how_calls_went(live, visit, dark, office_watch)
    assert office_watch.complaints == []
    course.expect_stage(guest, "ended")
    look(guest, "ended-patient", dark, phone_watch)
    record = desk.new_page()
    record.goto(f"{running.origin}/")
    look(record, "dashboard-done", dark, desk_watch)
    assert desk_watch.complaints == []
    assert phone_watch.complaints == []


@pytest.mark.parametrize("running", ["embedded"], indirect=True)
def test_pages_of_the_proof(running: Product, watched: Callable, dark: bool) -> None:
    desk, desk_watch = watched()
    visit = course.start(running, sign_in(desk, running))
    visit.link = course.make_link(visit).rpartition(".")[0]  # the patient's page knows no secret
    visit.room.locator("summary", has_text="square").click()
    look(visit.room, "room-invite-square", dark, desk_watch)
    phone, phone_watch = watched()
    guest = course.arrive(visit, phone)
    visit.room.locator("[data-admit]:not([disabled])").click()
    visit.room.locator("[data-proof-stuck]").wait_for()
    look(visit.room, "proof-stuck", dark, desk_watch)
    visit.room.locator("[data-proof-stuck] button").click()
    guest.locator("[data-proof-chip]").click()
    for page, name, watch in ((visit.room, "clinician", desk_watch), (guest, "patient", phone_watch)):
        page.locator("[data-proof-words] li").nth(3).wait_for()
        look(page, f"proof-compare-{name}", dark, watch)
    guest.locator("[data-proof-differ]").click()
    for page, name, watch in ((visit.room, "clinician", desk_watch), (guest, "patient", phone_watch)):
        page.locator("[data-proof-alarm]").wait_for()
        look(page, f"proof-alarm-{name}", dark, watch)
    assert desk_watch.complaints == []
    assert phone_watch.complaints == []


def look_at_the_board(page: Page, visit: course.Visit, dark: bool, watch: Watcher) -> None:
    """A call, and one with something wrong, as where a worker found it."""
    page.goto(f"{visit.product.origin}/board/")
    page.locator(f"[data-session='{visit.consult}']").wait_for()
    look(page, "board", dark, watch)
    for shown_by, name in ((page, "board-warning"), (visit.room, "call-clinician-warning")):
        raise_warnings(visit, shown_by)
        look(shown_by, name, dark, watch)


def raise_warnings(visit: course.Visit, page: Page) -> None:
    """The worker watches this call as well: what it finds takes the place of what is said here, which is said again."""
    found = {("one_way_audio", "patient"), ("poor_quality", "clinician")}
    until_shown = time.monotonic() + 60
    while not page.locator("[data-warning]:visible").count():
        assert time.monotonic() < until_shown
        visit.product.ask(
            "from uuid import UUID\nfrom consults import alerts\n"
            f"answer = alerts.settle(UUID('{visit.consult}'), {found}, ['one_way_audio', 'poor_quality'])"
        )
        page.wait_for_timeout(500)


def look_how_calls_went(page: Page, visit: course.Visit, dark: bool, watch: Watcher) -> None:
    page.goto(f"{visit.product.origin}/board/{visit.consult}/")
    page.get_by_text("The same as a table").click()
    look(page, "board-visit", dark, watch)
    visit.product.ask(
        "from consults import call_summary\nfrom datetime import timedelta\ncall_summary.SETTLES = timedelta()\n"
        "answer = call_summary.sum_up_ended()"
    )
    page.goto(f"{visit.product.origin}/board/reliability/")
    look(page, "reliability", dark, watch)


@pytest.mark.parametrize("running", ["embedded"], indirect=True)
def test_pages_of_the_privacy_officer_and_the_operator(running: Product, watched: Callable, dark: bool) -> None:
    for email, paths in {
        PRIVACY_OFFICER: (
            "",
            "vault/auditentry/",
            "consults/consent/",
            "consults/consentstatement/",
            "consults/statementdraft/add/",
        ),
        OPERATOR: ("", "accounts/user/", "accounts/user/add/", "consults/consult/"),
    }.items():
        context, watch = watched()
        page = sign_in(context, running, email)
        for path in paths:
            page.goto(f"{running.origin}/admin/{path}")
            look(page, f"admin-{path.strip('/').replace('/', '-') or 'index'}-{email.partition('@')[0]}", dark, watch)
        assert watch.complaints == []


COLLEAGUE = "okafor@riverside.example"


def search(page: Page, words: str) -> None:
    page.get_by_role("searchbox").fill("")
    page.locator("[data-result]").first.wait_for(state="detached")
    page.get_by_role("searchbox").fill(words)
    page.locator("[data-result]").first.wait_for()


def send(page: Page, product: Product, email: str, button: str) -> None:
    """Press a form's button, with a code where the page asks for one."""
    if page.get_by_label("One-time code").is_visible():
        page.get_by_label("One-time code").fill(product.code(email))
    page.get_by_role("button", name=button).click()


@pytest.mark.parametrize("running", ["embedded"], indirect=True)
def test_pages_of_an_emergency_and_its_review(running: Product, watched: Callable, dark: bool) -> None:
    # Another patient each time: what one run opened stays open for a while.
    typo, name, known = ("sorensn", "soren", "Hard of hearing") if dark else ("watanbe", "watan", "Penicillin allergy")
    desk, desk_watch = watched()
    page = sign_in(desk, running, COLLEAGUE)
    search(page, "ma")
    look(page, "search-prefix", dark, desk_watch)
    search(page, typo)
    assert page.locator("[data-similar]").is_visible()
    look(page, "search-similar", dark, desk_watch)
    page.get_by_role("link", name="Open record").click()
    look(page, "record-closed", dark, desk_watch)
    page.get_by_role("link", name="use emergency access").click()
    look(page, "emergency", dark, desk_watch)
    reason = "Found confused at home; the ambulance asks about allergies."
    page.get_by_label("Why can it not wait?").fill(reason)
    send(page, running, COLLEAGUE, "Open for 15 minutes")
    page.get_by_text("Emergency access until").wait_for()
    page.get_by_role("button", name="Show values").click()
    page.locator("input[name=fields][value=notes]").check()
    page.locator("input[name=purpose][value=treat]").check()
    send(page, running, COLLEAGUE, "Show for one minute")
    page.get_by_text(known).wait_for()
    look(page, "record-open", dark, desk_watch)
    page.get_by_role("link", name="Correct the record").click()
    look(page, "change", dark, desk_watch)

    office, office_watch = watched()
    page = sign_in(office, running, PRIVACY_OFFICER)
    page.goto(f"{running.origin}/review/")
    search(page, name)
    look(page, "review", dark, office_watch)
    page.get_by_role("link", name="Look at it").first.click()
    page.get_by_text(reason).wait_for()
    assert page.get_by_text("read protected fields: notes").first.is_visible()
    look(page, "review-one", dark, office_watch)
    page.get_by_label("Justified", exact=True).check()
    page.get_by_role("button", name="Sign off").click()
    page.get_by_text("Signed off. It is in the log.").wait_for()
    look(page, "review-signed", dark, office_watch)
    search(page, name)
    page.get_by_role("link", name="Open record").click()
    look(page, "review-patient", dark, office_watch)
    page.get_by_role("link", name="Export the record").click()
    look(page, "export", dark, office_watch)
    page.go_back()
    page.get_by_role("link", name="Erase the record").click()
    look(page, "erase", dark, office_watch)
    page.go_back()
    hold_and_keep(page, dark, office_watch)
    page.goto(f"{running.origin}/review/decoys/new/")
    look(page, "review-decoy", dark, office_watch)
    assert desk_watch.complaints == []
    assert office_watch.complaints == []


def hold_and_keep(page: Page, dark: bool, watch: Watcher) -> None:
    """From a record: hold it, see how long consent is kept, lift the hold."""
    page.get_by_role("link", name="Place a legal hold").click()
    page.get_by_label("Why").fill("The claim of May, until counsel says that it is over")
    page.get_by_role("button", name="Place the hold").click()
    page.get_by_text("The hold stands.").wait_for()
    page.get_by_text("Lift this hold").click()
    look(page, "hold", dark, watch)
    page.get_by_role("link", name="Back to the record").click()
    assert page.get_by_role("link", name="Erase the record").count() == 0
    look(page, "review-patient-held", dark, watch)
    page.goto(page.url.partition("/patients/")[0].removesuffix("/review") + "/review/keeping/")
    page.get_by_label("Video visit").select_option("7 years" if dark else "10 years")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("counts in seven days").wait_for()
    look(page, "keeping", dark, watch)
    page.get_by_role("link", name="Open").first.click()
    page.get_by_text("Lift this hold").click()
    page.get_by_label("Why").first.fill("Counsel says that the claim is settled")
    page.get_by_role("button", name="Lift it").click()
    page.get_by_text("The hold is lifted.").wait_for()


@pytest.mark.parametrize("running", ["embedded"], indirect=True)
def test_pages_for_strangers(running: Product, watched: Callable, dark: bool) -> None:
    context, watch = watched()
    page = context.new_page()
    for name, path in {
        "no-such-page": "/nowhere/",
        "join-without-link": "/join/",
        "join-bad-link": "/join/#not-a-token",
        "visit-without-seat": "/visit/7b0b29d4-2c35-4b4f-9f0a-0d6d3a8a9d11/",
        "activate": "/activate/#not-a-token",
    }.items():
        page.goto("about:blank")
        page.goto(running.origin + path)
        page.wait_for_timeout(300)
        look(page, name, dark, watch)
    assert watch.complaints == []
