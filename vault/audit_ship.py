"""Hands each entry of the audit log on to a SIEM, at least once and in order: syslog over TLS (RFC 5424), a webhook.

What is still to be sent stands in the log itself, and each place has a mark of how far it has come. So a place that is
slow or away fills no memory and holds up nobody: its mark waits.
"""

import contextlib
import json
import logging
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.db import close_old_connections, connection
from django.utils import timezone

from vault.audit import ACTIONS
from vault.audit_leaves import leaves_of
from vault.core.entries import unpacked, values_of
from vault.exchange import NoAnswer, post
from vault.models import AuditBatch, AuditShipment

logger = logging.getLogger("telehealth.audit")

AT_ONCE = 200
TIMEOUT_SECONDS = 10.0
EVERY_SECONDS = 1.0
#: after trouble: doubled each time, up to this
LONGEST_PAUSE = 60.0
#: RFC 5424: facility 13 is "log audit"; severities informational, warning, error
_PRIORITY = {"done": 13 * 8 + 6, "refused": 13 * 8 + 4, "failed": 13 * 8 + 3}
#: a list of entries -> taken, or an exception
Sending = Callable[[list[dict[str, Any]]], None]


class NotShipped(Exception):
    """The message says what is wrong with AUDIT_SHIP, or with the place."""


# -- what is sent --------------------------------------------------------------------------------------------


class Piece(NamedTuple):
    """The next entries in the order of the tree, each with its place (`index`): only what is sealed is sent.

    `places`: how many were looked at. Where there are fewer entries, the others have left the database with their
    month, or were taken out of it, which `audit_verify` tells.
    """

    entries: list[dict[str, Any]]
    places: int


def piece_after(sent_to: int, most: int = AT_ONCE) -> Piece:
    found, end = list[dict[str, Any]](), sent_to
    start = (
        AuditBatch.objects.filter(first__lte=sent_to).order_by("-first").values_list("first", flat=True).first() or 0
    )
    for batch in AuditBatch.objects.filter(first__gte=start, size__gt=sent_to).order_by("first").defer("hashes")[:most]:
        wanted = dict(enumerate(unpacked(bytes(batch.ids)), batch.first))
        some = {index: entry for index, entry in wanted.items() if sent_to <= index < sent_to + most}
        leaves = {values["id"]: values for values in map(values_of, leaves_of(sorted(some.values())))}
        found += [_said(index, leaves[entry]) for index, entry in some.items() if entry in leaves]
        end = min(batch.size, sent_to + most)
        if batch.size >= sent_to + most:
            break
    return Piece(found, end - sent_to)


def _said(index: int, values: dict[str, Any]) -> dict[str, Any]:
    clinic = values["clinic_id"]
    at = values["at"].isoformat(timespec="microseconds").replace("+00:00", "Z")
    return {"index": index, **values, "at": at, "clinic_id": str(clinic) if clinic else None}


def syslog_line(entry: dict[str, Any], host: str) -> bytes:
    """RFC 5424 with RFC 5425's framing: the message's length, a space, the message. ASCII, so that it needs no BOM."""
    # Whoever can rewrite the log can put anything into these two: then they are not the header's, but the message's.
    priority, action = _PRIORITY.get(entry["outcome"], _PRIORITY["failed"]), entry["action"]
    kind = action[:32] if action in ACTIONS else "-"
    head = f"<{priority}>1 {entry['at']} {host} telehealth - {kind} -"
    message = f"{head} {json.dumps(entry)}".encode("ascii")
    return b"%d %b" % (len(message), message)


# -- places --------------------------------------------------------------------------------------------------


def places() -> dict[str, Sending]:
    """Where entries go: `AUDIT_SHIP`, addresses separated by spaces, syslog+tls://HOST:PORT or https://…"""
    ways = {"syslog+tls": _by_syslog, "https": _by_webhook, "http": _by_webhook}
    found = {}
    for address in settings.AUDIT_SHIP:
        way = ways.get(urlsplit(address).scheme)
        if way is None or not urlsplit(address).hostname:
            raise NotShipped(f"AUDIT_SHIP takes syslog+tls: and https: addresses, not {address!r}.")
        found[address] = way(address)
    return found


def _by_syslog(address: str) -> Sending:
    parts = urlsplit(address)
    where = (str(parts.hostname), parts.port or 6514)

    def send(entries: list[dict[str, Any]]) -> None:
        context = ssl.create_default_context(cafile=settings.AUDIT_SHIP_CA or None)
        lines = b"".join(syslog_line(entry, settings.HOST) for entry in entries)
        with (
            socket.create_connection(where, timeout=TIMEOUT_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=where[0]) as sealed,
        ):
            sealed.sendall(lines)
            # Syslog has no receipt. That the other side closes in its turn says that it has read to the end: one that
            # leaves anything unread resets the connection. Not every collector says goodbye in TLS.
            with contextlib.suppress(ssl.SSLEOFError):
                sealed.unwrap()

    return send


def _by_webhook(address: str) -> Sending:
    """POST of one JSON object a line; any 2xx is the receipt."""

    def send(entries: list[dict[str, Any]]) -> None:
        body = "".join(json.dumps(entry) + "\n" for entry in entries).encode()
        headers = {"Content-Type": "application/x-ndjson"}
        if settings.AUDIT_SHIP_TOKEN:
            headers["Authorization"] = f"Bearer {settings.AUDIT_SHIP_TOKEN}"
        context = ssl.create_default_context(cafile=settings.AUDIT_SHIP_CA or None)
        post(address, body, timeout=TIMEOUT_SECONDS, headers=headers, context=context)

    return send


# -- the loop ------------------------------------------------------------------------------------------------


def ship(address: str, send: Sending) -> Piece:
    """Send what this place does not have yet, a piece of it; what that was. Raises what sending raises."""
    mark, _ = AuditShipment.objects.get_or_create(address=address, defaults={"moved_at": timezone.now()})
    piece = piece_after(mark.sent_to)
    if piece.entries:
        send(piece.entries)
    if piece.places:
        # After the receipt: whoever dies in between sends them again.
        mark.sent_to, mark.moved_at = mark.sent_to + piece.places, timezone.now()
        mark.save(update_fields=["sent_to", "moved_at"])
    return piece


def _keep_shipping(address: str, send: Sending, stop: threading.Event) -> None:
    pause, gone = 0.0, False
    while not stop.is_set():
        try:
            piece = ship(address, send)
        except Exception as error:  # whatever a place does, it is told again, and the log says so
            if not pause:
                said = str(error) if isinstance(error, NoAnswer) else type(error).__name__
                logger.error("The audit log is not taken by %s: %s", address, said)
            pause = min(pause * 2 or EVERY_SECONDS, LONGEST_PAUSE)
            close_old_connections()
        else:
            if pause:
                logger.warning("The audit log is taken by %s again.", address)
            pause = 0.0
            if (missing := len(piece.entries) < piece.places) and not gone:
                logger.error("%s does not get entries that are not in the database: see audit_verify.", address)
            gone = missing
            if piece.places == AT_ONCE:
                continue
        stop.wait(pause or EVERY_SECONDS)
    connection.close()


def start(stop: threading.Event) -> list[threading.Thread]:
    """A thread a place, so that none waits for another."""
    threads = [
        threading.Thread(target=_keep_shipping, args=[address, send, stop], name=f"ship {address}", daemon=True)
        for address, send in places().items()
    ]
    for thread in threads:
        thread.start()
    return threads
