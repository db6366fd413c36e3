"""Receipts checked offline, as `python -m vault.verify FOLDER` does: in writing, and with half a minute of voice.

The bare limit beside it: the four signatures and hashes of a receipt, and nothing else.
"""

import os
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests import receipts
from tests.receipts import made
from vault.core import evidence, notes
from vault.verify import HOLDS, outcomes

RUNS, FILES = 5, 1000
#: half a minute of speech, as the worker keeps it
VOICE_BYTES = 120_000


def run() -> list[dict[str, Any]]:
    spoken = _spoken()
    found = []
    for what, data, sound in (
        ("in writing", receipts.RIGHT["in writing"], b""),
        ("with half a minute of voice", spoken[0], spoken[1]),
    ):
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder, f"{number}.json") for number in range(FILES)]
            for file in files:
                file.write_bytes(data)
            runs = {
                "all processes": [_rate(lambda f=files: _checked(f, os.cpu_count() or 1)) for _ in range(RUNS)],
                "one process": [_rate(lambda f=files: _checked(f, 1)) for _ in range(RUNS)],
                "bare signatures and hashes": [_rate(lambda s=sound, d=data: _bare(d, s)) for _ in range(RUNS)],
            }
        rate = sorted(runs["all processes"])[RUNS // 2]
        result = {"what": f"Receipts checked offline, {what} ({len(data):,} bytes each)", "unit": "a second"}
        judged = {"kind": "rate", "ratio": rate, "target": 1000, "least": True, "met": rate >= 1000}
        found.append({**result, "runs": runs, **judged})
    return found


def _rate(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return FILES / (time.perf_counter() - begun)


def _checked(files: list[Path], jobs: int) -> None:
    key = receipts.LOG.key.vkey
    assert all(ends == HOLDS for ends, _ in outcomes(files, key, [], jobs))


def _bare(data: bytes, sound: bytes) -> None:
    act = receipts.act(made.given())
    key = made.given()["key"]
    log = receipts.LOG.sign(notes.Checkpoint("x", 1, bytes(32)).text()).value
    for _ in range(FILES):
        assert evidence.is_signed(key, act["evidence"], act["signature"])
        assert notes.is_signed(receipts.LOG.key._replace(name="x"), 1, bytes(32), log)
        sha256(sound).digest()
        sha256(data).digest()


def _spoken() -> tuple[bytes, bytes]:
    sound = os.urandom(VOICE_BYTES)
    recording = {"sha256": sha256(sound).hexdigest(), "seconds": 30}
    return receipts.issue([receipts.act(made.changed(recording=recording))], recording=sound), sound
