"""An activation link sets a password once, and never touches the second factor."""

import hashlib

import pytest
from django.urls import reverse

from accounts.models import User
from accounts.second_factor import authenticator_of
from accounts.signin import activating_user, make_activation
from tests.cast import BY, Browser, code_of, is_signed_in, person, sign_in, type_password
from vault.models import AuditEntry

NEW = "a brand new passphrase"


def _activate(secret, password=NEW):
    return Browser().post(reverse("activate"), {"token": secret, "password": password})


def test_a_link_sets_the_password_once(cast):
    secret = make_activation(cast.clinician, BY)
    assert _activate(secret).headers["Location"] == "/signin/"
    cast.clinician.refresh_from_db()
    assert cast.clinician.check_password(NEW)
    assert _activate(secret, "yet another passphrase").status_code == 200
    cast.clinician.refresh_from_db()
    assert cast.clinician.check_password(NEW)


def test_a_reset_keeps_the_second_factor(cast):
    seed = bytes(authenticator_of(cast.clinician).seed)
    _activate(make_activation(cast.clinician, BY))
    assert bytes(authenticator_of(cast.clinician).seed) == seed
    browser = type_password(cast.clinician, password=NEW)
    assert not is_signed_in(browser)
    browser.post("/signin/code/", {"code": code_of(cast.clinician)})
    assert is_signed_in(browser)


def test_a_reset_ends_the_sessions_there_are(cast):
    browser = sign_in(cast.clinician)
    _activate(make_activation(cast.clinician, BY))
    assert not is_signed_in(browser)


def test_the_secret_is_kept_as_a_digest_only(cast):
    secret = make_activation(cast.clinician, BY)
    kept = str(User.objects.filter(pk=cast.clinician.pk).values().get())
    assert secret not in kept
    assert hashlib.sha256(secret.encode()).hexdigest() in kept
    assert secret not in str(list(AuditEntry.objects.values()))


def test_the_link_dies_after_two_days(cast, clock):
    secret = make_activation(cast.clinician, BY)
    clock.move(48 * 3600 + 1)
    assert activating_user(secret) is None
    assert _activate(secret).status_code == 200


def test_a_newer_link_ends_the_older_one(cast):
    older = make_activation(cast.clinician, BY)
    newer = make_activation(cast.clinician, BY)
    assert activating_user(older) is None
    assert activating_user(newer) == cast.clinician


def test_whoever_may_not_sign_in_cannot_use_a_link(cast):
    secret = make_activation(cast.clinician, BY)
    User.objects.filter(pk=cast.clinician.pk).update(is_active=False)
    assert activating_user(secret) is None


@pytest.mark.parametrize("secret", ["", "x", "A" * 43])
def test_a_made_up_link_sets_nothing(cast, secret):
    answer = _activate(secret)
    assert answer.status_code == 200
    assert not User.objects.filter(password__contains=NEW).exists()
    assert AuditEntry.objects.filter(action="account.activate").count() == 0


def test_a_weak_password_does_not_use_the_link_up(cast):
    secret = make_activation(cast.clinician, BY)
    assert _activate(secret, "short").status_code == 200
    assert activating_user(secret) == cast.clinician


def test_a_look_at_the_page_changes_nothing(cast):
    secret = make_activation(cast.clinician, BY)
    assert Browser().get(reverse("activate")).status_code == 200
    assert activating_user(secret) == cast.clinician


def test_an_account_without_a_password_cannot_sign_in(cast):
    user = person(cast.clinic, "newcomer", User.Role.CLINICIAN)
    user.set_unusable_password()
    user.save()
    for password in ("", "!", user.password):
        assert type_password(user, password=password).get("/signin/code/").status_code == 302
