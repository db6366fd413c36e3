"""Reading protected values takes a role, a relation, a purpose, a fresh second factor and a quota."""

import pytest
from django.urls import reverse

from accounts import sessions
from consults import reading, visit
from consults.models import Consult
from tests.at_once import at_once
from tests.cast import BY, MARIA, bring_to, code_of, sign_in
from vault import patients
from vault.models import AuditEntry


def _reader(user, *, confirmed=True):
    return reading.Reader(user, sessions.staff_actor(user), confirmed)


def _reads(user, patient, fields=("phone",), **options):
    return reading.reveal(_reader(user, **options), patient, list(fields), purpose="treat").values


def _refusals(why):
    return AuditEntry.objects.filter(action="patient.reveal", outcome="refused", detail__why=why)


def test_her_clinician_reads_once_she_has_confirmed_who_she_is(cast):
    bring_to("identified", cast.clinician, cast.patient)
    assert _reads(cast.clinician, cast.patient) == {"phone": "+442079460142"}


def test_after_a_visit_in_which_she_took_part_too(cast):
    bring_to("ended", cast.clinician, cast.patient)
    assert _reads(cast.clinician, cast.patient)


@pytest.mark.parametrize("stage", ["started", "invited", "seated"])
def test_a_consult_without_her_opens_nothing_while_open_or_over(cast, stage):
    """Or starting a visit would open any record of the clinic."""
    now = bring_to(stage, cast.colleague, cast.patient)
    for _ in ("open", "over"):
        with pytest.raises(reading.Refused, match="not confirmed"):
            _reads(cast.colleague, cast.patient)
        visit.end(now.consult, BY)
    assert set(_refusals("relation").values_list("patient", flat=True)) == {str(cast.patient.id)}
    assert _refusals("relation").count() == 2


def test_a_wrong_answer_to_who_she_is_opens_nothing(cast):
    now = bring_to("seated", cast.colleague, cast.patient)
    assert not visit.confirm_identity(now.seat, name="Somebody Else", birth_date="1984-03-17", source="test")
    assert reading.may_read(cast.colleague, cast.patient) == ""


def test_her_visit_with_one_clinician_opens_nothing_to_another_who_started_one(cast):
    bring_to("ended", cast.clinician, cast.patient)
    visit.start(cast.colleague, cast.patient, BY)
    assert reading.may_read(cast.colleague, cast.patient) == ""


def test_whoever_added_the_record_may_read_it(cast):
    typed = {"name": "Nora Newly", "birth_date": "1990-02-02", "phone": "020 7946 0555"}
    assert sign_in(cast.clinician).post(reverse("patient-new"), typed).status_code == 302
    added = patients.Patient.objects.order_by("-created_at").first()
    assert _reads(cast.clinician, added) == {"phone": "+442079460555"}
    assert reading.may_read(cast.colleague, added) == ""


def test_an_invite_goes_out_by_mail_without_anybody_reading_the_address(cast, settings):
    settings.MAIL_WORKS = True
    consult = visit.start(cast.colleague, cast.patient, BY)
    answer = sign_in(cast.colleague).post(reverse("invite-mail", args=[consult.id]))
    assert answer.status_code == 200
    assert "quixplotz" not in answer.content.decode().lower()
    assert reading.may_read(cast.colleague, cast.patient) == ""


def test_the_record_says_what_opens_it(cast):
    visit.start(cast.clinician, cast.patient, BY)
    browser, where = sign_in(cast.clinician), reverse("patient", args=[cast.patient.id])
    shut = browser.get(where).content.decode()
    assert "once the patient has confirmed name and date of birth" in shut
    assert reverse("emergency", args=[cast.patient.id]) in shut
    assert "Show values" not in shut
    bring_to("identified", cast.clinician, cast.patient)
    assert "Show values" in browser.get(where).content.decode()


def test_nobody_is_in_a_call_whose_record_stays_shut(cast):
    """The room's panel offers the values without asking: it opens with the call."""
    now = bring_to("admitted", cast.clinician, cast.patient)
    assert now.fresh().stage == "call"
    assert reading.may_read(cast.clinician, cast.patient) == "visit"


def test_the_log_names_the_visit_in_whose_room_it_was_read_and_no_other(cast):
    mine = bring_to("identified", cast.clinician, cast.patient)
    other = bring_to("started", cast.colleague, cast.patient)
    browser, where = sign_in(cast.clinician), reverse("reveal", args=[cast.patient.id])
    typed = {"fields": ["phone"], "purpose": "treat"}
    assert browser.post(where, {**typed, "consult": str(other.consult.id)}).status_code == 404
    assert not AuditEntry.objects.filter(action="patient.reveal").exists()
    assert browser.post(where, {**typed, "consult": str(mine.consult.id)}).status_code == 200
    assert AuditEntry.objects.get(action="patient.reveal").consult == str(mine.consult.id)


def test_what_cannot_be_given_is_logged_and_uses_nothing_of_the_quota(cast, settings):
    settings.REVEALS_PER_QUARTER = 1
    bring_to("identified", cast.clinician, cast.patient)
    patients.change(cast.patient, {"notes": ""}, BY)
    cast.patient.refresh_from_db()
    for fields, purpose in (("phone",), "curiosity"), (("notes",), "treat"), ((), "treat"):
        with pytest.raises(patients.NotRevealed):
            reading.reveal(_reader(cast.clinician), cast.patient, fields, purpose=purpose)
    assert _refusals("incomplete").count() == 3
    assert _reads(cast.clinician, cast.patient, ["phone", "phone", "notes"]) == {"phone": "+442079460142"}


