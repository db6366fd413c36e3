"""Consent goes when its time is over, and not before; a hold keeps it; that it was there stays provable."""

import json
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.urls import reverse
from django.utils import timezone

from accounts import sessions
from consults import consent, erasing, export, holds, receipts, retention, tasks, visit, voice
from consults.models import Consent, VoiceRecording
from consults.retention_models import ConsentErasure, HoldLift, LegalHold, RetentionPeriod
from tests.cast import BY, MARIA, OTHER, Browser, agree, bring_to, code_of, open_receipt, person, receipt_form, sign_in
from vault import audit_key, audit_seal, audit_sealing, search
from vault.core import receipt
from vault.core.sealing import CannotOpen
from vault.models import AuditEntry, SealedValue

DAY = 24 * 3600
YEAR = 366 * DAY
MAIN, VOICE, RECORDS, OTHERS = "video_visit", "voice", "records", "others"
WHY = "Claim 7 of the harbour authority, until counsel ends it"


@pytest.fixture
def by(cast):
    return sessions.staff_actor(cast.officer)


@pytest.fixture
def log(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(audit_seal, "_transactions", lambda: (0, 0))
    settings.AUDIT_KEY_FILE = str(tmp_path / "audit_key")
    return audit_key.create("clinic.example/audit").key


def spoken(cast, **choice):
    """A visit that is over, with a consent said aloud."""
    now = bring_to("tested", cast.clinician, cast.patient)
    agree(now, recording=voice.keep(now.seat, b"OggS", seconds=4.2), **choice)
    visit.end(now.consult, BY)
    return now


def written(cast, **choice):
    now = bring_to("tested", cast.clinician, cast.patient)
    agree(now, **choice)
    visit.end(now.consult, BY)
    return now


def given(now):
    return Consent.objects.get(consult=now.consult, act="given")


def choose(cast, clock, **days):
    for scope, many in days.items():
        retention.choose(cast.officer, scope, many, sessions.staff_actor(cast.officer))
    clock.move(7 * DAY + 1)


def gone(now):
    return set(ConsentErasure.objects.filter(consent__consult=now.consult).values_list("what", flat=True))


def values(now):
    act = given(now)
    tokens = [act.evidence, act.signed_name]
    return SealedValue.objects.filter(token__in=tokens).count()


# -- what goes, and when -----------------------------------------------------------------------------------


def test_nothing_goes_before_a_clinic_has_chosen(cast, clock):
    now = spoken(cast)
    clock.move(90 * YEAR)
    assert retention.erase_due() == 0
    assert values(now) == 2


def test_a_consent_goes_when_its_time_is_over(cast, clock):
    now = written(cast)
    choose(cast, clock, video_visit=366)
    lifetime = given(now).expires_at - given(now).at
    clock.move(YEAR + lifetime.total_seconds() - 8 * DAY)
    assert retention.erase_due() == 0
    assert retention.coming_up(cast.clinic.pk, timezone.now() + retention.LOOK_AHEAD) == 1
    clock.move(2 * DAY)
    tasks.erase_due()
    assert gone(now) == {"act"}
    assert values(now) == 0
    with pytest.raises(CannotOpen):
        consent.opened(given(now))
    assert retention.erase_due() == 0


def test_the_log_names_what_was_there(cast, clock):
    now = spoken(cast)
    choose(cast, clock, video_visit=366, voice=366)
    clock.move(2 * YEAR)
    assert retention.erase_due() == 2
    act, recording = given(now), VoiceRecording.objects.get()
    entries = AuditEntry.objects.filter(action="consent.erase").order_by("id")
    assert [entry.detail["what"] for entry in entries] == ["recording", "act"]
    for entry in entries:
        assert (entry.detail["evidence"], entry.detail["sound"]) == (act.evidence_digest, recording.sha256)
        assert (entry.patient, entry.consult, entry.clinic_id) == (
            str(cast.patient.pk),
            str(act.consult_id),
            cast.clinic.pk,
        )
    assert AuditEntry.objects.get(action="consent.give").detail["evidence"] == act.evidence_digest


def test_a_recording_goes_by_itself(cast, clock):
    now = spoken(cast)
    choose(cast, clock, voice=30)
    clock.move(40 * DAY)
    assert retention.erase_due() == 1
    assert gone(now) == {"recording"}
    assert values(now) == 2
    assert VoiceRecording.objects.get().sound == ""
    assert not SealedValue.objects.filter(field="consent_voice").exists()


def test_an_act_is_kept_for_the_longest_of_what_was_agreed_to(cast, clock):
    plain, more = written(cast), written(cast, agreed=[OTHERS])
    choose(cast, clock, video_visit=366, others=731)
    clock.move(1.5 * YEAR)
    assert retention.erase_due() == 1
    assert (gone(plain), gone(more)) == ({"act"}, set())
    clock.move(YEAR)
    assert retention.erase_due() == 1


def test_one_scope_without_an_end_keeps_the_act(cast, clock):
    now = written(cast, agreed=[OTHERS])
    choose(cast, clock, video_visit=366)
    clock.move(50 * YEAR)
    assert retention.erase_due() == 0
    assert gone(now) == set()


def test_while_records_may_be_shared_the_time_does_not_begin(cast, clock):
    first = written(cast, agreed=[RECORDS])
    choose(cast, clock, video_visit=366, records=366)
    clock.move(5 * YEAR)
    assert retention.erase_due() == 0
    assert consent.shares_records(cast.patient.pk)
    second = written(cast)
    clock.move(0.5 * YEAR)
    assert retention.erase_due() == 0
    clock.move(YEAR)
    assert retention.erase_due() == 2
    assert gone(first) == gone(second) == {"act"}


def test_withdrawing_begins_the_time(cast, clock):
    now = written(cast, agreed=[RECORDS])
    choose(cast, clock, video_visit=366, records=366)
    clock.move(5 * YEAR)
    evidence = consent.draw_up_withdrawal(given(now), now.signer.key, timezone.now())
    withdrawal = consent.withdraw(now.seat, source="test", **now.signer.signed(evidence))
    assert retention.erase_due() == 0
    clock.move(YEAR + DAY)
    assert retention.erase_due() == 1
    assert not SealedValue.objects.filter(token=withdrawal.evidence).exists()


def test_another_clinics_choice_is_not_ours(cast, clock):
    now = written(cast)
    officer = person(cast.other_clinic, "theirs", "privacy_officer")
    retention.choose(officer, MAIN, 366, BY)
    clock.move(9 * YEAR)
    assert retention.erase_due() == 0
    assert gone(now) == set()


def test_a_run_has_an_end_and_the_next_goes_on(cast, clock):
    all_of_them = [written(cast) for _ in range(3)]
    choose(cast, clock, video_visit=366)
    clock.move(2 * YEAR)
    assert [retention.erase_due(most=2) for _ in range(3)] == [2, 1, 0]
    assert all(gone(now) == {"act"} for now in all_of_them)


def test_what_cannot_be_written_down_is_not_erased(cast, clock, monkeypatch):
    now = written(cast)
    choose(cast, clock, video_visit=366)
    clock.move(2 * YEAR)
    record = retention.audit.record

    def broken(action, *args, **more):
        if action == "consent.erase":
            raise DatabaseError
        return record(action, *args, **more)

    monkeypatch.setattr(retention.audit, "record", broken)
    with pytest.raises(DatabaseError):
        retention.erase_due()
    assert (gone(now), values(now)) == (set(), 2)


def test_an_erased_record_is_left_alone(cast, clock, by):
    written(cast)
    choose(cast, clock, video_visit=366)
    erasing.erase(cast.patient, by, reason="request", typed_number=cast.patient.record_number)
    clock.move(2 * YEAR)
    assert retention.erase_due() == 0


# -- choosing ----------------------------------------------------------------------------------------------


def test_a_shorter_time_waits_a_week_and_a_longer_one_does_not(cast, clock, by):
    def now_and_next():
        period = retention.periods(cast.clinic.pk, timezone.now())[MAIN]
        return period.days, period.coming.days if period.coming else "nothing"

    retention.choose(cast.officer, MAIN, 3653, by)
    assert now_and_next() == (None, 3653)
    clock.move(7 * DAY + 1)
    assert now_and_next() == (3653, "nothing")
    retention.choose(cast.officer, MAIN, 366, by)
    assert now_and_next() == (3653, 366)
    # Taken back: what was to come never counts.
    retention.choose(cast.officer, MAIN, 3653, by)
    assert now_and_next() == (3653, "nothing")
    clock.move(30 * DAY)
    assert now_and_next() == (3653, "nothing")
    retention.choose(cast.officer, MAIN, None, by)
    assert now_and_next() == (None, "nothing")
    assert retention.choose(cast.officer, MAIN, None, by) is None


@pytest.mark.parametrize(("scope", "days"), [(MAIN, 30), (MAIN, 0), (MAIN, 365), ("nothing", 366), (VOICE, 29)])
def test_only_what_is_offered_is_taken(cast, by, scope, days):
    with pytest.raises(retention.NotChosen):
        retention.choose(cast.officer, scope, days, by)


def test_a_period_is_never_shorter_than_its_years(cast):
    start = timezone.now()
    for days, said in retention.LONG.items():
        years = int(said.split()[0])
        for year in range(start.year, start.year + 8):
            begin = start.replace(year=year, month=3, day=1)
            assert begin + timedelta(days=days) >= begin.replace(year=year + years)


# -- holds -------------------------------------------------------------------------------------------------


def test_a_hold_keeps_everything_until_it_is_lifted(cast, clock, by):
    now = spoken(cast)
    hold = holds.place(cast.patient, cast.officer, WHY, by)
    second = holds.place(cast.patient, cast.officer, WHY, by)
    choose(cast, clock, video_visit=366, voice=30)
    clock.move(3 * YEAR)
    assert retention.erase_due() == 0
    assert not retention.erase(given(now).pk, "act")
    holds.lift(hold, cast.officer, WHY, by)
    assert retention.erase_due() == 0
    with pytest.raises(erasing.NotErased, match="legal hold"):
        erasing.erase(cast.patient, by, reason="request", typed_number=cast.patient.record_number)
    holds.lift(second, cast.officer, WHY, by)
    with pytest.raises(holds.NotHeld):
        holds.lift(second, cast.officer, WHY, by)
    assert retention.erase_due() == 2


def test_a_hold_that_comes_while_a_record_is_erased_is_seen(cast, by, monkeypatch):
    """Between the first look and the destroying."""
    shred = erasing.shredding.shred

    def late(patient, actor, *, reason):
        holds.place(patient, cast.officer, WHY, by)
        return shred(patient, actor, reason=reason)

    monkeypatch.setattr(erasing.shredding, "shred", late)
    with pytest.raises(erasing.NotErased, match="legal hold"):
        erasing.erase(cast.patient, by, reason="request", typed_number=cast.patient.record_number)
    cast.patient.refresh_from_db()
    assert cast.patient.shredded_at is None
    assert search.find(cast.clinic.id, MARIA["name"], by).patients


def test_why_it_is_held_is_sealed(cast, by):
    hold = holds.place(cast.patient, cast.officer, WHY, by)
    with connection.cursor() as cursor:
        cursor.execute("SELECT reason FROM consults_legalhold")
        assert cursor.fetchone()[0].startswith("hld_")
    assert [one.reason for one in holds.history(cast.patient, by)] == [WHY]
    assert WHY not in json.dumps([entry.detail for entry in AuditEntry.objects.filter(action__startswith="hold.")])
    assert AuditEntry.objects.filter(action="hold.place", patient=str(cast.patient.pk)).count() == 1
    holds.lift(hold, cast.officer, "The claim was settled in May", by)
    assert holds.history(cast.patient, by)[0].lift_reason == "The claim was settled in May"


@pytest.mark.parametrize("why", ["", "claim", "1234567890 !!", "x" * 501])
def test_a_hold_without_a_reason_is_refused(cast, by, why):
    with pytest.raises(holds.NotHeld):
        holds.place(cast.patient, cast.officer, why, by)


def test_an_erased_record_is_not_held(cast, by):
    erasing.erase(cast.patient, by, reason="request", typed_number=cast.patient.record_number)
    with pytest.raises(holds.NotHeld):
        holds.place(cast.patient, cast.officer, WHY, by)


@pytest.mark.parametrize("table", ["consenterasure", "legalhold", "holdlift", "retentionperiod"])
@pytest.mark.parametrize("change", ["DELETE FROM consults_{0}", "UPDATE consults_{0} SET id = id"])
def test_an_administrator_with_sql_changes_none_of_it(cast, clock, by, table, change):
    spoken(cast)
    holds.lift(holds.place(cast.patient, cast.officer, WHY, by), cast.officer, WHY, by)
    choose(cast, clock, voice=30)
    clock.move(40 * DAY)
    retention.erase_due()
    for model in (ConsentErasure, LegalHold, HoldLift, RetentionPeriod):
        assert model.objects.exists()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change.format(table))


