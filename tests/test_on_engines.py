"""The whole unit suite again, on a private Postgres and Redis in place of SQLite and memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.engines
def test_the_suite_passes_on_postgres_and_redis():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "not browser and not engines", "-p", "no:cacheprovider", "tests"],
        cwd=ROOT,
        env={**os.environ, "TELEHEALTH_TEST_ENGINES": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
