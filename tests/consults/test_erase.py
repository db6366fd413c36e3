"""The end of a record: what goes, what stays, who may, and what the certificate says then and later."""

import subprocess

import pytest
from django.conf import settings
from django.db import DatabaseError
from django.urls import reverse

from accounts import sessions
from consults import erasing, export, invitations, visit, voice
from consults.models import Consent, Consult, Note
from tests.cast import BY, CANARIES, MARIA, agree, bring_to, code_of, sign_in
from vault import search, shredding
from vault.core.sealing import CannotOpen
from vault.keywatch import keys
from vault.models import AuditEntry, Patient, SealedValue
from vault.records import read_record


@pytest.fixture
def by(cast):
    return sessions.staff_actor(cast.officer)


@pytest.fixture
def told(cast):
    """A visit that is over and left a recording, a signature and a note."""
    now = bring_to("tested", cast.clinician, cast.patient)
    agree(now, recording=voice.keep(now.seat, b"OggS", seconds=4.2))
    visit.write_note(now.consult, cast.clinician, "Cough.", BY)
    visit.end(now.consult, BY)
    return now


def erase(patient, by, **changes):
    return erasing.erase(patient, by, **{"reason": "request", "typed_number": patient.record_number, **changes})


def test_her_values_go_and_the_evidence_stays(cast, told, by):
    entries = AuditEntry.objects.filter(patient=str(cast.patient.id)).count()
    entry = erase(cast.patient, by)
    her = Patient.objects.get(pk=cast.patient.pk)
    with pytest.raises(CannotOpen):
        read_record(her)
    assert not SealedValue.objects.filter(patient=her).exists()
    assert search.find(cast.clinic.id, MARIA["name"], by).patients == []
    assert (her.masked, her.record_number) == ({}, cast.patient.record_number)
    assert Consult.objects.filter(patient=her).count() == 1
    assert Consent.objects.filter(consult__patient=her).count() == 1
    assert Note.objects.filter(consult__patient=her).count() == 1
    assert AuditEntry.objects.filter(patient=str(her.id)).count() > entries
    assert (entry.person, entry.detail["reason"]) == (str(cast.officer.pk), "request")


def test_others_keep_theirs(cast, by):
    erase(cast.patient, by)
    assert read_record(cast.colleagues_patient).values["name"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"typed_number": "R1"}, "Type the record number"),
        ({"typed_number": ""}, "Type the record number"),
        ({"reason": "boredom"}, "Choose why"),
    ],
)
def test_a_slip_erases_nothing(cast, by, change, said):
    with pytest.raises(erasing.NotErased, match=said):
        erase(cast.patient, by, **change)
    assert read_record(cast.patient).values["name"] == MARIA["name"]


def test_nothing_is_erased_during_a_visit(cast, by):
    now = bring_to("admitted", cast.clinician, cast.patient)
    with pytest.raises(erasing.NotErased, match="going on"):
        erase(cast.patient, by)
    visit.end(now.consult, BY)
    erase(cast.patient, by)


def test_visits_that_have_not_begun_end_and_their_links_stop_working(cast, by):
    now = bring_to("invited", cast.clinician, cast.patient)
    erase(cast.patient, by)
    now.consult.refresh_from_db()
    assert now.consult.is_over
    with pytest.raises(invitations.NotInvited):
        invitations.redeem(now.token, source="test")


def test_it_happens_once(cast, by):
    erase(cast.patient, by)
    with pytest.raises(erasing.NotErased, match="before"):
        erase(Patient.objects.get(pk=cast.patient.pk), by)
    with pytest.raises(erasing.NotErased, match="before"):
        erase(cast.patient, by)  # a row read before the other officer was faster
    assert AuditEntry.objects.filter(action="patient.shred").count() == 1


def test_when_the_keys_cannot_be_destroyed_nothing_has_happened(cast, by, monkeypatch):
    now = bring_to("invited", cast.clinician, cast.patient)
    monkeypatch.setattr(shredding, "shred", _gone)
    with pytest.raises(DatabaseError):
        erase(cast.patient, by)
    now.consult.refresh_from_db()
    assert not now.consult.is_over


def _gone(*_args, **_more):
    raise DatabaseError("gone")


def test_an_erased_record_is_not_exported(cast, by):
    erase(cast.patient, by)
    her = Patient.objects.get(pk=cast.patient.pk)
    with pytest.raises(export.NotExported, match="erased"):
        export.export(her, by, form="fhir", reason="subject")


