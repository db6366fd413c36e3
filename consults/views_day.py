"""The clinician's day: who waits, what is open, what is done, and the search for a patient."""

from collections import defaultdict
from typing import Any
from uuid import UUID

from django.core.cache import cache
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from accounts import sessions
from accounts.access import clinician, person
from consults import alerts, waiting_room
from consults.alert_words import Said, said
from consults.models import Consult
from vault import audit
from vault import search as vault_search

#: rows a list shows
RECENT = 20
#: seconds after which a page that fetches its lists anew all the time is a look again
LOOK_AGAIN = 15 * 60


def _lists(request: HttpRequest) -> dict[str, Any]:
    mine = Consult.objects.filter(clinician=person(request)).select_related("patient")
    waiting = waiting_room.look(person(request))
    waiting_ids = {one.consult.id for one in waiting}
    live = list(mine.filter(ended_at=None).exclude(admitted_at=None).order_by("-admitted_at"))
    begun = mine.filter(ended_at=None, admitted_at=None).order_by("-created_at")[:RECENT]
    return {
        "now": timezone.now(),
        "waiting": waiting,
        "live": _with_warnings(live),
        "open": _with_warnings([c for c in begun if c.id not in waiting_ids]),
        "done": mine.exclude(ended_at=None).order_by("-ended_at")[:RECENT],
    }


def _with_warnings(consults: list[Consult]) -> list[tuple[Consult, list[Said]]]:
    found = defaultdict[UUID, list[Said]](list)
    for alert in alerts.standing(consult.pk for consult in consults):
        found[alert.consult_id].append(said(alert, reader="clinician"))
    return [(consult, found[consult.pk]) for consult in consults]


def _looked(request: HttpRequest, *, opened: bool) -> None:
    """The lists name patients, if only by initials. Of a page that stays open, an entry now and then says enough."""
    by = sessions.actor(request)
    if cache.add(f"looked-at-lists:{by.person}:{by.session}", True, LOOK_AGAIN) or opened:
        audit.record("consult.list", by)


@clinician
@require_GET
def dashboard(request: HttpRequest) -> HttpResponse:
    _looked(request, opened=True)
    return render(request, "consults/dashboard.html", _lists(request))


@clinician
@require_GET
def dashboard_lists(request: HttpRequest) -> HttpResponse:
    _looked(request, opened=False)
    return render(request, "consults/_lists.html", _lists(request))


@clinician
@require_POST
def search(request: HttpRequest) -> HttpResponse:
    """Search as one types. A POST, so that what is typed is in no address and no log."""
    query = request.POST.get("q", "").strip()
    found = vault_search.Found()
    if query:
        with transaction.atomic():
            found = vault_search.find(person(request).clinic_id, query, sessions.actor(request))
    return render(request, "consults/_search_results.html", {"found": found, "asked": bool(query)})
