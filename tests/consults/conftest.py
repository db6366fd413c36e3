"""What tests of the audit log's pages share. Django is set up after this file is read, so it is asked for inside."""

from datetime import UTC, datetime, timedelta

import pytest


@pytest.fixture
def office(cast):
    """The privacy officer's browser."""
    from tests.cast import sign_in

    return sign_in(cast.officer)


@pytest.fixture
def many(cast):
    """Entries of two clinics in turn, more than three pages of ours."""
    from django.utils import timezone

    from vault.models import AuditEntry

    AuditEntry.objects.bulk_create(
        AuditEntry(
            at=timezone.now(),
            action="patient.view" if n % 10 else "patient.change",
            clinic_id=(cast.other_clinic if n % 4 == 3 else cast.clinic).pk,
            role="clinician",
        )
        for n in range(240)
    )
    return list(AuditEntry.objects.filter(clinic_id=cast.clinic.pk).order_by("-id").values_list("id", flat=True))


@pytest.fixture
def told(cast):
    """One entry each that a filter can tell apart."""
    from tests.cast import bring_to
    from tests.consults.audit_log import entry

    visit = bring_to("started", cast.clinician, cast.patient).consult
    noon = datetime(2026, 3, 10, 12, tzinfo=UTC)
    patient, there, mark = cast.patient.pk, "192.0.2.9", "0123456789abcdef"
    return {
        "read": entry(cast.clinician, "patient.reveal", patient=patient, purpose="treat"),
        "refused": entry(
            cast.colleague, "patient.reveal", outcome="refused", patient=patient, source=there, session=mark
        ),
        "visit": entry(cast.clinician, "consult.view", consult=visit.pk, patient=patient, source=there, session=mark),
        "old": entry(cast.colleague, "consent.statement", at=noon),
        "older": entry(cast.colleague, "consent.statement", at=noon - timedelta(days=2)),
        "theirs": entry(cast.outsider, "patient.reveal", patient=cast.outsiders_patient.pk),
        "consult": visit,
    }
