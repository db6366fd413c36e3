"""Consent comes from the patient's seat, for the words in force, signed by her browser, and is appended."""

import hashlib
import json

import pytest
from django.db import DatabaseError, connection, transaction
from django.urls import reverse

from consults import consent, statements, visit, voice
from consults.models import Consent, ConsentStatement
from tests.cast import BY, MARIA, agree, bring_to, publish, sign_in
from tests.signer import FINGERPRINT, as_form
from vault import patients
from vault.core import evidence
from vault.core.tokens import is_token
from vault.models import AuditEntry


@pytest.fixture
def tested(cast):
    return bring_to("tested", cast.clinician, cast.patient)


def _ask(now, browser=None, **changes):
    """What the page sends first: what was chosen and typed."""
    chosen = {"locale": "en", "agreed": ["video_visit"], "name": MARIA["name"], "role": "patient"}
    form = {**chosen, "key": now.signer.key, **changes}
    form = {name: value for name, value in form.items() if value is not None}
    return (browser or now.browser()).post(reverse("consent", args=[now.consult.id]), form)


def _send(now, form, browser=None):
    return (browser or now.browser()).post(reverse("consent", args=[now.consult.id]), form)


def _post(now, browser=None, **changes):
    """Both steps, as the page takes them: ask what is to be signed, sign exactly that, send it."""
    asked = _ask(now, browser, **changes)
    if asked.status_code != 200:
        return asked
    return _send(now, as_form(now.signer.signed(json.loads(asked.json()["sign"]))), browser)


def _signed(now):
    """A whole signed act, drawn up from her seat."""
    return as_form(now.signer.signed(now.signer.giving(now.seat, MARIA["name"])))


def _words(now, locale="en"):
    return statements.in_force(now.consult.clinic, "video_visit", locale)


def test_consent_is_evidence(tested):
    answer = _post(tested)
    given = Consent.objects.get()
    at = given.at.isoformat()
    assert answer.json() == {"ok": True, "consent": str(given.id), "at": at, "digest": given.evidence_digest}
    assert (given.act, given.method, given.scopes) == ("given", "written", ["video_visit"])
    assert given.statement == _words(tested)
    assert given.statement_digest == statements.digest_of(_words(tested))
    assert (given.by_role, bool(given.purpose)) == ("patient", True)
    assert 0 <= (given.expires_at - given.at).total_seconds() + 2 - 24 * 3600 < 3
    assert is_token(given.signed_name)
    assert patients.unseal(tested.consult.patient, "signed_name", given.signed_name).decode() == MARIA["name"]
    assert tested.fresh().stage == "waiting"


def test_what_is_kept_is_what_her_browser_signed(tested):
    form = _signed(tested)
    assert _send(tested, form).status_code == 200
    given = Consent.objects.get()
    assert is_token(given.evidence)
    data, signature = consent.opened(given)
    assert data.decode() == form["evidence"]
    told = evidence.verify(data, signature)
    assert given.evidence_digest == hashlib.sha256(data + signature).hexdigest()
    assert (told["key"], told["consult"], told["name"]) == (
        tested.signer.key,
        str(tested.consult.id),
        MARIA["name"],
    )
    assert [(one["scope"], one["agreed"], one["required"]) for one in told["statements"]] == [
        ("video_visit", True, True),
        ("records", False, False),
        ("others", False, False),
        ("voice", False, False),
    ]
    assert given.statements == told["statements"]


def test_the_log_has_who_which_words_how_and_the_evidence(tested):
    _post(tested)
    given, entry = Consent.objects.get(), AuditEntry.objects.get(action="consent.give")
    assert (entry.role, entry.person) == ("patient", str(tested.consult.patient_id))
    assert entry.detail["words"] == given.statement_digest
    assert (entry.detail["version"], entry.detail["signed"]) == (given.statement.version, True)
    assert entry.detail["evidence"] == given.evidence_digest
    assert MARIA["name"] not in json.dumps(entry.detail)


def test_each_scope_is_hers_to_choose(tested):
    assert _post(tested, agreed=["others", "video_visit", "records"]).status_code == 200
    assert Consent.objects.get().scopes == ["video_visit", "records", "others"]
    assert consent.shares_records(tested.consult.patient_id)


def test_without_what_is_required_nothing_is_taken(tested):
    answer = _ask(tested, agreed=["records", "others"])
    assert answer.status_code == 409
    assert "video visit" in answer.json()["error"]


def test_records_stay_in_the_clinic_until_she_says_otherwise(tested):
    assert not consent.shares_records(tested.consult.patient_id)
    _post(tested)
    assert not consent.shares_records(tested.consult.patient_id)


def test_words_are_signed_in_the_language_they_were_read_in(tested):
    assert _post(tested, locale="es").status_code == 200
    given = Consent.objects.get()
    assert given.statement == _words(tested, "es")
    assert {one["locale"] for one in given.statements} == {"es"}


def test_a_language_the_clinic_lacks_is_read_and_signed_in_english(tested):
    assert _post(tested, locale="fi").status_code == 200
    assert {one["locale"] for one in Consent.objects.get().statements} == {"en"}


