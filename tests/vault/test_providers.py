"""Keys kept by Transit and by KMS: what stands in the file, who refuses, who is only away and how long it is borne."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import pytest
from django.core.management import CommandError, call_command

from telehealth.checks import settings_fit
from tests.vault.kms_fakes import KmsServer, TransitServer
from vault import custody, keywatch, kms, transit
from vault.custody import Refused, Unreachable, VaultUnavailable
from vault.keyfile import KeyFile, configured_file

TOKEN = "root-of-the-test"


@pytest.fixture
def server():
    made = TransitServer()
    yield made
    made.stop()


@pytest.fixture
def aws(monkeypatch, tmp_path):
    """A KMS, and nothing of the machine's own access to AWS."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    made = KmsServer()
    yield made
    made.stop()


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def hand(monkeypatch):
    """The time by which keys are looked after; it stands still unless moved."""
    clock = Clock()
    monkeypatch.setattr(keywatch, "monotonic", clock)
    monkeypatch.setattr(transit, "monotonic", clock)
    return clock


@pytest.fixture(params=["transit", "kms"])
def kept(request, settings, tmp_path, hand):
    """The product set to each custodian, with a fresh key file; its server."""
    fake = request.getfixturevalue("server" if request.param == "transit" else "aws")
    settings.VAULT_KEY_CUSTODIAN = request.param
    settings.VAULT_KEY_FILE = str(tmp_path / "keys" / "kek.json")
    settings.VAULT_TRANSIT_URL, settings.VAULT_TRANSIT_KEY, settings.VAULT_TRANSIT_TOKEN = fake.url, "telehealth", TOKEN
    settings.VAULT_KMS_ENDPOINT, settings.VAULT_KMS_REGION = fake.url, "eu-central-1"
    settings.VAULT_KMS_KEY_ID = getattr(fake, "key_id", "")
    configured_file().create()
    keywatch.forget()
    yield fake
    keywatch.forget()


def _refuse(fake):
    fake.trouble = "denied" if isinstance(fake, TransitServer) else (400, "DisabledException")


def _away(fake):
    fake.trouble = "sealed" if isinstance(fake, TransitServer) else (500, "KMSInternalException")


# -- what stands in the file ---------------------------------------------------------------------------------


def test_the_file_holds_ciphertexts_and_the_keys_work(kept, settings):
    keys = keywatch.keys()
    document = json.loads(Path(settings.VAULT_KEY_FILE).read_text())
    assert document["custodian"] == settings.VAULT_KEY_CUSTODIAN
    entry = document["keys"][keys.current_id.hex()]
    assert entry.startswith("vault:v1:") or isinstance(kept, KmsServer)
    assert len(entry) > 80
    nonce = bytes(12)
    again = configured_file().load()
    assert again.current.decrypt(nonce, keys.current.encrypt(nonce, b"value", None), None) == b"value"


def test_data_keys_are_wrapped_without_asking_anybody(kept):
    keywatch.keys()
    asked = len(kept.calls)
    for _ in range(1000):
        keywatch.keys().current.encrypt(os.urandom(12), bytes(32), None)
    assert len(kept.calls) == asked


def test_a_key_added_and_one_retired(kept):
    old = keywatch.keys()
    added = configured_file().add()
    assert old.cipher(added)
    configured_file().retire(old.current_id)
    assert configured_file().load().ids == {added}


def test_an_entry_moved_to_another_id_is_refused(kept, settings):
    document = json.loads(Path(settings.VAULT_KEY_FILE).read_text())
    moved = {"0011223344556677": document["keys"][document["current"]]}
    Path(settings.VAULT_KEY_FILE).write_text(json.dumps({**document, "current": "0011223344556677", "keys": moved}))
    with pytest.raises(Refused):
        keywatch.keys()


def test_a_transit_server_that_binds_nothing_does_not_let_an_entry_move(server):
    server.binds = False
    custodian = _by_token(server)
    entry = custodian.protect(b"12345678", bytes(32))
    assert custodian.recover(b"12345678", entry) == bytes(32)
    with pytest.raises(Refused):
        custodian.recover(b"abcdefgh", entry)


