"""The live board of visits, one visit's call, and how often calls fail."""

from typing import Any
from uuid import UUID

from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts import sessions
from accounts.access import denied, person, requires
from accounts.models import User
from consults import alert_words, alerts, call_chart, call_now, call_summary
from consults import board as live
from consults.views_day import LOOK_AGAIN
from vault import audit

operator = requires(User.Role.OPERATOR)
watcher = requires(User.Role.CLINICIAN, User.Role.OPERATOR)

#: weeks that the page of failures shows
WEEKS = 26


def _board(request: HttpRequest, *, opened: bool) -> dict[str, Any]:
    by = sessions.actor(request)
    # Of a page that stays open, an entry now and then says enough.
    if cache.add(f"looked-at-board:{by.person}:{by.session}", True, LOOK_AGAIN) or opened:
        audit.record("board.view", by)
    found, now = live.now(person(request)), timezone.now()
    return {
        "late": alerts.is_late(now),
        "sessions": found,
        "in_call": sum(one.stage == "call" for one in found),
        "waiting": sum(one.stage == "waiting" for one in found),
        "warned": sum(bool(one.warnings) for one in found),
        "names": person(request).role == User.Role.CLINICIAN,
        "now": now,
    }


@watcher
@require_GET
def board(request: HttpRequest) -> HttpResponse:
    return render(request, "consults/board.html", _board(request, opened=True))


@watcher
@require_GET
def sessions_now(request: HttpRequest) -> HttpResponse:
    return render(request, "consults/_board.html", _board(request, opened=False))


def _one(request: HttpRequest, consult_id: UUID, *, opened: bool) -> dict[str, Any]:
    """How the call of one visit went or goes; nothing says whose visit it is."""
    consult = live.visible(person(request)).select_related("clinician").filter(pk=consult_id).first()
    if consult is None:
        denied(request, request.path)
        raise Http404
    by = sessions.actor(request)
    if cache.add(f"looked-at-call:{by.person}:{by.session}:{consult.pk}", True, LOOK_AGAIN) or opened:
        audit.record("board.visit", by, patient=consult.patient_id, consult=consult.id)
    call = call_summary.of(consult)
    warnings = [alert_words.said(a, reader="operator") for a in consult.alerts.order_by("raised_at")]
    return {
        "consult": consult,
        "name": alert_words.short(consult.pk),
        "figures": [] if consult.ended_at else call_now.figures(consult),
        "call": call,
        "chart": call_chart.draw(call, consult.admitted_at, warnings) if call else None,
        "warnings": warnings,
    }


@operator
@require_GET
def one(request: HttpRequest, consult_id: UUID) -> HttpResponse:
    return render(request, "consults/board_visit.html", _one(request, consult_id, opened=True))


@operator
@require_GET
def one_now(request: HttpRequest, consult_id: UUID) -> HttpResponse:
    return render(request, "consults/_board_visit.html", _one(request, consult_id, opened=False))


@operator
@require_GET
def reliability(request: HttpRequest) -> HttpResponse:
    weeks = call_summary.weeks(person(request).clinic_id, timezone.now(), WEEKS)
    audit.record("board.reliability", sessions.actor(request))
    context = {
        "weeks": [week for week in reversed(weeks) if week.calls],
        "chart": call_chart.draw_weeks(weeks),
        "all": call_summary.total(weeks),
        "recent": call_summary.total(weeks[-4:]),
    }
    return render(request, "consults/reliability.html", context)
