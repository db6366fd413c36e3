"""`manage.py up` as a user meets it: it starts, stops without a trace, and says in one sentence what is in its way."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests import engines
from tests.browser import product

pytestmark = pytest.mark.engines


@pytest.fixture(params=["embedded", "engines"])
def settings_of_shape(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    with contextlib.ExitStack() as stack:
        if request.param == "embedded":
            yield {}
        else:
            database_url = str(stack.enter_context(engines.postgres()))
            yield {"database_url": database_url, "redis_url": str(stack.enter_context(engines.redis()))}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_cleanly_and_leaves_nothing_behind(settings_of_shape: dict[str, str], number: int) -> None:
    started = product.start(**settings_of_shape)
    family = psutil.Process(started.process.pid).children(recursive=True)
    assert started.stop(number) == 0
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    assert "Stopped." in started.log.read_text()
    assert not product.ready(started.origin)


def test_it_greets_with_address_accounts_and_what_to_do_next() -> None:
    with product.running() as started:
        said = started.log.read_text()
        for words in (started.origin, started.password, product.CLINICIAN, "demo_code EMAIL", "Next:"):
            assert words in said
        assert started.code(product.CLINICIAN).isdigit()
        kept = {p.name for p in (started.data / "keys").iterdir() if p.stat().st_mode & 0o077}
        assert kept == {"audit_key.pub"}  # whoever verifies the log may read this one


def refusal(**environment: str) -> str:
    """The one line with which `up` refuses to start."""
    done = subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=product.ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_a_taken_port_is_one_plain_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert "is taken" in refusal(TELEHEALTH_DATA=str(tmp_path), TELEHEALTH_PORT=port)


def test_a_data_folder_that_cannot_be_written_is_one_plain_sentence(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    assert "cannot be written" in refusal(TELEHEALTH_DATA=str(in_the_way / "var"))


def test_demo_mode_refuses_production_settings(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=product.ROOT,
        env={
            **os.environ,
            "TELEHEALTH_DATA": str(tmp_path),
            "TELEHEALTH_PORT": str(engines.free_port()),
            "TELEHEALTH_HOST": "clinic.example",
            "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
            "REDIS_URL": "redis://127.0.0.1:1/0",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "Demo mode does not run on a public host" in done.stderr
