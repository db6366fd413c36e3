"""What holds for every response: headers, cookies, no store; errors that show nothing; logs without what was posted."""

import logging
import sys
import types

import pytest
from django.conf import settings
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404
from django.urls import include, path, reverse

from telehealth import errors
from tests.cast import MARIA, Browser, bring_to, sign_in, sign_in_by_form
from vault.core.sealing import CannotOpen

CANARY = "Quixplotz-in-a-variable"
ERROR_PAGES = {400: "bad_request", 403: "forbidden", 404: "not_found", 500: "server_error"}


def _raising(error):
    def view(request, **_parts):
        patient = CANARY  # noqa: F841  a frame of a trace would show it
        raise error

    return view


@pytest.fixture
def breaking(settings):
    """The product's addresses and a few that break."""
    module = types.ModuleType("tests.telehealth.breaking_urls")
    kinds = {
        "500": ValueError(CANARY),
        "404": Http404(CANARY),
        "403": PermissionDenied(CANARY),
        "400": SuspiciousOperation("not with these words"),
        "503": CannotOpen(),
    }
    module.urlpatterns = [path(f"break/{kind}/", _raising(error)) for kind, error in kinds.items()]
    module.urlpatterns.append(path("", include("telehealth.urls")))
    for handler in ("handler400", "handler403", "handler404", "handler500"):
        setattr(module, handler, f"telehealth.errors.{errors_of[handler]}")
    sys.modules[module.__name__] = module
    settings.ROOT_URLCONF = module.__name__
    yield
    del sys.modules[module.__name__]


errors_of = {f"handler{status}": name for status, name in ERROR_PAGES.items()}


def test_the_products_own_urlconf_names_the_same_error_pages():
    from telehealth import urls

    assert {h: f"telehealth.errors.{e}" for h, e in errors_of.items()} == {h: getattr(urls, h) for h in errors_of}


@pytest.mark.parametrize(("kind", "status"), [("500", 500), ("404", 404), ("403", 404), ("400", 400), ("503", 503)])
def test_an_error_page_is_plain_words(breaking, cast, caplog, capfd, kind, status):
    browser = sign_in(cast.clinician, raise_request_exception=False)
    with caplog.at_level(logging.DEBUG):
        answer = browser.post(f"/break/{kind}/?q={CANARY}", {"note": CANARY})
    assert answer.status_code == status
    page = answer.content.decode()
    for secret in (
        CANARY,
        "Traceback",
        "ValueError",
        "Quixplotz",
        str(settings.BASE_DIR),
        "django",
        settings.SECRET_KEY,
    ):
        assert secret not in page
    printed = capfd.readouterr()
    for text in (caplog.text, printed.err, printed.out):
        assert CANARY not in text


def test_an_error_is_logged_with_its_place(breaking, cast, caplog):
    Browser(raise_request_exception=False).get("/break/500/")
    assert "ValueError at" in caplog.text
    assert "test_responses.py" in caplog.text


def test_the_place_of_an_error_is_logged_from_the_first_one_on():
    """The receiver must be connected when Django starts, not when the first error page is made."""
    import subprocess

    script = (
        "import django; django.setup()\n"
        "from django.core.signals import got_request_exception as signal\n"
        "import sys; sys.exit(0 if signal.has_listeners() else 1)"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=settings.BASE_DIR, timeout=60).returncode == 0


def test_an_unknown_address_is_a_plain_404(db):
    answer = Browser().get("/nowhere/<script>/")
    assert answer.status_code == 404
    assert b"<script>/" not in answer.content


def test_an_error_in_a_forms_token_is_told(cast):
    browser = Browser(enforce_csrf_checks=True)
    answer = browser.post("/signin/", {"email": "x", "password": "y"})
    assert answer.status_code == 403
    assert "load it again" in answer.content.decode()


# -- headers ---------------------------------------------------------------------------------------------------


def _pages(cast):
    now = bring_to("admitted", cast.clinician, cast.patient)
    staff, patient, nobody = sign_in(cast.clinician), now.browser(), Browser()
    office = sign_in(cast.officer)
    for browser, paths in {
        nobody: ["/signin/", "/join/", "/activate/", "/healthz", "/nowhere/", "/", "/admin/"],
        staff: ["/", "/account/", "/patients/new/", f"/patients/{cast.patient.id}/", f"/consults/{now.consult.id}/"],
        patient: [f"/visit/{now.consult.id}/"],
        office: ["/admin/", "/admin/vault/auditentry/", "/admin/jsi18n/"],
    }.items():
        for address in paths:
            yield address, browser.get(address)


