"""Sealing, storing and reading 20,000 patients beside the field-encryption packages for Django, in one run.

Each round takes every peer once, each in a process and virtual environment of its own, on an empty database.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests import engines

HERE = Path(__file__).parent
PEERS = ("django-fernet-encrypted-fields", "django-encrypted-model-fields", "django-cryptography-5")
SEARCHABLE = "django-searchable-encrypted-fields"
ROUNDS = 3
TIMEOUT = 3600


def interpreter(peer: str) -> str:
    """The Python that has this peer, installed from its lock file where it is not yet."""
    if peer == "plain":
        return sys.executable
    home = Path(os.environ.get("TELEHEALTH_BENCH_PEERS", HERE.parents[1] / "var" / "peers")) / peer
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        print(f"Installing {peer} beside the product ...", flush=True)
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home, with_pip=True)
        lock = HERE / "peers" / f"{peer}.txt"
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*command, "-r", lock], check=True)
        (home / "ready").touch()
    return str(python)


def run() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for engine in ("SQLite", "Postgres"):
        rounds: dict[str, list[dict[str, float]]] = {}
        for _ in range(ROUNDS):
            for peer in ("plain", *PEERS, SEARCHABLE):
                rounds.setdefault(peer, []).append(_peer(engine, peer))
            for ours in ("one digest", "all digests"):
                rounds.setdefault(ours, []).append(_ours(engine, ours))
        found += _judge(engine, rounds)
    return found


def _judge(engine: str, rounds: dict[str, list[dict[str, float]]]) -> list[dict[str, Any]]:
    def figures(what: str, *names: str) -> dict[str, list[float]]:
        return {name: [one[what] for one in rounds[name]] for name in names}

    def best(what: str) -> str:
        return max(PEERS, key=lambda name: statistics.median(one[what] for one in rounds[name]))

    def judged(what: str, key: str, unit: str, ours: str, other: str, target: float, *, least: bool) -> dict[str, Any]:
        runs = figures(key, ours, other, *(p for p in ("plain", *PEERS) if p != other))
        ratio = statistics.median(runs[ours]) / statistics.median(runs[other])
        return {
            "what": f"{what}, {engine} ({ours} to {other})",
            "unit": unit,
            "runs": runs,
            "ratio": ratio,
            "target": target,
            "least": least,
            "met": ratio >= target if least else ratio <= target,
        }

    return [
        judged("Bulk read, all fields opened", "read", "rows/s", "all digests", best("read"), 4, least=True),
        judged("Bulk create", "create", "rows/s", "one digest", best("create"), 2.2, least=True),
        judged("Bulk create, every search digest", "create", "rows/s", "all digests", SEARCHABLE, 2, least=True),
        judged("One record, all fields opened", "one", "µs", "all digests", "plain", 2, least=False),
        judged("Disk", "bytes", "bytes/row", "all digests", "plain", 3, least=False),
    ]


def _peer(engine: str, peer: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, environment(engine) as chosen:
        database = _as_setting(chosen.get("DATABASE_URL"), Path(folder))
        command = [interpreter(peer), HERE / "peers" / "measure.py", peer, json.dumps(database)]
        return _said(command, {"PATH": os.environ["PATH"]})


@contextmanager
def environment(engine: str) -> Iterator[dict[str, str]]:
    """What points the product at a fresh database of this engine; SQLite is what it takes by itself."""
    if engine == "SQLite":
        yield {}
        return
    with engines.postgres(options=("max_connections=260",)) as url:
        yield {"DATABASE_URL": str(url)}


def _as_setting(url: str | None, folder: Path) -> dict[str, Any]:
    """The same database, configured alike, for peers that know nothing of our settings."""
    if url is None:
        # As the product opens it: synced to disk at every commit, with as large pages and as much cache.
        opened = "PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-65536;"
        options = {"init_command": opened, "transaction_mode": "IMMEDIATE"}
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "peer.sqlite3"), "OPTIONS": options}
    parts = urlsplit(url)
    where = {"HOST": parts.hostname, "PORT": parts.port, "USER": parts.username, "PASSWORD": parts.password}
    return {"ENGINE": "django.db.backends.postgresql", "NAME": parts.path.strip("/"), **where}


def _ours(engine: str, how: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, environment(engine) as chosen:
        word = "listed" if how == "all digests" else "unlisted"
        return ours("tests.benchmarks.vault_ours", word, folder=folder, chosen=chosen)


def ours(module: str, *words: str, folder: str, chosen: dict[str, str]) -> Any:
    """What a module of the product's own prints, run on the chosen database."""
    says = {"PATH": os.environ["PATH"], "TELEHEALTH_DATA": folder, "TELEHEALTH_MODE": "demo", **chosen}
    return _said([sys.executable, "-m", module, *words], says)


def _said(command: list[Any], says: dict[str, str]) -> dict[str, float]:
    done = subprocess.run(
        command, env=says, capture_output=True, cwd=HERE.parents[1], text=True, timeout=TIMEOUT, check=False
    )
    if done.returncode:
        sys.exit(f"{command[1:]} failed:\n{done.stderr[-2000:]}")
    answer: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer
