"""The two shapes of the running product: everything in this process, or each part in one of its own."""

import asyncio
import contextlib
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery.beat import EmbeddedService
from daphne.server import Server
from django.conf import settings
from honcho.manager import Manager
from twisted.internet import defer, reactor

from signaling.worker import Worker
from telehealth.asgi import application
from telehealth.celery import app as celery_app
from vault import audit_publish, audit_sealing, audit_ship

logger = logging.getLogger("telehealth")

#: what honcho gives back when it was told to stop: 128 and the number of SIGINT or SIGTERM
STOPPED_BY_SIGNAL = (130, 143)


def _endpoint(key: Path, crt: Path) -> str:
    bind = settings.BIND.replace(":", r"\:")
    return f"ssl:{settings.PORT}:privateKey={key}:certKey={crt}:interface={bind}"


def run_embedded(key: Path, crt: Path, ready: Callable[[], None]) -> None:
    """Server, worker and background work in this process: SQLite, nothing else installed, nothing left behind."""
    tasks: list[asyncio.Task[Any]] = []
    background = _Background()

    def started() -> None:
        tasks.append(reactor._asyncioEventloop.create_task(Worker().run()))
        background.start()
        reactor.callWhenRunning(ready)

    def stopping() -> Any:
        background.stop()
        return defer.Deferred.fromFuture(asyncio.ensure_future(_cancel(tasks)))

    reactor.addSystemEventTrigger("before", "shutdown", stopping)
    server = Server(
        application=application,
        endpoints=[_endpoint(key, crt)],
        ready_callable=started,
        server_name="",
        websocket_max_message_size=64 * 1024,
        websocket_max_frame_size=64 * 1024,
        application_close_timeout=3,
    )
    server.run()


async def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class _Background:
    """Celery's worker and clock in threads, over an in-memory broker. What a crash loses, the sweep takes up again."""

    def __init__(self) -> None:
        self._worker = celery_app.WorkController(
            pool="solo", concurrency=1, without_heartbeat=True, without_mingle=True, without_gossip=True
        )
        self._clock: Any = EmbeddedService(celery_app, thread=True, schedule_filename=str(settings.DATA_DIR / "beat"))
        self._thread = threading.Thread(target=self._worker.start, name="celery", daemon=True)
        self._stop = threading.Event()
        self._log = [
            threading.Thread(target=part, args=[self._stop], name=part.__module__, daemon=True)
            for part in (audit_sealing.run, audit_publish.run)
        ]

    def start(self) -> None:
        self._thread.start()
        self._clock.start()
        for thread in self._log:
            thread.start()
        self._log += audit_ship.start(self._stop)

    def stop(self) -> None:
        self._stop.set()
        self._clock.stop()
        self._worker.stop(in_sighandler=False)
        for thread in self._log:
            thread.join(timeout=5)


def _when_listening(ready: Callable[[], None]) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection((settings.BIND, settings.PORT), timeout=1):
            ready()
            return
        time.sleep(0.1)


def commands(key: Path, crt: Path) -> dict[str, list[str]]:
    """The parts that run as processes of their own, by name."""
    python = sys.executable
    return {
        "web": [
            python,
            "-m",
            "daphne",
            "-e",
            _endpoint(key, crt),
            "--server-name",
            "",
            # Daphne's own log would keep whole addresses, and what staff searched for stands in them.
            "-v",
            "0",
            "--websocket-max-message-size",
            str(64 * 1024),
            "--websocket-max-frame-size",
            str(64 * 1024),
            "telehealth.asgi:application",
        ],
        "worker": [python, "manage.py", "consult_worker"],
        "tasks": [
            python,
            "-m",
            "celery",
            "-q",
            "-A",
            "telehealth",
            "worker",
            "--pool",
            "threads",
            "--concurrency",
            "2",
        ],
        "log": [python, "manage.py", "audit_seal"],
        "clock": [
            python,
            "-m",
            "celery",
            "-q",
            "-A",
            "telehealth",
            "beat",
            "--schedule",
            str(settings.DATA_DIR / "beat"),
        ],
    }


def run_separately(key: Path, crt: Path, ready: Callable[[], None]) -> None:
    """Daphne, the worker, Celery and its clock as processes; when one ends, all end, so nothing half-runs unnoticed."""
    manager = Manager()
    for name, command in commands(key, crt).items():
        quoted = " ".join(f"'{word}'" for word in command)
        manager.add_process(name, f"exec {quoted}", env={**os.environ, "DJANGO_SETTINGS_MODULE": "telehealth.settings"})
    threading.Thread(target=_when_listening, args=(ready,), daemon=True).start()
    manager.loop()
    if manager.returncode not in (0, None, *STOPPED_BY_SIGNAL):
        raise SystemExit("A part of the platform stopped; the lines above say which.")
