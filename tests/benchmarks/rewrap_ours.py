"""Our side of `rewrap`: fills a clinic, rewraps its data keys three times, the last two with a writer. Prints JSON."""

import json
import sys
import threading
import time
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

from tests.benchmarks.names import people
from tests.benchmarks.vault_ours import ready

BATCH = 20_000
ALONE_SECONDS = 4.0
ROUNDS = 3


def main(count: int) -> dict[str, list[float]]:
    ready()
    from vault import bulk
    from vault.audit import SYSTEM

    clinic, crowd = uuid4(), people(count + 20_000)
    for at in range(0, count, BATCH):
        rows = [bulk.NewRecord(values, f"B{n}") for n, values in enumerate(islice(crowd, BATCH), at)]
        bulk.create_many(clinic, rows, SYSTEM)
    rates = [_rewrap() for _ in range(ROUNDS)]
    alone = _written(clinic, crowd, lambda: time.sleep(ALONE_SECONDS))
    busy: list[float] = []
    during = _written(clinic, crowd, lambda: busy.extend(_rewrap() for _ in range(ROUNDS)))
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


def _written(clinic: UUID, crowd: Any, meanwhile: Any) -> list[float]:
    """Milliseconds of each patient added while something else goes on."""
    took: list[float] = []
    over = threading.Event()

    def write() -> None:
        from django.db import connection

        from vault import patients
        from vault.audit import SYSTEM

        while not over.is_set():
            values = next(crowd)
            started = time.perf_counter()
            patients.create(clinic, values, SYSTEM)
            took.append((time.perf_counter() - started) * 1e3)
            time.sleep(0.02)
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    meanwhile()
    over.set()
    writer.join()
    return took


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
