"""The privacy officer's page that exports a record: who, with which code, and what the browser gets."""

import json

import pytest
from django.conf import settings
from django.urls import reverse

from accounts.models import Attempts
from consults import views_export
from tests.cast import CANARIES, MARIA, Browser, bring_to, code_of, sign_in
from vault.models import AuditEntry

WANTED = {"reason": "subject", "form": "fhir"}


@pytest.fixture
def officer(cast):
    return sign_in(cast.officer)


@pytest.fixture
def path(cast):
    return reverse("export", args=[cast.patient.id])


def exports():
    return AuditEntry.objects.filter(action="patient.export").count()


def test_the_page_says_what_the_file_will_hold_and_shows_no_value(officer, path, cast):
    bring_to("admitted", cast.clinician, cast.patient)
    text = " ".join(officer.get(path).content.decode().split())
    assert "1 visit: when, and with whom" in text
    assert "1 act of consent, with the exact words" in text
    assert "recording of" not in text
    assert cast.patient.record_number in text
    assert not [canary for canary in CANARIES if canary in text]
    assert exports() == 0


def test_the_file_comes_as_an_attachment_that_nobody_keeps(officer, path, cast):
    answer = officer.post(path, WANTED)
    assert answer["Content-Type"] == "application/fhir+json"
    assert answer["Cache-Control"] == "no-store"
    assert answer["Content-Disposition"].startswith(f'attachment; filename="record-{cast.patient.record_number}-')
    assert int(answer["Content-Length"]) == len(answer.content)
    assert MARIA["name"] in json.dumps(json.loads(answer.content), ensure_ascii=False)
    entry = AuditEntry.objects.get(action="patient.export")
    assert (entry.purpose, entry.person, entry.session != "") == ("subject", str(cast.officer.pk), True)


def test_the_pdf_comes_too(officer, path):
    answer = officer.post(path, {**WANTED, "form": "pdf"})
    assert answer["Content-Type"] == "application/pdf"
    assert answer.content.startswith(b"%PDF")


def test_an_older_second_factor_is_asked_for_again_and_nothing_typed_is_lost(clock, officer, path, cast):
    clock.move(settings.STEP_UP_SECONDS + 1)
    answer = officer.post(path, WANTED)
    assert "code" in answer.context["form"].errors
    assert 'value="subject" required checked' in " ".join(answer.content.decode().split())
    assert exports() == 0
    wrong = officer.post(path, {**WANTED, "code": "000000"})
    assert (wrong.status_code, exports()) == (200, 0)
    assert officer.post(path, {**WANTED, "code": code_of(cast.officer)})["Content-Type"] == "application/fhir+json"
    assert AuditEntry.objects.filter(action="signin.stepup", outcome="done").exists()
    assert officer.post(path, WANTED)["Content-Type"] == "application/fhir+json", "five minutes begin anew"


@pytest.mark.parametrize("left_out", ["reason", "form"])
def test_without_a_reason_or_a_form_nothing_leaves(officer, path, left_out):
    answer = officer.post(path, {name: value for name, value in WANTED.items() if name != left_out})
    assert left_out in answer.context["form"].errors
    assert exports() == 0


def test_nobody_carries_a_clinic_away(officer, path, monkeypatch):
    monkeypatch.setattr(views_export, "EXPORTS", 2)
    assert [officer.post(path, WANTED).content[:1] for _ in range(3)] == [b"{", b"{", b"<"]
    assert exports() == 2
    assert AuditEntry.objects.filter(action="access.denied").exists()
    Attempts.objects.all().delete()
    assert officer.post(path, WANTED).content[:1] == b"{"


@pytest.mark.parametrize("who", ["clinician", "colleague", "outsider", "operator"])
def test_nobody_but_the_officer_exports(cast, path, who):
    browser = sign_in(cast.staff[who])
    assert [browser.get(path).status_code, browser.post(path, WANTED).status_code] == [404, 404]
    assert exports() == 0


def test_another_clinics_record_is_not_found(officer, cast):
    path = reverse("export", args=[cast.outsiders_patient.id])
    assert [officer.get(path).status_code, officer.post(path, WANTED).status_code] == [404, 404]


def test_nobody_exports_from_another_site(cast, path):
    """A form on a stranger's page, in the officer's own browser, has no token of ours."""
    browser = sign_in(cast.officer, enforce_csrf_checks=True)
    assert browser.post(path, WANTED).status_code == 403
    assert Browser().post(path, WANTED).status_code == 401
    assert exports() == 0