# -- what is left ------------------------------------------------------------------------------------------


def page(now):
    return open_receipt(Browser(), now).get(reverse("receipt-yours")).content.decode()


def test_her_receipt_without_the_recording_says_that_it_was_erased(cast, clock, log):
    now = spoken(cast)
    choose(cast, clock, voice=30)
    clock.move(40 * DAY)
    retention.erase_due()
    audit_sealing.catch_up()
    report = receipt.verify(receipts.make(now.seat, given(now), "test"), log=log.vkey)
    assert report.holds, report.findings
    assert report.erased is not None
    assert "erased your recording" in page(now)


def test_of_an_erased_consent_she_has_the_proof_that_it_was_there(cast, clock, log):
    now = spoken(cast)
    choose(cast, clock, video_visit=366, voice=30)
    clock.move(2 * YEAR)
    retention.erase_due()
    audit_sealing.catch_up()
    with pytest.raises(receipts.NoReceipt, match="erased"):
        receipts.make(now.seat, given(now), "test")
    shown = page(now)
    assert "erased what you signed" in shown
    assert "data-withdraw>" not in shown
    ids = [entry for _, entry in receipts.agreements(now.seat)[0].left]
    actions = dict(AuditEntry.objects.values_list("pk", "action"))
    assert [actions[one] for one in ids] == ["consent.give", "consent.erase", "consent.erase"]
    for entry in ids:
        assert json.loads(receipts.proof(now.seat, entry, "test"))["leaf"]
    assert AuditEntry.objects.filter(action="vault.tamper").count() == 0


