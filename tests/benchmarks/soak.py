"""Visits opened and closed, a tenth left at a random step: what of memory, descriptors, tasks, leases and keys remains.

A server and two workers on Postgres and Redis. CONSULTS in the environment says how many, 500 if nothing does.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import redis as redis_client

from tests import engines
from tests.benchmarks.relay import _running
from tests.benchmarks.vault import ours
from tests.benchmarks.worker import ROOT, _process

CONSULTS = int(os.environ.get("CONSULTS", "500"))
#: until ICE gives a vanished browser up (six checks, five seconds apart), and everybody has said so
SETTLED_WITHIN = 90.0
#: a process may have: its first, the one that answers for figures, and the pool that asyncio fills when it has to
THREADS = 2 + min(32, (os.cpu_count() or 1) + 4)
LEFT_OPEN = "SELECT count(*) FROM consults_consult WHERE worker <> '' OR worker_until IS NOT NULL"
LEG_ENTRIES = """
SELECT count(*) FILTER (WHERE action = 'worker.monitor'), count(*) FILTER (WHERE action = 'worker.close')
FROM vault_auditentry
"""


@dataclass(frozen=True)
class Rest:
    """What is there while nobody is."""

    memory: dict[str, float]  # megabytes
    descriptors: dict[str, int]
    threads: dict[str, int]
    legs: int
    tasks: int
    keys: int
    channels: frozenset[str]
    leases: int
    entries: tuple[int, int]


@dataclass
class Site:
    processes: dict[str, int]
    metrics: list[str]
    database: str
    redis: str
    people: "subprocess.Popen[str]"

    def visits(self, count: int) -> dict[str, int]:
        assert self.people.stdin
        assert self.people.stdout
        self.people.stdin.write(f"{count}\n")
        self.people.stdin.flush()
        said = self.people.stdout.readline()
        if not said:
            sys.exit("The visits broke off.")
        found: dict[str, int] = json.loads(said)
        return found

    def rest(self) -> Rest:
        processes = {name: psutil.Process(pid) for name, pid in self.processes.items()}
        figures = [_figures(address) for address in self.metrics]
        with redis_client.Redis.from_url(self.redis) as client, psycopg.connect(self.database) as connection:
            return Rest(
                memory={name: one.memory_info().rss / 2**20 for name, one in processes.items()},
                descriptors={name: one.num_fds() for name, one in processes.items()},
                threads={name: one.num_threads() for name, one in processes.items()},
                legs=round(sum(value for one in figures for name, value in one.items() if "worker_legs{" in name)),
                tasks=round(sum(one["telehealth_worker_tasks"] for one in figures)),
                keys=client.dbsize(),
                channels=frozenset(name.decode() for name in client.pubsub_channels()),
                leases=(connection.execute(LEFT_OPEN).fetchone() or (0,))[0],
                entries=connection.execute(LEG_ENTRIES).fetchone() or (0, 0),
            )

    def settled(self) -> Rest:
        """As it is once no leg and no lease is left and the figures stand still, or the time is over."""
        end, before = time.monotonic() + SETTLED_WITHIN, None
        while True:
            time.sleep(2)
            now = self.rest()
            still = before and (now.descriptors, now.tasks, now.channels) == (
                before.descriptors,
                before.tasks,
                before.channels,
            )
            if (
                not now.legs and not now.leases and now.entries[0] == now.entries[1] and still
            ) or time.monotonic() > end:
                return now
            before = now


def run() -> list[dict[str, Any]]:
    with site() as here:
        # As many to warm up: what a worker's allocator keeps grows through its first few hundred legs, then stands.
        here.visits(CONSULTS)
        before = here.settled()
        done = here.visits(CONSULTS)
        after = here.settled()
    print(f"{done}\nbefore {before}\nafter  {after}", file=sys.stderr, flush=True)
    trouble = left_behind(before, after)
    grown = {name: 100 * (after.memory[name] / mb - 1) for name, mb in before.memory.items()}
    worst = max(grown.values())
    return [
        {
            "what": f"{CONSULTS} visits after as many, a tenth left at a random step: memory grown, the worst process "
            f"(left behind: {', '.join(trouble) or 'nothing'})",
            "unit": "%",
            "runs": {name: [value] for name, value in grown.items()},
            "ratio": worst,
            "target": 10,
            "met": worst <= 10 and not trouble,
            "kind": "growth",
        },
        {
            "what": "File descriptors of all processes, after the visits to before them",
            "unit": "files",
            "runs": {
                "before": [float(sum(before.descriptors.values()))],
                "after": [float(sum(after.descriptors.values()))],
            },
            "ratio": statistics.fmean(after.descriptors.values()) / statistics.fmean(before.descriptors.values()),
            "target": 1.0,
            "met": not trouble,
        },
    ]


def left_behind(before: Rest, after: Rest) -> list[str]:
    """What did not come back to what it was."""
    found = [f"{after.legs} legs"] if after.legs else []
    found += [f"{after.leases} leases"] if after.leases else []
    begun, ended = after.entries
    found += [f"{begun - ended} legs without an end in the log"] if begun != ended else []
    found += [f"channel {name}" for name in sorted(after.channels - before.channels)]
    for what in ("tasks", "keys"):
        if getattr(after, what) > getattr(before, what):
            found.append(f"{getattr(after, what) - getattr(before, what)} {what}")
    for what, usual in (("descriptors", 0), ("threads", THREADS)):
        for name, count in getattr(after, what).items():
            if count > max(getattr(before, what)[name], usual):
                found.append(f"{count - getattr(before, what)[name]} {what} of {name}")
    return found


@contextmanager
def site() -> Iterator[Site]:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        database, redis = stack.enter_context(engines.postgres()), stack.enter_context(engines.redis())
        chosen = {"DATABASE_URL": str(database), "REDIS_URL": str(redis)}
        ours("tests.benchmarks.worker_seed", "0", "0", folder=folder, chosen=chosen)
        where = {"TELEHEALTH_DATA": folder, "TELEHEALTH_MODE": "demo", **chosen}
        metrics = [f"127.0.0.1:{engines.free_port()}" for _ in range(2)]
        port = stack.enter_context(_running("daphne", {"RELAY_APP": "product", **where}))
        processes = {"server": _listener(port)}
        environment = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "telehealth.settings", **where}
        for number, address in enumerate(metrics):
            command = [sys.executable, "manage.py", "consult_worker"]
            start = _process(command, {**environment, "WORKER_METRICS": address}, lambda a=address: _well(a))
            processes[f"worker {number + 1}"] = stack.enter_context(start).pid
        command = [sys.executable, "-m", "tests.benchmarks.soak_load", str(port)]
        log = stack.enter_context((Path(folder) / "people").open("w"))
        people = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
        stack.callback(_end, people)
        try:
            yield Site(processes, metrics, str(database), str(redis), people)
        except SystemExit:
            sys.exit((Path(folder) / "people").read_text()[-3000:])


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()


def _listener(port: int) -> int:
    """The process that listens at this port."""
    return next(c.pid for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr.port == port)


def _figures(address: str) -> dict[str, float]:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def _well(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