def test_the_encryption_context_names_the_key(aws):
    entry = _kms(aws).protect(b"12345678", bytes(32))
    _kms(aws).recover(b"12345678", entry)
    assert aws.contexts == [{"telehealth-kek": b"12345678".hex()}] * 2


# -- mid-run -------------------------------------------------------------------------------------------------


def test_a_minute_later_the_custodian_is_asked_once_and_the_same_keys_go_on(kept, hand):
    keys = keywatch.keys()
    asked = len(kept.calls)
    hand.now += 59
    assert keywatch.keys() is keys
    assert len(kept.calls) == asked
    hand.now += 2
    assert keywatch.keys() is keys
    assert keywatch.keys() is keys
    assert len(kept.calls) == asked + 1


def test_a_refusal_closes_the_vault_at_once_and_its_end_opens_it(kept, hand):
    keywatch.keys()
    _refuse(kept)
    hand.now += 61
    asked = len(kept.calls)
    for _ in range(50):
        with pytest.raises(Refused) as refused:
            keywatch.keys()
    assert len(kept.calls) - asked <= 2
    assert TOKEN not in str(refused.value)
    kept.trouble = None
    hand.now += keywatch.RETRY_SECONDS + 1
    assert keywatch.keys()


def test_a_custodian_who_is_away_is_borne_for_the_grace_and_not_longer(kept, hand, settings):
    keys = keywatch.keys()
    _away(kept)
    start, asked = hand.now, len(kept.calls)
    while hand.now < start + settings.VAULT_KEY_GRACE_SECONDS - 1:
        assert keywatch.keys() is keys
        hand.now += 1
    assert len(kept.calls) - asked < 100
    hand.now = start + settings.VAULT_KEY_GRACE_SECONDS + 1
    with pytest.raises(Unreachable):
        keywatch.keys()
    kept.trouble = None
    hand.now += keywatch.RETRY_SECONDS + 1
    assert keywatch.keys().current_id == keys.current_id


def test_trouble_and_its_end_are_each_logged_once(kept, hand, caplog):
    keywatch.keys()
    _away(kept)
    for _ in range(60):
        hand.now += 5
        keywatch.keys()
    kept.trouble = None
    for _ in range(60):
        hand.now += 5
        keywatch.keys()
    told = [record.getMessage() for record in caplog.records if record.name == "vault"]
    assert len(told) == 2
    assert "does not answer" in told[0]
    assert "again" in told[1]


def test_the_grace_counts_from_the_last_good_answer(kept, hand, settings):
    keys = keywatch.keys()
    for _ in range(3):
        _away(kept)
        hand.now += settings.VAULT_KEY_GRACE_SECONDS - 20
        assert keywatch.keys() is keys
        kept.trouble = None
        hand.now += keywatch.RETRY_SECONDS + 1
        assert keywatch.keys() is keys


def test_without_an_answer_at_the_start_there_are_no_keys_and_no_storm_of_questions(kept):
    _away(kept)
    asked = len(kept.calls)
    for _ in range(50):
        with pytest.raises(Unreachable):
            keywatch.keys()
    assert len(kept.calls) - asked <= 2


def test_the_key_file_gone_closes_the_vault_with_a_remote_custodian_too(kept, hand, settings):
    keywatch.keys()
    os.unlink(settings.VAULT_KEY_FILE)
    hand.now += 6
    with pytest.raises(VaultUnavailable, match="missing"):
        keywatch.keys()


def test_a_custodian_who_says_nothing_keeps_nobody_longer_than_a_few_seconds(kept, hand):
    keys = keywatch.keys()
    kept.trouble = "hang"
    hand.now += 61
    start = time.monotonic()
    assert keywatch.keys() is keys
    assert time.monotonic() - start < 4
    start = time.monotonic()
    assert keywatch.keys() is keys
    assert time.monotonic() - start < 0.1


