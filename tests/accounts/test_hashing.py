"""Passwords are kept as Argon2id with the product's own parameters."""

import re

from accounts.models import User
from tests.cast import PASSWORD, person


def test_a_password_is_argon2id_with_46_mib_or_more(cast, argon2):
    user = person(cast.clinic, "newcomer", User.Role.CLINICIAN)
    kind, memory = re.match(r"argon2\$(argon2\w+)\$v=19\$m=(\d+),t=\d+,p=\d+\$", user.password).groups()
    assert kind == "argon2id"
    assert int(memory) >= 46 * 1024
    assert user.check_password(PASSWORD)
    assert not user.check_password(PASSWORD + " ")


def test_the_same_password_never_looks_the_same(cast, argon2):
    first = person(cast.clinic, "first", User.Role.CLINICIAN)
    second = person(cast.clinic, "second", User.Role.CLINICIAN)
    assert first.password != second.password


def test_there_is_one_hasher_so_no_weaker_hash_is_accepted(cast, argon2):
    from django.conf import settings

    assert settings.PASSWORD_HASHERS == ["django.contrib.auth.hashers.Argon2PasswordHasher"]
    assert not cast.clinician.check_password(PASSWORD), "the cast's quick hash must not open the product"
