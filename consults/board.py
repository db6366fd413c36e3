"""The live board: every visit that is open now, how its call goes, and what is wrong, in a handful of queries."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Avg, Count, Q, QuerySet
from django.utils import timezone

from accounts.models import User
from consults import alert_words, alerts, visit
from consults.alert_words import Said
from consults.models import Consult, Participant
from consults.quality_models import QualitySample

#: how far back the figures of "now" go
LATELY = timedelta(seconds=12)
#: sessions that one page shows
MOST = 300
#: marks of ITU-T G.107, annex B: below the first many, below the second nearly all are dissatisfied
GOOD, FAIR = 4.0, 3.1


@dataclass(frozen=True, slots=True)
class Side:
    here: bool
    mos: float | None
    rtt_ms: float | None
    loss: float | None
    relayed: bool


NOBODY = Side(here=False, mos=None, rtt_ms=None, loss=None, relayed=False)


@dataclass(frozen=True, slots=True)
class Session:
    consult: Consult
    stage: str
    since: datetime
    clinician: Side
    patient: Side
    warnings: list[Said]

    @property
    def name(self) -> str:
        return alert_words.short(self.consult.pk)

    @property
    def connection(self) -> tuple[str, str]:
        """In a word, and its colour: good, warn, bad or nothing."""
        if self.stage != "call":
            return ("Not in the call", "")
        if not (self.clinician.here and self.patient.here):
            away = "Nobody" if not (self.clinician.here or self.patient.here) else "One side only"
            return (f"{away} connected", "warn")
        marks = [mos for mos in (self.clinician.mos, self.patient.mos) if mos is not None]
        if not marks:
            return ("Connecting", "warn")
        worst = min(marks)
        if worst >= GOOD:
            return ("Good", "good")
        return ("Fair", "warn") if worst >= FAIR else ("Poor", "bad")


def visible(who: User) -> QuerySet[Consult]:
    """A clinician's own visits; an operator's clinic."""
    rows = Consult.objects.filter(clinic=who.clinic_id)
    return rows if who.role == User.Role.OPERATOR else rows.filter(clinician=who)


def now(who: User) -> list[Session]:
    """Who is in a call or waits: what is wrong first, then the longest."""
    rows = visible(who).filter(ended_at=None).select_related("clinician", "patient").prefetch_related("participants")
    consults = list(rows.order_by("-admitted_at", "-created_at")[:MOST])
    figures = _figures([consult.pk for consult in consults])
    warnings: dict[UUID, list[Said]] = defaultdict(list)
    for alert in alerts.standing(consult.pk for consult in consults):
        warnings[alert.consult_id].append(alert_words.said(alert, reader=who.role))
    found = [_session(consult, figures, warnings[consult.pk]) for consult in consults]
    shown = [one for one in found if one.stage != "invited" or one.warnings]
    return sorted(shown, key=lambda one: (not one.warnings, one.stage != "call", one.since))


def _figures(consults: list[UUID]) -> dict[UUID, dict[str, Any]]:
    rows = QualitySample.objects.filter(consult__in=consults, at__gt=timezone.now() - LATELY).values("participant")
    found = rows.annotate(
        mos=Avg("mos"), rtt_ms=Avg("rtt_ms"), loss=Avg("loss"), relay=Count("pk", filter=Q(relayed=True))
    )
    return {row["participant"]: dict(row) for row in found}


def _session(consult: Consult, figures: dict[UUID, dict[str, Any]], warnings: list[Said]) -> Session:
    seats = {seat.role: seat for seat in consult.participants.all() if seat.left_at is None}
    guest = seats.get(Participant.Role.PATIENT)
    waiting = guest.waiting_since if guest else None
    stage = "call" if consult.admitted_at else "waiting" if waiting else "invited"
    clinician, patient = (
        _side(seats.get(role), figures) for role in (Participant.Role.CLINICIAN, Participant.Role.PATIENT)
    )
    since = consult.admitted_at or waiting or consult.created_at
    return Session(consult, stage, since, clinician, patient, warnings)


def _side(seat: Participant | None, figures: dict[UUID, dict[str, Any]]) -> Side:
    if seat is None:
        return NOBODY
    row = figures.get(seat.pk)
    if row is None:
        return Side(visit.is_here(seat), None, None, None, relayed=False)
    return Side(visit.is_here(seat), row["mos"], row["rtt_ms"], row["loss"], relayed=bool(row["relay"]))
