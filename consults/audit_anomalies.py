"""What stands out in the log: emergency access, decoys read, many records at once, odd hours, relatives, refusals.

Rules of thumb, computed for the period shown and kept nowhere. They ask for a look; they accuse nobody.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Protocol
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from consults import audit_lists, audit_relatives, concerns
from consults.audit_filters import Wanted
from consults.models import Concern
from vault.audit import Actor
from vault.models import AuditEntry

#: different patients whose protected fields one person read within an hour
MANY_PATIENTS, WITHIN = 20, timedelta(hours=1)
#: refusals of one person within ten minutes
MANY_REFUSALS, BURST = 5, timedelta(minutes=10)
#: a longer pause ends what is told as one sitting
PAUSE = timedelta(hours=1)
#: rows that the rules look at
MOST_ROWS = 5_000
#: concerns that are listed
MOST_CONCERNS = 20
#: days looked at where the officer names no period
USUAL_PERIOD = timedelta(days=7)
READS = ("patient.reveal", "patient.export", "consult.note.read", "consent.voice.play")
#: masked records that were opened, of which the newest are compared by name too
LOOKS, MOST_LOOKS = Q(action__in=("patient.view", "patient.break_glass"), outcome="done"), 200
SIGNINS = ("signin.password", "signin", "signin.stepup")
DONE, REFUSED, FAILED = AuditEntry.Outcome.DONE, AuditEntry.Outcome.REFUSED, AuditEntry.Outcome.FAILED


class Row(Protocol):
    """What the rules know of an entry."""

    id: int
    at: datetime
    action: str
    outcome: str
    person: str
    person_name: str
    patient: str


COLUMNS = ("id", "at", "action", "outcome", "person", "person_name", "patient")


@dataclass(frozen=True, slots=True)
class Anomaly:
    """`kind` sorts and colours it; the entries meant are those of `wanted` with ids below `before`."""

    kind: str
    who: str
    sentence: str
    at: datetime
    until: datetime | None = None
    wanted: Wanted | None = None
    before: int | None = None
    concern: UUID | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """`looked_to`: how far back the rules looked, where the period is longer than that."""

    anomalies: list[Anomaly]
    looked_to: datetime | None = None
    #: patients whose names were compared with their readers', and pairs that were left out
    compared: int = 0
    left_out: int = 0


def look(clinic: UUID, wanted: Wanted, by: Actor) -> Found:
    """What stands out in the period and of the person, patient or consult that `wanted` names."""
    about = replace(wanted, about="", action="", outcome="", role="", purpose="")
    interesting = Q(action__in=READS, outcome=DONE) | Q(outcome=REFUSED) | Q(action__in=SIGNINS, outcome=FAILED)
    where = audit_lists.scope(clinic, about)
    rows, edge = audit_lists.last_stretch(where, interesting, COLUMNS, MOST_ROWS)
    read = [row for row in rows if row.outcome == DONE]
    masked = audit_lists.rows_from(where, edge, LOOKS, COLUMNS, MOST_LOOKS)
    same = audit_relatives.compare(clinic, [read, masked], by)
    found = [*_of_concerns(clinic, wanted), *many_patients(read), *refusals(rows), *guesses(rows)]
    found += relatives(same.pairs)
    found += after_hours(read, settings.CLINIC_OPENS, settings.CLINIC_CLOSES, settings.CLINIC_DAYS)
    whole = edge is None and len(rows) < MOST_ROWS
    looked_to = None if whole else rows[-1].at if len(rows) == MOST_ROWS else audit_lists.moment_of(edge)
    return Found(found, looked_to, same.compared, same.left_out)


def _of_concerns(clinic: UUID, wanted: Wanted) -> Iterator[Anomaly]:
    """What waits for a sign-off of its own (consults/concerns.py), whenever it happened."""
    rows = concerns.waiting(clinic)
    for name in ("person", "patient"):
        if value := getattr(wanted, name):
            rows = rows.filter(**{name: value})
    for concern in rows[:MOST_CONCERNS]:
        told = {
            Concern.Kind.BREAK_GLASS: f"took emergency access to {concern.patient}",
            Concern.Kind.DECOY: "read a decoy record",
        }
        yield Anomaly(
            concern.kind, concern.person.name, told[Concern.Kind(concern.kind)], concern.at, concern=concern.id
        )


# -- the rules: pure, on rows of any order ------------------------------------------------------------------------


def many_patients(rows: Iterable[Row]) -> Iterator[Anomaly]:
    for own in _by_person(rows).values():
        for sitting in _sittings(own):
            most, last = _most_within(sitting, WITHIN, lambda row: row.patient)
            if most >= MANY_PATIENTS:
                yield _told("bulk", f"read protected fields of {most} patients within an hour", sitting, last)


def refusals(rows: Iterable[Row]) -> Iterator[Anomaly]:
    refused = [row for row in rows if row.outcome == REFUSED]
    for own in _by_person(refused).values():
        for sitting in _sittings(own):
            most, last = _most_within(sitting, BURST, lambda row: str(row.id))
            if most >= MANY_REFUSALS:
                anomaly = _told("denied", f"was refused {most} times within ten minutes", sitting, last)
                yield replace(anomaly, wanted=replace(anomaly.wanted or Wanted(), outcome=REFUSED))


def guesses(rows: Iterable[Row]) -> Iterator[Anomaly]:
    """By whoever it was, for an account that there is."""
    failed = [row for row in rows if row.outcome == FAILED and row.action in SIGNINS]
    for own in _by_person(failed).values():
        for sitting in _sittings(own):
            most, last = _most_within(sitting, BURST, lambda row: str(row.id))
            if most >= MANY_REFUSALS:
                sentence = f"had {most} wrong passwords or codes for the account within ten minutes"
                anomaly = _told("guess", sentence, sitting, last)
                yield replace(anomaly, wanted=replace(anomaly.wanted or Wanted(), outcome=FAILED))


def relatives(rows: Iterable[Row]) -> Iterator[Anomaly]:
    for row in rows:
        how = "read" if row.action in READS else "opened"
        anomaly = _told("relative", f"{how} the record of a patient with the same surname", [row], row)
        yield replace(anomaly, wanted=Wanted(person=row.person, patient=row.patient))


def after_hours(rows: Iterable[Row], opens: int, closes: int, days: Collection[int]) -> Iterator[Anomaly]:
    """`days`: of the week, Monday is 1."""

    def is_open(moment: datetime) -> bool:
        return opens <= moment.hour < closes and moment.isoweekday() in days

    late = [row for row in rows if not is_open(timezone.localtime(row.at))]
    for own in _by_person(late).values():
        for sitting in _sittings(own):
            patients = len({row.patient for row in sitting})
            whom = "a patient" if patients == 1 else f"{patients} patients"
            yield _told("hours", f"read protected fields of {whom} outside opening hours", sitting, sitting[-1])


def _by_person(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Each person's rows, oldest first; nobody's are left out."""
    people: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.id):
        if row.person:
            people[row.person].append(row)
    return people


