"""An invite opens once, for one browser, and every reason why it does not looks the same."""

import re

import pytest
from django.conf import settings
from django.urls import reverse

from consults import invitations, seats, visit
from consults.models import Invitation, Participant
from tests.at_once import at_once
from tests.cast import BY, Browser, bring_to
from vault.models import AuditEntry

JOIN, LOOK, REDEEM = "/join/", "/join/look/", "/join/redeem/"


def _redeem(token, browser=None):
    return (browser or Browser()).post(REDEEM, {"token": token})


@pytest.fixture
def invited(cast):
    return bring_to("invited", cast.clinician, cast.patient)


def test_an_invite_gives_a_seat(invited):
    browser = Browser()
    answer = _redeem(invited.token, browser)
    assert answer.headers["Location"] == reverse("visit", args=[invited.consult.id])
    assert browser.get(answer.headers["Location"]).status_code == 200
    assert invited.fresh().stage == "identity"


def test_looking_uses_nothing_up(invited):
    before = Invitation.objects.values().get()
    for _ in range(3):
        assert Browser().post(LOOK, {"token": invited.token}).status_code == 200
        assert Browser().get(JOIN).status_code == 200
        assert Browser().head(JOIN).status_code in (200, 405)
        for method in ("get", "head", "options"):
            for path in (LOOK, REDEEM):
                assert getattr(Browser(), method)(f"{path}?token={invited.token}").status_code == 405
    assert Invitation.objects.values().get() == before
    assert invited.fresh().stage == "invited"


def test_a_look_shows_the_clinic_and_nothing_of_the_patient(invited):
    text = Browser().post(LOOK, {"token": invited.token}).content.decode()
    assert "Harbour Practice" in text
    assert "Quixplotz" not in text
    assert "M. Q." not in text
    assert "go encrypted between you and Clinician, directly or over the clinic's relay" in text


def _used(now, clock):
    invitations.redeem(now.token, source="x")


def _revoked(now, clock):
    invitations.revoke(now.consult, BY)


def _expired(now, clock):
    clock.move(settings.INVITE_LIFETIME_HOURS * 3600 + 1)


def _renewed(now, clock):
    invitations.invite(now.consult, BY)


def _over(now, clock):
    visit.end(now.consult, BY)


def _unknown(now, clock):
    now.token = "A" * 43


def _empty(now, clock):
    now.token = ""


def _cut(now, clock):
    now.token = now.token[:-1]


REASONS = [_used, _revoked, _expired, _renewed, _over, _unknown, _empty, _cut]


@pytest.mark.parametrize("path", [LOOK, REDEEM])
def test_whatever_the_reason_the_answer_is_the_same(cast, monkeypatch, path):
    from tests.clock import Clock

    clock, answers = Clock(monkeypatch), {}
    for reason in REASONS:
        now = bring_to("invited", cast.clinician, cast.patient)
        reason(now, clock)
        seats_before = list(Participant.objects.order_by("pk").values())
        answer = Browser().post(path, {"token": now.token})
        body = re.sub(rb'value="\w{64}"', b"", answer.content)
        answers[reason.__name__] = (answer.status_code, body, sorted(answer.headers.items()), sorted(answer.cookies))
        assert list(Participant.objects.order_by("pk").values()) == seats_before
    assert len(set(map(str, answers.values()))) == 1
    assert next(iter(answers.values()))[0] == 404


def test_of_browsers_that_race_for_one_invite_exactly_one_gets_the_seat(committed_cast):
    now = bring_to("invited", committed_cast.clinician, committed_cast.patient)
    answers = at_once([lambda: _redeem(now.token).status_code] * 6)
    assert sorted(answers) == [302] + [404] * 5
    assert Participant.objects.filter(consult=now.consult, role="patient", left_at=None).count() == 1


def test_of_two_who_found_the_same_invite_one_gets_the_seat(invited, monkeypatch):
    """The race by hand: both have looked before either has taken it."""
    found = invitations.find(invited.token)
    monkeypatch.setattr(invitations, "find", lambda token: found)
    invitations.redeem(invited.token, source="x")
    with pytest.raises(invitations.NotInvited):
        invitations.redeem(invited.token, source="x")


def test_an_invite_revoked_in_the_same_moment_gives_no_seat(invited, monkeypatch):
    found = invitations.find(invited.token)
    monkeypatch.setattr(invitations, "find", lambda token: found)
    invitations.revoke(invited.consult, BY)
    with pytest.raises(invitations.NotInvited):
        invitations.redeem(invited.token, source="x")