@pytest.mark.parametrize("who", ["colleague", "outsider", "officer", "operator"])
def test_strangers_read_nothing_and_it_is_in_the_log(cast, who):
    bring_to("admitted", cast.clinician, cast.patient)
    with pytest.raises(reading.Refused):
        _reads(cast.staff[who], cast.patient)
    entry = _refusals("relation").get()
    assert entry.person == str(cast.staff[who].pk)
    assert "value" not in entry.detail


def test_another_role_reads_nothing_even_with_a_consult_of_its_own(cast):
    now = bring_to("identified", cast.clinician, cast.patient)
    Consult.objects.filter(pk=now.consult.pk).update(clinician=cast.officer)
    assert reading.may_read(cast.officer, cast.patient) == ""


def test_an_old_second_factor_is_refused_and_logged(cast):
    bring_to("identified", cast.clinician, cast.patient)
    with pytest.raises(reading.Refused, match="code"):
        _reads(cast.clinician, cast.patient, confirmed=False)
    assert _refusals("confirm").exists()


def test_the_quota_counts_values_and_a_refusal_uses_nothing(cast, settings):
    settings.REVEALS_PER_QUARTER = 5
    bring_to("identified", cast.clinician, cast.patient)
    _reads(cast.clinician, cast.patient, ["name", "phone", "email"])
    with pytest.raises(reading.Refused) as refused:
        _reads(cast.clinician, cast.patient, ["name", "phone", "email"])
    assert refused.value.why == "quota"
    assert _refusals("quota").count() == 1
    assert set(_reads(cast.clinician, cast.patient, ["name", "phone"])) == {"name", "phone"}


def test_the_day_has_a_quota_of_its_own_which_a_quarter_does_not_renew(cast, settings, clock):
    settings.REVEALS_PER_QUARTER, settings.REVEALS_PER_DAY = 3, 5
    bring_to("identified", cast.clinician, cast.patient)
    _reads(cast.clinician, cast.patient, ["name", "phone", "email"])
    clock.move(16 * 60)
    with pytest.raises(reading.Refused):
        _reads(cast.clinician, cast.patient, ["name", "phone", "email"])
    assert _reads(cast.clinician, cast.patient, ["name", "phone"])
    clock.move(24 * 60 * 60)
    assert _reads(cast.clinician, cast.patient, ["name", "phone", "email"])


@pytest.mark.django_db(transaction=True)
def test_readers_at_once_do_not_pass_the_quota_together(committed_cast, settings):
    cast = committed_cast
    settings.REVEALS_PER_QUARTER = 4
    bring_to("identified", cast.clinician, cast.patient)

    def read():
        try:
            return len(_reads(cast.clinician, cast.patient))
        except reading.Refused:
            return 0

    assert sum(at_once([read] * 8)) == 4


def test_the_page_asks_for_a_code_only_when_it_would_help(cast, clock):
    bring_to("admitted", cast.clinician, cast.patient)
    browser, stranger = sign_in(cast.clinician), sign_in(cast.colleague)
    clock.move(6 * 60)
    where = reverse("reveal", args=[cast.patient.id])
    asked = browser.post(where, {"fields": ["phone"], "purpose": "treat"})
    assert (asked.status_code, asked.json()["code"]) == (403, True)
    assert "code" not in stranger.post(where, {"fields": ["phone"], "purpose": "treat"}).json()
    typed = {"fields": ["phone"], "purpose": "treat", "code": code_of(cast.clinician)}
    assert browser.post(where, typed).json()["values"] == {"phone": "+442079460142"}


# -- corrections -------------------------------------------------------------------------------------------


def test_her_clinician_corrects_the_record_and_what_is_empty_stays(cast):
    bring_to("admitted", cast.clinician, cast.patient)
    browser = sign_in(cast.clinician)
    answer = browser.post(reverse("change", args=[cast.patient.id]), {"phone": "020 7946 0777", "remove": ["notes"]})
    assert answer.status_code == 302
    values = patients.opened(cast.patient).values
    assert (values["phone"], values["email"], "notes" in values) == ("+442079460777", MARIA["email"], False)
    entry = AuditEntry.objects.filter(action="patient.change").get()
    assert (entry.detail["fields"], entry.detail["version"]) == (["notes", "phone"], 2)


def test_a_bad_correction_is_told_beside_the_field_and_changes_nothing(cast):
    bring_to("admitted", cast.clinician, cast.patient)
    answer = sign_in(cast.clinician).post(
        reverse("change", args=[cast.patient.id]), {"phone": "12", "name": "Maria Neu"}
    )
    assert "area code" in answer.content.decode()
    assert patients.opened(cast.patient).values["name"] == MARIA["name"]


def test_name_and_birth_date_cannot_be_removed(cast):
    bring_to("admitted", cast.clinician, cast.patient)
    sign_in(cast.clinician).post(reverse("change", args=[cast.patient.id]), {"remove": ["name", "birth_date"]})
    assert set(patients.opened(cast.patient).values) == set(MARIA)


def test_a_correction_takes_a_fresh_second_factor(cast, clock):
    bring_to("admitted", cast.clinician, cast.patient)
    browser = sign_in(cast.clinician)
    clock.move(6 * 60)
    where = reverse("change", args=[cast.patient.id])
    assert browser.post(where, {"phone": "020 7946 0777"}).status_code == 200
    assert patients.opened(cast.patient).values["phone"] == "+442079460142"
    assert browser.post(where, {"phone": "020 7946 0777", "code": code_of(cast.clinician)}).status_code == 302


def test_the_page_for_corrections_shows_masks_only(cast):
    bring_to("admitted", cast.clinician, cast.patient)
    page = sign_in(cast.clinician).get(reverse("change", args=[cast.patient.id])).content.decode()
    assert "••••42" in page
    assert "Quixplotz" not in page
    assert "7946" not in page
