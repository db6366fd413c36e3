"""What the guess limits and the log keep of typed names cannot be guessed from the database alone."""

import hashlib

from django.urls import reverse

from accounts.models import Attempts
from tests.cast import Browser
from vault.models import AuditEntry

TYPED = "somebody@guess.example"


def test_a_guessed_name_cannot_be_checked_against_the_rows(db):
    Browser().post(reverse("signin"), {"email": TYPED, "password": "x" * 12})
    kept = {a.subject for a in Attempts.objects.all()}
    plain = [hashlib.sha256(text.encode()).hexdigest() for text in (TYPED, f"password\0{TYPED}")]
    assert kept
    assert not kept & set(plain)
    assert AuditEntry.objects.get(action="signin.password").person != f"unknown:{plain[0][:16]}"