def test_a_guardian_gives_and_an_interpreter_witnesses_both_named(tested):
    people = {"role": "guardian", "by_name": "Ana Gonzalez", "relation": "mother"}
    people |= {"witness": "interpreter", "witness_name": "Ivo Berg", "witness_relation": "interpreter of the clinic"}
    assert _post(tested, **people).status_code == 200
    given = Consent.objects.get()
    told = evidence.read(consent.opened(given)[0])
    assert told["by"] == {"role": "guardian", "name": "Ana Gonzalez", "relation": "mother"}
    assert told["witness"]["name"] == "Ivo Berg"
    assert given.by_role == "guardian"
    assert AuditEntry.objects.get(action="consent.give").detail["by"] == "guardian"


@pytest.mark.parametrize("role", [{"role": "guardian"}, {"role": "interpreter"}, {"witness": "interpreter"}])
def test_whoever_acts_for_her_or_beside_her_is_named(tested, role):
    assert _ask(tested, **role).status_code == 400
    assert not Consent.objects.exists()


@pytest.mark.parametrize("missing", ["locale", "name", "agreed", "role", "key"])
def test_nothing_is_taken_for_granted(tested, missing):
    assert _ask(tested, **{missing: None}).status_code == 400
    assert not Consent.objects.exists()


@pytest.mark.parametrize("name", ["   ", "x" * 121])
def test_a_name_has_to_be_typed(tested, name):
    assert _ask(tested, name=name).status_code == 400
    with pytest.raises((consent.NotConsented, evidence.BadEvidence)):
        agree(tested, name)


def test_asking_what_is_to_be_signed_records_nothing(tested):
    assert "sign" in _ask(tested).json()
    assert not Consent.objects.exists()
    assert not AuditEntry.objects.filter(action="consent.give").exists()
    assert tested.fresh().stage == "consent"


def test_words_renewed_while_she_read_are_refused(tested):
    form = _signed(tested)
    publish(tested.consult.clinic, title="Own words")
    answer = _send(tested, form)
    assert answer.status_code == 409
    assert "read it again" in answer.json()["error"]
    assert not Consent.objects.exists()
    assert _post(tested).status_code == 200
    assert Consent.objects.get().statement.title == "Own words"


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
    assert _send(now, _signed(now)).status_code == 409
    assert Consent.objects.filter(consult=now.consult).count() == before


def test_agreeing_twice_is_one_consent(tested):
    assert _post(tested).status_code == 200
    assert _post(tested).status_code == 409
    assert Consent.objects.count() == 1


def test_agreeing_in_parallel_is_one_consent(committed_cast):
    from tests.at_once import at_once

    now = bring_to("tested", committed_cast.clinician, committed_cast.patient)
    forms = [_signed(now) for _ in range(5)]
    answers = at_once([lambda form=form: _send(now, form).status_code for form in forms])
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


def test_what_is_to_be_signed_to_withdraw_is_drawn_up_after_its_entry(cast, monkeypatch):
    now = bring_to("admitted", cast.clinician, cast.patient)
    asked, opened = AuditEntry.objects.filter(action="consent.withdraw.ask"), consent.opened
    seen = []
    monkeypatch.setattr(consent, "opened", lambda act: seen.append(asked.count()) or opened(act))
    answer = now.browser().post(reverse("withdraw", args=[now.consult.id]), {"key": now.signer.key})
    assert json.loads(answer.json()["sign"])["act"] == "withdraw"
    assert seen == [1]
    assert asked.get().role == "patient"


def test_withdrawing_twice_is_one_row(cast):
    now = bring_to("admitted", cast.clinician, cast.patient)
    for _ in range(2):
        now.browser().post(reverse("withdraw", args=[now.consult.id]))
    assert Consent.objects.filter(act="withdrawn").count() == 1


def test_she_can_agree_anew_after_withdrawing(cast, clock):
    now = bring_to("admitted", cast.clinician, cast.patient)
    consent.withdraw(now.seat, source="test")
    clock.move(1)
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
    spoken = {"recording": recording.sha256, "worker": FINGERPRINT, "agreed": ["video_visit", "voice"]}
    assert _post(tested, **spoken).status_code == 200
    given = Consent.objects.get()
    told = evidence.read(consent.opened(given)[0])
    assert told["recording"] == {"sha256": hashlib.sha256(b"OggS").hexdigest(), "seconds": 4}
    assert told["worker"] == [FINGERPRINT]
    assert (given.method, given.scopes, given.recording) == ("spoken", ["video_visit", "voice"], recording)


def test_another_patients_recording_is_refused(cast, tested):
    other = bring_to("tested", cast.colleague, cast.colleagues_patient)
    recording = voice.keep(other.seat, b"OggS of another", seconds=4)
    spoken = {"recording": recording.sha256, "worker": FINGERPRINT, "agreed": ["video_visit", "voice"]}
    assert _post(tested, **spoken).status_code == 409
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
