"""Consent comes from the patient's seat, for the words in force, and is appended: given, then perhaps withdrawn."""

import json

import pytest
from django.db import DatabaseError, connection, transaction
from django.urls import reverse
from django.utils import timezone

from consults import consent, visit, voice
from consults.models import Consent, ConsentStatement
from tests.cast import BY, MARIA, agree, bring_to, sign_in
from vault import patients
from vault.core.tokens import is_token
from vault.models import AuditEntry


@pytest.fixture
def tested(cast):
    return bring_to("tested", cast.clinician, cast.patient)


def _words(now):
    return consent.digest_of(consent.statement_for(now.consult, "video_visit"))


def _post(now, browser=None, **changes):
    data = {"shown": _words(now), "name": MARIA["name"], "agree": "on", **changes}
    data = {k: v for k, v in data.items() if v is not None}
    return (browser or now.browser()).post(reverse("consent", args=[now.consult.id]), data)


def test_consent_is_evidence(tested):
    answer = _post(tested)
    given = Consent.objects.get()
    assert answer.json() == {"ok": True, "consent": str(given.id), "at": given.at.isoformat()}
    assert (given.act, given.method, given.scopes) == ("given", "written", ["video_visit"])
    assert given.statement_digest == _words(tested)
    assert given.statement.version == 1
    assert given.statement.locale == "en"
    assert given.purpose
    assert given.at.utcoffset().total_seconds() == 0
    assert (given.expires_at - given.at).total_seconds() == 24 * 3600
    assert is_token(given.signed_name)
    assert patients.unseal(tested.consult.patient, "signed_name", given.signed_name).decode() == MARIA["name"]
    assert tested.fresh().stage == "waiting"


def test_the_log_has_who_which_words_and_how(tested):
    _post(tested)
    entry = AuditEntry.objects.get(action="consent.give")
    assert (entry.role, entry.person) == ("patient", str(tested.consult.patient_id))
    assert entry.detail["words"] == _words(tested)
    assert entry.detail["version"] == 1


def test_the_digest_is_of_the_canonical_words(tested):
    import hashlib

    words = consent.statement_for(tested.consult, "video_visit")
    fields = {f: getattr(words, f) for f in ("locale", "scope", "text", "title", "version")}
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert consent.digest_of(words) == hashlib.sha256(canonical.encode()).hexdigest()


@pytest.mark.parametrize("missing", ["shown", "name", "agree"])
def test_nothing_is_taken_for_granted(tested, missing):
    assert _post(tested, **{missing: None}).status_code == 400
    assert not Consent.objects.exists()


@pytest.mark.parametrize("name", ["   ", "x" * 121])
def test_a_name_has_to_be_typed(tested, name):
    assert _post(tested, name=name).status_code == 400
    with pytest.raises(consent.NotConsented):
        agree(tested, name)


@pytest.mark.parametrize("shown", ["0" * 64, "x", "A" * 64])
def test_words_that_are_not_in_force_are_refused(tested, shown):
    answer = _post(tested, shown=shown)
    assert answer.status_code == 409
    assert "read it again" in answer.json()["error"]
    assert not Consent.objects.exists()


def test_words_renewed_while_she_read_are_refused(tested):
    old = _words(tested)
    _publish(tested.consult.clinic)
    assert _post(tested, shown=old).status_code == 409
    assert _post(tested).status_code == 200
    assert Consent.objects.get().statement.title == "Own words"


def _publish(clinic, **changes):
    fields = {"scope": "video_visit", "locale": "en", "version": 1, "title": "Own words", "text": "Yes?"}
    return ConsentStatement.objects.create(clinic=clinic, **{**fields, "published_at": timezone.now(), **changes})


def test_the_clinics_own_newest_words_come_first(cast, tested):
    import datetime as dt

    own = _publish(cast.clinic)
    _publish(cast.other_clinic, title="Foreign words", version=9)
    _publish(cast.clinic, title="Not yet", version=9, published_at=timezone.now() + dt.timedelta(days=1))
    assert consent.statement_for(tested.consult, "video_visit") == own
    newer = _publish(cast.clinic, version=2)
    assert consent.statement_for(tested.consult, "video_visit") == newer


@pytest.mark.parametrize("who", ["clinician", "colleague", "officer", "operator"])
def test_nobody_else_can_consent_or_withdraw_for_her(cast, tested, who):
    staff = sign_in(getattr(cast, who))
    assert _post(tested, staff).status_code == 404
    assert not Consent.objects.exists()
    _post(tested)
    assert staff.post(reverse("withdraw", args=[tested.consult.id])).status_code == 404
    assert consent.standing(tested.consult.id)


@pytest.mark.parametrize("stage", ["seated", "identified", "ended"])
def test_out_of_turn_it_is_refused(cast, stage):
    now = bring_to(stage, cast.clinician, cast.patient)
    before = Consent.objects.filter(consult=now.consult).count()
    assert _post(now).status_code == 409
    assert Consent.objects.filter(consult=now.consult).count() == before


