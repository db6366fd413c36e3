"""Signing in takes two steps; the first alone opens nothing and tells nothing."""

import re

import pytest
from django.conf import settings
from django.contrib import auth
from django.contrib.sessions.models import Session
from django.urls import reverse

from accounts import attempts
from tests.cast import PASSWORD, Browser, code_of, is_signed_in, sign_in_by_form, type_password
from vault.models import AuditEntry

SIGNIN, CODE = "/signin/", "/signin/code/"


def _password(browser, email, password, **more):
    return browser.post(SIGNIN, {"email": email, "password": password, **more})


def _key(browser):
    cookie = browser.cookies.get(settings.SESSION_COOKIE_NAME)
    return cookie.value if cookie else ""


def _without_tokens(answer):
    """The page without what differs by design: the form's token."""
    return re.sub(rb'name="csrfmiddlewaretoken" value="\w+"', b"", answer.content)


def test_password_and_code_sign_in(cast):
    browser = sign_in_by_form(cast.clinician)
    assert is_signed_in(browser)


@pytest.mark.parametrize("email", ["CLINICIAN@staff.example", "  clinician@staff.example "])
def test_an_email_may_be_typed_in_any_case(cast, email):
    answer = _password(Browser(), email, PASSWORD)
    assert answer.headers["Location"] == CODE


@pytest.mark.parametrize(
    ("who", "home"), [("clinician", "/"), ("officer", "/review/"), ("operator", "/admin/"), ("outsider", "/")]
)
def test_everybody_comes_to_their_own_first_page(cast, who, home):
    user = getattr(cast, who)
    browser = type_password(user)
    answer = browser.post(CODE, {"code": code_of(user)})
    assert (answer.status_code, answer.headers["Location"]) == (302, home)
    assert _password(browser, user.email, PASSWORD).headers["Location"] == home


def test_a_wrong_password_signs_nobody_in(cast):
    browser = type_password(cast.clinician, password=PASSWORD + "!")
    assert browser.get(CODE).status_code == 302
    assert not is_signed_in(browser)


def test_the_code_page_without_a_password_leads_back(db):
    answer = Browser().post(CODE, {"code": "123456"})
    assert (answer.status_code, answer.headers["Location"]) == (302, SIGNIN)


def test_a_wrong_code_signs_nobody_in(cast):
    browser = type_password(cast.clinician)
    right = code_of(cast.clinician)
    answer = browser.post(CODE, {"code": f"{(int(right) + 1) % 10**6:06d}"})
    assert answer.status_code == 200
    assert not is_signed_in(browser)


def test_somebody_elses_code_signs_nobody_in(cast):
    browser = type_password(cast.clinician)
    browser.post(CODE, {"code": code_of(cast.colleague)})
    assert not is_signed_in(browser)


@pytest.mark.parametrize("code", ["", " ", "000 000 0", "abcdef", "１２３４５６", "1e5", "-00001", "x" * 49])
def test_odd_codes_are_refused(cast, code):
    browser = type_password(cast.clinician)
    assert browser.post(CODE, {"code": code}).status_code == 200
    assert not is_signed_in(browser)


def test_a_code_may_be_typed_with_spaces(cast):
    browser, code = type_password(cast.clinician), code_of(cast.clinician)
    browser.post(CODE, {"code": f" {code[:3]} {code[3:]} "})
    assert is_signed_in(browser)


def test_ten_minutes_after_the_password_it_has_to_be_typed_again(cast, clock):
    browser = type_password(cast.clinician)
    clock.move(601)
    assert browser.post(CODE, {"code": code_of(cast.clinician)}).headers["Location"] == SIGNIN
    assert not is_signed_in(browser)


def test_whoever_may_no_longer_sign_in_cannot_finish(cast):
    browser = type_password(cast.clinician)
    cast.clinician.is_active = False
    cast.clinician.save()
    browser.post(CODE, {"code": code_of(cast.clinician)})
    assert not is_signed_in(browser)
    assert type_password(cast.clinician).get(CODE).status_code == 302


def test_known_and_unknown_emails_get_the_same_page(cast):
    known = _password(Browser(), "clinician@staff.example", "wrong")
    unknown = _password(Browser(), "clinicien@staff.example", "wrong")
    assert known.status_code == unknown.status_code == 200
    assert _without_tokens(known).replace(b"clinician", b"x") == _without_tokens(unknown).replace(b"clinicien", b"x")
    assert known.headers == unknown.headers


def test_known_and_unknown_emails_are_throttled_alike(cast):
    answers = {}
    for email in ("clinician@staff.example", "clinicien@staff.example"):
        for _ in range(attempts.LIMIT + 1):
            answer = _password(Browser(), email, "wrong")
        answers[email] = _without_tokens(answer).replace(email.encode(), b"")
    assert len(set(answers.values())) == 1