def test_while_one_waits_for_the_custodian_others_go_on(kept, hand):
    keys = keywatch.keys()
    kept.trouble = "hang"
    hand.now += 61
    waiting = Thread(target=keywatch.keys)
    waiting.start()
    time.sleep(0.3)
    start = time.monotonic()
    assert keywatch.keys() is keys
    assert time.monotonic() - start < 0.5
    assert waiting.is_alive()
    waiting.join(10)


# -- Transit -------------------------------------------------------------------------------------------------


def _transit(server, **credentials):
    return transit.Transit(server.url, "transit", "telehealth", transit.Credentials(**credentials))


def _by_token(server):
    return _transit(server, token=TOKEN)


def _by_role(server, secret="secret-1"):
    return _transit(server, role_id="role-1", secret_id=secret)


def test_a_role_signs_in_once_and_again_when_its_token_has_ended(server):
    custodian = _by_role(server)
    entry = custodian.protect(b"12345678", bytes(32))
    custodian.recover(b"12345678", entry)
    assert server.calls.count("/v1/auth/approle/login") == 1
    server.tokens.clear()
    assert custodian.recover(b"12345678", entry) == bytes(32)
    assert server.calls.count("/v1/auth/approle/login") == 2


def test_a_role_whose_secret_was_taken_back_is_refused(server):
    custodian = _by_role(server)
    entry = custodian.protect(b"12345678", bytes(32))
    server.tokens.clear()
    server.secret = "another"
    with pytest.raises(Refused, match="role or its secret") as refused:
        custodian.recover(b"12345678", entry)
    assert "secret-1" not in str(refused.value)


def test_a_revoked_token_is_refused(server):
    custodian = _by_token(server)
    entry = custodian.protect(b"12345678", bytes(32))
    server.tokens.clear()
    with pytest.raises(Refused, match="token"):
        custodian.recover(b"12345678", entry)


def test_a_token_that_an_agent_renewed_in_its_file_is_taken_up(server, tmp_path):
    (tmp_path / "token").write_text(TOKEN + "\n")
    custodian = _transit(server, token_file=str(tmp_path / "token"))
    entry = custodian.protect(b"12345678", bytes(32))
    server.tokens = {"the-next"}
    (tmp_path / "token").write_text("the-next\n")
    assert custodian.recover(b"12345678", entry) == bytes(32)


def test_a_token_file_that_is_gone_is_told_by_its_setting(server, tmp_path):
    with pytest.raises(Refused, match="VAULT_TRANSIT_TOKEN_FILE"):
        _transit(server, token_file=str(tmp_path / "gone")).protect(b"12345678", bytes(32))


def test_a_token_is_prolonged_when_half_its_time_is_over(server, hand):
    custodian = _by_token(server)
    custodian.protect(b"12345678", bytes(32))
    custodian.renew()
    assert "/v1/auth/token/renew-self" not in server.calls
    hand.now += 1801
    custodian.renew()
    custodian.renew()
    assert server.calls.count("/v1/auth/token/renew-self") == 1


def test_a_token_that_may_not_be_prolonged_serves_until_it_ends(server, hand, caplog):
    custodian = _by_token(server)
    entry = custodian.protect(b"12345678", bytes(32))
    server.trouble = "no renewal"
    hand.now += 1801
    custodian.renew()
    assert custodian.recover(b"12345678", entry) == bytes(32)
    assert "not renewed" in caplog.text
    assert TOKEN not in caplog.text


def test_a_token_that_may_not_ask_about_itself_serves(server):
    server.may_look_up = False
    custodian = _by_token(server)
    assert custodian.recover(b"12345678", custodian.protect(b"12345678", bytes(32))) == bytes(32)


def test_a_transit_key_that_was_rotated_still_opens_what_it_sealed_before(server):
    custodian = _by_token(server)
    old = custodian.protect(b"12345678", bytes(32))
    server.rotate()
    assert custodian.protect(b"12345678", bytes(32)).startswith("vault:v2:")
    assert custodian.recover(b"12345678", old) == bytes(32)