def test_the_proof_of_anothers_consent_is_not_hers(cast, clock, log):
    now, other = written(cast), bring_to("waiting", cast.colleague, cast.colleagues_patient)
    entry = AuditEntry.objects.get(action="consent.give", consult=str(other.consult.pk))
    with pytest.raises(AuditEntry.DoesNotExist):
        receipts.proof(now.seat, entry.pk, "test")


def test_what_is_erased_is_not_to_withdraw(cast, clock):
    now = written(cast)
    choose(cast, clock, video_visit=366)
    clock.move(2 * YEAR)
    retention.erase_due()
    assert consent.to_withdraw(now.seat) is None
    assert consent.withdraw(now.seat, source="test") is None
    assert consent.withdrawal_to_sign(now.seat, now.signer.key, source="test") is None


@pytest.mark.parametrize("form", ["fhir", "pdf"])
def test_an_export_goes_on_without_what_was_erased(cast, clock, by, form):
    now = spoken(cast)
    choose(cast, clock, video_visit=366, voice=30)
    clock.move(2 * YEAR)
    retention.erase_due()
    file = export.export(cast.patient, by, form=form, reason="subject")
    assert file.content
    if form == "fhir":
        assert b"StructureDefinition/consent-erased" in file.content
        assert given(now).statement_digest.encode() in file.content


