"""The whole unit suite again, on a private Postgres and Redis in place of SQLite and memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def fresh_environment() -> dict[str, str]:
    """The environment without this run's own settings: with them Django would be set up before the conftest is read."""
    ours = ("TELEHEALTH_", "DATABASE_", "REDIS_", "EMAIL_", "DJANGO_", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "TELEHEALTH_TEST_ENGINES": "1"}


@pytest.mark.engines
def test_the_suite_passes_on_postgres_and_redis():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "not browser and not engines", "-p", "no:cacheprovider"],
        cwd=ROOT,
        env=fresh_environment(),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
