"""One row of how a call went, made when it is over and kept; and the clinic's failures by the week."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Q
from django.db.models.functions import TruncWeek
from django.utils import timezone

from consults import adequacy
from consults.adequacy import Facts, Measured, Point
from consults.models import Consult
from consults.quality_models import CallSummary, QualitySample
from vault.models import AuditEntry

#: the workers' last samples are stored within this after the end
SETTLES = timedelta(seconds=15)
#: rows of one look
AT_ONCE = 200
DROP_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True)
class Call:
    """How one call went, out of its summary or, while there is none, its samples."""

    verdict: str
    label: str
    reasons: list[str]
    facts: Facts
    points: list[Point]
    seconds: int

    @property
    def words(self) -> list[str]:
        return [adequacy.REASONS[code] for code in self.reasons]


def of(consult: Consult) -> Call | None:
    """None where nobody was admitted."""
    kept = CallSummary.objects.filter(pk=consult.pk).first()
    if kept is not None:
        points = [Point(*point) for point in kept.timeline]
        return Call(kept.verdict, kept.get_verdict_display(), kept.reasons, Facts(**kept.figures), points, kept.seconds)
    return _made(consult)


def _made(consult: Consult) -> Call | None:
    if consult.admitted_at is None:
        return None
    seconds = ((consult.ended_at or timezone.now()) - consult.admitted_at).total_seconds()
    samples = _samples(consult, consult.admitted_at)
    monitored = AuditEntry.objects.filter(consult=str(consult.pk), action="worker.monitor").exists()
    phoned = consult.phoned_at is not None
    facts = adequacy.facts_of(samples, seconds=seconds, monitored=monitored, phoned=phoned)
    verdict, reasons = adequacy.judge(facts)
    points = adequacy.timeline(samples, seconds=seconds)
    return Call(verdict, CallSummary.Verdict(verdict).label, reasons, facts, points, round(seconds))


_READ = (
    *("at", "participant__role", "mos", "level_in", "rtt_ms", "loss", "frozen_seconds", "freezes", "relayed"),
    *("microphone", "camera"),
)


def _samples(consult: Consult, since: datetime) -> list[Measured]:
    rows: Any = QualitySample.objects.filter(consult=consult).order_by("at").values_list(*_READ)
    return [
        Measured(*[(at - since).total_seconds(), *figures, microphone or camera])
        for at, *figures, microphone, camera in rows
    ]


def sum_up_ended() -> None:
    """A summary for each call that is over and has none. Safe to run twice: the first one stays."""
    over = Consult.objects.filter(ended_at__lt=timezone.now() - SETTLES, call_summary=None).exclude(admitted_at=None)
    for consult in over.order_by("ended_at")[:AT_ONCE]:
        call = _made(consult)
        if call is not None:
            CallSummary.objects.bulk_create([_row(consult, call)], ignore_conflicts=True)


def _row(consult: Consult, call: Call) -> CallSummary:
    assert consult.admitted_at  # noqa: S101  (only admitted ones are asked for)
    return CallSummary(
        consult=consult,
        clinic_id=consult.clinic_id,
        admitted_at=consult.admitted_at,
        seconds=call.seconds,
        verdict=call.verdict,
        reasons=call.reasons,
        measured=call.facts.monitored,
        two_way=call.facts.two_way_after is not None,
        phoned=call.facts.phoned,
        figures=call.facts.plain(),
        timeline=[astuple(point) for point in call.points],
    )


def drop_old_samples() -> int:
    """Remove samples past their days, of calls that were summed up or never happened. Gives how many."""
    before = timezone.now() - timedelta(days=settings.QUALITY_KEEP_DAYS)
    summed = Q(consult__call_summary__isnull=False) | Q(consult__admitted_at=None)
    old = QualitySample.objects.filter(summed, at__lt=before, consult__ended_at__lt=before)
    keys = list(old.values_list("pk", flat=True)[:DROP_AT_ONCE])
    return QualitySample.objects.filter(pk__in=keys).delete()[0] if keys else 0


# -- the clinic's failures over time ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Week:
    """Calls of one week, by its Monday. `unmeasured` are in `calls` and in no other number."""

    monday: date
    calls: int
    never: int
    phoned: int
    inadequate: int
    unmeasured: int

    @property
    def failed(self) -> int:
        """Never heard each other, or went on by telephone: each visit once."""
        return self.never + self.phoned

    @property
    def known(self) -> int:
        return self.calls - self.unmeasured

    @property
    def percent(self) -> float | None:
        return round(100 * self.failed / self.known, 1) if self.known else None


def weeks(clinic: UUID, now: datetime, count: int) -> list[Week]:
    """The last so many weeks, the running one last; weeks without a call are there too."""
    today = timezone.localtime(now).date()
    this = today - timedelta(days=today.weekday())
    mondays = [this - timedelta(weeks=n) for n in reversed(range(count))]
    since = timezone.make_aware(datetime.combine(mondays[0], datetime.min.time()))
    rows: Any = (
        CallSummary.objects.filter(clinic=clinic, admitted_at__gte=since)
        .annotate(week=TruncWeek("admitted_at"))
        .values("week")
        .annotate(
            calls=Count("pk"),
            by_phone=Count("pk", filter=Q(phoned=True)),
            never=Count("pk", filter=Q(phoned=False, two_way=False, measured=True)),
            inadequate=Count("pk", filter=Q(verdict=CallSummary.Verdict.INADEQUATE)),
            unmeasured=Count("pk", filter=Q(verdict=CallSummary.Verdict.UNKNOWN)),
        )
    )
    found = {timezone.localtime(row.pop("week")).date(): {"phoned": row.pop("by_phone"), **row} for row in rows}
    return [Week(monday, **found.get(monday, _NONE)) for monday in mondays]


_NONE = {"calls": 0, "phoned": 0, "never": 0, "inadequate": 0, "unmeasured": 0}


def total(of_weeks: Sequence[Week]) -> Week:
    sums = {name: sum(getattr(week, name) for week in of_weeks) for name in _NONE}
    return Week(of_weeks[0].monday, **sums)