def test_an_unknown_email_costs_a_hash_too(cast, monkeypatch):
    """Otherwise the time of the answer would tell who works here."""
    hashed = []
    hasher = auth.hashers.get_hasher()
    monkeypatch.setattr(type(hasher), "encode", lambda self, p, s: hashed.append(1) or "md5$s$x")
    counts = []
    for email in ("clinician@staff.example", "nobody@staff.example"):
        hashed.clear()
        _password(Browser(), email, "wrong")
        counts.append(len(hashed))
    assert counts == [1, 1]


def test_the_session_id_changes_at_each_step_and_the_old_one_is_dead(cast):
    browser = Browser()
    browser.get(SIGNIN)
    keys = [_key(browser)]
    type_password(cast.clinician, browser)
    keys.append(_key(browser))
    browser.post(CODE, {"code": code_of(cast.clinician)})
    keys.append(_key(browser))
    assert len(set(keys)) == 3
    assert not Session.objects.filter(session_key__in=keys[:2]).exists()
    old = Browser()
    old.cookies[settings.SESSION_COOKIE_NAME] = keys[1]
    assert not is_signed_in(old)
    assert old.get(CODE).status_code == 302


def test_each_password_starts_a_session_of_its_own(cast):
    """A session that was there before, somebody else's even, does not become hers."""
    browser = type_password(cast.colleague)
    browser.get(SIGNIN)
    old = _key(browser)
    type_password(cast.clinician, browser)
    assert _key(browser) != old
    assert not Session.objects.filter(session_key=old).exists()


def test_a_planted_session_id_is_not_taken_over(cast):
    browser = Browser()
    browser.cookies[settings.SESSION_COOKIE_NAME] = "p1antedbysomebody0000000000000000"
    sign_in_by_form(cast.clinician, browser)
    assert _key(browser) != "p1antedbysomebody0000000000000000"
    assert is_signed_in(browser)


def test_the_password_is_not_kept_between_the_steps(cast):
    browser = type_password(cast.clinician)
    kept = browser.session
    assert PASSWORD not in str(dict(kept.items()))
    assert auth.SESSION_KEY not in kept


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "http:evil", "\\\\evil"]
    + ["/%09//evil.example", "https://testserver.evil.example/", "http://testserver/", "evil", "///evil.example"],
)
def test_a_foreign_address_to_go_on_to_is_ignored(cast, target):
    browser = Browser()
    for where in ("get", "post"):
        browser.cookies.clear()
        if where == "get":
            browser.post(f"{SIGNIN}?next={target}", {"email": cast.clinician.email, "password": PASSWORD})
        else:
            _password(browser, cast.clinician.email, PASSWORD, next=target)
        kept = browser.session["next"]
        assert kept == "" or (kept.startswith("/") and not kept.startswith(("//", "/\\")))


def test_an_own_address_to_go_on_to_is_kept(cast):
    browser = Browser()
    answer = browser.get("/patients/new/")
    assert answer.headers["Location"] == f"{SIGNIN}?next=%2Fpatients%2Fnew%2F"
    browser.post(answer.headers["Location"], {"email": cast.clinician.email, "password": PASSWORD})
    answer = browser.post(CODE, {"code": code_of(cast.clinician)})
    assert answer.headers["Location"] == "/patients/new/"


def test_every_try_is_in_the_log_without_what_was_typed(cast):
    _password(Browser(), "my secret passphrase@x.example", "hunter2hunter2")
    _password(Browser(), "nobody@staff.example", "hunter2hunter2")
    _password(Browser(), cast.clinician.email, "hunter2hunter2")
    browser = type_password(cast.clinician)
    browser.post(CODE, {"code": "000000"})
    browser.post(CODE, {"code": code_of(cast.clinician)})
    browser.post(reverse("signout"))
    rows = list(AuditEntry.objects.exclude(action="patient.create").order_by("id"))
    assert [(r.action, r.outcome) for r in rows] == [
        ("signin.password", "failed"),
        ("signin.password", "failed"),
        ("signin.password", "done"),
        ("signin", "failed"),
        ("signin", "done"),
        ("signout", "done"),
    ]
    assert rows[0].person.startswith("unknown:")
    assert {r.person for r in rows[1:]} == {str(cast.clinician.pk)}
    text = str(list(AuditEntry.objects.values()))
    assert "hunter2" not in text
    assert "nobody@" not in text


def test_signing_out_ends_the_session_and_clears_the_browser(cast):
    browser = sign_in_by_form(cast.clinician)
    key = _key(browser)
    answer = browser.post(reverse("signout"))
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    browser.cookies[settings.SESSION_COOKIE_NAME] = key
    assert not is_signed_in(browser)
    assert not Session.objects.filter(session_key=key).exists()


def test_signing_out_takes_a_post(cast):
    browser = sign_in_by_form(cast.clinician)
    assert browser.get(reverse("signout")).status_code == 405
    assert is_signed_in(browser)


def test_a_foreign_page_cannot_post_for_somebody(cast):
    browser = sign_in_by_form(cast.clinician, Browser())
    strict = Browser(enforce_csrf_checks=True)
    strict.cookies = browser.cookies
    for path in ("/signout/", "/consults/start/", "/patients/new/", "/account/password/"):
        assert strict.post(path).status_code == 403
    assert is_signed_in(browser)
