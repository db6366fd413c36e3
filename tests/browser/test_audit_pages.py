"""The audit log's pages as a privacy officer uses them, looked at like every page: both widths, light and dark."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.people import sign_in
from tests.browser.product import COLLEAGUE, PRIVACY_OFFICER, Product
from tests.browser.test_pages import dark, look, watched  # noqa: F401  (fixtures)

pytestmark = pytest.mark.browser

#: a week's work of a small clinic, with something of every kind that stands out
WORK = f"""
from datetime import timedelta
from django.utils import timezone
from accounts.models import User
from accounts.sessions import staff_actor
from consults import concerns
from vault.models import AuditEntry, Patient

now = timezone.now()
people = list(User.objects.filter(role="clinician").order_by("email"))
patients = list(Patient.objects.order_by("record_number"))
colleague = User.objects.get(email="{COLLEAGUE}")


def add(who, action, at, patient=None, outcome="done", **detail):
    AuditEntry.objects.create(
        at=at, action=action, outcome=outcome, clinic_id=who.clinic_id, person=str(who.pk), person_name=who.name,
        role=who.role, patient=str(patient.pk) if patient else "", source="198.51.100.7",
        purpose="treat" if action == "patient.reveal" else "", detail=detail,
    )


def ago(hours):
    return now - timedelta(hours=hours)


if AuditEntry.objects.filter(source="198.51.100.7").count() == 0:
    for hour in range(150, 0, -1):
        for n in range(hour % 5):
            who, patient = people[(hour + n) % 2], patients[(hour * 7 + n) % len(patients)]
            action = ("patient.view", "patient.reveal", "consult.view", "patient.search")[(hour + n) % 4]
            add(who, action, ago(hour), patient, fields=["phone", "notes"] if action == "patient.reveal" else [])
    for n in range(8):
        add(people[0], "patient.reveal", ago(0.8) + timedelta(minutes=n), patients[n], "refused", why="relation")
    colleague.name = "Dr Amara Mehta"
    colleague.save()
    concerns.break_glass(colleague, patients[3], "The ambulance asks about allergies", staff_actor(colleague))
answer = str(patients[0].record_number)
"""


@pytest.mark.parametrize("running", ["embedded"], indirect=True)
def test_pages_of_the_audit_log(running: Product, watched: Callable, dark: bool) -> None:  # noqa: F811
    number = running.ask(WORK)
    office, watch = watched()
    page = sign_in(office, running, PRIVACY_OFFICER)
    log = f"{running.origin}/admin/vault/auditentry/"
    page.goto(log)
    expect(page.get_by_role("heading", name="Stands out")).to_be_visible()
    look(page, "log", dark, watch)
    filter_and_save(page)
    look(page, "log-filtered", dark, watch)
    page.get_by_label("Search the log").fill(number)
    page.get_by_role("button", name="Search").click()
    page.get_by_text(f"({number})").first.wait_for()
    page.get_by_role("heading", name="Who looked, and why").wait_for()
    page.goto(log)
    page.get_by_label("Search the log").fill("consent")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("heading", name="What do you mean?").wait_for()
    look(page, "log-choices", dark, watch)
    page.goto(f"{log}?action=consent.withdraw")
    page.get_by_text("There is no such entry").wait_for()
    look(page, "log-empty", dark, watch)
    timelines(page, log, dark, watch)
    page.goto(f"{log}activity/?span=week")
    page.get_by_text("The same as a table").click()
    look(page, "log-activity", dark, watch)
    page.goto(f"{log}activity/?span=quarter")
    look(page, "log-activity-quarter", dark, watch)
    sign_off(page, log, dark, watch)
    take_along(page, running, log, dark, watch)
    have_verified(page, log, dark, watch)
    assert watch.complaints == []


def filter_and_save(page: Page) -> None:
    page.get_by_label("Result").select_option("refused")
    page.get_by_label("Role", exact=True).select_option("clinician")
    page.get_by_role("button", name="Show these").click()
    page.wait_for_url("**/?outcome=refused&role=clinician")
    page.get_by_label("Save this filter as").fill("Refused clinicians")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Refused clinicians").wait_for()


def timelines(page: Page, log: str, dark: bool, watch: object) -> None:  # noqa: F811
    page.goto(f"{log}?action=patient.reveal")
    page.locator(".log-whom a").first.click()
    page.get_by_text("Everything the log has of this patient").wait_for()
    look(page, "log-patient", dark, watch)
    page.get_by_role("link", name="Oldest first").click()
    expect(page.get_by_role("link", name="Oldest first")).to_have_attribute("aria-current", "true")
    page.locator("a.log-who").first.click()
    page.get_by_text("Everything this clinician did").wait_for()
    look(page, "log-person", dark, watch)
    page.locator(".log-time a").first.click()
    page.locator(".readonly").first.wait_for()
    look(page, "log-entry", dark, watch)


def sign_off(page: Page, log: str, dark: bool, watch: object) -> None:  # noqa: F811
    page.goto(f"{log}reviews/")
    page.get_by_label("Needs a follow-up").check()
    page.get_by_label("Note").fill("Eight refusals within ten minutes; asked Dr García about it.")
    look(page, "log-sign-off", dark, watch)
    page.get_by_role("button", name="Sign off").click()
    page.get_by_text("Signed off. It is in the log.").wait_for()
    look(page, "log-signed-off", dark, watch)
    page.locator(".log-list a").first.click()
    page.get_by_text("Eight refusals").wait_for()
    look(page, "log-review", dark, watch)


def take_along(page: Page, product: Product, log: str, dark: bool, watch: object) -> None:  # noqa: F811
    page.goto(f"{log}?action=patient.reveal")
    page.get_by_role("link", name="Export", exact=True).click()
    if page.get_by_label("One-time code").is_visible():
        page.get_by_label("One-time code").fill(product.code(PRIVACY_OFFICER))
    look(page, "log-export", dark, watch)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    text = download.value.path().read_text()
    assert "patient.reveal" in text
    assert "patient.search" not in text
    page.get_by_text("SHA-256").first.wait_for()
    look(page, "log-exported", dark, watch)


def have_verified(page: Page, log: str, dark: bool, watch: object) -> None:  # noqa: F811
    """The work above was put in with the rights of the database, with times of its own: just what is looked for."""
    page.goto(f"{log}?action=patient.reveal")
    page.get_by_role("link", name="Verify").click()
    page.get_by_role("button", name="Verify now").click()
    page.get_by_text("The log does not hold").first.wait_for(timeout=30_000)
    expect(page.get_by_text("time is not that of its sealing").first).to_be_visible()
    look(page, "log-verify", dark, watch)
