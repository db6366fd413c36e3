"""The first operator: made on the server's console, activated by a link that works once."""

import io
from urllib.parse import urlsplit

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from accounts.models import Clinic, User
from tests.cast import PASSWORD, Browser
from vault.models import AuditEntry

pytestmark = pytest.mark.django_db


def create(email="Tove@Harbour.example", name="Tove Lund", clinic="Harbour Practice"):
    said = io.StringIO()
    call_command("create_operator", email, name=name, clinic=clinic, stdout=said)
    return said.getvalue()


def test_a_new_clinic_gets_its_operator_and_both_are_in_the_log():
    said = create()
    user = User.objects.get()
    assert (user.email, user.role, user.clinic.name) == ("tove@harbour.example", "operator", "Harbour Practice")
    assert not user.has_usable_password()
    assert "the new clinic Harbour Practice" in said
    entries = AuditEntry.objects.order_by("id")
    assert [e.action for e in entries] == ["account.change", "account.change", "account.link"]
    assert {(e.role, e.person, e.source, e.clinic_id) for e in entries} == {
        ("system", "create_operator", "console", user.clinic_id)
    }


def test_the_link_sets_a_password_once():
    link = urlsplit(create().strip().splitlines()[-1])
    assert (link.path, link.query) == (reverse("activate"), "")
    for expected in (302, 200):
        answer = Browser().post(link.path, {"token": link.fragment, "password": PASSWORD})
        assert answer.status_code == expected
    assert User.objects.get().check_password(PASSWORD)


def test_the_secret_itself_is_not_kept():
    secret = create().strip().rpartition("#")[2]
    kept = [str(list(model.objects.values())) for model in (User, AuditEntry)]
    assert len(secret) >= 43
    assert not any(secret in row for row in kept)


def test_an_existing_clinic_is_joined():
    clinic = Clinic.objects.create(name="Harbour Practice")
    assert "new clinic" not in create()
    assert User.objects.get().clinic == clinic


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"email": "TOVE@harbour.example", "clinic": "Another"}, "e-mail already"),
        ({"email": "not an address"}, "email: "),
        ({"email": "new@harbour.example", "name": " "}, "name: "),
        ({"email": "new@harbour.example", "clinic": "x" * 81}, "name: "),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(changed, said):
    create()
    before = (User.objects.count(), Clinic.objects.count(), AuditEntry.objects.count())
    with pytest.raises(CommandError, match=said):
        create(**changed)
    assert before == (User.objects.count(), Clinic.objects.count(), AuditEntry.objects.count())
