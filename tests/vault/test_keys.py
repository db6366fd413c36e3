"""Where the key file is missing the answer is 503 in plain words, and where it comes back so does the vault."""

from pathlib import Path

import pytest
from django.urls import reverse

from accounts.models import Clinic
from tests.cast import BY, sign_in
from vault import keyring, keywatch, patients
from vault.custody import InClear, VaultUnavailable
from vault.keyfile import KeyFile
from vault.models import IndexKey


@pytest.fixture
def no_key(settings, tmp_path):
    """The product with its key file gone, and nothing of the old keys in memory."""
    settings.VAULT_KEY_FILE = str(tmp_path / "gone.json")
    forget()
    yield
    forget()


@pytest.fixture
def watched(settings):
    """The product's own key file, looked at at every use."""
    settings.VAULT_KEY_RECHECK_SECONDS = 0
    keywatch.forget()
    yield Path(settings.VAULT_KEY_FILE)
    keywatch.forget()


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
    assert answer.json() == {"ready": False, "missing": ["vault"], "late": []}


def _read_name(cast):
    return patients.reveal(cast.patient, ["name"], BY, purpose="treat").values["name"]


def test_a_key_file_taken_away_in_mid_run_closes_a_record_that_was_open_and_opens_it_when_it_is_back(cast, watched):
    assert _read_name(cast)
    away = watched.rename(watched.with_name("away"))
    try:
        with pytest.raises(VaultUnavailable, match="missing"):
            _read_name(cast)
    finally:
        away.rename(watched)
    assert _read_name(cast)


def test_a_key_file_that_others_can_read_in_mid_run_closes_the_vault(cast, watched, client):
    assert client.get("/healthz").json()["ready"]
    watched.chmod(0o644)
    try:
        assert client.get("/healthz").json() == {"ready": False, "missing": ["vault"], "late": []}
    finally:
        watched.chmod(0o600)
    assert client.get("/healthz").json()["ready"]


def test_a_new_clinic_is_not_written_under_the_keys_of_another_vault(cast, settings, tmp_path):
    """Its own index key would open, and so hide that nothing else does."""
    KeyFile(tmp_path / "other.json", InClear()).create()
    settings.VAULT_KEY_FILE = str(tmp_path / "other.json")
    forget()
    try:
        clinic = Clinic.objects.create(name="New Clinic")
        with pytest.raises(VaultUnavailable):
            patients.create(clinic.id, {"name": "New Person", "birth_date": "1990-01-01"}, BY)
    finally:
        forget()
    assert not IndexKey.objects.filter(clinic_id=clinic.id).exists()
