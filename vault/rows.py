"""Rows faster than the ORM moves them: COPY and prepared statements on Postgres, plain SQL on SQLite."""

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NoReturn
from uuid import UUID

import psycopg
from django.db import connection, transaction
from django.db.models import Model

Rows = Sequence[Sequence[Any]]
#: of the time that a batch held SQLite's lock, how much is left to others before the next batch
BREATH = 0.25
#: rows overwritten in one statement: it is in memory three times over, and index blocks have up to 4 KB
PUT_AT_ONCE = 2000


class StillStreaming(Exception):
    """A fault of the program: see `stream`."""


@contextlib.contextmanager
def in_turn() -> Iterator[None]:
    """A transaction that is one of many of a long work, and leaves others their turn.

    SQLite's lock is not fair: those who wait look every tenth of a second whether it is free, and who takes it again
    at once keeps them out until they give up.
    """
    began = time.monotonic()
    with transaction.atomic():
        yield
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        time.sleep(BREATH * (time.monotonic() - began))


def _names(model: type[Model], columns: Sequence[str]) -> tuple[str, str]:
    quote = connection.ops.quote_name
    return quote(model._meta.db_table), ", ".join(quote(c) for c in columns)


def add_many(model: type[Model], columns: Sequence[str], rows: Rows) -> None:
    """Insert rows of values as the database keeps them. `columns` are column names."""
    if not rows:
        return
    _not_while_streaming()
    table, names = _names(model, columns)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # psycopg raises its own errors from here; callers know Django's
            with connection.wrap_database_errors, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            marks = ", ".join(["%s"] * len(columns))
            cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)  # noqa: S608


def put_many(model: type[Model], columns: Sequence[str], rows: Rows, *, key: str, fresh: bool = False) -> None:
    """Insert rows, or overwrite those whose `key` column is there. `fresh`: the caller knows that none is."""
    if not rows:
        return
    if fresh:
        add_many(model, columns, rows)
        return
    table, names = _names(model, columns)
    sets = ", ".join(f"{c} = excluded.{c}" for c in columns if c != key)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            fetched = ", ".join(f"unnest(%s::{_types(model)[c]}[])" for c in columns)
            sql = f"INSERT INTO {table} ({names}) SELECT {fetched} ON CONFLICT ({key}) DO UPDATE SET {sets}"
            for at in range(0, len(rows), PUT_AT_ONCE):
                cursor.execute(sql, [list(column) for column in zip(*rows[at : at + PUT_AT_ONCE], strict=True)])
        else:
            marks = ", ".join(["%s"] * len(columns))
            sql = f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT ({key}) DO UPDATE SET {sets}"  # noqa: S608
            cursor.executemany(sql, rows)


def change_many(model: type[Model], key: str, column: str, rows: Rows, *, was: bool = False) -> int:
    """Set `column` where `key` is; with `was`, only where the column still has the third value. Rows changed."""
    if not rows:
        return 0
    table, _ = _names(model, ())
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            types = _types(model)
            kinds = (types[key], types[column], types[column])[: 3 if was else 2]
            fetched = ", ".join(f"unnest(%s::{kind}[])" for kind in kinds)
            names, still = ("k, v, w", f" AND {table}.{column} = n.w") if was else ("k, v", "")
            source = f"(SELECT {fetched}) AS n({names})"
            sql = f"UPDATE {table} SET {column} = n.v FROM {source} WHERE {table}.{key} = n.k{still}"  # noqa: S608
            cursor.execute(sql, [list(c) for c in zip(*rows, strict=True)])
        else:
            still = f" AND {column} = %s" if was else ""
            sql = f"UPDATE {table} SET {column} = %s WHERE {key} = %s{still}"  # noqa: S608
            cursor.executemany(sql, [(row[1], row[0], *row[2:]) for row in rows])
        return int(cursor.rowcount)


def delete_many(model: type[Model], key: str, values: Sequence[Any]) -> None:
    if not values:
        return
    table, _ = _names(model, ())
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"DELETE FROM {table} WHERE {key} = ANY(%s)", [list(values)])  # noqa: S608
        else:
            cursor.executemany(f"DELETE FROM {table} WHERE {key} = %s", [(v,) for v in values])  # noqa: S608


def _types(model: type[Model]) -> dict[str, str]:
    """Column -> its type on Postgres, for arrays of it."""
    return {str(f.column): str(f.rel_db_type(connection)) for f in model._meta.concrete_fields}


def new_ids(model: type[Model], count: int) -> list[int]:
    """Primary keys that nobody else will be given."""
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)", [table, count]
            )
            return [row[0] for row in cursor.fetchall()]
        # A transaction here has the database to itself (IMMEDIATE), and AUTOINCREMENT goes on from the highest id.
        cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [table])
        row = cursor.fetchone()
        last = row[0] if row else 0
        return list(range(last + 1, last + count + 1))


def stored(value: UUID) -> Any:
    """A UUID as the database's columns keep it."""
    return value if connection.features.has_native_uuid_field else value.hex


def given_uuid(value: UUID | str) -> UUID:
    """A UUID out of a column."""
    return value if isinstance(value, UUID) else UUID(value)


def given(value: Any) -> Any:
    """JSON out of a column, which SQLite keeps as text."""
    return json.loads(value) if isinstance(value, str) else value


def moment(value: datetime) -> Any:
    """A moment as the database's columns keep it."""
    return value if connection.vendor == "postgresql" else connection.ops.adapt_datetimefield_value(value)


def read(sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """What a statement that is asked often answers. Postgres plans it once a connection and sends bytes as bytes."""
    connection.ensure_connection()
    if connection.vendor == "postgresql":
        _not_while_streaming()
        with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
            return cursor.execute(sql, values, prepare=True, binary=True).fetchall()
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())


def stream(sql: str, values: Sequence[Any], *, chunk: int) -> Iterator[tuple[Any, ...]]:
    """A long answer, row by row; memory holds `chunk` of them. Nothing else may be asked until it has ended."""
    connection.ensure_connection()
    if connection.vendor == "postgresql":
        # The server reads on while we use what came; with a cursor of its own it waits to be asked.
        with (
            connection.execute_wrapper(_streaming),
            connection.wrap_database_errors,
            psycopg.Cursor(connection.connection) as listing,
        ):
            yield from listing.stream(sql, values, binary=True, size=chunk)
        return
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        with connection.execute_wrapper(_streaming):
            while rows := cursor.fetchmany(chunk):
                yield from rows


def _streaming(*_asked: Any) -> NoReturn:
    # On Postgres it would wait for the list's end, and so for ever.
    raise StillStreaming("Something was asked over a connection that is giving out a list.")


def _not_while_streaming() -> None:
    if _streaming in connection.execute_wrappers:
        _streaming()
