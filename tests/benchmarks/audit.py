"""The audit log: what an entry costs in a transaction, many writers at once, verifying, proving, and disk.

ENTRIES=1000000 in the environment makes it quicker; the targets are for ten million.
"""

import os
import tempfile
from typing import Any

from tests.benchmarks.search import middle
from tests.benchmarks.vault import environment, ours

ENTRIES = int(os.environ.get("ENTRIES", "10000000"))


def run() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for engine in ("SQLite", "Postgres"):
        with tempfile.TemporaryDirectory() as folder, environment(engine) as chosen:
            took = ours("tests.benchmarks.audit_ours", engine, str(ENTRIES), folder=folder, chosen=chosen)
        found += _judge(engine, took)
    return found


def _judge(engine: str, took: dict[str, list[float]]) -> list[dict[str, Any]]:
    ratio = middle(took["audited"]) / middle(took["beside"])
    runs = {"with an entry": took["audited"], "with a plain INSERT": took["beside"]}
    results = [_result(f"A transaction with an entry, {engine} (to a plain INSERT beside it)", "µs", runs, ratio, 1.3)]
    if engine != "Postgres":
        return results
    count = f"{ENTRIES:,} entries, {engine}"
    writers = {"writers": took["writers"]}
    results.append(_result("200 writers, Postgres", "tx/s", writers, middle(took["writers"]), 1500, kind="rate"))
    waited = {"200 writers": took["sealed after"], "a quiet log": took["sealed after, quiet"]}
    slowest = max(_p95(runs) for runs in waited.values())
    results.append(_result("From an entry to its seal, Postgres", "ms", waited, slowest, 1000, kind="p95"))
    verify = {"one core, the server on it too": took["verify"], "one process, the server apart": took["verify apart"]}
    verify |= {"two processes": took["by two"], "sealed": took["seal"]}
    rate = middle(took["verify"])
    results.append(_result(f"Verifying {count}", "entries/s", verify, rate, 300_000, kind="rate"))
    worst = _p95(took["proof"])
    results.append(_result(f"One inclusion proof from {count}", "ms", {"proof": took["proof"]}, worst, 20, kind="p95"))
    pages = {kind.removeprefix("page "): runs for kind, runs in took.items() if kind.startswith("page ")}
    every = sorted(one for runs in pages.values() for one in runs)
    slow = _p95(every)
    results.append(_result(f"Pages of the log, {count}", "ms", {"all": every, **pages}, slow, 200, kind="p95"))
    size = took["bytes"][0]
    results.append(_result(f"Disk, {count}", "bytes", {"an entry": took["bytes"]}, size, 700, kind="size"))
    return results


def _p95(runs: list[float]) -> float:
    return sorted(runs)[int(len(runs) * 0.95)]


def _result(
    what: str, unit: str, runs: dict[str, list[float]], value: float, target: float, kind: str = "ratio"
) -> dict[str, Any]:
    least = kind == "rate"
    return {
        "what": what,
        "unit": unit,
        "runs": runs,
        "kind": kind,
        "ratio": value,
        "target": target,
        "least": least,
        "met": value >= target if least else value <= target,
    }
