"""A receipt is checked away from here, and no byte of it can be changed unseen."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import receipts
from tests.receipts import HOSTILE, RIGHT
from vault import verify as command
from vault.core import receipt

ROOT = Path(__file__).resolve().parents[2]
PARTS = {
    *("the file", "the log's key", "the log's checkpoint", "the consent", "the log's entry of the consent"),
    *("the withdrawal", "the log's entry of the withdrawal", "which act belongs to which", "the words"),
    "the recording",
}


def wrong(data: bytes) -> list[str]:
    return [one.part for one in receipt.verify(data).findings if not one.holds]


@pytest.mark.parametrize("name", RIGHT)
def test_a_receipt_holds(name):
    report = receipt.verify(RIGHT[name], log=receipts.LOG.key.vkey)
    assert report.holds, report.findings
    assert report.withdrawn == ("withdrawn" in name)
    assert (report.erased is not None) == ("erased" in name)
    assert report.logged[0] == receipts.AT
    assert {one.part for one in report.findings} <= PARTS


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_is_named(name):
    data, part = HOSTILE[name]
    assert wrong(data)[:1] == [part], receipt.verify(data).findings


@pytest.mark.parametrize("vector", json.loads(receipts.FILE.read_text()), ids=lambda vector: vector["name"])
def test_vectors(vector):
    assert wrong(bytes.fromhex(vector["bytes"]))[:1] == ([vector["wrong"]] if vector["wrong"] else [])


def test_the_vectors_are_all_there_is():
    assert {one["name"] for one in json.loads(receipts.FILE.read_text())} == {*RIGHT, *HOSTILE}


def test_of_the_witnesses_that_are_known_one_must_have_seen_the_log():
    known = receipts.WITNESS.key.vkey
    assert receipt.verify(RIGHT["given"], witnesses=[known]).known == [receipts.WITNESS.key.name]
    for name, key in (("given", receipts.OTHER_LOG.key.vkey), ("in writing", known)):
        report = receipt.verify(RIGHT[name], witnesses=[key])
        assert [one.part for one in report.findings if not one.holds][0] == "the log's checkpoint"


def test_another_log_is_refused_where_the_key_is_known():
    assert wrong(RIGHT["given"]) == []
    report = receipt.verify(RIGHT["given"], log=receipts.OTHER_LOG.key.vkey)
    assert [one.part for one in report.findings if not one.holds] == ["the log's key"]


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("bit", [0x01, 0x20, 0x80])
def test_no_flipped_byte_goes_unseen(name, bit):
    data = RIGHT[name]
    for at in range(len(data)):
        bent = data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
        found = wrong(bent)
        assert found, f"byte {at} of {name}"
        assert set(found) <= PARTS


@pytest.mark.parametrize("name", RIGHT)
def test_no_byte_taken_out_or_put_in_goes_unseen(name):
    data = RIGHT[name]
    for at in range(len(data) + 1):
        assert wrong(data[:at] + b" " + data[at:])
        assert at == len(data) or wrong(data[:at] + data[at + 1 :])


def test_a_file_that_does_not_read_says_where():
    data = RIGHT["given"]
    at = data.index(b'"recording":') + len(b'"recording":')
    says = receipt.verify(data[:at] + b"x" + data[at + 1 :]).findings[0].says
    assert f"at byte {at}" in says
    assert "“recording”" in says


def run(*arguments: str) -> subprocess.CompletedProcess:
    """Like somebody who has the code and nothing else: no settings, no Django to be found."""
    hide = "import sys; sys.modules['django'] = None; from vault.verify import main; sys.exit(main())"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", hide, *arguments], capture_output=True, env=environment, check=False, cwd="/"
    )


def test_the_command_says_what_is_proven_and_what_is_not(tmp_path):
    file = tmp_path / "receipt.json"
    file.write_bytes(RIGHT["withdrawn"])
    done = run(str(file))
    said = done.stdout.decode()
    assert done.returncode == 0, done.stderr
    for words in (
        "withdrawn later",
        "Withdrawn on 2026-11-25",
        "I agree to video_visit.",
        "Who sat at the keyboard",
        receipts.LOG.key.vkey,
    ):
        assert words in said
    assert receipts.LOG.key.vkey not in run(str(file), "--key", receipts.LOG.key.vkey).stdout.decode()


def test_the_command_refuses_and_names_the_part(tmp_path):
    file = tmp_path / "receipt.json"
    file.write_bytes(HOSTILE["another recording"][0])
    done = run(str(file))
    assert done.returncode == 1
    assert done.stdout.decode().startswith("THIS RECEIPT DOES NOT HOLD. Wrong: the recording.")
    assert b"I agree" not in done.stdout
    assert run(str(tmp_path / "none")).returncode == 2


def test_a_folder_of_receipts_is_checked_file_by_file(tmp_path):
    for number in range(command.MANY):
        (tmp_path / f"{number:03}.json").write_bytes(RIGHT["given"])
    done = run(str(tmp_path), "--jobs", "2")
    assert done.returncode == 0, done.stderr
    assert f"{command.MANY} hold, 0 do not" in done.stdout.decode()
    (tmp_path / "007.json").write_bytes(HOSTILE["other words"][0])
    done = run(str(tmp_path), "--jobs", "2", "--key", receipts.LOG.key.vkey)
    assert done.returncode == 1
    said = done.stdout.decode().splitlines()
    assert [line for line in said if not line.startswith("ok")][0].endswith("007.json: the words")
    assert said[-1] == f"{command.MANY - 1} hold, 1 do not, 0 could not be read."
    assert run(str(tmp_path), str(tmp_path / "none.json")).returncode == 2
    assert run(str(tmp_path), "--key", "nonsense").returncode == 2


def test_what_a_terminal_would_obey_is_not_printed(tmp_path):
    file = tmp_path / "receipt.json"
    file.write_bytes(receipts.issue([receipts.act(receipts.made.changed(name="\x1b[2J\u202eevil"))]))
    said = run(str(file)).stdout.decode()
    assert "evil" in said
    assert not {"\x1b", "\u202e"} & set(said)


def test_the_time_of_a_witness_is_said(capfdbinary):
    for name, seen in (("given", b"The witness witness.example/w1 saw"), ("in writing", b"no witness confirms it")):
        command._say(command.lines(receipt.verify(RIGHT[name]), key_given=False))
        assert seen in capfdbinary.readouterr().out.replace(b"\n", b" "), name


def test_json_in_json_is_the_evidence_itself():
    assert json.loads(json.loads(RIGHT["given"])["acts"][0]["evidence"])["format"] == "telehealth/1/consent"