def test_agreeing_twice_is_one_consent(tested):
    assert _post(tested).status_code == 200
    assert _post(tested).status_code == 409
    assert Consent.objects.count() == 1


def test_agreeing_in_parallel_is_one_consent(committed_cast):
    from tests.at_once import at_once

    now = bring_to("tested", committed_cast.clinician, committed_cast.patient)
    shown = _words(now)
    answers = at_once([lambda: _post(now, shown=shown).status_code] * 5)
    assert sorted(answers) == [200] + [409] * 4
    assert Consent.objects.count() == 1


def test_consent_ends_after_a_day(cast, clock):
    now = bring_to("admitted", cast.clinician, cast.patient)
    assert now.fresh().gate_open
    clock.move(24 * 3600 + 1)
    assert not now.fresh().gate_open


def test_withdrawing_appends_and_shuts_the_gate(cast):
    now = bring_to("admitted", cast.clinician, cast.patient)
    given = Consent.objects.values().get()
    negotiation = now.fresh().consult.negotiation
    assert now.browser().post(reverse("withdraw", args=[now.consult.id])).json() == {"ok": True}
    assert Consent.objects.filter(pk=given["id"]).values().get() == given
    withdrawn = Consent.objects.get(act="withdrawn")
    assert withdrawn.withdraws_id == given["id"]
    assert withdrawn.statement_digest == given["statement_digest"]
    view = now.fresh()
    assert not view.gate_open
    assert view.stage == "consent"
    assert view.consult.negotiation == negotiation + 1
    assert AuditEntry.objects.filter(action="consent.withdraw").count() == 1


def test_withdrawing_twice_is_one_row(cast):
    now = bring_to("admitted", cast.clinician, cast.patient)
    for _ in range(2):
        now.browser().post(reverse("withdraw", args=[now.consult.id]))
    assert Consent.objects.filter(act="withdrawn").count() == 1


def test_she_can_agree_anew_after_withdrawing(cast):
    now = bring_to("admitted", cast.clinician, cast.patient)
    consent.withdraw(now.seat, source="test")
    agree(now)
    assert now.fresh().gate_open
    assert Consent.objects.count() == 3


@pytest.mark.parametrize("table", ["consults_consent", "consults_consentstatement"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET id = id", "DELETE FROM {}"])
def test_the_database_refuses_to_rewrite_evidence(cast, table, statement):
    bring_to("consented", cast.clinician, cast.patient)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement.format(table))


def test_a_spoken_consent_names_its_recording(tested):
    recording = voice.keep(tested.seat, b"OggS", seconds=4)
    assert _post(tested, recording=str(recording.pk)).status_code == 200
    given = Consent.objects.get()
    assert (given.method, given.scopes, given.recording) == ("spoken", ["video_visit", "voice"], recording)


def test_another_patients_recording_is_refused(cast, tested):
    other = bring_to("tested", cast.colleague, cast.colleagues_patient)
    recording = voice.keep(other.seat, b"OggS", seconds=4)
    assert _post(tested, recording=str(recording.pk)).status_code == 400
    with pytest.raises(consent.NotConsented):
        agree(tested, recording=recording)
    assert not Consent.objects.exists()


def test_voice_may_be_recorded_at_the_consent_step_only(cast):
    allowed = {}
    for stage in ("seated", "identified", "tested", "consented", "waiting", "admitted", "ended"):
        allowed[stage] = voice.may_record(bring_to(stage, cast.clinician, cast.patient).seat)
    assert [stage for stage, may in allowed.items() if may] == ["tested"]


def test_voice_is_not_recorded_where_the_clinic_does_not_offer_it(cast, tested):
    cast.clinic.offers_voice_consent = False
    cast.clinic.save()
    tested.seat = type(tested.seat).objects.get(pk=tested.seat.pk)
    assert not voice.may_record(tested.seat)


def test_a_recording_is_sealed_and_each_hearing_is_in_the_log(cast, tested):
    recording = voice.keep(tested.seat, b"OggS canary", seconds=4)
    assert is_token(recording.sound)
    assert voice.play(recording, BY) == b"OggS canary"
    assert AuditEntry.objects.filter(action="consent.voice.play").count() == 1
    agree(tested, recording=recording)
    answer = sign_in(cast.clinician).get(reverse("recording", args=[tested.consult.id, recording.pk]))
    assert (answer.content, answer.headers["Content-Type"]) == (b"OggS canary", "audio/ogg")
    assert AuditEntry.objects.filter(action="consent.voice.play").count() == 2


def test_without_any_words_nobody_is_asked(cast, tested, monkeypatch):
    monkeypatch.setattr(ConsentStatement.objects, "filter", lambda *a, **k: ConsentStatement.objects.none())
    answer = tested.browser().get(reverse("visit", args=[tested.consult.id]))
    assert answer.status_code == 200
    assert "call your clinic" in answer.content.decode()
    assert visit.look(tested.consult.id).stage == "consent"
