"""A visit's course: who may come in when, in which order they wait, and what is left of it."""

import datetime as dt

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import Clinic
from consults import consent, visit
from consults.models import Consult, Note, Participant
from tests.cast import BY, bring_to, sign_in
from vault.core.tokens import is_token
from vault.models import AuditEntry


@pytest.mark.parametrize("stage", ["started", "invited", "seated", "identified", "tested", "consented"])
def test_nobody_is_admitted_before_she_waits_with_her_consent(cast, stage):
    now = bring_to(stage, cast.clinician, cast.patient)
    with pytest.raises(visit.NotNow, match="not ready"):
        visit.admit(now.consult, BY)
    answer = sign_in(cast.clinician).post(
        reverse("admit", args=[now.consult.id]), headers={"X-Requested-With": "fetch"}
    )
    assert answer.status_code == 409
    assert not now.fresh().gate_open


def test_whoever_withdrew_is_not_admitted(cast):
    now = bring_to("waiting", cast.clinician, cast.patient)
    consent.withdraw(now.seat, source="test")
    with pytest.raises(visit.NotNow):
        visit.admit(now.consult, BY)


def test_admission_opens_the_gate(cast):
    now = bring_to("waiting", cast.clinician, cast.patient)
    assert not now.fresh().gate_open
    answer = sign_in(cast.clinician).post(
        reverse("admit", args=[now.consult.id]), headers={"X-Requested-With": "fetch"}
    )
    assert answer.json() == {"ok": True}
    assert now.fresh().gate_open
    assert now.fresh().stage == "call"


def test_admitting_twice_is_admitting_once(cast):
    now = bring_to("admitted", cast.clinician, cast.patient)
    first = now.fresh().consult
    visit.admit(now.consult, BY)
    second = now.fresh().consult
    assert (first.admitted_at, first.negotiation) == (second.admitted_at, second.negotiation)
    assert AuditEntry.objects.filter(action="consult.admit").count() == 1


def test_waiting_needs_consent(cast):
    now = bring_to("tested", cast.clinician, cast.patient)
    with pytest.raises(visit.NotNow, match="consent"):
        visit.wait(now.seat, source="test")


def test_the_place_in_the_queue_is_first_come_first_served(cast):
    visits = [bring_to("waiting", cast.clinician, cast.patient) for _ in range(3)]
    colleagues = bring_to("waiting", cast.colleague, cast.colleagues_patient)
    assert [v.fresh().place for v in visits] == [1, 2, 3]
    assert colleagues.fresh().place == 1
    visit.admit(visits[0].consult, BY)
    assert [v.fresh().place for v in visits] == [0, 1, 2]
    visit.end(visits[1].consult, BY)
    assert visits[2].fresh().place == 1


def test_coming_back_keeps_the_place(cast):
    first = bring_to("waiting", cast.clinician, cast.patient)
    second = bring_to("waiting", cast.clinician, cast.patient)
    visit.wait(first.seat, source="test")
    assert (first.fresh().place, second.fresh().place) == (1, 2)
    assert AuditEntry.objects.filter(action="consult.waiting", consult=str(first.consult.id)).count() == 1


def test_here_is_whoever_was_seen_in_the_last_twenty_seconds(cast):
    now = bring_to("waiting", cast.clinician, cast.patient)
    seat = Participant.objects.filter(pk=now.seat.pk)
    assert not now.fresh().patient_here
    seat.update(connection="a.b", seen_at=timezone.now())
    assert now.fresh().patient_here
    seat.update(seen_at=timezone.now() - dt.timedelta(seconds=21))
    assert not now.fresh().patient_here
    seat.update(connection="", seen_at=timezone.now())
    assert not now.fresh().patient_here


def test_the_end_is_the_end(cast):
    now = bring_to("admitted", cast.clinician, cast.patient)
    sign_in(cast.clinician).post(reverse("end", args=[now.consult.id]))
    ended = now.fresh()
    assert (ended.stage, ended.gate_open) == ("ended", False)
    visit.end(now.consult, BY)
    assert now.fresh().consult.ended_at == ended.consult.ended_at
    assert AuditEntry.objects.filter(action="consult.end").count() == 1
    with pytest.raises(visit.NotNow):
        visit.admit(now.consult, BY)


