"""Emergency access and decoys: for one person, one patient, 15 minutes; told at once, reviewed, signed off."""

from functools import partial

import pytest
from django.core import mail
from django.urls import reverse

from accounts import sessions
from accounts.models import User
from consults import concerns, reading, tasks
from consults.models import Concern
from tests.at_once import at_once
from tests.cast import BY, CANARIES, MARIA, code_of, person, sign_in
from vault import patients
from vault.core.tokens import is_token
from vault.models import AuditEntry, SealedValue
from vault.shredding import shred

REASON = "Collapsed on the phone, Glorbthroat worse"


def _break(cast, user=None, patient=None):
    user = user or cast.colleague
    return concerns.break_glass(user, patient or cast.patient, REASON, sessions.staff_actor(user))


def _read(user, patient, fields=("phone",)):
    return reading.reveal(
        reading.Reader(user, sessions.staff_actor(user), confirmed=True), patient, list(fields), purpose="treat"
    )


def test_it_opens_one_record_for_one_person_for_15_minutes(cast, clock):
    _break(cast)
    assert reading.may_read(cast.colleague, cast.patient) == "emergency"
    assert _read(cast.colleague, cast.patient).values
    other = patients.create(cast.clinic.id, {"name": "Third Person", "birth_date": "1990-01-01"}, BY)
    assert reading.may_read(cast.colleague, other) == ""
    assert reading.may_read(cast.clinician, cast.patient) == ""
    clock.move(15 * 60 + 1)
    assert reading.may_read(cast.colleague, cast.patient) == ""


def test_the_reason_is_sealed_and_nowhere_in_clear(cast):
    concern = _break(cast)
    assert is_token(concern.reason)
    kept = str(list(Concern.objects.values())) + str(list(AuditEntry.objects.values()))
    assert "Collapsed" not in kept
    assert b"Collapsed" not in bytes(SealedValue.objects.get(token=concern.reason).sealed)
    assert concerns.reason_of(concern, BY) == REASON


@pytest.mark.parametrize("reason", ["", "urgent", "          ", "a b c d", "............", "1234567890123"])
def test_without_a_reason_it_stays_shut(cast, reason):
    with pytest.raises(concerns.NotOpened, match="why"):
        concerns.break_glass(cast.colleague, cast.patient, reason, BY)
    assert not Concern.objects.exists()


def test_it_takes_a_fresh_second_factor(cast, clock):
    browser = sign_in(cast.colleague)
    where = reverse("emergency", args=[cast.patient.id])
    clock.move(6 * 60)
    assert browser.post(where, {"reason": REASON}).status_code == 200
    assert not Concern.objects.exists()
    assert browser.post(where, {"reason": REASON, "code": code_of(cast.colleague)}).status_code == 302
    assert Concern.objects.count() == 1
    page = browser.get(reverse("patient", args=[cast.patient.id])).content.decode()
    assert "Emergency access until" in page


@pytest.mark.parametrize("who", ["outsider", "officer", "operator"])
def test_strangers_have_no_emergency(cast, who):
    assert (
        sign_in(cast.staff[who]).post(reverse("emergency", args=[cast.patient.id]), {"reason": REASON}).status_code
        == 404
    )
    assert not Concern.objects.exists()


def test_three_at_once_and_ten_a_day(cast, clock):
    others = [
        patients.create(cast.clinic.id, {"name": f"Person {n}", "birth_date": "1990-01-01"}, BY) for n in range(11)
    ]
    for other in others[:3]:
        _break(cast, patient=other)
    with pytest.raises(concerns.NotOpened, match="too often"):
        _break(cast, patient=others[3])
    for other in others[3:10]:
        clock.move(16 * 60)
        _break(cast, patient=other)
    clock.move(16 * 60)
    with pytest.raises(concerns.NotOpened, match="too often"):
        _break(cast, patient=others[10])


@pytest.mark.django_db(transaction=True)
def test_at_once_no_more_open_than_three(committed_cast):
    cast = committed_cast
    others = [
        patients.create(cast.clinic.id, {"name": f"Person {n}", "birth_date": "1990-01-01"}, BY) for n in range(6)
    ]

    def take(other):
        try:
            return bool(_break(cast, patient=other))
        except concerns.NotOpened:
            return False

    assert sum(at_once([partial(take, other) for other in others])) == 3


def test_the_officers_are_told_and_the_letter_has_nothing_of_her(cast):
    concern = _break(cast)
    tasks.tell_officers(str(concern.id))
    tasks.tell_officers(str(concern.id))  # delivered twice
    (letter,) = mail.outbox
    assert letter.to == [cast.officer.email]
    text = letter.subject + letter.body + str(letter.alternatives)
    assert str(concern.id) in text
    assert "Collapsed" not in text
    for canary in (*CANARIES, cast.patient.masks["name"], cast.patient.record_number):
        assert canary not in text


def test_a_letter_that_was_lost_goes_out_with_the_sweep(cast, monkeypatch):
    concern = _break(cast)
    monkeypatch.setattr(concerns, "_post", lambda *_: (_ for _ in ()).throw(OSError("away")))
    tasks.sweep()
    assert mail.outbox == []
    monkeypatch.undo()
    tasks.sweep()
    assert len(mail.outbox) == 1
    concern.refresh_from_db()
    assert (concern.failures, concern.told_at is None) == (1, False)


# -- review ----------------------------------------------------------------------------------------------


