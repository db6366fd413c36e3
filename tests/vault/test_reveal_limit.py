"""Reading is capped: nobody copies a clinic's records one by one in an afternoon."""

from django.urls import reverse

from consults import views_records
from tests.cast import bring_to, sign_in
from vault.models import AuditEntry


def test_reveals_are_limited_and_the_refusal_is_in_the_log(cast, clock, monkeypatch):
    monkeypatch.setattr(views_records, "REVEALS", 3)
    bring_to("started", cast.clinician, cast.patient)
    browser, address = sign_in(cast.clinician), reverse("reveal", args=[cast.patient.id])
    asked = {"fields": ["phone"], "purpose": "contact"}
    assert [browser.post(address, asked).status_code for _ in range(5)] == [200, 200, 200, 429, 429]
    assert AuditEntry.objects.filter(action="patient.reveal").count() == 3
    assert AuditEntry.objects.filter(action="access.denied").count() == 2