def _sittings(rows: Sequence[Row]) -> Iterator[list[Row]]:
    sitting: list[Row] = []
    for row in rows:
        if sitting and row.at - sitting[-1].at > PAUSE:
            yield sitting
            sitting = []
        sitting.append(row)
    if sitting:
        yield sitting


def _most_within(rows: Sequence[Row], span: timedelta, what: Any) -> tuple[int, Row]:
    """The most different things in any such span, and the row that made it so many."""
    most, last, first = 0, rows[0], 0
    held: dict[str, int] = defaultdict(int)
    for row in rows:
        held[what(row)] += 1
        while row.at - rows[first].at > span:
            gone = what(rows[first])
            held[gone] -= 1
            if not held[gone]:
                del held[gone]
            first += 1
        if len(held) > most:
            most, last = len(held), row
    return most, last


def _told(kind: str, sentence: str, sitting: Sequence[Row], last: Row) -> Anomaly:
    wanted = Wanted(person=last.person)
    return Anomaly(kind, last.person_name, sentence, sitting[0].at, sitting[-1].at, wanted, last.id + 1)


def by_kind(anomalies: Iterable[Anomaly]) -> list[tuple[str, list[Anomaly]]]:
    """Gravest kind first, newest first in each."""
    ranked = sorted(anomalies, key=lambda a: (KINDS.index(a.kind), -a.at.timestamp()))
    return [(kind, list(group)) for kind, group in groupby(ranked, key=lambda a: a.kind)]


KINDS = ["decoy", "break_glass", "bulk", "relative", "denied", "guess", "hours"]
