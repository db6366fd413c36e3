"""One request to another machine and its whole answer, however the other side behaves: slow, endless, or not HTTP."""

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

MOST_BYTES = 64 << 10


class NoAnswer(Exception):
    """The message says why, and names no address."""


class Answer(NamedTuple):
    status: int
    content_type: str
    body: bytes


def parts_of(url: str) -> SplitResult:
    """The parts of an address that can be asked; `ValueError` where it is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment or parts.username is not None:
        raise ValueError(f"{url!r} is no http: or https: address")
    _ = parts.port  # raises where it is no number
    return parts


def ask(
    url: str,
    body: bytes | None = None,
    *,
    timeout: float,
    headers: Mapping[str, str] | None = None,
    context: ssl.SSLContext | None = None,
) -> Answer:
    """POST `body`, or GET where there is none. `timeout`: seconds to connect, and as many again for the whole answer.

    A redirection is an answer like any other. Followed, a POST would arrive as a GET without what was posted, and
    whoever answered that with 200 would have given a receipt for nothing; and a token would go along.
    """
    connection, target = _connection(parts_of(url), timeout, context)
    late = threading.Event()
    try:
        connection.connect()
        with _cut_after(timeout, connection.sock, late):
            connection.request("GET" if body is None else "POST", target, body, dict(headers or {}))
            answer = connection.getresponse()
            reply = answer.read(MOST_BYTES + 1)
        if late.is_set() or len(reply) > MOST_BYTES:
            raise NoAnswer("The answer came too slowly or is too long.")
        if answer.length:  # it promised more; reading in part does not tell
            raise http.client.IncompleteRead(reply, answer.length)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NoAnswer(f"It cannot be reached ({type(error).__name__}).") from None
    finally:
        connection.close()
    return Answer(answer.status, answer.getheader("Content-Type", ""), reply)


def post(
    url: str,
    body: bytes,
    *,
    timeout: float,
    headers: Mapping[str, str] | None = None,
    context: ssl.SSLContext | None = None,
) -> None:
    """Any 2xx is the receipt; whatever else comes is `NoAnswer`."""
    status = ask(url, body, timeout=timeout, headers=headers, context=context).status
    if not 200 <= status < 300:
        raise NoAnswer(f"It answered with {status}.")


def _connection(
    parts: SplitResult, timeout: float, context: ssl.SSLContext | None
) -> tuple[http.client.HTTPConnection, str]:
    host, target = str(parts.hostname), (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=context), target
    return http.client.HTTPConnection(host, parts.port, timeout=timeout), target


def cut(connection: socket.socket) -> None:
    try:
        # The plain socket's, since that of a TLS socket would go on unencrypted.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        return  # it is closed


@contextmanager
def _cut_after(seconds: float, connection: socket.socket, late: threading.Event) -> Iterator[None]:
    """A socket's own timeout begins anew with every byte, so one that sends slowly would never end."""

    def end() -> None:
        late.set()
        cut(connection)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