def test_every_page_has_the_headers(cast):
    for address, answer in _pages(cast):
        headers = answer.headers
        assert "no-store" in headers["Cache-Control"] or "no-cache" in headers["Cache-Control"], address
        assert headers["X-Content-Type-Options"] == "nosniff", address
        assert headers["X-Frame-Options"] == "DENY", address
        # Not "no-referrer": with it browsers send forms with "Origin: null", which the check of their token refuses.
        assert headers["Referrer-Policy"] == "same-origin", address
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin", address
        assert "camera=(self)" in headers["Permissions-Policy"], address
        assert "geolocation=()" in headers["Permissions-Policy"], address
        assert "Server" not in headers, address
        assert "X-Powered-By" not in headers, address


def test_every_pages_content_policy_is_strict(cast):
    for address, answer in _pages(cast):
        policy = answer.headers["Content-Security-Policy"]
        for part in ("default-src 'none'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"):
            assert part in policy, address
        assert "unsafe" not in policy, address
        assert "script-src 'self'" in policy, address


def test_no_page_has_script_or_style_in_it(cast):
    """The policy would block it, and the page would be broken."""
    import re

    for address, answer in _pages(cast):
        page = answer.content.decode()
        scripts = re.findall(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)[^>]*>", page)
        assert scripts == [], address
        assert not re.search(r"<style|\sstyle=\"|\son\w+=\"|javascript:", page), address


def test_no_page_names_a_foreign_host(cast):
    import re

    for address, answer in _pages(cast):
        hosts = re.findall(r'(?:src|href|action)="(?:https?:)?//([^/"]+)', answer.content.decode())
        assert hosts == [], address


def test_pages_of_the_office_are_not_kept_by_the_browser_either(cast):
    answer = sign_in(cast.officer).get("/admin/vault/auditentry/")
    assert "no-store" in answer.headers["Cache-Control"]


def test_cookies_are_locked_to_this_host(cast):
    browser = sign_in_by_form(cast.clinician)
    assert set(browser.cookies) == {"__Host-session", "__Host-csrf"} or set(browser.cookies) == {"__Host-session"}
    browser.get(reverse("patient-new"))
    for name, same_site in (("__Host-session", "Lax"), ("__Host-csrf", "Strict")):
        cookie = browser.cookies[name]
        assert cookie["secure"]
        assert cookie["httponly"]
        assert cookie["samesite"] == same_site
        assert cookie["path"] == "/"
        assert not cookie["domain"]


def test_the_session_outlives_no_limit():
    assert settings.SESSION_COOKIE_AGE <= 12 * 3600


# -- logs --------------------------------------------------------------------------------------------------------


def test_nothing_that_is_posted_reaches_the_logs(cast, caplog, capfd):
    now = bring_to("seated", cast.clinician, cast.patient)
    staff = sign_in(cast.clinician, raise_request_exception=False)
    with caplog.at_level(logging.DEBUG):
        now.browser().post(f"/visit/{now.consult.id}/identity/", MARIA)
        staff.post("/patients/search/", {"q": "Quixplotz"})
        staff.post("/patients/new/", {**MARIA, "birth_date": "Quixplotz"})
        staff.post(f"/consults/{now.consult.id}/note/", {"text": "Glorbthroat"})
        Browser().post("/signin/", {"email": "quixplotz@staff.example", "password": "Glorbthroat"})
        Browser().post("/join/redeem/", {"token": "Glorbthroat" * 4})
    printed = capfd.readouterr()
    # SQL is Django's own debug log, which the product never switches on.
    logged = "\n".join(r.getMessage() for r in caplog.records if r.name != "django.db.backends")
    for text in (logged, printed.out, printed.err):
        assert "uixplotz" not in text
        assert "Glorbthroat" not in text
        assert "1984-03-17" not in text


def test_djangos_own_request_log_is_off():
    """Its records carry the request with all that was posted."""
    assert settings.LOGGING["loggers"]["django.request"] == {"handlers": [], "propagate": False, "level": "CRITICAL"}
    assert settings.LOGGING["root"]["level"] == "WARNING"
    assert errors.logger.name == "telehealth.errors"
