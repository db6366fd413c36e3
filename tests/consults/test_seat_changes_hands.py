"""Admission belongs to whoever sits: the next one in the seat waits to be let in herself."""

import pytest

from consults import invitations, visit
from tests.cast import BY, MARIA, Visit, agree, bring_to

SOUND = {"camera": True, "microphone": True, "speaker": True}


@pytest.fixture
def admitted(cast):
    return bring_to("admitted", cast.clinician, cast.patient)


def _take_seat(now: Visit) -> None:
    _, token = invitations.invite(now.consult, BY)
    seat = invitations.redeem(token, source="test")
    now.seat, now.secret = seat.participant, seat.secret


def _get_ready(now: Visit) -> None:
    visit.confirm_identity(now.seat, name=MARIA["name"], birth_date=MARIA["birth_date"], source="test")
    now.seat.refresh_from_db()
    visit.devices_tested(now.seat, SOUND, source="test")
    agree(now)
    visit.wait(now.seat, source="test")


@pytest.mark.parametrize("revoked", [True, False])
def test_a_new_seat_after_admission_waits_like_the_first(admitted, revoked):
    before = admitted.fresh().consult.negotiation
    if revoked:
        invitations.revoke(admitted.consult, BY)
    _take_seat(admitted)
    _get_ready(admitted)
    view = admitted.fresh()
    assert (view.stage, view.gate_open) == ("waiting", False)
    assert view.consult.negotiation > before
    assert visit.waiting(view.consult.clinician).get().pk == admitted.seat.pk
    visit.admit(view.consult, BY)
    assert admitted.fresh().gate_open


def test_an_invite_that_is_not_opened_leaves_the_call_alone(admitted):
    invitations.invite(admitted.consult, BY)
    assert admitted.fresh().gate_open


def test_a_revoked_seat_of_an_ended_consult_keeps_when_it_was_admitted(admitted):
    visit.end(admitted.consult, BY)
    invitations.revoke(admitted.consult, BY)
    assert admitted.fresh().consult.admitted_at


def test_a_link_of_a_consult_that_ends_meanwhile_opens_nothing(cast, monkeypatch):
    now = bring_to("invited", cast.clinician, cast.patient)
    found = invitations.find(now.token)
    visit.end(now.consult, BY)
    monkeypatch.setattr(invitations, "find", lambda _token: found)
    with pytest.raises(invitations.NotInvited):
        invitations.redeem(now.token, source="test")
    assert now.fresh().seat is None
