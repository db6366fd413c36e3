"""The key file: private, whole, in one form; changed without ever being half changed; looked after while we run."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from vault import keywatch
from vault.custody import InClear, VaultUnavailable
from vault.keyfile import KeyFile, NotRetired

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def file(tmp_path):
    made = KeyFile(tmp_path / "keys" / "kek.json", InClear())
    made.create()
    return made


@pytest.fixture
def watched(file, settings):
    """`keys()` over a file of this test, looking at it at every use."""
    settings.VAULT_KEY_FILE = str(file.path)
    settings.VAULT_KEY_RECHECK_SECONDS = 0
    keywatch.forget()
    yield file
    keywatch.forget()


def test_a_fresh_key_file_is_private_and_has_one_32_byte_key(file):
    assert file.path.stat().st_mode & 0o777 == 0o600
    document = json.loads(file.path.read_text())
    assert document["custodian"] == "file"
    assert list(document["keys"]) == [document["current"]]
    keys = file.load()
    assert keys.current is keys.cipher(keys.current_id)
    assert keys.ids == {keys.current_id}


def test_a_umask_that_lets_everybody_read_makes_no_difference(tmp_path):
    before = os.umask(0)
    try:
        KeyFile(tmp_path / "kek.json", InClear()).create()
    finally:
        os.umask(before)
    assert (tmp_path / "kek.json").stat().st_mode & 0o777 == 0o600


def test_an_existing_key_file_is_never_overwritten(file):
    before = file.path.read_bytes()
    with pytest.raises(FileExistsError):
        file.create()
    assert file.path.read_bytes() == before


def test_a_link_to_nowhere_is_not_written_through(tmp_path):
    (tmp_path / "kek.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        KeyFile(tmp_path / "kek.json", InClear()).create()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o601, 0o610, 0o700, 0o4600, 0o777])
def test_a_key_file_that_others_can_reach_is_refused(file, mode):
    os.chmod(file.path, mode)
    with pytest.raises(VaultUnavailable, match=r"chmod 600 kek\.json"):
        file.load()


def test_a_key_file_that_only_its_owner_can_read_is_fine(file):
    os.chmod(file.path, 0o400)
    assert file.load()


def test_a_link_to_a_key_file_is_refused(file):
    link = file.path.with_name("link.json")
    link.symlink_to(file.path)
    with pytest.raises(VaultUnavailable, match="not a plain file"):
        KeyFile(link, InClear()).load()


def test_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(VaultUnavailable, match="not a plain file"):
        KeyFile(tmp_path / "pipe", InClear()).load()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_file_of_another_account_is_refused(file):
    os.chown(file.path, 65534, -1)
    with pytest.raises(VaultUnavailable, match="another account"):
        file.load()


KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
ID, OTHER = "0011223344556677", "8899aabbccddeeff"
DAMAGED = [
    "",
    "{",
    "[]",
    "null",
    "{}",
    '{"current": "00"}',
    '{"custodian": "file", "current": "zz", "keys": {}}',
    '{"custodian": "file", "current": 7, "keys": {"00": "AA=="}}',
    f'{{"custodian": "file", "current": "{ID}", "keys": {{}}}}',
    f'{{"custodian": "file", "current": "{ID}", "keys": {{"{ID}": "AA=="}}}}',
    f'{{"custodian": "file", "current": "{ID}", "keys": {{"{OTHER}": "{KEY}"}}}}',
    f'{{"custodian": "file", "current": "{ID}", "keys": {{"{ID}": "not base64"}}}}',
    f'{{"custodian": "file", "current": "{ID}", "keys": {{"{ID}": 7}}}}',
    f'{{"custodian": "file", "current": "{ID}", "keys": ["{ID}"]}}',
    f'{{"custodian": "file", "current": "{ID}", "keys": {{"{ID}": "{KEY}"}}, "more": 1}}',
    f'{{"custodian": "file", "current": "{ID}", "keys": {{"{ID}": "{KEY}"}}}} 1',
    f'{{"custodian": "file", "current": "{ID}", "current": "{ID}", "keys": {{"{ID}": "{KEY}"}}}}',
    f'{{"custodian": "file", "current": "{ID}", "keys": {{"{ID}": "{KEY}", "{ID}": "{KEY}"}}}}',
    f'{{"custodian": "file", "current": "{OTHER}", "keys": {{"{OTHER.upper()}": "{KEY}"}}}}',
    f'{{"custodian": "file", "current": "{ID}\\n", "keys": {{"{ID}\\n": "{KEY}"}}}}',
    f'{{"custodian": "file", "current": "{ID}", "keys": {{"{ID}": "{KEY}", "{OTHER}": "{KEY[4:]}"}}}}',
    f'{{"custodian": "nobody", "current": "{ID}", "keys": {{"{ID}": "{KEY}"}}}}',
    f'{{"custodian": ["file"], "current": "{ID}", "keys": {{"{ID}": "{KEY}"}}}}',
    "[" * 100_000,
    "\u00e4",
    " " * ((1 << 20) + 1),
]


@pytest.mark.parametrize("text", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_key_file_is_told_in_one_sentence_without_its_content(file, text):
    file.path.write_text(text)
    with pytest.raises(VaultUnavailable) as refused:
        file.load()
    assert str(refused.value) == "The vault's key file is damaged. Restore it from its backup."
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None or refused.value.__suppress_context__


def test_a_key_file_cut_anywhere_is_refused(file):
    whole = file.path.read_text().rstrip()
    for length in range(len(whole)):
        file.path.write_text(whole[:length])
        with pytest.raises(VaultUnavailable, match="damaged"):
            file.load()


def test_a_key_file_from_before_there_was_a_choice_is_read_and_named_at_the_next_change(file):
    file.path.write_text(json.dumps({"current": ID, "keys": {ID: KEY}}))
    assert file.load().current_id.hex() == ID
    file.add()
    assert json.loads(file.path.read_text())["custodian"] == "file"


def test_a_file_of_another_custodian_is_refused_in_plain_words(file):
    file.path.write_text(file.path.read_text().replace('"file"', '"kms"'))
    with pytest.raises(VaultUnavailable, match="VAULT_KEY_CUSTODIAN=kms, and the setting is file"):
        file.load()


def test_a_missing_key_file_is_told(tmp_path):
    with pytest.raises(VaultUnavailable, match="missing"):
        KeyFile(tmp_path / "nowhere.json", InClear()).load()


def test_a_key_that_is_not_in_the_file_is_told(file):
    with pytest.raises(VaultUnavailable, match="not in the vault's key file"):
        file.load().cipher(b"12345678")


def test_an_added_key_becomes_the_current_one_and_the_old_ones_stay(file):
    old = file.load()
    sealed = old.current.encrypt(bytes(12), b"value", None)
    added = file.add()
    new = file.load()
    assert new.current_id == added
    assert new.ids == {old.current_id, added}
    assert new.cipher(old.current_id).decrypt(bytes(12), sealed, None) == b"value"
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(file.path.parent) == ["kek.json"]


def test_a_retired_key_is_gone_and_the_current_one_cannot_be(file):
    old = file.load().current_id
    added = file.add()
    with pytest.raises(NotRetired, match="current"):
        file.retire(added)
    file.retire(old)
    assert file.load().ids == {added}
    assert old.hex() not in file.path.read_text()
    with pytest.raises(NotRetired, match="no key of this id"):
        file.retire(old)


def test_a_damaged_file_is_not_changed(file):
    file.path.write_text("{")
    with pytest.raises(VaultUnavailable):
        file.add()
    assert file.path.read_text() == "{"


def _add_many(path, times):
    for _ in range(times):
        KeyFile(path, InClear()).add()


def test_processes_that_add_at_once_lose_no_key(file):
    forked = multiprocessing.get_context("fork")
    writers = [forked.Process(target=_add_many, args=(file.path, 15)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert len(file.load().ids) == 46


ADDING = """
import sys
from pathlib import Path
import django
django.setup()
from vault.custody import InClear
from vault.keyfile import KeyFile
file = KeyFile(Path(sys.argv[1]), InClear())
print("ready", flush=True)
while True:
    print(file.add().hex(), flush=True)
