"""The log by months. On Postgres each month is a part of the table of its own, the newest one open at its end.

A month ends where it is closed: a few entries of the next one's first seconds may be in it. On SQLite the table is
one, and a month is what its entries say.
"""

import datetime as dt
import re
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import Min
from django.utils import timezone

from vault import audit
from vault.append_only import no_truncate
from vault.models import AuditArchive, AuditEntry
from vault.rows import read

TABLE = AuditEntry._meta.db_table
OPEN = f"{TABLE}_open"
_BOUNDS = re.compile(r"FOR VALUES FROM \((?:MINVALUE|'(\d+)')\) TO \((?:MAXVALUE|'(\d+)')\)")


@dataclass(frozen=True, slots=True)
class Month:
    """`first` to `end` - 1 are the ids of its entries; `end` is None while it is open."""

    name: str
    first: int
    end: int | None


class NotClosed(Exception):
    """The message says why."""


def months(*, now: dt.datetime | None = None) -> list[Month]:
    """Those whose entries are in the database, the oldest first."""
    return _parts() if connection.vendor == "postgresql" else _by_time(_start_of(now or timezone.now()))


def _parts() -> list[Month]:
    rows = read(
        "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = %s::regclass",
        [TABLE],
    )
    found = []
    for name, bounds in rows:
        matched = _BOUNDS.fullmatch(bounds)
        if not matched:
            raise NotClosed(f"{name} is a part of the log that this program has not made.")
        first, end = (None if one is None else int(one) for one in matched.groups())
        found.append(Month(_month_of(name), first or 0, end))
    return sorted(found, key=lambda month: month.first)


def _month_of(part: str) -> str:
    return "" if part == OPEN else part.removeprefix(f"{TABLE}_").replace("_", "-")


def part_of(month: str) -> str:
    return f"{TABLE}_{month.replace('-', '_')}"


def _by_time(open_month: dt.datetime) -> list[Month]:
    oldest, found = AuditEntry.objects.order_by("id").first(), list[Month]()
    if oldest is None:
        return [Month("", 0, None)]
    first, start = oldest.pk, _start_of(oldest.at)
    while start < open_month:
        after = _next(start)
        later = AuditEntry.objects.filter(at__gte=after).aggregate(first=Min("id"))["first"]
        end = later or AuditEntry.objects.latest("id").pk + 1
        if end > first:  # a month in which nothing happened is none
            found.append(Month(f"{start:%Y-%m}", first, end))
        first, start = end, after
    return [*found, Month("", first, None)]


def _next(start: dt.datetime) -> dt.datetime:
    return (start + dt.timedelta(days=32)).replace(day=1)


def _start_of(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def close(*, now: dt.datetime | None = None) -> Month | None:
    """Close the month that was open, if it is over and has entries. For the table's owner.

    Writers wait while its rows are looked through once, to see that they are all below the bound. A reader who holds
    the table for long makes this give up, instead of making everybody queue behind it.
    """
    if connection.vendor != "postgresql":
        return None
    now = now or timezone.now()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '3s'")
        # No id is drawn without this lock, so none below the bound is still on its way.
        cursor.execute(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
        month = months()[-1]
        oldest = AuditEntry.objects.filter(id__gte=month.first).order_by("id").first()
        if oldest is None or _start_of(oldest.at) >= _start_of(now):
            return None
        name = _free_name(oldest.at)
        cursor.execute(f"SELECT last_value + 1 FROM {TABLE}_id_seq")  # noqa: S608
        ((end,),) = cursor.fetchall()
        lower = f"({month.first})" if month.first else "(MINVALUE)"
        part = part_of(name)
        for statement in (
            f"ALTER TABLE {TABLE} DETACH PARTITION {OPEN}",
            f"ALTER TABLE {OPEN} RENAME TO {part}",
            f"ALTER TABLE {TABLE} ATTACH PARTITION {part} FOR VALUES FROM {lower} TO ({end})",
            f"CREATE TABLE {OPEN} PARTITION OF {TABLE} FOR VALUES FROM ({end}) TO (MAXVALUE)",
            # Whoever uses the log uses the table as a whole.
            f"REVOKE ALL ON {OPEN}, {part} FROM PUBLIC",
            no_truncate(TABLE, OPEN),
            *_without_app(OPEN),
        ):
            cursor.execute(statement)
        audit.record("audit.month", audit.SYSTEM, month=name, first=month.first, end=end)
    return Month(name, month.first, end)


def _free_name(at: dt.datetime) -> str:
    """The month in which the part's entries begin. One that begins in the month of another is the next one's."""
    taken = {month.name for month in months()} | set(AuditArchive.objects.values_list("month", flat=True))
    start = _start_of(at)
    while f"{start:%Y-%m}" in taken:
        start = _next(start)
    return f"{start:%Y-%m}"


def _without_app(part: str) -> list[str]:
    """Rights that every new table of the owner has by default, where there is that role (deploy/postgres)."""
    if not read("SELECT 1 FROM pg_roles WHERE rolname = 'telehealth_app'", []):
        return []
    return [f"REVOKE ALL ON {part} FROM telehealth_app"]


def drop(month: Month) -> None:
    """For `vault.audit_archive.drop`, which sees to it that nothing is lost."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '3s'")
        cursor.execute(f"ALTER TABLE {TABLE} DETACH PARTITION {part_of(month.name)}")
        cursor.execute(f"DROP TABLE {part_of(month.name)}")