def test_a_token_has_256_bits_and_is_kept_as_a_digest(invited):
    from tests.vault.test_no_plaintext import _rows

    assert re.fullmatch(r"[\w-]{43}", invited.token)
    tokens = {bring_to("invited", invited.consult.clinician, invited.consult.patient).token for _ in range(20)}
    assert len(tokens) == 20
    seat = invitations.redeem(invited.token, source="x")
    kept = b"".join(bytes(v) if isinstance(v, bytes | memoryview) else str(v).encode() for _, v in _rows())
    for secret in (invited.token, seat.secret, *tokens):
        assert secret.encode() not in kept


def test_the_link_has_its_token_in_the_fragment(invited):
    link = invitations.link(invited.token)
    assert link == f"{settings.PUBLIC_ORIGIN}/join/#{invited.token}"


def test_the_seat_is_a_cookie_of_this_browser_and_this_consult(invited):
    browser = Browser()
    answer = _redeem(invited.token, browser)
    cookie = answer.cookies[seats.cookie_name(invited.consult.id)]
    assert cookie["secure"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert cookie["path"] == "/"
    assert not cookie["domain"]
    assert cookie.key.startswith("__Host-")
    assert len(cookie.value) == 43
    page = reverse("visit", args=[invited.consult.id])
    assert Browser().get(page).status_code == 404
    assert browser.get(page).status_code == 200


@pytest.mark.parametrize("secret", ["", "x", "A" * 43, "%00", "'"])
def test_a_made_up_seat_is_none(invited, secret):
    _redeem(invited.token)
    browser = Browser()
    browser.cookies[seats.cookie_name(invited.consult.id)] = secret
    assert browser.get(reverse("visit", args=[invited.consult.id])).status_code == 404
    assert invitations.seated(invited.consult.id, secret) is None


def test_the_clinicians_own_empty_seat_is_no_way_in(invited):
    """Her row has no seat secret; an empty cookie must not find it."""
    assert Participant.objects.filter(consult=invited.consult, seat_digest="").count() == 1
    assert invitations.seated(invited.consult.id, "") is None


def test_a_revoked_invite_ends_the_seat_it_gave(cast):
    now = bring_to("waiting", cast.clinician, cast.patient)
    browser, page = now.browser(), reverse("visit", args=[now.consult.id])
    assert browser.get(page).status_code == 200
    invitations.revoke(now.consult, BY)
    assert browser.get(page).status_code == 404
    assert now.fresh().stage == "invited"


def test_a_newer_seat_ends_the_older_and_its_consent(cast):
    now = bring_to("admitted", cast.clinician, cast.patient)
    assert now.fresh().gate_open
    _, token = invitations.invite(now.consult, BY)
    assert now.browser().get(reverse("visit", args=[now.consult.id])).status_code == 200
    invitations.redeem(token, source="x")
    assert now.browser().get(reverse("visit", args=[now.consult.id])).status_code == 404
    assert not now.fresh().gate_open


def test_one_address_may_try_sixty_times(invited):
    for _ in range(60):
        Browser().post(LOOK, {"token": "x"})
    assert _redeem(invited.token).status_code == 404
    assert Browser(REMOTE_ADDR="10.1.1.1").post(REDEEM, {"token": invited.token}).status_code == 302


def test_tries_are_in_the_log_without_their_token(invited):
    _redeem("some-made-up-token")
    _redeem(invited.token)
    rows = list(AuditEntry.objects.filter(action="invite.redeem").order_by("id"))
    assert [(r.outcome, r.role) for r in rows] == [("refused", "nobody"), ("done", "patient")]
    kept = str(list(AuditEntry.objects.values()))
    assert "made-up" not in kept
    assert invited.token not in kept


def test_an_ended_consult_gets_no_new_invite(cast):
    from tests.cast import sign_in

    now = bring_to("ended", cast.clinician, cast.patient)
    answer = sign_in(cast.clinician).post(reverse("invite", args=[now.consult.id]))
    assert answer.status_code == 409
    assert Invitation.objects.filter(consult=now.consult, revoked_at=None, redeemed_at=None).count() == 0


def test_the_clinician_sees_the_link_once(cast):
    from tests.cast import sign_in

    now = bring_to("started", cast.clinician, cast.patient)
    browser = sign_in(cast.clinician)
    shown = browser.post(reverse("invite", args=[now.consult.id])).content.decode()
    token = re.search(r"/join/#([\w-]{43})", shown).group(1)
    assert token not in browser.get(reverse("room", args=[now.consult.id])).content.decode()
    assert _redeem(token).status_code == 302
