"""Documents as tagged PDF, each set by a process of its own (`consults.typeset`).

The typesetter keeps what it has set for the next time, hundreds of megabytes of it. In a process that goes on serving
that would be patient data in memory long after the file was sent. Pipes carry the data: no argument, no file.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
#: a record with three thousand entries takes about a second
SECONDS_AT_MOST = 120


class CannotSet(Exception):
    """The document was not made. The message holds nothing of what stood in it."""


def pdf(document: dict[str, Any]) -> bytes:
    """`document`: what `typeset/document.typ` wants, but for the fonts."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "consults.typeset"],
            input=json.dumps(document).encode(),
            cwd=ROOT,
            capture_output=True,
            timeout=SECONDS_AT_MOST,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CannotSet("The document is too long to be set as PDF.") from None
    # What the typesetter complains about may quote the document, so it goes nowhere.
    if done.returncode or not done.stdout.startswith(b"%PDF"):
        raise CannotSet("The document could not be set as PDF.")
    return done.stdout