"""


def test_a_process_killed_while_it_adds_leaves_a_whole_file_with_every_key_it_told_of(file):
    for wait in (0.0, 0.004, 0.013, 0.03):
        adding = subprocess.Popen(
            [sys.executable, "-c", ADDING, str(file.path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert adding.stdout.readline() == "ready\n"
        time.sleep(wait)
        adding.send_signal(signal.SIGKILL)
        told = {bytes.fromhex(line) for line in adding.communicate()[0].split("\n") if len(line) == 16}
        assert told <= file.load().ids
    assert file.add() == file.load().current_id


def test_a_writer_that_dies_before_the_rename_leaves_the_old_file_and_no_one_locked_out(file, monkeypatch):
    before = file.load().ids

    def die(*_where):
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        os.rename = die
        file.add()
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert file.load().ids == before
    assert sorted(os.listdir(file.path.parent)) == [".kek.json.new", "kek.json"]
    added = file.add()
    assert file.load().ids == before | {added}
    assert os.listdir(file.path.parent) == ["kek.json"]


def test_the_file_and_its_folder_reach_the_disk_before_a_change_is_told(file, monkeypatch):
    order = []
    fsync, rename = os.fsync, os.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append(_kind(fd)), fsync(fd)))
    monkeypatch.setattr(os, "rename", lambda *names: (order.append("rename"), rename(*names)))
    file.add()
    assert order == ["file", "rename", "folder"]


def _kind(descriptor):
    return "folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file"


# -- while we run --------------------------------------------------------------------------------------------


def test_the_same_keys_are_served_as_long_as_the_file_stays(watched):
    assert keywatch.keys() is keywatch.keys()
    assert {keywatch.keys(): 1}[keywatch.keys()] == 1


def _move_away(path):
    path.rename(path.with_name("away"))


def _loosen(path):
    path.chmod(0o644)


def _damage(path):
    path.write_text("{")


def _put_another_custodians(path):
    path.write_text(path.read_text().replace('"file"', '"transit"'))


@pytest.mark.parametrize("harm", [_move_away, _loosen, _damage, _put_another_custodians])
def test_harm_to_the_file_closes_the_vault_at_the_next_look_and_putting_it_right_opens_it(watched, harm):
    whole = watched.path.read_bytes()
    current = keywatch.keys().current_id
    harm(watched.path)
    for _ in range(2):
        with pytest.raises(VaultUnavailable):
            keywatch.keys()
    watched.path.unlink(missing_ok=True)
    watched.path.touch(0o600)
    watched.path.write_bytes(whole)
    assert keywatch.keys().current_id == current


def test_between_two_looks_the_file_is_left_alone(watched, settings, monkeypatch):
    settings.VAULT_KEY_RECHECK_SECONDS = 5
    keywatch.forget()
    now = time.monotonic()
    monkeypatch.setattr(keywatch, "monotonic", lambda: now)
    keywatch.keys()
    watched.path.unlink()
    now += 4.9
    assert keywatch.keys()
    now += 0.2
    with pytest.raises(VaultUnavailable):
        keywatch.keys()


def test_a_key_that_another_process_added_is_found_at_once_by_those_who_hold_the_old_keys(watched, settings):
    settings.VAULT_KEY_RECHECK_SECONDS = 3600
    keywatch.forget()
    held = keywatch.keys()
    added = watched.add()
    assert keywatch.keys() is held
    assert held.cipher(added)
    assert keywatch.keys().current_id == added


def test_many_threads_at_a_first_use_read_the_file_once(watched, settings, monkeypatch):
    settings.VAULT_KEY_RECHECK_SECONDS = 3600
    keywatch.forget()
    reads, read = [], KeyFile.read
    monkeypatch.setattr(KeyFile, "read", lambda file: (reads.append(1), time.sleep(0.05), read(file))[2])
    found = []
    threads = [threading.Thread(target=lambda: found.append(keywatch.keys())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(set(found)) == 1
    assert len(found) == 8
    assert len(reads) == 1


def test_asking_for_the_keys_between_looks_costs_next_to_nothing(watched, settings):
    settings.VAULT_KEY_RECHECK_SECONDS = 3600
    keywatch.forget()
    keywatch.keys()
    best = min(_timed(10_000) for _ in range(5))
    assert best < 2e-6


def _timed(times):
    start = time.perf_counter()
    for _ in range(times):
        keywatch.keys()
    return (time.perf_counter() - start) / times