def test_a_version_below_the_oldest_allowed_is_refused(server):
    custodian = _by_token(server)
    old = custodian.protect(b"12345678", bytes(32))
    server.rotate()
    server.oldest = 2
    with pytest.raises(Refused):
        custodian.recover(b"12345678", old)


@pytest.mark.parametrize("entry", ["", "nonsense", "vault:v9:AAAA", "vault:v1:" + "A" * 80])
def test_an_entry_that_transit_cannot_read_is_refused(server, entry):
    with pytest.raises(Refused):
        _by_token(server).recover(b"12345678", entry)


@pytest.mark.parametrize("trouble", ["sealed", 500, 502, 429, 412, 472, 473, "html"])
def test_a_transit_server_that_cannot_answer_now_is_away_and_refuses_nothing(server, trouble):
    custodian = _by_token(server)
    entry = custodian.protect(b"12345678", bytes(32))
    server.trouble = trouble
    with pytest.raises(Unreachable):
        custodian.recover(b"12345678", entry)


def test_nobody_listening_is_away(server):
    custodian = _by_token(server)
    server.stop()
    with pytest.raises(Unreachable) as away:
        custodian.protect(b"12345678", bytes(32))
    assert "127.0.0.1" not in str(away.value)


def test_another_key_name_is_refused(server):
    custodian = transit.Transit(server.url, "transit", "another", transit.Credentials(token=TOKEN))
    with pytest.raises(Refused):
        custodian.protect(b"12345678", bytes(32))


def test_credentials_do_not_show_their_secrets():
    shown = repr(transit.Credentials(token="t0ken", secret_id="s3cret", role_id="role"))
    assert "t0ken" not in shown
    assert "s3cret" not in shown


def test_a_token_of_the_environment_is_not_taken(server, monkeypatch):
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    with pytest.raises(Refused):
        _transit(server, token="wrong").protect(b"12345678", bytes(32))


# -- KMS -----------------------------------------------------------------------------------------------------


def _kms(aws, key_id=""):
    return kms.Kms(key_id or aws.key_id, "eu-central-1", endpoint=aws.url)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("DisabledException", "disabled"),
        ("AccessDeniedException", "does not let this account"),
        ("KMSInvalidStateException", "about to be deleted"),
        ("NotFoundException", "does not have the key"),
        ("UnrecognizedClientException", "UnrecognizedClientException"),
    ],
)
def test_what_kms_refuses_is_told_in_plain_words(aws, code, words):
    entry = _kms(aws).protect(b"12345678", bytes(32))
    aws.trouble = (400, code)
    with pytest.raises(Refused, match=words) as refused:
        _kms(aws).recover(b"12345678", entry)
    assert "as the test wants it" not in str(refused.value)


@pytest.mark.parametrize(
    "trouble",
    [
        (400, "ThrottlingException"),
        (500, "KMSInternalException"),
        (500, "DependencyTimeoutException"),
        (500, "KeyUnavailableException"),
        (503, "ServiceUnavailable"),
    ],
)
def test_a_kms_that_cannot_answer_now_is_away_and_is_asked_once(aws, trouble):
    custodian = _kms(aws)
    entry = custodian.protect(b"12345678", bytes(32))
    aws.trouble, before = trouble, len(aws.calls)
    with pytest.raises(Unreachable):
        custodian.recover(b"12345678", entry)
    assert len(aws.calls) == before + 1


def test_no_kms_listening_is_away(aws):
    custodian = _kms(aws)
    aws.stop()
    with pytest.raises(Unreachable):
        custodian.protect(b"12345678", bytes(32))