def test_a_note_is_sealed_and_reading_it_is_in_the_log(cast):
    now = bring_to("admitted", cast.clinician, cast.patient)
    sign_in(cast.clinician).post(reverse("note", args=[now.consult.id]), {"text": "Glorbthroat is better"})
    note = Note.objects.get()
    assert is_token(note.text)
    visit.end(now.consult, BY)
    assert not AuditEntry.objects.filter(action="consult.note.read").exists()
    page = sign_in(cast.clinician).get(reverse("room", args=[now.consult.id]))
    assert "Glorbthroat is better" in page.content.decode()
    assert AuditEntry.objects.get(action="consult.note.read").detail == {"notes": [note.pk]}
    assert "Glorb" not in str(list(AuditEntry.objects.values()))


def test_an_empty_note_is_no_note(cast):
    now = bring_to("admitted", cast.clinician, cast.patient)
    for text in ("", "  \n ", "x" * 8001):
        sign_in(cast.clinician).post(reverse("note", args=[now.consult.id]), {"text": text})
    assert not Note.objects.exists()


def test_a_note_with_markup_is_shown_as_text(cast):
    now = bring_to("admitted", cast.clinician, cast.patient)
    visit.write_note(now.consult, cast.clinician, "<script>alert(1)</script>", BY)
    visit.end(now.consult, BY)
    page = sign_in(cast.clinician).get(reverse("room", args=[now.consult.id])).content.decode()
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_consult_is_its_clinicians_only(cast):
    now = bring_to("started", cast.clinician, cast.patient)
    assert visit.of_clinician(cast.clinician, now.consult.id) == now.consult
    for other in (cast.colleague, cast.outsider):
        with pytest.raises(visit.Consult.DoesNotExist):
            visit.of_clinician(other, now.consult.id)


def test_the_day_shows_masks_and_states_of_her_own_only(cast):
    for stage in ("invited", "waiting", "admitted", "ended"):
        bring_to(stage, cast.clinician, cast.patient)
    bring_to("waiting", cast.colleague, cast.colleagues_patient)
    page = sign_in(cast.clinician).get("/").content.decode()
    assert "M. Q." in page
    assert "W. O." not in page
    assert "Quixplotz" not in page


def test_the_clinicians_pages_hold_masks_only(cast):
    now = bring_to("admitted", cast.clinician, cast.patient)
    browser = sign_in(cast.clinician)
    for path in (reverse("room", args=[now.consult.id]), reverse("patient", args=[cast.patient.id])):
        page = browser.get(path).content.decode()
        assert "••••42" in page
        for secret in ("Quixplotz", "1984-03-17", "79460142", "QX836197Z", "Zanzibarlane", "Glorbthroat"):
            assert secret not in page


RELAY = ["turns:turn.clinic.example:5349?transport=tcp"]


def _start(cast, **ticked):
    """By the button on the patient's page; what that page says then."""
    given = {"patient": str(cast.patient.id), **ticked}
    return sign_in(cast.clinician).post(reverse("consult-start"), given, follow=True).content.decode()


@pytest.mark.parametrize("whose", ["consult", "clinic"])
def test_without_a_relay_no_visit_that_hides_addresses_is_started(cast, settings, whose):
    settings.TURN_URLS = []
    if whose == "clinic":  # its relay was taken away after it chose that
        Clinic.objects.filter(pk=cast.clinic.pk).update(relay_only=True)
    page = _start(cast, **({"relay_only": "on"} if whose == "consult" else {}))
    assert "This clinic has no relay of its own, so a call over it could not open. Ask your operator." in page
    assert not Consult.objects.exists()
    assert not AuditEntry.objects.filter(action="consult.create").exists()


@pytest.mark.parametrize(
    ("ticked", "of_the_clinic", "relayed"),
    [({}, False, False), ({"relay_only": "on"}, False, True), ({}, True, True)],
)
def test_a_call_hides_addresses_where_the_box_was_ticked_or_the_clinic_wants_it(
    cast, settings, ticked, of_the_clinic, relayed
):
    settings.TURN_URLS, settings.TURN_SECRET = RELAY, "s" * 32
    Clinic.objects.filter(pk=cast.clinic.pk).update(relay_only=of_the_clinic)
    record = sign_in(cast.clinician).get(reverse("patient", args=[cast.patient.id])).content.decode()
    assert ('name="relay_only"' in record) is not of_the_clinic  # nobody can leave out what the clinic wants
    _start(cast, **ticked)
    consult = Consult.objects.get()
    assert consult.relay_only is bool(ticked)
    assert consult.is_relayed is relayed


def test_no_box_is_shown_where_there_is_no_relay(cast, settings):
    settings.TURN_URLS = []
    record = sign_in(cast.clinician).get(reverse("patient", args=[cast.patient.id])).content.decode()
    assert 'name="relay_only"' not in record
