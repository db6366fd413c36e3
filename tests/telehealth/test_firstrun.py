"""Whatever is in the way of a first start is told in one sentence."""

import socket
import stat

import pytest

from telehealth import firstrun


@pytest.fixture
def environment(monkeypatch, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name, value in {"DATA": tmp_path / "var", "PORT": port, "MODE": "demo", "BIND": ""}.items():
        monkeypatch.setenv(f"TELEHEALTH_{name}", str(value))
    return monkeypatch


def _sentence(capsys):
    with pytest.raises(SystemExit) as stopped:
        firstrun.prepare()
    assert stopped.value.code == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_a_first_start_makes_private_secrets_and_the_second_keeps_them(environment, tmp_path):
    firstrun.prepare()
    keys = tmp_path / "var" / "keys"
    made = {p.name: p.read_text() for p in keys.iterdir()}
    assert set(made) == set(firstrun.KEPT_SECRETS)
    assert len(set(made.values())) == len(made)
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in keys.iterdir()} == {0o600}
    assert min(len(v) for n, v in made.items() if n != "demo_password") >= 64
    firstrun.prepare()
    assert {p.name: p.read_text() for p in keys.iterdir()} == made


def test_production_gets_no_secret_made(environment, tmp_path):
    environment.setenv("TELEHEALTH_MODE", "production")
    firstrun.prepare()
    assert list((tmp_path / "var" / "keys").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(environment, tmp_path, capsys):
    # Below a file, where even root can make nothing.
    (tmp_path / "file").write_text("")
    environment.setenv("TELEHEALTH_DATA", str(tmp_path / "file" / "var"))
    said = _sentence(capsys)
    assert str(tmp_path / "file" / "var") in said
    assert "set TELEHEALTH_DATA" in said


def test_a_taken_port_is_told(environment, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        environment.setenv("TELEHEALTH_PORT", str(other.getsockname()[1]))
        said = _sentence(capsys)
    assert "is taken" in said
    assert "TELEHEALTH_PORT" in said


@pytest.mark.parametrize("port", ["x", "0", "65536", "-1", "80 80"])
def test_a_port_that_is_none_is_told(environment, capsys, port):
    environment.setenv("TELEHEALTH_PORT", port)
    assert "from 1 to 65535" in _sentence(capsys)


def test_an_address_that_is_not_here_is_told(environment, capsys):
    environment.setenv("TELEHEALTH_BIND", "203.0.113.77")
    assert "cannot be opened on 203.0.113.77" in _sentence(capsys)
