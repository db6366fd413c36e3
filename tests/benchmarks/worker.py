"""The worker beside bare aiortc: legs held and stored, legs set up, voices recorded, memory, and a stranger's flood.

ROUNDS, LEGS and SECONDS in the environment change how long it takes. Peers, engines and the worker are on one machine.
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
from pathlib import Path
from typing import Any

import psycopg

from tests import engines
from tests.benchmarks.vault import ours

ROOT = Path(__file__).resolve().parents[2]
ROUNDS, LEGS = int(os.environ.get("ROUNDS", "3")), int(os.environ.get("LEGS", "1000"))
SECONDS = float(os.environ.get("SECONDS", "10"))
SETUP, BARE_LEGS, VOICES = 122, 400, 20
LATENCY = """
SELECT count(*), percentile_cont(0.99) WITHIN GROUP (ORDER BY took) FROM (
    SELECT mod((extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000)::numeric - rtt_ms::numeric + 60000, 60000)
    / 1000 AS took FROM consults_qualitysample) AS each
"""


def run() -> list[dict[str, Any]]:
    found: dict[str, list[dict[str, Any]]] = {}
    with ExitStack() as stack:
        database = stack.enter_context(engines.postgres(options=("track_commit_timestamp=on",)))
        redis = stack.enter_context(engines.redis())
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        chosen = {"DATABASE_URL": str(database), "REDIS_URL": str(redis)}
        words = (str(LEGS), str(VOICES * ROUNDS))
        seats: Any = ours("tests.benchmarks.worker_seed", *words, folder=folder, chosen=chosen)
        where = {"TELEHEALTH_DATA": folder, "TELEHEALTH_MODE": "demo", **chosen}
        for number in range(ROUNDS):
            for name, figures in _round(seats, where, number, database):
                found.setdefault(name, []).append(figures)
                print(f"{name}: {figures}", file=sys.stderr, flush=True)
    return _judged(found)


def _round(
    seats: dict[str, Any], where: dict[str, str], number: int, database: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    some = seats["monitor"][:SETUP]
    voices = seats["voice"][number * VOICES : (number + 1) * VOICES]
    yield "bare setup", _measured(_bare, where, what="setup", monitor=some)
    yield "setup", _measured(_product, where, what="setup", monitor=some)
    yield "bare hold", _measured(_bare, where, what="hold", monitor=seats["monitor"][:BARE_LEGS], seconds=SECONDS)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE consults_qualitysample")
        held = _measured(_product, where, what="hold", monitor=seats["monitor"], seconds=SECONDS)
        stored, p99 = connection.execute(LATENCY).fetchone() or (0, 0)
    yield "hold", {**held, "stored": stored, "p99_seconds": float(p99)}
    yield "bare voices", _measured(_bare, where, what="voices", voice=voices, seconds=SECONDS)
    yield "voices", _measured(_product, where, what="voices", voice=voices, seconds=SECONDS)
    yield "flood", _measured(_product, where, what="flood", monitor=some, seconds=SECONDS)


def _judged(found: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    def values(name: str, figure: str) -> list[float]:
        return [figures[figure] for figures in found[name]]

    def beside(what: str, name: str, figure: str, unit: str, target: float, *, turned: bool = False) -> dict[str, Any]:
        runs = {"product": values(name, figure), "bare aiortc": values(f"bare {name}", figure)}
        ratio = statistics.median(runs["product"]) / statistics.median(runs["bare aiortc"])
        ratio = 1 / ratio if turned else ratio
        return {"what": what, "unit": unit, "runs": runs, "ratio": ratio, "target": target, "met": ratio <= target}

    def alone(what: str, name: str, figure: str, unit: str, target: float, *, fine: bool = True) -> dict[str, Any]:
        runs = {"product": values(name, figure)}
        middle = statistics.median(runs["product"])
        met = middle <= target and fine
        return {
            "what": what,
            "unit": unit,
            "runs": runs,
            "ratio": middle,
            "target": target,
            "met": met,
            "kind": "median",
        }

    lost = sum(figures["sent"] - figures["stored"] for figures in found["hold"])
    opened = all(figures["open"] == LEGS for figures in found["hold"])
    kept = all(figures["kept"] == VOICES for name in ("voices", "bare voices") for figures in found[name])
    calm = all(figures["open"] == 3 and figures["lost"] == 0 for figures in found["flood"])
    rate = statistics.median(values("flood", "rate"))
    held = f"{LEGS} legs, each 1 KB a second, stored in Postgres"
    voices = beside(f"CPU per recorded voice, {VOICES} at once", "voices", "percent", "% core", 0.6)
    voices["met"] = voices["met"] and kept
    fine = opened and lost == 0
    return [
        alone(f"{held} (not stored: {lost})", "hold", "percent", "% core", 50, fine=fine),
        alone(f"{held}: sample to stored, p99", "hold", "p99_seconds", "s", 2, fine=fine),
        beside(f"Memory per leg (product {LEGS} legs, bare {BARE_LEGS})", "hold", "mb_per_leg", "MB", 1.3),
        beside("A leg set up, alone", "setup", "alone_ms", "ms", 1.3),
        beside("Legs set up, ten at a time", "setup", "per_second", "legs/s", 1.3, turned=True),
        voices,
        alone(f"Round trip under {rate:,.0f} packets/s of a stranger, p95", "flood", "p95_ms", "ms", 100, fine=calm),
        alone("Memory grown by them", "flood", "grown_mb", "MB", 10, fine=calm),
    ]


# -- running --------------------------------------------------------------------------------------------------


def _measured(start: Any, where: dict[str, str], **plan: Any) -> dict[str, Any]:
    environment = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "telehealth.settings", **where}
    with start(environment) as known:
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.worker_load"],
            input=json.dumps({**plan, **known}),
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
        )
    if done.returncode or not done.stdout:
        sys.exit(f"The load broke off: {done.stderr[-2000:]}")
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@contextmanager
def _bare(environment: dict[str, str]) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s"
        command = [sys.executable, "-m", "tests.benchmarks.worker_bare", str(path)]
        with _process(command, environment, path.exists) as process:
            yield {"socket": str(path), "pid": process.pid}


@contextmanager
def _product(environment: dict[str, str]) -> Iterator[dict[str, Any]]:
    address = f"127.0.0.1:{engines.free_port()}"

    def well() -> bool:
        try:
            with urllib.request.urlopen(f"http://{address}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    command = [sys.executable, "manage.py", "consult_worker"]
    with _process(command, {**environment, "WORKER_METRICS": address}, well) as process:
        yield {"pid": process.pid}


@contextmanager
def _process(command: list[str], environment: dict[str, str], ready: Any) -> Iterator["subprocess.Popen[bytes]"]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log)
        try:
            for _ in range(300):
                if process.poll() is not None or ready():
                    break
                time.sleep(0.1)
            if process.poll() is not None:
                log.seek(0)
                sys.exit(f"{command[1:]} did not start: {log.read()[-1500:].decode(errors='replace')}")
            time.sleep(1)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
