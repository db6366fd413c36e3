"""Wrapping a clinic's data keys under a new key-encryption key, while somebody adds patients one by one."""

import os
import tempfile
from typing import Any

from tests.benchmarks.search import middle
from tests.benchmarks.vault import environment, ours

PATIENTS = int(os.environ.get("PATIENTS", "200000"))
KEYS_PER_SECOND = 20_000
SLOWED = 1.25


def run() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for engine in ("SQLite", "Postgres"):
        with tempfile.TemporaryDirectory() as folder, environment(engine) as chosen:
            took = ours("tests.benchmarks.rewrap_ours", str(PATIENTS), folder=folder, chosen=chosen)
        rate = middle(took["rates"])
        found.append(
            {
                "what": f"Rewrap of {PATIENTS:,} data keys, {engine}",
                "unit": "keys/s",
                "runs": {"with nobody writing": took["rates"], "with a writer": took["busy_rates"]},
                "kind": "rate",
                "ratio": rate,
                "target": KEYS_PER_SECOND,
                "least": True,
                "met": rate >= KEYS_PER_SECOND,
            }
        )
        slowed = middle(took["during"]) / middle(took["alone"])
        found.append(
            {
                "what": f"A writer during the rewrap, {engine} (to the same alone, medians)",
                "unit": "ms",
                "runs": {"alone": took["alone"], "during": took["during"]},
                "ratio": slowed,
                "target": SLOWED,
                "met": slowed <= SLOWED,
            }
        )
    return found
