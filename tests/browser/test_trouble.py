"""What people meet on a bad day: no camera, a second tab, a server that restarts, a worker that hangs."""

import re
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import product as products
from tests.browser import visit as course
from tests.browser.people import sign_in, visitor
from tests.browser.product import Product

pytestmark = pytest.mark.browser


def in_a_call(running: Product, browser: Browser) -> tuple[course.Visit, object]:
    visit = course.start(running, sign_in(visitor(browser), running))
    course.make_link(visit)
    page = course.arrive(visit, visitor(browser, width=390, height=800))
    course.admit(visit, page)
    return visit, page


@pytest.mark.parametrize("running", ["embedded"], indirect=True)
def test_the_dashboard_tells_of_an_arrival_by_itself(running: Product, browser: Browser) -> None:
    desk = visitor(browser)
    visit = course.start(running, sign_in(desk, running))
    course.make_link(visit)
    board = desk.new_page()
    board.goto(running.origin)
    course.arrive(visit, visitor(browser, width=390, height=800))
    expect(board.locator("[data-seat]")).to_have_count(1)
    expect(board).to_have_title(re.compile(r"^\(1\) Waiting"))
    board.get_by_role("button", name="Admit").click()
    board.wait_for_url("**/consults/*/")
    course.expect_stage(board, "call")


@pytest.mark.parametrize("running", ["embedded"], indirect=True)
def test_a_patient_without_camera_and_microphone_sees_and_hears(running: Product, browser: Browser) -> None:
    visit = course.start(running, sign_in(visitor(browser), running))
    course.make_link(visit)
    phone = visitor(browser, width=390, height=800)
    phone.add_init_script(
        "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotFoundError'); };"
    )
    page = course.open_link(visit, phone)
    course.confirm_identity(page)
    expect(page.locator("[data-trouble-text]")).to_contain_text("No camera or microphone was found")
    page.locator("[data-without]").click()
    course.agree(page)
    course.admit(visit, page)
    course.sees_and_hears(page)


@pytest.mark.parametrize("running", ["embedded"], indirect=True)
def test_a_muted_microphone_and_a_second_tab_are_said_in_words(running: Product, browser: Browser) -> None:
    visit, page = in_a_call(running, browser)
    visit.room.locator("[data-toggle=microphone]").click()
    expect(page.locator("[data-remote-muted]")).to_be_visible()
    visit.room.locator("[data-toggle=camera]").click()
    expect(page.locator("[data-call-message-text]")).to_contain_text("camera and microphone off")
    second = page.context.new_page()
    second.goto(page.url)
    course.expect_stage(second, "call")
    expect(page.locator("[data-banner]")).to_contain_text("another tab")
    expect(second.locator("[data-call]")).to_have_attribute("data-connection", "connected", timeout=20_000)


@pytest.mark.parametrize("running", ["embedded"], indirect=True)
def test_a_protected_value_is_read_for_a_purpose_and_hidden_again(running: Product, browser: Browser) -> None:
    desk = sign_in(visitor(browser), running)
    visit = course.start(running, desk)
    course.make_link(visit)
    guest = course.open_link(visit, visitor(browser))
    course.confirm_identity(guest)
    course.expect_stage(guest, "devices")
    record = desk.context.new_page()
    record.clock.install()
    record.goto(desk.url)
    record.locator("a[href*='/patients/']").first.click()
    expect(record.get_by_role("main")).not_to_contain_text("Gonzalez")
    record.locator("[data-reveal-open]").first.click()
    form = record.locator("[data-reveal-form]")
    form.locator("input[value=name]").check()
    choice = form.locator("select[name=purpose], input[name=purpose]").first
    if choice.evaluate("element => element.tagName") == "SELECT":
        choice.select_option("identify")
    else:
        form.locator("input[name=purpose][value=identify]").check()
    code = form.locator("input[name=code]")
    if code.is_visible():
        code.fill(running.code(products.CLINICIAN))
    form.get_by_role("button", name="Show").click()
    expect(record.locator("[data-field=name]")).to_contain_text("Maria Gonzalez")
    record.clock.run_for(55_000)
    expect(record.locator("[data-field=name]")).to_contain_text("Maria Gonzalez")
    record.clock.run_for(10_000)
    expect(record.locator("[data-field=name]")).to_have_text("M. G.")
    assert "Gonzalez" not in record.content(), "the page keeps what it no longer shows"
    found = running.ask(
        "from vault.models import AuditEntry\n"
        "answer = list(AuditEntry.objects.filter(action='patient.reveal').values_list('purpose', 'detail__fields'))"
    )
    assert found[-1] == ["identify", ["name"]]
    assert visit.consult


def test_the_server_restarts_and_the_call_goes_on(browser: Browser) -> None:
    with products.running() as running:
        visit, page = in_a_call(running, browser)
        running.stop()
        for side in (page, visit.room):
            expect(side.locator("[data-banner]")).to_be_visible(timeout=15_000)
        course.sees_and_hears(page)
        with running.log.open("ab") as log:
            running.process = subprocess.Popen(
                [sys.executable, "manage.py", "up"], cwd=products.ROOT, env=running.environment, stdout=log, stderr=log
            )
        for side in (page, visit.room):
            expect(side.locator("[data-banner]")).to_be_hidden(timeout=30_000)
            expect(side.locator("[data-call]")).to_have_attribute("data-connection", "connected")
        course.sees_and_hears(page)
        course.end(visit)
        course.expect_stage(page, "ended")


