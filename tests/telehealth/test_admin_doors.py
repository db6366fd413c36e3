"""Django's own doors in the admin lead through ours."""

import pytest

from accounts.models import User
from tests.cast import PASSWORD, Browser, is_signed_in, sign_in
from vault.models import AuditEntry


@pytest.mark.parametrize(("who", "home"), [("operator", "/admin/"), ("officer", "/review/"), ("clinician", "/")])
def test_the_admins_sign_in_leads_everybody_home(cast, who, home):
    assert sign_in(getattr(cast, who)).get("/admin/login/").headers["Location"] == home


def test_a_stranger_comes_back_to_the_page_she_asked_for(cast):
    answer = Browser().get("/admin/accounts/user/", follow=True)
    assert answer.redirect_chain[-1][0] == "/signin/?next=%2Fadmin%2Faccounts%2Fuser%2F"


def test_the_admins_sign_in_takes_no_password(cast):
    browser = Browser()
    browser.post("/admin/login/", {"username": cast.operator.email, "password": PASSWORD})
    assert not is_signed_in(browser)


def test_signing_out_of_the_admin_is_signing_out(cast):
    browser = sign_in(cast.operator)
    assert browser.post("/admin/logout/").headers["Location"] == "/signin/"
    assert not is_signed_in(browser)
    assert AuditEntry.objects.filter(action="signout", person=str(cast.operator.pk)).count() == 1


def test_a_password_is_changed_on_our_page_only(cast):
    browser = sign_in(cast.operator)
    new = "quite another long passphrase"
    data = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert browser.post("/admin/password_change/", data).headers["Location"] == "/account/password/"
    assert User.objects.get(pk=cast.operator.pk).check_password(PASSWORD)
