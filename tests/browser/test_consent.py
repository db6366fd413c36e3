"""The consent step in a real browser: signed by its own key, never called recorded before it is, withdrawn at once."""

import json
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect

from tests.browser import visit as course
from tests.browser.people import expect_stage, sign_in, until, visitor
from tests.browser.product import PRIVACY_OFFICER, Product
from tests.browser.test_pages import Watcher, look

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("running", ["embedded"], indirect=True)]

ACTS = """
from consults import consent
from consults.models import Consent
from vault.core import evidence
from vault.models import AuditEntry
answer = []
for act in Consent.objects.filter(consult="CONSULT").order_by("at"):
    told = evidence.verify(*consent.opened(act)) if act.evidence else None
    logged = AuditEntry.objects.filter(action__in=("consent.give", "consent.withdraw"), consult="CONSULT")
    answer.append({"act": act.act, "told": told, "digest": act.evidence_digest, "before": act.withdraws_id,
                   "method": act.method, "entries": logged.count(), "at": act.at.timestamp()})
"""


#: a visit whose patient has just tested her camera; the pages before are lived through in test_visit.py
TESTED = """
from accounts.models import User
from consults import voice
from tests.browser.product import CLINICIAN
from tests.browser.visit import BIRTH_DATE, NAME
from tests.cast import BY, bring_to
from vault import search
doctor = User.objects.get(email=CLINICIAN)
(maria,) = search.find(doctor.clinic_id, NAME, BY).patients
now = bring_to("tested", doctor, maria, {"name": NAME, "birth_date": BIRTH_DATE})
voice.agree(now.seat, yes=False, source="test")
answer = [str(now.consult.id), *now.patients_cookie]
"""


@pytest.fixture
def at_step(running: Product, browser: Browser) -> Callable[..., tuple[course.Visit, Page]]:
    def go(*, room: bool = False, **look: object) -> tuple[course.Visit, Page]:
        consult, name, secret = running.ask(TESTED)
        phone = visitor(browser, width=390, height=800, **look)
        seat = {"name": name, "value": secret, "domain": "localhost", "path": "/", "secure": True, "httpOnly": True}
        phone.add_cookies([seat])
        page = phone.new_page()
        desk = page
        if room:
            desk = sign_in(visitor(browser), running)
            desk.goto(f"{running.origin}/consults/{consult}/")
        page.goto(f"{running.origin}/visit/{consult}/")
        expect_stage(page, "consent")
        return course.Visit(running, consult, desk), page

    return go


def acts(visit: course.Visit) -> list[dict]:
    return visit.product.ask(ACTS.replace("CONSULT", visit.consult))


def submit(page: Page) -> None:
    page.locator("[data-consent-form] button[type=submit]").click()


def is_signed(request: Request) -> bool:
    """Whether this post brings what was signed, and not only what was chosen."""
    return b'name="evidence"' in (request.post_data_buffer or b"")


def test_what_was_signed_is_what_the_page_showed(at_step):
    visit, page = at_step()
    page.locator("#consent-role").select_option("guardian")
    page.locator("#by-name").fill("Ana Gonzalez")
    page.locator("#relation").fill("mother")
    page.locator("#witness").select_option("interpreter")
    page.locator("#witness-name").fill("Ivo Berg")
    course.agree(page, scopes=("video_visit", "records"))
    (act,) = acts(visit)
    told = act["told"]
    assert told["by"] == {"role": "guardian", "name": "Ana Gonzalez", "relation": "mother"}
    assert told["witness"]["name"] == "Ivo Berg"
    assert {one["scope"]: one["agreed"] for one in told["statements"]} == {
        "video_visit": True,
        "records": True,
        "others": False,
        "voice": False,
    }
    page.locator("[data-record] summary").click()
    expect(page.locator("[data-record-digest]")).to_have_text(act["digest"])


def test_the_key_cannot_be_read_out_and_is_the_one_that_signed(at_step):
    visit, page = at_step()
    course.agree(page)
    kept = page.evaluate(
        """async () => {
          const db = await new Promise((resolve) => {
            const asked = indexedDB.open("telehealth-consent", 1);
            asked.onsuccess = () => resolve(asked.result);
          });
          const [kept] = await new Promise((resolve) => {
            const asked = db.transaction("seats").objectStore("seats").getAll();
            asked.onsuccess = () => resolve(asked.result);
          });
          const out = await crypto.subtle.exportKey("pkcs8", kept.keys.privateKey).then(() => "out", (e) => e.name);
          return { out, extractable: kept.keys.privateKey.extractable, spki: kept.spki };
        }"""
    )
    assert (kept["out"], kept["extractable"]) == ("InvalidAccessError", False)
    assert acts(visit)[0]["told"]["key"] == kept["spki"]


