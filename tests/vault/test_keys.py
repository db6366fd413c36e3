"""The key file: private, whole, and where it is missing the answer is 503 in plain words."""

import json
import os

import pytest
from django.urls import reverse

from tests.cast import sign_in
from vault import keyring
from vault.keyring import FileProvider, VaultUnavailable


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "keys" / "kek.json"
    FileProvider.create(path)
    return path


@pytest.fixture
def no_key(settings, tmp_path):
    """The product with its key file gone, and nothing of the old keys in memory."""
    caches = (keyring.provider, keyring._sealer, keyring._indexer)
    settings.VAULT_KEY_FILE = str(tmp_path / "gone.json")
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def test_a_fresh_key_file_is_private_and_has_one_32_byte_key(file):
    assert file.stat().st_mode & 0o777 == 0o600
    document = json.loads(file.read_text())
    assert list(document["keys"]) == [document["current"]]
    provider = FileProvider(file)
    assert provider.current is provider.cipher(provider.current_id)


def test_an_existing_key_file_is_never_overwritten(file):
    before = file.read_bytes()
    with pytest.raises(FileExistsError):
        FileProvider.create(file)
    assert file.read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o601, 0o777])
def test_a_key_file_that_others_can_reach_is_refused(file, mode):
    os.chmod(file, mode)
    with pytest.raises(VaultUnavailable, match="chmod 600 kek.json"):
        FileProvider(file)


KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
DAMAGED = [
    "",
    "{",
    "[]",
    "{}",
    '{"current": "00"}',
    '{"current": "zz", "keys": {}}',
    '{"current": 7, "keys": {"00": "AA=="}}',
    '{"current": "0011223344556677", "keys": {}}',
    '{"current": "0011223344556677", "keys": {"0011223344556677": "AA=="}}',
    f'{{"current": "0011223344556677", "keys": {{"8899aabbccddeeff": "{KEY}"}}}}',
    '{"current": "0011223344556677", "keys": {"0011223344556677": "not base64"}}',
    '{"current": "0011223344556677", "keys": ["0011223344556677"]}',
]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_key_file_is_told_in_one_sentence_without_its_content(file, text):
    file.write_text(text)
    with pytest.raises(VaultUnavailable) as refused:
        FileProvider(file)
    assert str(refused.value) == "The vault's key file is damaged. Restore it from its backup."
    assert refused.value.__suppress_context__


def test_a_missing_key_file_is_told(tmp_path):
    with pytest.raises(VaultUnavailable, match="missing"):
        FileProvider(tmp_path / "nowhere.json")


def test_a_key_that_is_not_in_the_file_is_told(file):
    with pytest.raises(VaultUnavailable, match="not in the vault's key file"):
        FileProvider(file).cipher(b"12345678")


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