def test_an_officer_sees_the_reason_and_what_was_read_and_signs_off(cast):
    concern = _break(cast)
    _read(cast.colleague, cast.patient, ["phone", "address"])
    officer = sign_in(cast.officer)
    assert "Emergency access" in officer.get(reverse("review")).content.decode()
    page = officer.get(reverse("review-one", args=[concern.id])).content.decode()
    assert REASON in page
    assert "phone, address" in page
    assert "7946" not in page
    answer = officer.post(reverse("review-one", args=[concern.id]), {"finding": "justified", "note": "Spoke with him"})
    assert answer.status_code == 302
    concern.refresh_from_db()
    assert (concern.finding, concern.reviewer) == ("justified", cast.officer)
    assert is_token(concern.note)
    entries = set(AuditEntry.objects.filter(person=str(cast.officer.pk)).values_list("action", flat=True))
    assert {"review.view", "review.sign"} <= entries


def test_nobody_signs_twice_or_her_own(cast):
    concern = _break(cast)
    by = sessions.staff_actor(cast.officer)
    concerns.sign(concern, cast.officer, finding="justified", note="", by=by)
    with pytest.raises(concerns.NotSigned, match="already"):
        concerns.sign(concern, cast.officer, finding="follow_up", note="", by=by)
    mine = _break(cast, cast.clinician)
    User.objects.filter(pk=cast.clinician.pk).update(role=User.Role.PRIVACY_OFFICER)
    cast.clinician.refresh_from_db()
    with pytest.raises(concerns.NotSigned, match="about you"):
        concerns.sign(mine, cast.clinician, finding="justified", note="", by=by)


def test_another_clinics_officer_finds_nothing(cast):
    concern = _break(cast)
    stranger = person(cast.other_clinic, "stranger", User.Role.PRIVACY_OFFICER)
    browser = sign_in(stranger)
    assert browser.get(reverse("review-one", args=[concern.id])).status_code == 404
    assert browser.get(reverse("review-patient", args=[cast.patient.id])).status_code == 404
    assert "data-concern" not in browser.get(reverse("review")).content.decode()
    assert b"data-result" not in browser.post(reverse("review-search"), {"q": "quixplotz"}).content


def test_after_an_erasure_the_review_still_opens(cast):
    concern = _break(cast)
    shred(cast.patient, BY, reason="request")
    page = sign_in(cast.officer).get(reverse("review-one", args=[concern.id]))
    assert page.status_code == 200
    assert REASON not in page.content.decode()
    concern.refresh_from_db()
    concerns.sign(concern, cast.officer, finding="follow_up", note="gone", by=BY)


def test_an_officer_finds_a_patient_and_sees_masks_and_the_log(cast):
    _break(cast)
    officer = sign_in(cast.officer)
    assert str(cast.patient.id) in officer.post(reverse("review-search"), {"q": "quix"}).content.decode()
    page = officer.get(reverse("review-patient", args=[cast.patient.id])).content.decode()
    assert "took emergency access" in page
    assert "M. Q." in page
    for canary in CANARIES:
        assert canary not in page


# -- decoys -----------------------------------------------------------------------------------------------


@pytest.fixture
def decoy(cast):
    officer = sign_in(cast.officer)
    typed = {"name": "Wilma Decoyne", "birth_date": "1960-06-06", "phone": "020 7946 0888", "decoy": "on"}
    assert officer.post(reverse("review-decoy"), typed).status_code == 302
    return patients.Patient.objects.order_by("-created_at").first()


def test_the_first_reading_of_a_decoy_raises_an_alarm_that_the_reader_does_not_see(cast, decoy):
    _break(cast, patient=decoy)
    browser = sign_in(cast.colleague)
    where = reverse("reveal", args=[decoy.id])
    answer = browser.post(where, {"fields": ["phone"], "purpose": "treat"})
    assert answer.json() == {"values": {"phone": "+442079460888"}, "seconds": 60}
    assert browser.post(where, {"fields": ["name"], "purpose": "treat"}).status_code == 200
    alarm = Concern.objects.get(kind="decoy")
    assert (alarm.person, alarm.patient) == (cast.colleague, decoy)
    assert AuditEntry.objects.filter(action="patient.canary").count() == 1
    page = sign_in(cast.officer).get(reverse("review-one", args=[alarm.id])).content.decode()
    assert "made up" in page


def test_nothing_at_rest_tells_a_decoy_from_a_patient(cast, decoy):
    typed = {"name": "Wanda Truewoman", "birth_date": "1961-06-06", "phone": "020 7946 0889"}
    sign_in(cast.officer).post(reverse("review-decoy"), typed)
    real = patients.Patient.objects.order_by("-created_at").first()
    assert (patients.opened(decoy).decoy, patients.opened(real).decoy) == (True, False)
    assert len(bytes(decoy.record.sealed)) == len(bytes(real.record.sealed))
    said = [AuditEntry.objects.get(action="patient.create", patient=str(one.id)) for one in (decoy, real)]
    assert said[0].detail == said[1].detail
    assert {said[0].person, said[1].person} == {str(cast.officer.pk)}
    assert not Concern.objects.exists()
    assert MARIA  # the cast's patients are no decoys
    assert not patients.opened(cast.patient).decoy


def test_a_decoy_that_an_officer_exports_raises_the_alarm_too(cast, decoy):
    typed = {"form": "fhir", "reason": "subject"}
    answer = sign_in(cast.officer).post(reverse("export", args=[decoy.id]), typed)
    assert answer.headers["Content-Type"] == "application/fhir+json"
    assert Concern.objects.get(kind="decoy").person == cast.officer