def test_the_clinicians_page_says_that_it_is_gone(cast, clock):
    now = spoken(cast)
    choose(cast, clock, voice=30)
    clock.move(40 * DAY)
    retention.erase_due()
    browser = sign_in(cast.clinician)
    shown = browser.get(reverse("room", args=[now.consult.pk])).content.decode()
    assert "the recording" in shown
    assert "<audio" not in shown
    answer = browser.get(reverse("recording", args=[now.consult.pk, VoiceRecording.objects.get().pk]))
    assert answer.status_code == 404


# -- the officer's pages -----------------------------------------------------------------------------------


def test_she_chooses_holds_and_lifts(cast, clock):
    officer = sign_in(cast.officer)
    answer = officer.post(reverse("keeping"), {MAIN: "3653", VOICE: "30"}, follow=True).content.decode()
    assert "counts in seven days" in answer
    assert "Nothing is erased for now, then this" in answer
    assert set(RetentionPeriod.objects.values_list("scope", "days")) == {(MAIN, 3653), (VOICE, 30)}
    hold_page = reverse("hold", args=[cast.patient.pk])
    assert "sealed under" in officer.get(hold_page).content.decode()
    officer.post(hold_page, {"reason": WHY})
    assert WHY in officer.get(hold_page).content.decode()
    assert "M. Q." in officer.get(reverse("keeping")).content.decode()
    assert "Under legal hold" in officer.get(reverse("review-patient", args=[cast.patient.pk])).content.decode()
    assert "Erase for good" not in officer.get(reverse("erase", args=[cast.patient.pk])).content.decode()
    lift = reverse("hold-lift", args=[cast.patient.pk, LegalHold.objects.get().pk])
    assert "few words" in officer.post(lift, {"reason": "no"}).content.decode()
    officer.post(lift, {"reason": "The claim was settled in May"})
    assert not holds.standing(cast.patient.pk).exists()
    assert "settled in May" in officer.get(hold_page).content.decode()


