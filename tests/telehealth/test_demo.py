"""The demo clinic: made once, made up, and not outside demo mode."""

import io

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Clinic, User
from accounts.second_factor import authenticator_of
from telehealth import demo
from tests.cast import Browser, is_signed_in
from vault.models import Patient


@pytest.fixture
def seeded(db, settings, tmp_path):
    settings.DATA_DIR = tmp_path
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "demo_password").write_text("a-made-up-demo-password\n")
    demo.seed()


def _code(email):
    out = io.StringIO()
    call_command("demo_code", email, stdout=out)
    return out.getvalue().strip()


def test_seeding_twice_is_seeding_once(seeded):
    counts = [model.objects.count() for model in (Clinic, User, Patient)]
    demo.seed()
    assert [model.objects.count() for model in (Clinic, User, Patient)] == counts == [1, 4, 12]


def test_a_database_in_use_is_left_alone(cast):
    demo.seed()
    assert not Clinic.objects.filter(name=demo.CLINIC).exists()


def test_outside_demo_mode_nothing_is_seeded(db, settings):
    settings.DEMO = False
    demo.seed()
    assert not Clinic.objects.exists()


def test_the_printed_account_and_code_sign_in(seeded, clock):
    browser = Browser()
    browser.post("/signin/", {"email": "garcia@riverside.example", "password": "a-made-up-demo-password"})
    browser.post("/signin/code/", {"code": _code("Garcia@riverside.example")})
    assert is_signed_in(browser)


def test_a_used_code_is_not_offered_again(seeded, clock, monkeypatch):
    import time

    monkeypatch.setattr(time, "sleep", clock.move)
    first = _code("garcia@riverside.example")
    assert authenticator_of(User.objects.get(email="garcia@riverside.example")).verify_token(first)
    second = _code("garcia@riverside.example")
    assert authenticator_of(User.objects.get(email="garcia@riverside.example")).verify_token(second)


def test_no_code_outside_demo_mode(seeded, settings):
    settings.DEMO = False
    with pytest.raises(CommandError, match="outside demo mode"):
        _code("garcia@riverside.example")


@pytest.mark.parametrize("email", ["nobody@riverside.example", "clinician@staff.example", ""])
def test_no_code_for_anybody_who_is_not_of_the_demo(seeded, email):
    from tests.cast import person

    person(Clinic.objects.get(), "clinician", User.Role.CLINICIAN)
    with pytest.raises(CommandError, match="No demo account"):
        _code(email)
