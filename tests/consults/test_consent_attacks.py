"""A hostile browser at the consent step: whatever it signs that is not what we would have had signed is refused."""

import base64
import datetime as dt

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from django.urls import reverse
from django.utils import timezone

from consults import consent, statements, voice
from consults.models import Consent, ConsentStatement
from tests.cast import MARIA, agree, bring_to, publish
from tests.signer import FINGERPRINT, Signer, as_form
from vault import patients
from vault.core.canonical import canonical
from vault.core.sealing import CannotOpen
from vault.models import AuditEntry

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
OTHER = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def tested(cast):
    return bring_to("tested", cast.clinician, cast.patient)


def _giving(now, **changes):
    return {**now.signer.giving(now.seat, MARIA["name"]), **changes}


def _send(now, form):
    return now.browser().post(reverse("consent", args=[now.consult.id]), form)


def _refused(now, form, status=409):
    before = Consent.objects.count(), AuditEntry.objects.filter(action="consent.give").count()
    answer = _send(now, form)
    assert answer.status_code == status, answer.content
    assert answer.json()["error"]
    assert (Consent.objects.count(), AuditEntry.objects.filter(action="consent.give").count()) == before
    assert now.fresh().stage == "consent"


def _words(evidence, of="video_visit", **changes):
    return [{**one, **changes} if one["scope"] == of else one for one in evidence["statements"]]


def _at(moment):
    """The two moments of an act, as they belong together."""
    day = dt.timedelta(hours=24)
    return {"time": consent.moment_text(moment), "expires": consent.moment_text(moment + day)}


