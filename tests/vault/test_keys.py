"""Where the key file is missing the answer is 503 in plain words, and where it comes back so does the vault."""

import pytest
from django.urls import reverse

from tests.cast import sign_in
from vault import keyring, keywatch


@pytest.fixture
def no_key(settings, tmp_path):
    """The product with its key file gone, and nothing of the old keys in memory."""
    settings.VAULT_KEY_FILE = str(tmp_path / "gone.json")
    forget()
    yield
    forget()


def forget():
    keywatch.forget()
    keyring._opener.cache_clear()
    keyring._index_tools.cache_clear()


def test_without_a_key_a_page_answers_503_and_shows_nothing(cast, no_key):
    answer = sign_in(cast.clinician).post(reverse("patient-search"), {"q": "quixplotz"})
    assert answer.status_code == 503
    text = answer.content.decode()
    assert "M. Q." not in text
    assert "Traceback" not in text
    assert "gone.json" not in text


def test_without_a_key_nothing_is_written(cast, no_key):
    before = cast.patient.__class__.objects.count()
    answer = sign_in(cast.clinician).post(reverse("patient-new"), {"name": "New Person", "birth_date": "1990-01-01"})
    assert answer.status_code == 503
    assert cast.patient.__class__.objects.count() == before


def test_without_a_key_healthz_says_so(cast, no_key, client):
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "missing": ["vault"]}
