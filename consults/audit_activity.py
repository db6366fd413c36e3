"""How much happened, by hour and day: hours that are over are counted once and kept, so a year is drawn at once."""

from collections import defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from time import monotonic
from uuid import UUID

from django.db.models import Count, Q
from django.db.models.functions import TruncHour
from django.utils import timezone

from accounts.models import Clinic
from consults.audit_models import AuditHour
from vault.models import AuditEntry

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
#: an hour is over when nobody's transaction may still bring an entry of it
SETTLES = timedelta(hours=1)
#: hours counted by one statement
AT_ONCE = 24
#: seconds that a page counts for, and that the task does
PATIENCE, TASKS_PATIENCE = 0.4, 5.0


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time to draw: so many bars, each an hour or a day, up to now."""

    label: str
    bars: int
    daily: bool
    #: bars between two labels
    mark: int


SPANS = {
    "day": Span("24 hours", 24, daily=False, mark=4),
    "week": Span("7 days", 7 * 24, daily=False, mark=24),
    "month": Span("30 days", 30, daily=True, mark=5),
    "quarter": Span("90 days", 90, daily=True, mark=15),
    "year": Span("365 days", 365, daily=True, mark=61),
}
#: the longest of them, which the task keeps counted
LONGEST = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour or day; `counted` is False while its entries are not counted yet."""

    start: datetime
    done: int
    refused: int
    counted: bool = True

    @property
    def total(self) -> int:
        return self.done + self.refused

    @property
    def day(self) -> date:
        return timezone.localtime(self.start).date()


def bars(clinic: Clinic, span: Span, now: datetime) -> list[Bar]:
    """Oldest first, the running hour or day last."""
    this = now.replace(minute=0, second=0, microsecond=0)
    if not span.daily:
        first = this - (span.bars - 1) * HOUR
        counted = _hours(clinic, first, now)
        starts = [first + n * HOUR for n in range(span.bars)]
        return [Bar(at, *counted.get(at, (0, 0)), counted=at in counted) for at in starts]
    today = timezone.localtime(now).date()
    days = [today - timedelta(days=n) for n in reversed(range(span.bars))]
    # Hours are UTC's: where the clinic's clock is half an hour off, so is the day's edge.
    first = timezone.make_aware(datetime.combine(days[0], datetime.min.time())).astimezone(UTC)
    first = first.replace(minute=0)
    return _daily(days, first, this, _hours(clinic, first, now))


def _daily(
    days: Iterable[date], first: datetime, last: datetime, counted: dict[datetime, tuple[int, int]]
) -> list[Bar]:
    hours: dict[date, list[datetime]] = defaultdict(list)
    at = first
    while at <= last:
        hours[timezone.localtime(at).date()].append(at)
        at += HOUR
    return [_sum(hours[day], [counted[at] for at in hours[day] if at in counted]) for day in days]


def _sum(hours: list[datetime], found: list[tuple[int, int]]) -> Bar:
    done, refused = sum(pair[0] for pair in found), sum(pair[1] for pair in found)
    return Bar(hours[0], done, refused, counted=len(found) == len(hours))


def _hours(clinic: Clinic, first: datetime, now: datetime) -> dict[datetime, tuple[int, int]]:
    """Hour -> done and refused. Hours that are over come from their rows, the last ones from the log itself."""
    open_from, end = _settled(now), now.replace(minute=0, second=0, microsecond=0) + HOUR
    kept = AuditHour.objects.filter(clinic=clinic, hour__gte=first, hour__lt=open_from)
    found = {hour: (done, refused) for hour, done, refused in kept.values_list("hour", "done", "refused")}
    found |= _count(clinic, _missing(found, first, open_from), PATIENCE)
    return found | _counted(clinic.pk, max(first, open_from), end)


def _settled(now: datetime) -> datetime:
    return (now - SETTLES).replace(minute=0, second=0, microsecond=0)


def _counted(clinic: UUID, first: datetime, end: datetime) -> dict[datetime, tuple[int, int]]:
    rows = (
        AuditEntry.objects.filter(clinic_id=clinic, at__gte=first, at__lt=end)
        .order_by()
        .annotate(hour=TruncHour("at", tzinfo=UTC))
        .values("hour")
        .annotate(total=Count("id"), done=Count("id", filter=Q(outcome=AuditEntry.Outcome.DONE)))
    )
    found = {row["hour"]: (row["done"], row["total"] - row["done"]) for row in rows}
    hours = int((end - first) / HOUR)
    return {at: found.get(at, (0, 0)) for at in (first + n * HOUR for n in range(hours))}


def _missing(there: Container[datetime], first: datetime, end: datetime) -> list[datetime]:
    return [at for n in range(int((end - first) / HOUR)) if (at := first + n * HOUR) not in there]


def _count(clinic: Clinic, missing: list[datetime], patience: float) -> dict[datetime, tuple[int, int]]:
    """Count and keep these hours, the newest first, until patience ends."""
    counted: dict[datetime, tuple[int, int]] = {}
    started = monotonic()
    while missing and monotonic() - started < patience:
        end = missing[-1] + HOUR
        begin, wanted = max(missing[0], end - AT_ONCE * HOUR), set(missing)
        fresh = {at: found for at, found in _counted(clinic.pk, begin, end).items() if at in wanted}
        # Somebody else may count the same hours meanwhile, and comes to the same.
        AuditHour.objects.bulk_create(
            [AuditHour(clinic=clinic, hour=at, done=done, refused=refused) for at, (done, refused) in fresh.items()],
            ignore_conflicts=True,
        )
        counted |= fresh
        missing = [at for at in missing if at < begin]
    return counted


def keep_up() -> None:
    """Count what is over, so that a page finds it counted. Safe to run twice or side by side."""
    end = _settled(timezone.now())
    for clinic in Clinic.objects.all():
        oldest = AuditEntry.objects.filter(clinic_id=clinic.pk).order_by("id").values_list("at", flat=True).first()
        if oldest is not None:
            first = max(end - LONGEST, oldest.replace(minute=0, second=0, microsecond=0))
            there = AuditHour.objects.filter(clinic=clinic, hour__gte=first).values_list("hour", flat=True)
            _count(clinic, _missing(set(there), first, end), TASKS_PATIENCE)
