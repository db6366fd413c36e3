"""Our side of `rewrap`: fills a clinic, rewraps its data keys three times, the last two with a writer. Prints JSON."""

import json
import select
import subprocess
import sys
import time
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

from tests.benchmarks.names import people
from tests.benchmarks.vault_ours import ready

BATCH = 20_000
ALONE_SECONDS = 4.0
ROUNDS = 3
#: seconds between two patients
PAUSE = 0.02


def main(count: int) -> dict[str, list[float]]:
    ready()
    from vault import bulk
    from vault.audit import SYSTEM

    clinic, crowd = uuid4(), people(count)
    for at in range(0, count, BATCH):
        rows = [bulk.NewRecord(values, f"B{n}") for n, values in enumerate(islice(crowd, BATCH), at)]
        bulk.create_many(clinic, rows, SYSTEM)
    rates = [_rewrap() for _ in range(ROUNDS)]
    alone = _written(clinic, lambda: time.sleep(ALONE_SECONDS))
    busy: list[float] = []
    during = _written(clinic, lambda: busy.extend(_rewrap() for _ in range(ROUNDS)))
    return {"rates": rates, "busy_rates": busy, "alone": alone, "during": during}


def _rewrap() -> float:
    """Keys a second, under a fresh key-encryption key."""
    from vault import rotation
    from vault.keyfile import configured_file
    from vault.keywatch import forget

    configured_file().add()
    forget()
    left = rotation.left_to_rewrap()
    started = time.perf_counter()
    sum(rotation.rewrap())
    return left / (time.perf_counter() - started)


def _written(clinic: UUID, meanwhile: Any) -> list[float]:
    """Milliseconds of each patient that another process adds while something goes on here."""
    command = [sys.executable, "-m", "tests.benchmarks.rewrap_ours", "write", str(clinic)]
    writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert writer.stdin
    assert writer.stdout
    assert writer.stdout.readline().strip() == "ready"
    meanwhile()
    out, _ = writer.communicate("stop\n", timeout=60)
    took: list[float] = json.loads(out.strip().splitlines()[-1])
    return took


def write(clinic: UUID) -> list[float]:
    """Add patients one by one until told to stop."""
    import django

    django.setup()
    from vault import patients
    from vault.audit import SYSTEM

    crowd, took = people(100_000, seed=int(time.time())), []
    patients.create(clinic, next(crowd), SYSTEM)  # connections and caches
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], PAUSE)[0]:
        started = time.perf_counter()
        patients.create(clinic, next(crowd), SYSTEM)
        took.append((time.perf_counter() - started) * 1e3)
    return took


if __name__ == "__main__":
    print(json.dumps(write(UUID(sys.argv[2])) if sys.argv[1] == "write" else main(int(sys.argv[1]))))