@pytest.mark.parametrize("name", ["keeping", "hold", "hold-lift"])
def test_each_needs_a_fresh_second_factor(cast, clock, by, name):
    hold = holds.place(cast.patient, cast.officer, WHY, by)
    path = reverse(name, args={"keeping": [], "hold": [cast.patient.pk]}.get(name, [cast.patient.pk, hold.pk]))
    officer = sign_in(cast.officer)
    clock.move(6 * 60)
    typed = {"reason": WHY, MAIN: "366"}
    assert officer.post(path, typed).status_code == 200
    assert (LegalHold.objects.count(), HoldLift.objects.count(), RetentionPeriod.objects.count()) == (1, 0, 0)
    assert officer.post(path, typed | {"code": code_of(cast.officer)}).status_code == 302
    assert LegalHold.objects.count() + HoldLift.objects.count() + RetentionPeriod.objects.count() == 2


def test_another_clinics_hold_is_not_found(cast, by):
    hold = holds.place(cast.patient, cast.officer, WHY, by)
    theirs = sign_in(person(cast.other_clinic, "theirs", "privacy_officer"))
    for path in (
        reverse("hold", args=[cast.patient.pk]),
        reverse("hold-lift", args=[cast.patient.pk, hold.pk]),
        # Her own patient, and our hold.
        reverse("hold-lift", args=[cast.outsiders_patient.pk, hold.pk]),
        reverse("links-close", args=[cast.patient.pk]),
    ):
        assert theirs.post(path, {"reason": WHY}).status_code == 404
    assert not HoldLift.objects.exists()


def test_an_officer_closes_the_links_of_a_patient_who_calls(cast):
    now, other = written(cast), bring_to("waiting", cast.colleague, cast.colleagues_patient)
    officer = sign_in(cast.officer)
    record = reverse("review-patient", args=[cast.patient.pk])
    assert "to the patient's own page" in officer.get(record).content.decode()
    officer.post(reverse("links-close", args=[cast.patient.pk]))
    assert receipts.open_links(cast.patient).count() == 0
    assert receipts.open_links(cast.colleagues_patient).count() == 1
    entry = AuditEntry.objects.get(action="receipt.close")
    assert (entry.person, entry.consult) == (str(cast.officer.pk), str(now.consult.pk))
    assert "to the patient's own page" not in officer.get(record).content.decode()
    assert Browser().post(reverse("receipt-open"), receipt_form(other, OTHER)).status_code == 200