# -- the certificate -----------------------------------------------------------------------------------------


def test_the_certificate_says_what_was_destroyed(cast, told, by):
    erase(cast.patient, by)
    certificate = erasing.certificate(Patient.objects.get(pk=cast.patient.pk))
    facts = dict(certificate.facts)
    assert facts["Why"] == "The patient asked for it"
    assert facts["Fields destroyed"].startswith("Name, date of birth, national id")
    assert facts["Destroyed besides"].startswith("4 sealed texts and recordings")
    assert keys().current_id.hex() in facts["Keys destroyed"]
    assert facts["By"] == "Officer"
    assert keys().current_id.hex() in certificate.backups


def test_a_record_that_stands_has_no_certificate(cast):
    assert erasing.certificate(cast.patient) is None


# -- pages ----------------------------------------------------------------------------------------------------


@pytest.fixture
def officer(cast):
    return sign_in(cast.officer)


@pytest.fixture
def path(cast):
    return reverse("erase", args=[cast.patient.id])


@pytest.fixture
def typed(cast):
    return {"reason": "request", "record_number": cast.patient.record_number}


def is_there(cast):
    return Patient.objects.get(pk=cast.patient.pk).shredded_at is None


def test_the_officer_erases_and_gets_the_certificate(officer, cast, path, typed):
    page = officer.get(path).content.decode()
    assert "Nobody can undo it" in page
    assert not [canary for canary in CANARIES if canary in page]
    answer = officer.post(path, typed, follow=True)
    assert answer.redirect_chain == [(reverse("erasure", args=[cast.patient.id]), 302)]
    assert "Certificate of erasure" in answer.content.decode()
    assert cast.patient.record_number in answer.content.decode()
    assert not is_there(cast)
    assert officer.get(path)["Location"] == reverse("erasure", args=[cast.patient.id])


def test_the_certificate_comes_as_pdf(officer, cast, path, typed):
    officer.post(path, typed)
    answer = officer.get(reverse("erasure-pdf", args=[cast.patient.id]))
    assert answer["Content-Disposition"] == f'attachment; filename="erasure-{cast.patient.record_number}.pdf"'
    shown = subprocess.run(["pdftotext", "-", "-"], input=answer.content, capture_output=True, check=True, timeout=60)
    text = " ".join(shown.stdout.decode().split())
    for said in ("Certificate of erasure", "The patient asked for it", "A backup made before", "Page 1 of 1"):
        assert said in text


def test_a_wrong_number_is_said_beside_the_field(officer, cast, path, typed):
    answer = officer.post(path, {**typed, "record_number": "R1"})
    assert "exactly as it stands" in str(answer.context["form"].errors["record_number"])
    assert is_there(cast)


def test_an_older_second_factor_does_not_erase(clock, officer, cast, path, typed):
    clock.move(settings.STEP_UP_SECONDS + 1)
    assert "code" in officer.post(path, typed).context["form"].errors
    assert is_there(cast)
    officer.post(path, {**typed, "code": code_of(cast.officer)})
    assert not is_there(cast)


def test_during_a_visit_the_page_has_no_button(officer, cast, path, typed):
    bring_to("admitted", cast.clinician, cast.patient)
    assert "Erase for good" not in officer.get(path).content.decode()
    assert "going on" in officer.post(path, typed).content.decode()
    assert is_there(cast)


@pytest.mark.parametrize("who", ["clinician", "colleague", "outsider", "operator"])
def test_nobody_but_the_officer_erases_or_sees_the_certificate(cast, path, typed, by, who):
    browser = sign_in(cast.staff[who])
    assert [browser.get(path).status_code, browser.post(path, typed).status_code] == [404, 404]
    assert is_there(cast)
    erase(cast.patient, by)
    for name in ("erasure", "erasure-pdf"):
        assert browser.get(reverse(name, args=[cast.patient.id])).status_code == 404


def test_another_clinics_record_is_not_found(officer, cast, typed):
    for name in ("erase", "erasure", "erasure-pdf"):
        assert officer.get(reverse(name, args=[cast.outsiders_patient.id])).status_code == 404


def test_a_standing_record_has_no_certificate_page(officer, cast):
    for name in ("erasure", "erasure-pdf"):
        assert officer.get(reverse(name, args=[cast.patient.id])).status_code == 404