def test_without_credentials_the_answer_says_so(aws, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(Refused, match="credentials"):
        _kms(aws).protect(b"12345678", bytes(32))


def test_an_entry_of_another_kms_key_is_refused(aws):
    first, second = aws.keys
    entry = _kms(aws, second).protect(b"12345678", bytes(32))
    with pytest.raises(Refused, match="another AWS KMS key"):
        _kms(aws, first).recover(b"12345678", entry)


def test_an_entry_that_is_no_ciphertext_is_refused(aws):
    with pytest.raises(Refused, match="damaged"):
        _kms(aws).recover(b"12345678", "AAAA")


# -- settings ------------------------------------------------------------------------------------------------


def test_a_custodian_nobody_knows_is_told(settings):
    settings.VAULT_KEY_CUSTODIAN = "nobody"
    with pytest.raises(VaultUnavailable, match="must be file, transit or kms"):
        custody.configured()
    assert "VAULT_KEY_CUSTODIAN must be file, transit or kms." in _said()


@pytest.mark.parametrize(("name", "package"), [("transit", "hvac"), ("kms", "boto3")])
def test_a_missing_package_is_told_with_the_file_to_install(settings, monkeypatch, name, package):
    settings.VAULT_KEY_CUSTODIAN = name
    monkeypatch.delitem(sys.modules, f"vault.{name}")
    for module in [module for module in sys.modules if module.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [_Without(package), *sys.meta_path])
    with pytest.raises(VaultUnavailable, match=rf"{package} is missing. Install requirements-{name}.txt"):
        custody.configured()


class _Without:
    def __init__(self, package):
        self.package = package

    def find_spec(self, name, _path=None, _target=None):
        if name == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_neither_package_is_imported_where_the_file_keeps_the_keys():
    program = (
        "import django; django.setup(); from vault import keyring; import sys; print({'hvac','boto3'} & {*sys.modules})"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout == "set()\n"


def _said():
    return [problem.msg for problem in settings_fit(None) if problem.id == "telehealth.E020"]


def test_the_check_says_what_each_custodian_lacks(settings):
    assert _said() == []
    settings.VAULT_KEY_CUSTODIAN = "kms"
    assert _said() == [
        "VAULT_KEY_CUSTODIAN=kms needs VAULT_KMS_KEY_ID.",
        "VAULT_KEY_CUSTODIAN=kms needs VAULT_KMS_REGION.",
    ]
    settings.VAULT_KEY_CUSTODIAN = "transit"
    assert len(_said()) == 3
    settings.VAULT_TRANSIT_URL, settings.VAULT_TRANSIT_KEY = "https://keys.example", "telehealth"
    settings.VAULT_TRANSIT_ROLE_ID = "role"
    assert "VAULT_TRANSIT_SECRET_ID_FILE" in _said()[0]
    settings.VAULT_TRANSIT_SECRET_ID_FILE = "/etc/telehealth/secrets/secret_id"
    assert _said() == []


def test_production_asks_transit_over_tls(settings):
    settings.VAULT_KEY_CUSTODIAN, settings.VAULT_TRANSIT_TOKEN, settings.DEMO = "transit", "t", False
    settings.VAULT_TRANSIT_URL, settings.VAULT_TRANSIT_KEY = "http://keys.example", "telehealth"
    assert _said() == ["Production needs VAULT_TRANSIT_URL to begin with https."]


def test_the_command_makes_the_file_and_says_why_it_cannot(kept, settings, tmp_path, capsys):
    settings.VAULT_KEY_FILE = str(tmp_path / "another" / "kek.json")
    _refuse(kept)
    with pytest.raises(CommandError, match="Transit|KMS"):
        call_command("create_vault_key")
    assert not os.path.exists(settings.VAULT_KEY_FILE)
    kept.trouble = None
    call_command("create_vault_key")
    assert "Back it up" in capsys.readouterr().out
    with pytest.raises(CommandError, match="there already"):
        call_command("create_vault_key")


def test_a_file_of_the_other_custodian_is_refused(kept, settings):
    settings.VAULT_KEY_CUSTODIAN = "file"
    with pytest.raises(VaultUnavailable, match="the setting is file"):
        KeyFile(configured_file().path, custody.InClear()).load()
