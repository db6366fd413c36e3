"""One-time codes: for one use, for a short time, and unreadable at rest."""

import hashlib
import time
from base64 import b32encode

import pytest
from django.db import connection
from django.urls import reverse

from accounts.models import Authenticator, RecoveryCode, User
from accounts.second_factor import (
    RECOVERY_CODES,
    accept_recovery_code,
    authenticator_of,
    new_recovery_codes,
)
from accounts.totp import STEP_SECONDS, code_at, matching_step, step_of
from tests.at_once import at_once
from tests.cast import Browser, code_of, is_signed_in, person, sign_in, type_password

CODE = "/signin/code/"
#: RFC 6238, appendix B, SHA-1, cut to six digits
RFC_SEED = b"12345678901234567890"
RFC_CODES = [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924")]


@pytest.mark.parametrize(("now", "code"), [*RFC_CODES, (2000000000, "279037"), (20000000000, "353130")])
def test_the_codes_of_the_rfc(now, code):
    assert code_at(RFC_SEED, step_of(now)) == code
    assert matching_step(RFC_SEED, code, now, after=-1) == now // 30


@pytest.mark.parametrize(("steps", "accepted"), [(-2, False), (-1, True), (0, True), (1, False), (2, False)])
def test_only_the_present_and_the_previous_code_pass(cast, clock, steps, accepted):
    browser = type_password(cast.clinician)
    browser.post(CODE, {"code": code_of(cast.clinician, steps=steps)})
    assert is_signed_in(browser) is accepted


def test_a_code_dies_within_a_minute(cast, clock):
    code = code_of(cast.clinician)
    clock.move(2 * STEP_SECONDS - 10 - 1)
    assert matching_step(bytes(authenticator_of(cast.clinician).seed), code, time.time(), after=-1)
    clock.move(1)
    assert not matching_step(bytes(authenticator_of(cast.clinician).seed), code, time.time(), after=-1)


def test_a_code_is_for_one_use(cast, clock):
    code = code_of(cast.clinician)
    first, second = type_password(cast.clinician), type_password(cast.clinician)
    first.post(CODE, {"code": code})
    second.post(CODE, {"code": code})
    assert is_signed_in(first)
    assert not is_signed_in(second)


def test_after_a_code_an_older_one_is_dead_too(cast, clock):
    older, newer = code_of(cast.clinician, steps=-1), code_of(cast.clinician)
    device = authenticator_of(cast.clinician)
    assert device.verify_token(newer)
    device.refresh_from_db()
    assert not device.verify_token(older)


def test_a_code_used_to_sign_in_does_not_confirm(cast, clock):
    code = code_of(cast.clinician)
    browser = type_password(cast.clinician)
    browser.post(CODE, {"code": code})
    assert browser.post("/account/confirm/", {"code": code}).status_code == 200


def test_of_parallel_uses_of_one_code_exactly_one_succeeds(committed_cast, clock):
    browsers = [type_password(committed_cast.clinician) for _ in range(8)]
    code = code_of(committed_cast.clinician)
    answers = at_once([lambda b=b: b.post(CODE, {"code": code}).status_code for b in browsers])
    assert sorted(answers) == [200] * 7 + [302]
    assert sum(is_signed_in(b) for b in browsers) == 1


def test_of_two_who_read_the_same_row_one_succeeds(cast, clock):
    """The race by hand: both have loaded the authenticator before either has used the code."""
    first, second = authenticator_of(cast.clinician), authenticator_of(cast.clinician)
    code = code_of(cast.clinician)
    assert first.verify_token(code)
    assert not second.verify_token(code)


def test_of_parallel_uses_of_one_recovery_code_exactly_one_succeeds(committed_cast):
    code = new_recovery_codes(committed_cast.clinician)[0]
    device = authenticator_of(committed_cast.clinician)
    results = at_once([lambda: accept_recovery_code(device, code)] * 8)
    assert sorted(results) == [False] * 7 + [True]


def test_a_recovery_code_is_for_one_use(cast):
    code = new_recovery_codes(cast.clinician)[0]
    for expected in (True, False):
        browser = type_password(cast.clinician)
        browser.post(CODE, {"code": code})
        assert is_signed_in(browser) is expected


def test_a_recovery_code_may_be_typed_without_dashes_in_capitals(cast):
    code = new_recovery_codes(cast.clinician)[0]
    assert accept_recovery_code(authenticator_of(cast.clinician), code.replace("-", "").upper())


def test_somebody_elses_recovery_code_is_refused(cast):
    code = new_recovery_codes(cast.colleague)[0]
    assert not accept_recovery_code(authenticator_of(cast.clinician), code)


def test_new_recovery_codes_end_the_old_ones(cast):
    old = new_recovery_codes(cast.clinician)
    new_recovery_codes(cast.clinician)
    assert not accept_recovery_code(authenticator_of(cast.clinician), old[0])
    assert RecoveryCode.objects.filter(user=cast.clinician).count() == RECOVERY_CODES


def test_recovery_codes_have_128_bits_and_are_not_kept(cast):
    codes = new_recovery_codes(cast.clinician)
    assert len(set(codes)) == RECOVERY_CODES
    assert {len(c.replace("-", "")) for c in codes} == {26}
    kept = str(list(RecoveryCode.objects.values()))
    assert not any(c in kept or c.replace("-", "") in kept for c in codes)
    assert hashlib.sha256(codes[0].replace("-", "").encode()).hexdigest() in kept


def test_a_seed_is_not_readable_in_the_database(cast):
    with connection.cursor() as cursor:
        cursor.execute("SELECT seed FROM accounts_authenticator")
        kept = b"".join(bytes(row[0]) for row in cursor.fetchall())
    for device in Authenticator.objects.all():
        seed = bytes(device.seed)
        for spelled in (seed, seed.hex().encode(), b32encode(seed)):
            assert spelled not in kept


# -- setting up ----------------------------------------------------------------------------------------------


@pytest.fixture
def newcomer(cast):
    return person(cast.clinic, "newcomer", User.Role.CLINICIAN, enrolled=False)


def test_the_first_sign_in_sets_up_the_second_factor(newcomer, clock):
    browser = type_password(newcomer)
    page = browser.get(reverse("enrol"))
    device = Authenticator.objects.get(user=newcomer)
    assert b32encode(bytes(device.seed)).decode()[:4] in page.content.decode()
    answer = browser.post(reverse("enrol"), {"code": code_at(bytes(device.seed), step_of(time.time()))})
    assert answer.status_code == 200
    assert is_signed_in(browser)
    assert RecoveryCode.objects.filter(user=newcomer).count() == RECOVERY_CODES


def test_a_wrong_first_code_sets_nothing_up(newcomer, clock):
    browser = type_password(newcomer)
    browser.get(reverse("enrol"))
    browser.post(reverse("enrol"), {"code": "000000"})
    assert authenticator_of(newcomer) is None
    assert not is_signed_in(browser)


def _shown_seed(browser):
    return browser.get(reverse("enrol")).context["seed"]


def test_asking_again_shows_the_same_seed(newcomer):
    browser = type_password(newcomer)
    assert _shown_seed(browser) == _shown_seed(browser)


def test_another_sign_in_is_shown_another_seed(newcomer):
    """A thief of the password who looks first must not know the seed that the owner sets up."""
    thief, owner = type_password(newcomer), type_password(newcomer)
    assert _shown_seed(thief) != _shown_seed(owner)


def test_whoever_has_a_second_factor_cannot_replace_it_with_the_password_alone(cast):
    before = bytes(authenticator_of(cast.clinician).seed)
    browser = type_password(cast.clinician)
    for answer in (browser.get(reverse("enrol")), browser.post(reverse("enrol"), {"code": "000000"})):
        assert (answer.status_code, answer.headers["Location"]) == (302, "/signin/")
    assert bytes(authenticator_of(cast.clinician).seed) == before
    assert not Authenticator.objects.filter(confirmed=False).exists()


def test_without_the_password_nothing_can_be_set_up(newcomer):
    assert Browser().get(reverse("enrol")).headers["Location"] == "/signin/"


# -- confirming again ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/account/password/", "/account/recovery-codes/"])
def test_sensitive_pages_ask_for_the_code_again_after_five_minutes(cast, clock, path):
    browser = sign_in(cast.clinician)
    assert browser.get(path).status_code == 200
    clock.move(301)
    for answer in (browser.get(path), browser.post(path, {"password": "a quite new passphrase"})):
        assert answer.headers["Location"] == f"/account/confirm/?next={path}"
    key = browser.cookies["__Host-session"].value
    answer = browser.post(f"/account/confirm/?next={path}", {"code": code_of(cast.clinician)})
    assert answer.headers["Location"] == path
    assert browser.cookies["__Host-session"].value != key
    assert browser.get(path).status_code == 200


def test_a_reveal_asks_for_the_code_again_after_five_minutes(cast, clock):
    from tests.cast import bring_to

    bring_to("identified", cast.clinician, cast.patient)
    browser, path = sign_in(cast.clinician), reverse("reveal", args=[cast.patient.id])
    asked = {"fields": ["phone"], "purpose": "treat"}
    assert browser.post(path, asked).json()["values"] == {"phone": "+442079460142"}
    clock.move(301)
    answer = browser.post(path, asked)
    assert answer.status_code == 403
    assert answer.json()["code"] is True
    assert browser.post(path, {**asked, "code": "000000"}).status_code == 403
    answer = browser.post(path, {**asked, "code": code_of(cast.clinician)})
    assert answer.json()["values"] == {"phone": "+442079460142"}
