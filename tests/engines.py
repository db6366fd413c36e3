"""Real engines for the tests: a private Postgres and a private Redis on loopback, gone at the end.

    with postgres() as database_url, redis() as redis_url: ...

Both addresses are text that also knows its process, so a fault test can kill it: `database_url.process.kill()`.
Nothing is shared with an engine that the machine may already run, and nothing is left behind.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg

START_WITHIN = 60.0
STOP_WITHIN = 15.0
#: initdb refuses to run as root, so root lends it this account
SERVICE_ACCOUNT = "postgres"


class Engine:
    """A program that runs, in a session of its own: Ctrl-C at the test run must not end it before the tests do."""

    def __init__(self, command: list[str], folder: Path, account: dict[str, Any]) -> None:
        self._command, self._folder, self._account = command, folder, account
        self.start()

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                **self._account,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """Without a word, and its children with it."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STOP_WITHIN)


class Address(str):
    """A connection URL, and what runs behind it: `engine.kill()` ends it, `engine.start()` brings it back there."""

    engine: Engine

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        return self.engine.process


class CannotStart(Exception):
    """The engine is missing or did not come up; the message ends with what it wrote."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def postgres(*, port: int = 0, options: tuple[str, ...] = ()) -> Iterator[Address]:
    """A fresh Postgres cluster; yields a DATABASE_URL. `options`: "name=value" server settings."""
    with _folder() as folder:
        data, password = folder / "data", secrets.token_hex(16)
        (folder / "password").write_text(password)
        _hand_over(folder)
        initdb = [_program("initdb"), "--pgdata", str(data), "--username", "telehealth", "--encoding", "UTF8"]
        initdb += ["--locale", "C.UTF-8", "--no-sync", "--auth", "scram-sha-256", "--pwfile", str(folder / "password")]
        made = subprocess.run(initdb, **_service_account(), cwd=folder, capture_output=True, timeout=START_WITHIN)
        if made.returncode:
            raise CannotStart(f"initdb: {made.stderr.decode()[-2000:]}")
        port = port or free_port()
        # No fsync: a killed server keeps what the kernel has, and the machine itself is not what is tested.
        settings = ("fsync=off", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", *options)
        command = [_program("postgres"), "-D", str(data), "-p", str(port)]
        command += [word for setting in settings for word in ("-c", setting)]
        url = f"postgres://telehealth:{password}@127.0.0.1:{port}/postgres"
        # SIGINT is Postgres's fast shutdown: it ends open connections instead of waiting for them.
        with _running(command, folder, stop_by=signal.SIGINT, account=_service_account()) as engine:
            _until(lambda: _answers_sql(url), engine.process, folder)
            yield _address(url, engine)


@contextlib.contextmanager
def redis(*, port: int = 0) -> Iterator[Address]:
    """A fresh Redis that keeps nothing on disk; yields a REDIS_URL."""
    with _folder() as folder:
        port, password = port or free_port(), secrets.token_hex(16)
        options = f"port {port}\nbind 127.0.0.1\nsave ''\nappendonly no\ndir {folder}\nrequirepass {password}\n"
        # In a file, so that the password is in no list of processes.
        (folder / "redis.conf").write_text(options)
        command = [_program("redis-server"), str(folder / "redis.conf")]
        with _running(command, folder, stop_by=signal.SIGTERM, account={}) as engine:
            _until(lambda: _answers_ping(port, password), engine.process, folder)
            yield _address(f"redis://:{password}@127.0.0.1:{port}/0", engine)


@contextlib.contextmanager
def both() -> Iterator[dict[str, str]]:
    """Postgres and Redis; yields the environment that points the product at them."""
    with postgres() as database_url, redis() as redis_url:
        yield {"DATABASE_URL": str(database_url), "REDIS_URL": str(redis_url)}


def _program(name: str) -> str:
    beside = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    found = shutil.which(name) or (str(beside[0]) if beside else None)
    if found is None:
        raise CannotStart(f"{name} is not installed; run: python -m tests.install")
    return found


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    # Short and world-reachable: a Unix socket's path has at most 107 letters, and another account must get in.
    folder = Path(tempfile.mkdtemp(prefix="engine-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _hand_over(folder: Path) -> None:
    if os.geteuid() == 0:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, SERVICE_ACCOUNT, SERVICE_ACCOUNT)


def _service_account() -> dict[str, Any]:
    """How to start a process that must not be root."""
    if os.geteuid() != 0:
        return {}
    return {"user": SERVICE_ACCOUNT, "group": SERVICE_ACCOUNT, "extra_groups": []}


@contextlib.contextmanager
def _running(command: list[str], folder: Path, *, stop_by: signal.Signals, account: dict[str, Any]) -> Iterator[Engine]:
    engine = Engine(command, folder, account)
    try:
        yield engine
    finally:
        _stop(engine.process, stop_by)


def _stop(process: subprocess.Popen[bytes], stop_by: signal.Signals) -> None:
    if process.poll() is not None:
        return
    process.send_signal(stop_by)
    try:
        process.wait(STOP_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_WITHIN)


def _until(ready: Callable[[], bool], process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START_WITHIN
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise CannotStart((folder / "log").read_text(errors="replace")[-2000:])
        time.sleep(0.05)


def _answers_sql(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=2) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def _answers_ping(port: int, password: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            # Only ours knows the password: another engine on the same port would answer a PING just as well.
            connection.sendall(f"AUTH {password}\r\n".encode())
            return connection.recv(8).startswith(b"+OK")
    except OSError:
        return False


def _address(url: str, engine: Engine) -> Address:
    address = Address(url)
    address.engine = engine
    return address
