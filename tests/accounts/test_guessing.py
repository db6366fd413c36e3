"""Guessing is slow for everybody, and the rightful person is back after the window."""

import pytest
from django.contrib import auth

from accounts import attempts
from accounts.models import FAILURES_BEFORE_DISABLED, Attempts, Authenticator
from accounts.second_factor import accept_recovery_code, authenticator_of, new_recovery_codes
from tests.cast import PASSWORD, Browser, code_of, is_signed_in, type_password

CODE = "/signin/code/"
WINDOW = attempts.WINDOW.total_seconds()


@pytest.fixture
def judged(monkeypatch):
    """Which passwords were really compared."""
    seen = []
    authenticate = auth.authenticate
    monkeypatch.setattr(
        auth,
        "authenticate",
        lambda request, **given: (seen.append(given["password"]), authenticate(request, **given))[1],
    )
    return seen


def _guess(user, count, password="wrong"):
    for number in range(count):
        Browser(REMOTE_ADDR=f"10.0.{number // 250}.{number % 250}").post(
            "/signin/", {"email": user.email, "password": password}
        )


def test_at_most_ten_passwords_a_window_are_judged_from_however_many_addresses(cast, judged, clock):
    _guess(cast.clinician, 60)
    assert len(judged) == 10


def test_the_right_password_is_not_judged_either_until_the_window_is_over(cast, judged, clock):
    _guess(cast.clinician, 10)
    assert type_password(cast.clinician).get(CODE).status_code == 302
    clock.move(WINDOW + 1)
    assert type_password(cast.clinician).get(CODE).status_code == 200


def test_guesses_during_the_wait_do_not_prolong_it(cast, clock):
    _guess(cast.clinician, 10)
    for _ in range(14):
        clock.move(60)
        _guess(cast.clinician, 3)
    clock.move(61)
    assert type_password(cast.clinician).get(CODE).status_code == 200


def test_one_accounts_guesses_do_not_lock_another(cast, clock):
    _guess(cast.clinician, 20)
    assert type_password(cast.colleague).get(CODE).status_code == 200


def test_a_right_password_does_not_forgive_the_wrong_ones_before_it(cast, judged, clock):
    """Else an attacker could wait for the owner's sign-ins to get more guesses."""
    _guess(cast.clinician, 9)
    type_password(cast.clinician)
    _guess(cast.clinician, 5)
    assert judged.count("wrong") == 10


def test_signing_in_often_is_no_guessing(cast, clock):
    for _ in range(15):
        assert type_password(cast.clinician).get(CODE).status_code == 200


def test_at_most_ten_codes_a_window_are_judged(cast, clock, monkeypatch):
    judged = []
    verify = Authenticator.verify_token
    monkeypatch.setattr(Authenticator, "verify_token", lambda d, t: (judged.append(t), verify(d, t))[1])
    for _ in range(6):
        browser = type_password(cast.clinician)
        for _ in range(5):
            browser.post(CODE, {"code": "000000"})
    assert len(judged) == 10


def test_app_codes_recovery_codes_and_confirmations_share_one_limit(cast, clock):
    from tests.cast import sign_in

    codes = new_recovery_codes(cast.clinician)
    browser = type_password(cast.clinician)
    for _ in range(4):
        browser.post(CODE, {"code": "000000"})
    for _ in range(3):
        browser.post(CODE, {"code": "aaaaa-bbbbb"})
    inside = sign_in(cast.clinician)
    for _ in range(3):
        inside.post("/account/confirm/", {"code": "000000"})
    browser.post(CODE, {"code": codes[0]})
    browser.post(CODE, {"code": code_of(cast.clinician)})
    assert not is_signed_in(browser)
    clock.move(WINDOW + 1)
    browser = type_password(cast.clinician)
    browser.post(CODE, {"code": codes[0]})
    assert is_signed_in(browser)


def test_a_hundred_wrong_codes_in_a_row_disable_the_authenticator(cast, clock):
    device = authenticator_of(cast.clinician)
    codes = new_recovery_codes(cast.clinician)
    for _ in range(FAILURES_BEFORE_DISABLED - 1):
        device.count_failure()
    device.refresh_from_db()
    assert not device.is_disabled
    device.verify_token("000000")
    device.refresh_from_db()
    assert device.is_disabled
    assert not device.verify_token(code_of(cast.clinician))
    assert not accept_recovery_code(device, codes[0])


def test_wrong_recovery_codes_count_towards_the_hundred(cast):
    device = authenticator_of(cast.clinician)
    accept_recovery_code(device, "aaaaa-bbbbb")
    device.refresh_from_db()
    assert device.failures == 1


def test_a_right_code_starts_the_count_anew(cast, clock):
    device = authenticator_of(cast.clinician)
    for _ in range(50):
        device.count_failure()
    device.refresh_from_db()
    assert device.verify_token(code_of(cast.clinician))
    device.refresh_from_db()
    assert device.failures == 0


def test_the_counter_does_not_keep_what_was_typed(cast):
    Browser().post("/signin/", {"email": "secretly@staff.example", "password": PASSWORD})
    assert Attempts.objects.count() == 1
    assert "secretly" not in str(list(Attempts.objects.values()))


def test_the_limit_is_exact_when_tries_race(transactional_db):
    from tests.at_once import at_once

    attempts.allowed("password", "x")
    results = at_once([lambda: attempts.allowed("password", "x")] * 20)
    assert sorted(map(str, results)).count("True") == attempts.LIMIT - 1
    assert set(map(str, results)) <= {"True", "False"}
