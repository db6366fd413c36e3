"""A session ends when its time is over, its person is gone, or she says so; nothing is remembered wrongly."""

import pytest
from django.conf import settings
from django.contrib import auth
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.http import HttpRequest

from accounts import sessions
from accounts.models import User
from accounts.second_factor import authenticator_of
from tests.cast import PASSWORD, Browser, is_signed_in, sign_in

IDLE, ABSOLUTE = settings.SESSION_IDLE_SECONDS, settings.SESSION_ABSOLUTE_SECONDS


def test_the_limits_are_within_what_is_promised():
    assert IDLE <= 15 * 60
    assert ABSOLUTE <= 12 * 3600
    assert settings.STEP_UP_SECONDS <= 15 * 60


def test_an_idle_session_ends(cast, clock):
    browser = sign_in(cast.clinician)
    clock.move(IDLE - 1)
    assert is_signed_in(browser)
    clock.move(IDLE + 1)
    assert not is_signed_in(browser)


def test_a_used_session_goes_on_until_its_absolute_end(cast, clock):
    browser = sign_in(cast.clinician)
    for _ in range(ABSOLUTE // (IDLE - 60)):
        assert is_signed_in(browser)
        clock.move(IDLE - 60)
    assert is_signed_in(browser)
    clock.move(ABSOLUTE % (IDLE - 60))
    clock.move(1)
    assert not is_signed_in(browser)


def test_a_page_that_polls_by_itself_does_not_keep_the_session_alive(cast, clock):
    browser = sign_in(cast.clinician)
    for _ in range(IDLE // 60):
        assert browser.get("/day/lists/", headers={"X-Background": "1"}).status_code == 200
        clock.move(60)
    clock.move(1)
    answer = browser.get("/day/lists/", headers={"X-Background": "1"})
    assert answer.status_code == 401
    assert not is_signed_in(browser)


def test_the_session_is_not_rewritten_at_every_request(cast, clock, django_assert_max_num_queries):
    browser = sign_in(cast.clinician)
    browser.get("/account/")
    clock.move(5)
    with django_assert_max_num_queries(5) as queries:
        browser.get("/account/")
    assert not [q for q in queries.captured_queries if q["sql"].startswith(("UPDATE", "INSERT"))]


def test_whoever_may_no_longer_sign_in_is_out_at_the_next_request(cast):
    browser = sign_in(cast.clinician)
    User.objects.filter(pk=cast.clinician.pk).update(is_active=False)
    assert not is_signed_in(browser)


def test_a_change_of_role_holds_at_the_next_request(cast):
    browser = sign_in(cast.clinician)
    assert browser.get("/").status_code == 200
    User.objects.filter(pk=cast.clinician.pk).update(role=User.Role.OPERATOR)
    assert browser.get("/").status_code == 404
    assert browser.get("/admin/").status_code == 200
    User.objects.filter(pk=cast.clinician.pk).update(role=User.Role.CLINICIAN)
    assert browser.get("/admin/").status_code == 302


def test_without_the_authenticator_the_session_is_over(cast):
    browser = sign_in(cast.clinician)
    authenticator_of(cast.clinician).delete()
    assert not is_signed_in(browser)


def test_an_unconfirmed_authenticator_carries_no_session(cast):
    browser = sign_in(cast.clinician)
    device = authenticator_of(cast.clinician)
    device.confirmed = False
    device.save()
    assert not is_signed_in(browser)


def test_a_new_password_signs_the_other_browsers_out_and_not_this_one(cast):
    here, elsewhere = sign_in(cast.clinician), sign_in(cast.clinician)
    old = here.cookies[settings.SESSION_COOKIE_NAME].value
    answer = here.post("/account/password/", {"password": "quite another long passphrase"})
    assert answer.status_code == 302
    assert is_signed_in(here)
    assert not is_signed_in(elsewhere)
    assert here.cookies[settings.SESSION_COOKIE_NAME].value != old


@pytest.mark.parametrize("password", ["short", "11 letters.", "qwerty123456", "clinician@staff.example", "x" * 257, ""])
def test_a_weak_new_password_is_refused(cast, password):
    browser = sign_in(cast.clinician)
    assert browser.post("/account/password/", {"password": password}).status_code == 200
    cast.clinician.refresh_from_db()
    assert cast.clinician.check_password(PASSWORD)


@pytest.mark.parametrize("password", ["pass phrase with spaces ", "ünïcödé pässphräse", "x1" * 60])
def test_a_long_password_of_any_letters_is_taken_as_typed(cast, password):
    sign_in(cast.clinician).post("/account/password/", {"password": password})
    cast.clinician.refresh_from_db()
    assert cast.clinician.check_password(password)


def _session_by_djangos_own_login(user, **more):
    """What any road through Django that knows no second factor would make."""
    request = HttpRequest()
    request.session = SessionStore()
    auth.login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    request.session.update(more)
    request.session.save()
    browser = Browser()
    browser.cookies[settings.SESSION_COOKIE_NAME] = request.session.session_key
    return browser


def test_djangos_own_login_signs_nobody_in(cast):
    import time

    now = int(time.time())
    times = {sessions.STARTED: now, sessions.SEEN: now}
    assert not is_signed_in(_session_by_djangos_own_login(cast.clinician))
    assert not is_signed_in(_session_by_djangos_own_login(cast.clinician, **times))
    somebody_elses = {"otp_device_id": authenticator_of(cast.colleague).persistent_id}
    assert not is_signed_in(_session_by_djangos_own_login(cast.clinician, **times, **somebody_elses))
    own = {"otp_device_id": authenticator_of(cast.clinician).persistent_id}
    assert is_signed_in(_session_by_djangos_own_login(cast.clinician, **times, **own)), "the test itself is wrong"


def test_a_made_up_session_cookie_is_nobody(db):
    browser = Browser()
    browser.cookies[settings.SESSION_COOKIE_NAME] = "a" * 32
    assert not is_signed_in(browser)
    assert not Session.objects.exists()


def test_the_log_tells_sessions_apart_and_holds_no_key(cast):
    from vault.models import AuditEntry

    browser = sign_in(cast.clinician)
    browser.get(f"/patients/{cast.patient.id}/")
    mark = AuditEntry.objects.get(action="patient.view").session
    assert len(mark) == 16
    assert mark not in browser.cookies[settings.SESSION_COOKIE_NAME].value
