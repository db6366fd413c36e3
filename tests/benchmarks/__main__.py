"""`make bench` runs every benchmark, `make bench NAME=join` one. Prints a table, writes var/bench/NAME.json."""

import importlib
import json
import platform
import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path

NAMES = ("join", "vault", "search", "rewrap", "audit", "relay", "worker", "receipts", "soak", "middle", "faults")
RESULTS = Path(__file__).resolve().parents[2] / "var" / "bench"


def main(names: tuple[str, ...]) -> int:
    met = True
    for name in names:
        if name not in NAMES:
            sys.exit(f"There is no benchmark {name!r}; there are: {', '.join(NAMES)}.")
        results = importlib.import_module(f"tests.benchmarks.{name}").run()
        run = {"at": datetime.now(UTC).isoformat(), "machine": platform.processor() or platform.machine()}
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps({**run, "results": results}, indent=1) + "\n")
        for result in results:
            table(result)
            met = met and result["met"]
    return 0 if met else 1


def table(result: dict) -> None:
    print(f"\n{result['what']}")
    for row, values in result["runs"].items():
        middle, low, high = statistics.median(values), min(values), max(values)
        runs = f"{len(values)} run{'s' if len(values) > 1 else ''}"
        print(f"  {row:<44} {middle:10,.1f} {result['unit']:<9} [{low:,.1f} - {high:,.1f}]   {runs}")
    word = "met" if result["met"] else "NOT met"
    bound = "at least" if result.get("least") else "at most"
    kind = result.get("kind", "ratio")
    print(f"  {kind} {result['ratio']:,.2f}, target {bound} {result['target']}: {word}\n")


if __name__ == "__main__":
    sys.exit(main(tuple(sys.argv[1:]) or NAMES))