def test_spoken_played_back_redone_and_signed(at_step):
    visit, page = at_step()
    course.speak_consent(page, seconds=2)
    first = page.evaluate("document.querySelector('[data-voice-player]').src")
    page.locator("[data-voice-start]").click()
    page.locator("[data-voice-stop]").wait_for()
    page.wait_for_timeout(2000)
    page.locator("[data-voice-stop]").click()
    page.locator("[data-voice-player]").wait_for()
    until(page, f"document.querySelector('[data-voice-player]').src !== {json.dumps(first)}")
    course.agree(page)
    (act,) = acts(visit)
    assert act["method"] == "spoken"
    kept = visit.product.ask(
        "from consults.models import VoiceRecording\n"
        f"answer = list(VoiceRecording.objects.filter(participant__consult='{visit.consult}').values_list('sha256'))"
    )
    assert kept == [[act["told"]["recording"]["sha256"]]]
    assert act["told"]["worker"][0].startswith("sha-256 ")


def test_she_goes_on_without_recording_after_having_begun_one(at_step):
    visit, page = at_step()
    course.speak_consent(page, seconds=2)
    page.locator("input[name=aloud][value='']").check()
    course.agree(page)
    (act,) = acts(visit)
    assert (act["method"], act["told"]["recording"], act["told"]["worker"]) == ("written", None, [])


def test_an_answer_that_is_lost_is_not_called_recorded_and_asked_for_again(at_step):
    visit, page = at_step()
    lost = []

    def lose(route: Route) -> None:
        if is_signed(route.request) and len(lost) < 2:
            # The server has it; its answer never comes.
            lost.append(route.fetch().status)
            route.abort()
        else:
            route.continue_()

    page.route("**/consent/", lose)
    course.choose(page)
    submit(page)
    expect(page.locator("[data-consent-status]")).to_contain_text("nothing counts as recorded")
    assert not page.locator("[data-record]").is_visible()
    expect_stage(page, "waiting")
    page.locator("[data-record]").wait_for()
    assert lost == [200, 200]
    (act,) = acts(visit)
    assert act["entries"] == 1


def test_while_the_server_is_away_nothing_is_called_recorded_even_after_a_reload(at_step):
    visit, page = at_step()
    away = [True]

    def refuse(route: Route) -> None:
        route.abort() if away[0] and is_signed(route.request) else route.continue_()

    page.route("**/consent/", refuse)
    course.choose(page)
    submit(page)
    expect(page.locator("[data-consent-status]")).to_contain_text("nothing counts as recorded")
    page.reload()
    expect_stage(page, "consent")
    expect(page.locator("[data-consent-status]")).to_contain_text("nothing counts as recorded")
    assert not page.locator("[data-record]").is_visible()
    assert acts(visit) == []
    away[0] = False
    expect_stage(page, "waiting")
    page.locator("[data-record]").wait_for()
    assert len(acts(visit)) == 1


#: what a server that was taken over might put into what is to be signed
LIES = {
    "words": lambda sign: sign["statements"][0].update(digest="0" * 64),
    "scope": lambda sign: sign["statements"][1].update(agreed=True),
    "purpose": lambda sign: sign.update(purpose="Anything at all"),
    "name": lambda sign: sign.update(name="Somebody Else"),
    "consult": lambda sign: sign.update(consult="00000000-0000-4000-8000-000000000000"),
    "expires": lambda sign: sign.update(expires="2099-01-01T00:00:00Z"),
}


def test_a_server_that_asks_for_something_else_gets_no_signature(at_step):
    visit, page = at_step()
    sent: list[Request] = []
    asked: list[str] = []
    lying = [""]

    def deceive(route: Route) -> None:
        if is_signed(route.request):
            sent.append(route.request)
        answer = route.fetch()
        told = answer.json()
        sign = json.loads(told["sign"])
        LIES[lying[0]](sign)
        asked.append(lying[0])
        route.fulfill(response=answer, json={"sign": json.dumps(sign)})

    page.route("**/consent/", deceive)
    course.choose(page)
    for lying[0] in LIES:
        page.evaluate("document.querySelector('[data-consent-error]').textContent = ''")
        submit(page)
        expect(page.locator("[data-consent-error]")).to_contain_text("something other than what this page shows")
        expect(page.locator("[data-consent-form] button[type=submit]")).to_be_enabled()
    assert asked == list(LIES)
    page.wait_for_timeout(300)
    assert sent == []
    assert acts(visit) == []


