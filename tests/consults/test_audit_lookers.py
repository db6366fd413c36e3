"""Who looked at a patient, and why: one line a person, strangers first, from the log alone."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from consults import audit_lookers, concerns
from tests.cast import bring_to, person, sign_in
from tests.consults.audit_log import entry, of
from vault import audit


def lookers(patient):
    return {one.name: one for one in audit_lookers.of_patient(patient).people}


def hers(patient):
    return reverse("admin:vault_auditentry_patient", args=[patient.pk])


@pytest.fixture
def curious(cast):
    return person(cast.clinic, "curious", User.Role.CLINICIAN)


def test_a_look_says_who_why_what_and_when(cast):
    at = timezone.now() - timedelta(days=3)
    entry(cast.clinician, "patient.view", at=at, patient=cast.patient.pk)
    for fields in (["phone"], ["notes", "phone"]):
        entry(cast.clinician, "patient.reveal", patient=cast.patient.pk, purpose="contact", detail={"fields": fields})
    (one,) = audit_lookers.of_patient(cast.patient).people
    assert (one.name, one.role, one.times, one.refused) == (cast.clinician.name, "clinician", 3, 0)
    assert one.whys == ["Reach the patient"]
    assert one.did == ["opened the masked record", "read phone, notes"]
    assert one.first == at < one.last


def test_whoever_has_nothing_to_do_with_her_comes_first(cast, curious):
    bring_to("waiting", cast.clinician, cast.patient)
    entry(curious, "patient.view", patient=cast.patient.pk)
    entry(cast.clinician, "patient.view", patient=cast.patient.pk)
    found = audit_lookers.of_patient(cast.patient)
    assert [(one.name, one.is_stranger) for one in found.people] == [(curious.name, True), (cast.clinician.name, False)]
    assert found.people[1].ties[0].startswith("visit on ")
    assert found.strangers == 1


def test_a_visit_to_which_nobody_came_is_no_tie(cast, curious):
    bring_to("started", curious, cast.patient)
    entry(curious, "consult.view", patient=cast.patient.pk)
    one = lookers(cast.patient)[curious.name]
    assert one.is_stranger
    assert one.unmet.startswith("visit on ")


def test_whoever_added_her_or_had_an_emergency_is_no_stranger(cast, curious):
    audit.record("patient.create", of(cast.colleague), patient=cast.patient.pk)
    entry(cast.colleague, "patient.view", patient=cast.patient.pk)
    concerns.break_glass(curious, cast.patient, "Collapsed on the phone", of(curious))
    found = lookers(cast.patient)
    assert found[cast.colleague.name].ties == ["added the record"]
    assert found[curious.name].ties[0].startswith("emergency on ")
    assert found[curious.name].did == ["took emergency access"]


def test_what_was_refused_is_told_apart(cast, curious):
    for _ in range(2):
        entry(curious, "patient.reveal", outcome="refused", patient=cast.patient.pk, purpose="treat")
    one = lookers(cast.patient)[curious.name]
    assert (one.times, one.refused, one.did, one.whys) == (0, 2, [], ["Treat the patient in this visit"])


def test_the_patient_processes_and_another_clinic_are_nobody_here(cast):
    bring_to("waiting", cast.clinician, cast.patient)  # all that the patient did
    for role in ("patient", "nobody", "system"):
        audit.record("invite.view", audit.Actor(role=role, clinic=cast.clinic.pk), patient=cast.patient.pk)
    entry(cast.outsider, "patient.view", patient=cast.patient.pk)
    entry(cast.clinician, "patient.view", patient=cast.colleagues_patient.pk)
    assert set(lookers(cast.patient)) <= {cast.clinician.name}


@pytest.mark.parametrize("odd", [["x"], {"fields": 5}, {"fields": [5, "no such", None]}])
def test_an_entry_of_any_shape_is_told(cast, odd):
    entry(cast.clinician, "patient.reveal", patient=cast.patient.pk, detail=odd)
    assert lookers(cast.patient)[cast.clinician.name].did == ["read protected fields"]


def test_it_says_how_far_back_it_looked(cast, monkeypatch):
    for _ in range(4):
        entry(cast.clinician, "patient.view", patient=cast.patient.pk)
    assert audit_lookers.of_patient(cast.patient).looked_to is None
    monkeypatch.setattr(audit_lookers, "MOST_LOOKS", 3)
    found = audit_lookers.of_patient(cast.patient)
    assert (found.people[0].times, found.looked_to is not None) == (3, True)


def test_it_stands_above_the_first_page_of_her_entries(cast, curious, office):
    entry(curious, "patient.reveal", patient=cast.patient.pk, purpose="treat", detail={"fields": ["notes"]})
    page = " ".join(office.get(hers(cast.patient)).content.decode().split())
    assert "no visit with this patient" in page
    assert "Treat the patient in this visit" in page
    assert f"?person={curious.pk}&amp;patient={cast.patient.pk}" in page
    assert "lookers" not in office.get(hers(cast.patient), {"before": 10}).context
    assert sign_in(cast.clinician).get(hers(cast.patient)).status_code in (302, 403, 404)


def test_every_look_is_an_act_that_there_is():
    assert set(audit_lookers.LOOKS) <= set(audit.ACTIONS)
    reads = [a for a in audit.ACTIONS if a.endswith((".view", ".reveal", ".export", ".read", ".play", ".visit"))]
    about_nobody = {"board.view", "admin.view", "audit.export"}
    assert set(reads) - about_nobody <= set(audit_lookers.LOOKS)


def test_the_search_by_number_leads_there(cast, office):
    answer = office.post(reverse("admin:vault_auditentry_narrow"), {"q": cast.patient.record_number})
    assert answer.headers["Location"] == hers(cast.patient)