@pytest.mark.parametrize("running", ["embedded"], indirect=True)
def test_the_key_file_goes_missing_and_the_call_goes_on(running: Product, browser: Browser) -> None:
    visit, page = in_a_call(running, browser)
    keys = running.data / "keys" / "kek.json"
    keys.rename(keys.with_suffix(".away"))
    try:
        until_ready(running, False)
        course.sees_and_hears(page)
        visit.room.locator("[data-toggle=microphone]").click()
        expect(page.locator("[data-remote-muted]")).to_be_visible()
        page.reload()  # the call needs no key, so a patient who comes back is let in
        expect(page.locator("[data-call]")).to_have_attribute("data-connection", "connected", timeout=20_000)
        refused = visit.room.request.post(
            f"{running.origin}/patients/search/",
            form={"q": "mar gon"},
            headers={"Referer": running.origin, "X-CSRFToken": csrf(visit.room)},
        )
        assert refused.status == 503
        assert "Maria" not in refused.text()
    finally:
        keys.with_suffix(".away").rename(keys)
    until_ready(running, True)
    course.end(visit)
    course.expect_stage(page, "ended")


def until_ready(running: Product, wanted: bool) -> None:
    for _ in range(60):
        if products.ready(running.origin) is wanted:
            return
        time.sleep(0.5)
    raise AssertionError(f"the product is {'not ' if wanted else ''}ready")


def csrf(page: Page) -> str:
    return str(next(c["value"] for c in page.context.cookies() if "csrf" in c["name"]))


@pytest.mark.parametrize("running", ["engines"], indirect=True)
def test_a_worker_that_hangs_is_said_and_written_consent_still_works(running: Product, browser: Browser) -> None:
    family = psutil.Process(running.process.pid).children(recursive=True)
    worker = next(p for p in family if "consult_worker" in p.cmdline())
    worker.suspend()
    try:
        visit, page = in_a_call(running, browser)
        visit.room.locator("[data-panel-toggle]").click()
        panel = visit.room.locator("[data-panel]")
        expect(panel.locator("[data-monitor=away]")).to_contain_text("not connected", timeout=15_000)
        course.sees_and_hears(page)
    finally:
        worker.resume()
    for _ in range(60):
        if panel.locator("[data-monitor=connected]").count():
            return
        time.sleep(0.5)
    raise AssertionError("the monitor did not come back")


HELD_BY = """
from consults.models import Consult
answer = Consult.objects.get(pk="CONSULT").worker
"""
BUILT_SINCE = """
from vault.models import AuditEntry
entries = AuditEntry.objects.filter(consult="CONSULT", action="worker.monitor").exclude(person="KILLED")
answer = sorted([e.detail["of"], e.at.timestamp()] for e in entries)
"""


@pytest.mark.parametrize("running", ["engines"], indirect=True)
def test_both_browsers_build_their_leg_anew_when_a_worker_is_killed(running: Product, browser: Browser) -> None:
    family = psutil.Process(running.process.pid).children(recursive=True)
    first = next(p for p in family if "consult_worker" in p.cmdline())
    second = subprocess.Popen(
        [sys.executable, "manage.py", "consult_worker"], cwd=products.ROOT, env=running.environment
    )
    first.suspend()  # so that the visit falls to the second
    try:
        visit, page = in_a_call(running, browser)
        holder = held(running, visit, lambda name: f":{second.pid}:" in name)
        for panel in (visit.room, page):
            panel.locator("[data-monitor=connected]").first.wait_for(state="attached", timeout=15_000)
        first.resume()
        time.sleep(2)
        second.kill()
        killed = time.time()
        query = BUILT_SINCE.replace("CONSULT", visit.consult).replace("KILLED", holder)
        for _ in range(15):
            built = running.ask(query)
            if len(built) > 1:
                break
            time.sleep(0.5)
        assert [role for role, _ in built] == ["clinician", "patient"]
        assert all(0 < at - killed < 10 for _, at in built)
        assert held(running, visit, lambda name: f":{first.pid}:" in name)
        for panel in (visit.room, page):
            panel.locator("[data-monitor=connected]").first.wait_for(state="attached", timeout=10_000)
        course.sees_and_hears(page)
    finally:
        first.resume()
        second.kill()
        second.wait()


def held(running: Product, visit: course.Visit, by: Callable[[str], bool]) -> str:
    for _ in range(10):
        name = str(running.ask(HELD_BY.replace("CONSULT", visit.consult)))
        if by(name):
            return name
        time.sleep(0.5)
    raise AssertionError(f"held by {name!r}")


def test_a_worker_that_asks_no_private_address_is_reached_by_both_browsers(browser: Browser) -> None:
    """As on a server in the Internet: what a browser names in its own house is passed over, its checks get through."""
    with products.running(WORKER_PRIVATE_ADDRESSES="0") as running:
        visit = course.start(running, sign_in(visitor(browser), running))
        course.make_link(visit)
        page = course.arrive(visit, visitor(browser, width=390, height=800), spoken=True)
        course.admit(visit, page)
        for panel in (visit.room, page):
            panel.locator("[data-monitor=connected]").first.wait_for(state="attached", timeout=15_000)