def test_withdrawn_in_a_call_is_signed_by_the_same_key_and_the_picture_stops(at_step):
    visit, page = at_step(room=True)
    course.agree(page)
    course.admit(visit, page)
    course.sees_and_hears(visit.room)
    page.locator("[data-panel-toggle]").click()
    page.locator("[data-panel] [data-withdraw]").click()
    pressed = time.time()
    page.locator("dialog[open] .button-danger").click()
    expect(visit.room.locator("[data-call]")).not_to_have_attribute("data-connection", "connected", timeout=5000)
    assert time.time() - pressed < 2
    stopped = course.frames(visit.room)
    visit.room.wait_for_timeout(1000)
    assert course.frames(visit.room) == stopped
    expect_stage(page, "consent")
    given, withdrawn = acts(visit)
    assert (given["act"], withdrawn["act"]) == ("given", "withdrawn")
    assert withdrawn["told"]["withdraws"] == given["digest"]
    assert withdrawn["told"]["key"] == given["told"]["key"]
    assert not any(one["agreed"] for one in withdrawn["told"]["statements"])
    # She was let in already: agreeing again leads back into the call.
    course.choose(page)
    submit(page)
    expect(page.locator("[data-call]")).to_have_attribute("data-connection", "connected", timeout=20_000)
    assert len(acts(visit)) == 3


def test_withdrawing_goes_through_where_nothing_can_be_signed(at_step):
    visit, page = at_step()
    course.agree(page)
    page.evaluate("() => { crypto.subtle.sign = () => new Promise(() => {}); }")
    page.locator("[data-step=waiting] [data-withdraw]").click()
    page.locator("dialog[open] .button-danger").click()
    expect_stage(page, "consent")
    assert [(act["act"], bool(act["told"])) for act in acts(visit)] == [("given", True), ("withdrawn", False)]


def both(page: Page, name: str, watch: Watcher) -> None:
    """Light and dark."""
    for dark in (True, False):
        page.emulate_media(color_scheme="dark" if dark else "light")
        look(page, name, dark, watch)


def test_the_step_in_arabic_and_with_everything_open(running, at_step):
    visit, page = at_step()
    watch = Watcher(page.context, running.origin)
    course.speak_consent(page, seconds=2)
    page.locator("#consent-role").select_option("guardian")
    page.locator("#witness").select_option("interpreter")
    both(page, "consent-open", watch)
    page.locator("#consent-language").select_option("ar")
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    expect(page.locator("h1:visible")).to_have_text("موافقتك")
    both(page, "consent-arabic", watch)
    course.agree(page)
    expect(page.locator("html")).to_have_attribute("dir", "ltr")
    assert {one["locale"] for one in acts(visit)[0]["told"]["statements"]} == {"ar"}
    assert watch.complaints == []


def test_an_officer_writes_a_new_version_and_patients_read_it(running, browser, at_step):
    context = visitor(browser)
    watch = Watcher(context, running.origin)
    page = sign_in(context, running, PRIVACY_OFFICER)
    page.goto(f"{running.origin}/admin/consults/consentstatement/?locale__exact=en&scope__exact=others")
    both(page, "admin-statements", watch)
    page.locator("#result_list tbody th a").first.click()
    both(page, "admin-statement", watch)
    page.get_by_role("link", name="Write a new version").click()
    text = page.locator("#id_text")
    words = "Your clinician may also bring a dog."
    text.fill(f"{words}\n\n{text.input_value().partition(chr(10) * 2)[2]}")
    both(page, "admin-draft", watch)
    page.locator("input[name=_save]").click()
    expect(page.locator("ins").last).to_be_visible()
    both(page, "admin-preview", watch)
    page.locator("input[name=publish]").click()
    expect(page.locator(".messagelist")).to_contain_text("Published as version")
    _, guest = at_step()
    expect(guest.locator("[data-scope=others]")).to_contain_text(words)
    course.agree(guest, scopes=("video_visit", "others"))
    assert watch.complaints == []
