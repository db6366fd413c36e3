"""What the worker tells whoever watches it: figures for Prometheus, and whether it is well. Nothing about people."""

import time
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import Counter, Gauge, Histogram, make_wsgi_app

LEGS = Gauge("telehealth_worker_legs", "Open legs", ["leg"])
CONSULTS = Gauge("telehealth_worker_consults", "Consults leased to this worker")
TASKS = Gauge("telehealth_worker_tasks", "Tasks of the event loop")
WAITING = Gauge("telehealth_worker_samples_waiting", "Samples measured and not stored yet")
STORED = Counter("telehealth_worker_samples_stored", "Samples stored")
STORE_SECONDS = Histogram(
    "telehealth_worker_store_seconds", "From a sample to the database", buckets=(0.25, 0.5, 1, 1.5, 2, 5, 15, 60)
)
VOICES = Counter("telehealth_worker_voices", "Spoken consents", ["outcome"])
DROPPED = Counter("telehealth_worker_datagrams_dropped", "Datagrams of strangers, and those too many")
CLOSED = Counter("telehealth_worker_legs_closed", "Legs closed", ["why"])

#: seconds without a look at the database after which the worker is not well
LATE = 10.0


class Health:
    """When the worker last reached the database, and whether it still takes consults."""

    def __init__(self) -> None:
        self.looked = time.monotonic()
        self.draining = False

    def well(self) -> bool:
        return not self.draining and time.monotonic() - self.looked < LATE


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_words: Any) -> None:
        """Who asks is nobody's business."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


def serve(address: str, health: Health) -> Callable[[], None]:
    """Answer at HOST:PORT to /healthz and /metrics, in a thread. Gives what ends it."""
    figures = make_wsgi_app()

    def answer(environment: dict[str, Any], start: Any) -> Iterable[bytes]:
        if environment["PATH_INFO"] == "/metrics":
            found: Iterable[bytes] = figures(environment, start)
            return found
        if environment["PATH_INFO"] != "/healthz":
            start("404 Not Found", [("Content-Type", "text/plain")])
            return [b"not here\n"]
        well = health.well()
        start("200 OK" if well else "503 Service Unavailable", [("Content-Type", "text/plain")])
        return [b"well\n" if well else b"draining\n" if health.draining else b"the database is out of reach\n"]

    host, _, port = address.rpartition(":")
    server = make_server(host.strip("[]"), int(port), answer, server_class=_Server, handler_class=_Quiet)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, name="metrics", daemon=True)
    thread.start()

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join(5)

    return end
