"""Withdrawing: at any time, signed by her browser where it can, a new record beside the old one."""

import datetime as dt
import json

import pytest
from django.urls import reverse
from django.utils import timezone

from consults import consent, visit
from consults.models import Consent
from tests.cast import BY, agree, bring_to
from tests.signer import Signer, as_form
from vault.core import evidence
from vault.models import AuditEntry


@pytest.fixture
def admitted(cast):
    return bring_to("admitted", cast.clinician, cast.patient)


def _post(now, form):
    return now.browser().post(reverse("withdraw", args=[now.consult.id]), form)


def _given(now):
    return Consent.objects.filter(consult=now.consult, act="given").order_by("-at").first()


def _withdrawal(now, **changes):
    return {**consent.draw_up_withdrawal(_given(now), now.signer.key, timezone.now()), **changes}


def test_signed_by_the_key_that_gave_it(admitted):
    asked = _post(admitted, {"key": admitted.signer.key}).json()["sign"]
    assert not Consent.objects.filter(act="withdrawn").exists()
    assert _post(admitted, as_form(admitted.signer.signed(json.loads(asked)))).json() == {"ok": True}
    act = Consent.objects.get(act="withdrawn")
    told = evidence.verify(*consent.opened(act))
    assert (told["act"], told["withdraws"]) == ("withdraw", _given(admitted).evidence_digest)
    assert told["key"] == admitted.signer.key
    assert not any(one["agreed"] for one in told["statements"])
    entry = AuditEntry.objects.get(action="consent.withdraw")
    assert (entry.detail["signed"], entry.detail["same_key"]) == (True, True)
    assert entry.detail["evidence"] == act.evidence_digest
    assert not admitted.fresh().gate_open


def test_another_device_of_hers_signs_with_its_own_key_and_the_log_says_so(admitted):
    admitted.signer = Signer()
    _post(admitted, as_form(admitted.signer.signed(_withdrawal(admitted))))
    entry = AuditEntry.objects.get(action="consent.withdraw")
    assert (entry.detail["signed"], entry.detail["same_key"]) == (True, False)


def test_nobody_is_kept_from_withdrawing_for_want_of_a_key(admitted):
    assert _post(admitted, {}).json() == {"ok": True}
    assert Consent.objects.get(act="withdrawn").evidence == ""
    entry = AuditEntry.objects.get(action="consent.withdraw")
    assert (entry.detail["signed"], entry.detail["same_key"]) == (False, False)
    assert not admitted.fresh().gate_open


@pytest.mark.parametrize("key", ["x", "0" * 5000, "\u202e"])
def test_a_key_that_is_none_gets_nothing_to_sign_and_changes_nothing(admitted, key):
    assert _post(admitted, {"key": key}).json() == {"sign": ""}
    assert admitted.fresh().gate_open


@pytest.mark.parametrize("days", [0, 1, 400])
def test_after_the_visit_as_well(cast, clock, days):
    now = bring_to("ended", cast.clinician, cast.patient)
    clock.move(days * 24 * 3600)
    given = consent.to_withdraw(now.seat)
    signed = now.signer.signed(consent.draw_up_withdrawal(given, now.signer.key, timezone.now()))
    negotiation = now.fresh().consult.negotiation
    withdrawn = consent.withdraw(now.seat, source="test", **signed)
    assert withdrawn.withdraws == given
    assert now.fresh().consult.negotiation == negotiation
    assert consent.to_withdraw(now.seat) is None
    assert consent.withdraw(now.seat, source="test") is None


def test_a_seat_given_up_may_still_take_back_what_it_gave(admitted):
    from consults import invitations

    invitations.revoke(admitted.consult, BY)
    assert consent.withdraw(admitted.seat, source="test").withdraws == _given(admitted)


def test_records_are_no_longer_shared(cast):
    now = bring_to("tested", cast.clinician, cast.patient)
    agree(now, agreed=("records",))
    assert consent.shares_records(cast.patient.id)
    consent.withdraw(now.seat, source="test")
    assert not consent.shares_records(cast.patient.id)


@pytest.mark.parametrize(
    "changes",
    [
        {"withdraws": "0" * 64},
        {"withdraws": None},
        {"act": "give"},
        {"consult": "00000000-0000-4000-8000-000000000000"},
        {"purpose": "Something else"},
        {"name": "Somebody"},
        {"time": "2026-01-01T00:00:00Z"},
        {"expires": "2099-01-01T00:00:00Z"},
        {"statements": []},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_what_is_signed_and_is_not_the_withdrawal_is_not_taken_for_it(admitted, changes):
    assert _post(admitted, as_form(admitted.signer.signed(_withdrawal(admitted, **changes)))).status_code == 409
    assert not Consent.objects.filter(act="withdrawn").exists()


def test_a_signature_of_another_key_is_not_taken(admitted):
    signed = admitted.signer.signed(_withdrawal(admitted))
    assert _post(admitted, as_form({**signed, "signature": Signer().sign(signed["data"])})).status_code == 409
    assert admitted.fresh().gate_open


def test_a_key_of_another_visit_is_not_taken(cast, admitted):
    admitted.signer = bring_to("consented", cast.clinician, cast.patient).signer
    assert _post(admitted, as_form(admitted.signer.signed(_withdrawal(admitted)))).status_code == 409


def test_an_old_withdrawal_does_not_take_back_a_newer_consent(clock, admitted):
    old = as_form(admitted.signer.signed(_withdrawal(admitted)))
    assert _post(admitted, old).status_code == 200
    clock.move(1)
    agree(admitted)
    assert _post(admitted, old).status_code == 409
    assert admitted.fresh().gate_open


def test_the_others_cannot_withdraw_for_her(cast, admitted):
    other = bring_to("admitted", cast.colleague, cast.colleagues_patient)
    form = as_form(admitted.signer.signed(_withdrawal(admitted)))
    assert other.browser().post(reverse("withdraw", args=[admitted.consult.id]), form).status_code == 404
    assert _post(other, form).status_code == 409
    assert admitted.fresh().gate_open
    assert other.fresh().gate_open


def test_withdrawing_at_once_from_two_windows_is_one_record(committed_cast):
    from tests.at_once import at_once

    now = bring_to("admitted", committed_cast.clinician, committed_cast.patient)
    moments = [timezone.now() - dt.timedelta(seconds=n) for n in range(3)]
    given = _given(now)
    forms = [as_form(now.signer.signed(consent.draw_up_withdrawal(given, now.signer.key, at))) for at in moments]
    answers = at_once([lambda form=form: _post(now, form).status_code for form in [*forms, {}]])
    assert answers == [200] * 4
    assert Consent.objects.filter(act="withdrawn").count() == 1
    assert visit.look(now.consult.id).stage == "consent"
