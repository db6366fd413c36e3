"""Entries of the audit log as they stand in the database, as the bytes that are hashed."""

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.db import connection

from vault.core.entries import COLUMNS, EPOCH, leaf_bytes
from vault.models import AuditEntry

#: PostgreSQL's binary COPY begins with these bytes and ends with a count of -1
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM {AuditEntry._meta.db_table}"  # noqa: S608


def leaves_between(after: int, up_to: int) -> Iterator[bytes]:
    """Every entry whose id is above `after` and at most `up_to`, in the order of ids."""
    return _leaves("id > %s AND id <= %s ORDER BY id", [after, up_to])


def newer_leaves(after: int, up_to: int, most: int) -> Iterator[bytes]:
    """The next entries whose ids are above `after` and at most `up_to`, in the order of ids."""
    return _leaves("id > %s AND id <= %s ORDER BY id LIMIT %s", [after, up_to, most])


def leaves_of(ids: Sequence[int]) -> Iterator[bytes]:
    """Those of these entries that are there, in the order of ids."""
    for at in range(0, len(ids), 500):  # SQLite takes so many parameters
        some = ids[at : at + 500]
        yield from _leaves(f"id IN ({', '.join(['%s'] * len(some))}) ORDER BY id", some)


def _leaves(condition: str, values: Sequence[int]) -> Iterator[bytes]:
    return (_copied if connection.vendor == "postgresql" else _built)(f"{_SELECT} WHERE {condition}", values)


def _built(sql: str, values: Sequence[int]) -> Iterator[bytes]:
    with connection.cursor() as cursor, _any_text():
        cursor.execute(sql, values)
        for row in cursor:
            yield _leaf(row)


@contextmanager
def _any_text() -> Iterator[None]:
    """Text that is no UTF-8 is read as such, and is then no entry: not an error that ends the reading."""
    opened = connection.connection
    before, opened.text_factory = opened.text_factory, lambda data: data.decode(errors="surrogateescape")
    try:
        yield
    finally:
        opened.text_factory = before


def _leaf(row: Sequence[Any]) -> bytes:
    entry, at, action, outcome, clinic, *said, detail = row
    try:
        return leaf_bytes([entry, _moment(at), action, outcome, _uuid(clinic), *said, json.loads(detail)])
    except (TypeError, ValueError, OverflowError):
        # SQLite's columns take anything. What no writer of ours makes agrees with no hash, at no time.
        return leaf_bytes([entry, EPOCH, ascii(row), "", None, *[""] * len(said), {}])


def _copied(sql: str, values: Sequence[int]) -> Iterator[bytes]:
    """As the server sends them."""
    with (
        connection.wrap_database_errors,
        connection.cursor() as cursor,
        cursor.copy(f"COPY ({sql}) TO STDOUT (FORMAT BINARY)", values) as copy,
    ):
        first = bytes(copy.read())
        if not first.startswith(_HEADER):
            raise ValueError("PostgreSQL sent something else than its binary format")
        first = first[len(_HEADER) :]
        if first and first != _TRAILER:
            yield first
        # What has come in is taken from libpq at once: the library's way through four calls costs as much as hashing.
        come_in = copy.connection.pgconn.get_copy_data
        while first != _TRAILER:
            count, block = come_in(1)
            if count <= 0:
                block = copy.read()  # waits, and raises what the server says
                count = len(block)
            if count <= len(_TRAILER):
                break
            yield bytes(block)
        if copy.read():
            raise ValueError("PostgreSQL sent something after its binary format's end")


def _moment(text: Any) -> dt.datetime:
    moment = text if isinstance(text, dt.datetime) else dt.datetime.fromisoformat(text)
    return moment.replace(tzinfo=dt.UTC)


def _uuid(text: str | None) -> UUID | None:
    return None if text is None else UUID(text)
