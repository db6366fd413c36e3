"""The whole unit suite again, on a private Postgres and Redis in place of SQLite and memory."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def fresh_environment() -> dict[str, str]:
    """The environment without this run's own settings: with them Django would be set up before the conftest is read."""
    ours = ("TELEHEALTH_", "DATABASE_", "REDIS_", "EMAIL_", "DJANGO_", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "TELEHEALTH_TEST_ENGINES": "1"}


#: side by side, each with engines of its own
SHARES = (["tests/vault"], ["tests", "--ignore=tests/vault"])
#: where a test hangs for so long, the stacks of all threads are printed
HANGS_AFTER = "faulthandler_timeout=240"


@pytest.mark.engines
def test_the_suite_passes_on_postgres_and_redis(tmp_path):
    started = [_start(share, tmp_path / f"share-{number}") for number, share in enumerate(SHARES)]
    try:
        end = time.monotonic() + 1500
        for process, told in started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=max(0, end - time.monotonic()))
            said = told.read_text()
            assert process.returncode == 0, said[-8000:]
            assert " passed" in said
    finally:
        for process, _ in started:
            process.terminate()  # pytest ends its engines; where it has ended already, nothing happens
            process.wait(timeout=60)


def _start(share, told):
    command = [sys.executable, "-m", "pytest", *share, "-m", "not browser and not engines"]
    command += ["-v", "-p", "no:cacheprovider", "-o", HANGS_AFTER]
    with told.open("w") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=fresh_environment(), stdout=file, stderr=subprocess.STDOUT)
    return process, told
