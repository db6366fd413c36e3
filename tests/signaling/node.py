"""Scripts of the pages that need no page, asked in node as the pages ask them."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

STATIC = Path(__file__).resolve().parents[2] / "signaling/static/signaling"


def ask(script: str, *given: Any) -> Any:
    """What the module prints, as JSON. `given`: the first of `process.argv`, as JSON too."""
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    command = ["node", "--input-type=module", "-e", script, *map(json.dumps, given)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