@pytest.mark.parametrize(
    "changes",
    [
        {"consult": OTHER},
        {"patient": OTHER},
        {"clinic": {"id": OTHER, "name": "Harbour Practice"}},
        {"clinic": {"id": OTHER, "name": "Another name"}},
        {"purpose": "Anything at all"},
        {"expires": "2099-01-01T00:00:00Z"},
        {"expires": None},
        {"withdraws": "0" * 64},
        {"act": "withdraw"},
        {"worker": [FINGERPRINT]},
        {"recording": {"sha256": "0" * 64, "seconds": 3}, "worker": [FINGERPRINT]},
        {"name": ""},
        {"name": " " * 3},
        {"name": "x" * 121},
        {"statements": []},
        {"more": 1},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_signed_facts_that_are_not_ours_are_refused(tested, changes):
    _refused(tested, as_form(tested.signer.signed(_giving(tested, **changes))))


@pytest.mark.parametrize(
    "changes",
    [
        {"digest": "0" * 64},
        {"version": 1},
        {"version": 3},
        {"locale": "xx"},
        {"required": False},
        {"required": False, "agreed": False},
        {"agreed": False},
        {"scope": "everything"},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_other_words_than_those_in_force_are_refused(tested, changes):
    evidence = _giving(tested)
    evidence["statements"] = _words(evidence, **changes)
    _refused(tested, as_form(tested.signer.signed(evidence)))


@pytest.mark.parametrize("change", [lambda all: all[::-1], lambda all: all[:1], lambda all: [*all, all[0]]])
def test_statements_turned_round_left_out_or_doubled_are_refused(tested, change):
    evidence = _giving(tested)
    evidence["statements"] = change(evidence["statements"])
    _refused(tested, as_form(tested.signer.signed(evidence)))


def test_the_other_clinics_words_are_refused(cast, tested):
    foreign = publish(cast.other_clinic, title="Foreign")
    evidence = _giving(tested)
    evidence["statements"] = _words(evidence, version=foreign.version, digest=statements.digest_of(foreign))
    _refused(tested, as_form(tested.signer.signed(evidence)))


def test_an_older_version_of_the_clinics_own_words_is_refused(cast, tested):
    evidence = _giving(tested)
    publish(cast.clinic, scope="records")
    _refused(tested, as_form(tested.signer.signed(evidence)))


def test_an_older_version_of_every_clinics_words_is_refused(tested):
    first = ConsentStatement.objects.get(clinic=None, scope="video_visit", locale="en", version=1)
    evidence = _giving(tested)
    evidence["statements"] = _words(evidence, version=1, digest=statements.digest_of(first))
    _refused(tested, as_form(tested.signer.signed(evidence)))


@pytest.mark.parametrize("seconds", [-24 * 3600, -301, 10, 3600])
def test_a_stale_or_future_time_is_refused(tested, seconds):
    moment = timezone.now() + dt.timedelta(seconds=seconds)
    _refused(tested, as_form(tested.signer.signed(_giving(tested, **_at(moment)))))


def test_a_key_that_is_not_the_one_named_is_refused(tested):
    signed = tested.signer.signed(_giving(tested))
    _refused(tested, as_form({**signed, "signature": Signer().sign(signed["data"])}))


def test_a_key_that_signed_for_another_visit_is_refused(cast, tested):
    other = bring_to("consented", cast.clinician, cast.patient)
    tested.signer = other.signer
    _refused(tested, as_form(tested.signer.signed(_giving(tested))))


@pytest.mark.parametrize("key", ["", "AAAA", "not base64", base64.b64encode(bytes(91)).decode()])
def test_a_key_that_is_none_is_refused(tested, key):
    _refused(tested, as_form(tested.signer.signed(_giving(tested, key=key))))


def _flipped(signature):
    s = ORDER - int.from_bytes(signature[32:], "big")
    return signature[:32] + s.to_bytes(32, "big")


def _der(signature):
    return encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))


@pytest.mark.parametrize(
    "change", [_der, lambda s: s[:-1], lambda s: s + b"\0", lambda _: bytes(64), lambda _: b"\xff" * 64, lambda _: b""]
)
def test_signatures_in_other_forms_are_refused(tested, change):
    signed = tested.signer.signed(_giving(tested))
    with pytest.raises(consent.NotConsented):
        consent.give(tested.seat, signed["data"], change(signed["signature"]), source="test")
    wrong_length = len(change(signed["signature"])) != 64
    _refused(tested, as_form({**signed, "signature": change(signed["signature"])}), 400 if wrong_length else 409)


def test_a_changed_byte_is_refused(tested):
    signed = tested.signer.signed(_giving(tested))
    for place in range(0, len(signed["data"]), 97):
        data = bytearray(signed["data"])
        data[place] ^= 1
        with pytest.raises(consent.NotConsented):
            consent.give(tested.seat, bytes(data), signed["signature"], source="test")
    assert not Consent.objects.exists()


@pytest.mark.parametrize("other", [b" %s", b"%s ", b"\xef\xbb\xbf%s", b"[%s]"])
def test_the_same_facts_in_another_spelling_are_refused(tested, other):
    data = other % canonical(_giving(tested))
    with pytest.raises(consent.NotConsented):
        consent.give(tested.seat, data, tested.signer.sign(data), source="test")


@pytest.mark.parametrize("letters", [70_000, 3_000_000])
def test_what_is_too_long_is_refused_unread(tested, letters):
    form = as_form(tested.signer.signed(_giving(tested, purpose="x" * letters)))
    assert _send(tested, form).status_code in (400, 413)
    assert not Consent.objects.exists()


def test_the_same_act_again_is_the_same_record(tested):
    form = as_form(tested.signer.signed(_giving(tested)))
    answers = [_send(tested, form) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len({answer.json()["consent"] for answer in answers}) == 1
    assert Consent.objects.count() == 1
    assert AuditEntry.objects.filter(action="consent.give").count() == 1


@pytest.mark.parametrize("change", [lambda s: s, _flipped])
def test_what_was_withdrawn_is_not_given_again_by_its_own_bytes(tested, change):
    signed = tested.signer.signed(_giving(tested))
    assert _send(tested, as_form(signed)).status_code == 200
    consent.withdraw(tested.seat, source="test")
    _refused(tested, as_form({**signed, "signature": change(signed["signature"])}))
    assert consent.standing(tested.consult.id) is None


def test_her_act_from_another_browser_without_her_seat_does_nothing(cast, tested):
    form = as_form(tested.signer.signed(_giving(tested)))
    other = bring_to("tested", cast.clinician, cast.patient)
    answer = other.browser().post(reverse("consent", args=[tested.consult.id]), form)
    assert answer.status_code == 404
    _refused(other, form)


def test_anothers_recording_under_her_own_signature_is_refused(cast, tested):
    other = bring_to("tested", cast.colleague, cast.colleagues_patient)
    theirs = voice.keep(other.seat, b"OggS of another", seconds=4)
    evidence = _giving(tested, recording={"sha256": theirs.sha256, "seconds": 4}, worker=[FINGERPRINT])
    evidence["statements"] = _words(evidence, "voice", agreed=True)
    _refused(tested, as_form(tested.signer.signed(evidence)))


def test_a_recording_named_without_her_tick_is_refused(tested):
    own = voice.keep(tested.seat, b"OggS", seconds=4)
    evidence = _giving(tested, recording={"sha256": own.sha256, "seconds": 4}, worker=[FINGERPRINT])
    _refused(tested, as_form(tested.signer.signed(evidence)))


def test_a_thief_of_the_database_finds_no_name_and_no_evidence(tested):
    agree(tested)
    row = Consent.objects.values().get()
    told = repr({name: value for name, value in row.items() if name not in ("purpose",)})
    assert MARIA["name"] not in told
    assert tested.signer.key not in told
    with pytest.raises(CannotOpen):
        patients.unseal(tested.consult.patient, "signed_name", row["evidence"])


# -- somebody between her browser and the worker -----------------------------------------------------------

WORKERS = "sha-256 " + ":".join(["CD"] * 32)


def _spoken(now, *fingerprints):
    return voice.keep(now.seat, b"OggS", seconds=3, fingerprints=fingerprints)


def test_a_recording_that_came_by_way_of_somebody_else_is_refused_and_in_the_log(tested):
    """Her browser saw FINGERPRINT in its handshake; the worker showed another certificate."""
    recording = _spoken(tested, WORKERS)
    answer = _send(
        tested, as_form(tested.signer.signed(tested.signer.giving(tested.seat, MARIA["name"], recording=recording)))
    )
    assert answer.status_code == 409
    assert "did not come straight from this browser" in answer.json()["error"]
    assert not Consent.objects.exists()
    entry = AuditEntry.objects.get(action="consent.give")
    assert (entry.outcome, entry.detail["why"]) == ("refused", "another recorder")


def test_it_is_refused_before_anything_is_signed(tested):
    recording = _spoken(tested, WORKERS)
    chosen = {"locale": "en", "agreed": ["video_visit", "voice"], "name": MARIA["name"], "role": "patient"}
    seen = {"recording": recording.sha256, "worker": FINGERPRINT, "key": tested.signer.key}
    answer = _send(tested, chosen | seen)
    assert (answer.status_code, "sign" in answer.json()) == (409, False)
    assert AuditEntry.objects.get(action="consent.give").outcome == "refused"


def test_one_true_certificate_does_not_hide_another(tested):
    recording = _spoken(tested, WORKERS)
    act = tested.signer.giving(tested.seat, MARIA["name"], recording=recording) | {"worker": [WORKERS, FINGERPRINT]}
    assert _send(tested, as_form(tested.signer.signed(act))).status_code == 409
    assert not Consent.objects.exists()


def test_what_came_straight_is_taken(tested):
    recording = _spoken(tested, "sha-512 00", FINGERPRINT)
    assert agree(tested, recording=recording).recording == recording
