"""The loop that seals the audit log: twice a second, in a thread or a process of its own."""

import logging
import signal
import threading

from django.db import DatabaseError, close_old_connections, connection

from vault import audit_key, audit_publish, audit_ship
from vault.audit_seal import Sealer
from vault.audit_tree import Broken

logger = logging.getLogger("telehealth.audit")

#: an entry is in the tree within a second
EVERY_SECONDS = 0.5
#: after trouble, which is logged once
AGAIN_SECONDS = 5.0


def catch_up() -> int:
    """Seal everything that is there now; how many entries that were."""
    sealer, done = Sealer(audit_key.load()), 0
    while some := sealer.seal():
        done += some
    return done


def run(stop: threading.Event) -> None:
    """Seal until `stop` is set. Whatever fails is tried again: the log waits, and what is written is not lost."""
    sealer: Sealer | None = None
    trouble = ""
    while not stop.is_set():
        try:
            sealer = sealer or Sealer(audit_key.load())
            if sealer.seal() == 0:
                stop.wait(EVERY_SECONDS)
            trouble = _told(trouble, "")
        except (audit_key.NoKey, Broken, DatabaseError) as error:
            sealer = None
            said = str(error) if not isinstance(error, DatabaseError) else "the database is away"
            trouble = _told(trouble, said)
            close_old_connections()
            stop.wait(AGAIN_SECONDS)
    connection.close()


def _told(before: str, now: str) -> str:
    if now != before:
        logger.error("The audit log is not sealed: %s", now) if now else logger.warning(
            "The audit log is sealed again."
        )
    return now


def run_until_told() -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    # Apart, since a place that answers slowly must not keep entries out of the tree.
    publishing = threading.Thread(target=audit_publish.run, args=[stop], daemon=True)
    publishing.start()
    shipping = audit_ship.start(stop)
    run(stop)
    for thread in (publishing, *shipping):
        thread.join(timeout=5)
