"""Reading the log a page at a time, as fast on the last page as on the first, however long it is.

Pages are cut by id, never by number: no count, no offset from the start. Where a filter has no index of its own, a
page looks through a bounded stretch of an index that there is, and says how far it has come.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from consults.audit_filters import Wanted
from vault.models import FREQUENT, AuditEntry

PAGE = 50
#: entries looked through at a time for a filter without an index
STRETCH = 5_000
#: the newest entries, which the rules of what stands out look at
NEWEST = 20_000
#: seconds after which a page shows what it has and offers to look on
PATIENCE = 0.1
#: ids and times rise together but for clocks of several machines, and transactions that overlap
SLACK = timedelta(hours=1)
WITNESSES = 100
RARE, NOT_DONE = ~Q(action__in=FREQUENT), ~Q(outcome=AuditEntry.Outcome.DONE)


@dataclass(frozen=True, slots=True)
class Scope:
    """Entries that one index leads to in order, the ids between which they are, and what else must hold."""

    along: QuerySet[AuditEntry]
    rest: Q
    low: int = 0
    high: int | None = None

    def between(self, low: int | None = None, high: int | None = None) -> QuerySet[AuditEntry]:
        """Ids from `low` to below `high`, within the scope's own."""
        lowest = max(self.low, low or 0)
        highest = min((one for one in (self.high, high) if one is not None), default=None)
        rows = self.along.filter(id__gte=lowest) if lowest else self.along
        return rows if highest is None else rows.filter(id__lt=highest)


def scope(clinic: UUID, wanted: Wanted, *, whole: bool = False) -> Scope:
    """Where to look. `whole`: with what processes of no clinic did to the patient or consult, for a timeline."""
    mine = Q(clinic_id=clinic) | Q(clinic_id=None) if whole else Q(clinic_id=clinic)
    rest = Q()
    if wanted.patient or wanted.consult:
        # parse() has seen to it that they are of this clinic
        name = "patient" if wanted.patient else "consult"
        along, left = AuditEntry.objects.filter(mine, **{name: getattr(wanted, name)}), wanted.without(name)
    elif wanted.person:
        along, left = AuditEntry.objects.filter(mine, person=wanted.person), wanted.without("person")
    elif wanted.action and wanted.action not in FREQUENT:
        # in the words of the index, which is partial
        along, left = AuditEntry.objects.filter(RARE, mine, action=wanted.action), wanted.without("action")
    elif wanted.outcome and wanted.outcome != AuditEntry.Outcome.DONE:
        along, left = AuditEntry.objects.filter(NOT_DONE, mine, outcome=wanted.outcome), wanted.without("outcome")
    else:
        along, left = AuditEntry.objects.filter(mine), wanted
    for name in ("consult", "person", "outcome", "role", "purpose", "source", "session"):
        if value := getattr(left, name):
            rest &= Q(**{name: value})
    if actions := left.actions:
        rest &= Q(action__in=actions)
    if left.since_at:
        rest &= Q(at__gte=left.since_at)
    if left.until_at:
        rest &= Q(at__lt=left.until_at)
    low = min(_ids_from(left.since_at - SLACK), default=NOTHING) if left.since_at else 0
    high = max(_ids_from(left.until_at + SLACK), default=None) if left.until_at else None
    return Scope(along, rest, low, high)


NOTHING = 2**63 - 1


def _ids_from(moment: datetime) -> list[int]:
    """Ids of the first entries from `moment` on, any clinic's. Several, lest one with a wrong clock hides a period."""
    rows = AuditEntry.objects.filter(at__gte=moment).order_by("at")
    return list(rows.values_list("id", flat=True)[:WITNESSES])


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: below an id, above one, or at the oldest entry; with none of them at the newest."""

    before: int | None = None
    after: int | None = None
    oldest: bool = False

    @property
    def upward(self) -> bool:
        return self.oldest or self.after is not None


@dataclass(frozen=True, slots=True)
class Page:
    """Entries, newest first. `older`, `newer`: the ids where the next pages begin, None where the log ends.

    `looked_to`: when the last entry happened that was looked at, where patience ended before the page was full.
    """

    entries: list[AuditEntry]
    older: int | None = None
    newer: int | None = None
    looked_to: datetime | None = None


def page(where: Scope, cursor: Cursor, *, size: int = PAGE, patience: float = PATIENCE) -> Page:
    found: list[AuditEntry] = []
    start, more, started = (cursor.after if cursor.upward else cursor.before), True, monotonic()
    while more and len(found) <= size:
        rows, edge = _stretch(where, start, size + 1 - len(found), upward=cursor.upward)
        found += rows
        start, more = edge, edge is not None
        if monotonic() - started > patience:
            break
    full = len(found) > size
    found = found[:size]
    if full:
        start = found[-1].id
    looked_to = moment_of(start) if more and not full else None
    onward = start if full or more else None
    made = _upward(found, onward, cursor) if cursor.upward else _downward(found, onward, cursor)
    return replace(made, looked_to=looked_to)


def _downward(found: list[AuditEntry], onward: int | None, cursor: Cursor) -> Page:
    back = found[0].id if found else (cursor.before or 1) - 1
    return Page(found, older=onward, newer=back if cursor.before is not None else None)


def _upward(found: list[AuditEntry], onward: int | None, cursor: Cursor) -> Page:
    back = found[0].id if found else (cursor.after or 0) + 1
    return Page(found[::-1], newer=onward, older=None if cursor.oldest else back)


def _stretch(where: Scope, start: int | None, most: int, *, upward: bool) -> tuple[list[AuditEntry], int | None]:
    """Matches in the next stretch, and the id with which the stretch ended; None where there is no more after it."""
    order = "id" if upward else "-id"
    rows = where.between(low=start + 1 if start is not None else None) if upward else where.between(high=start)
    edge = None
    if where.rest:
        edge = rows.order_by(order).values_list("id", flat=True)[STRETCH - 1 : STRETCH].first()
        if edge is not None:
            rows = rows.filter(id__lte=edge) if upward else rows.filter(id__gte=edge)
        rows = rows.filter(where.rest)
    return list(rows.order_by(order)[:most]), edge


def moment_of(entry: int | None) -> datetime | None:
    if entry is None:
        return None
    return AuditEntry.objects.filter(id=entry).values_list("at", flat=True).first()


def walk(where: Scope, *, below: int, size: int) -> Iterator[list[AuditEntry]]:
    """All matches below an id, newest first, in lists of at most `size`; a stretch without any gives an empty one."""
    start: int | None = below
    while start is not None:
        rows, edge = _stretch(where, start, size, upward=False)
        start = rows[-1].id if len(rows) == size else edge
        yield rows


def newest_id() -> int:
    return AuditEntry.objects.order_by("-id").values_list("id", flat=True).first() or 0


def last_stretch(where: Scope, actions: Any, columns: tuple[str, ...], most: int) -> tuple[list[Any], int | None]:
    """Rows of the newest stretch that fit `actions` as well; the id with which it ended, if it goes on."""
    edge = where.between().order_by("-id").values_list("id", flat=True)[NEWEST - 1 : NEWEST].first()
    return rows_from(where, edge, actions, columns, most), edge


def rows_from(where: Scope, edge: int | None, actions: Any, columns: tuple[str, ...], most: int) -> list[Any]:
    """Of the stretch that ended there."""
    rows = where.between()
    if edge is not None:
        rows = rows.filter(id__gte=edge)
    return list(rows.filter(where.rest, actions).order_by("-id").values_list(*columns, named=True)[:most])
