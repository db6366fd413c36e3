"""A privacy officer's pages about the audit log. Each look is an entry itself: one a page, not one a row."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from accounts import sessions
from accounts.access import denied, person, requires
from accounts.models import User
from consults import (
    audit_activity,
    audit_anomalies,
    audit_chart,
    audit_filters,
    audit_lines,
    audit_lists,
    audit_lookers,
    audit_reviews,
)
from consults.audit_filters import NotAFilter, Wanted
from consults.audit_forms import NarrowForm, SaveViewForm
from consults.audit_lists import Cursor
from consults.models import Consult
from vault import audit
from vault.models import AuditArchive, AuditEntry, Patient

LIST = "admin:vault_auditentry_changelist"

officer = requires(User.Role.PRIVACY_OFFICER)


def looked(request: HttpRequest, page: str, *, patient: str = "", consult: str = "", **more: Any) -> None:
    audit.record(
        "audit.view",
        sessions.actor(request),
        patient=UUID(patient) if patient else None,
        consult=UUID(consult) if consult else None,
        page=page,
        **more,
    )


def page_of(
    request: HttpRequest, template: str, title: str, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    gone = AuditArchive.objects.filter(dropped=True).order_by("-size").first()
    about = {**admin.site.each_context(request), "opts": AuditEntry._meta, "title": title, "gone": gone}
    return render(request, f"admin/vault/auditentry/{template}.html", {**about, **context}, status=status)


def wanted_of(request: HttpRequest, query: QueryDict | None = None) -> Wanted:
    try:
        return audit_filters.parse(request.GET if query is None else query, person(request).clinic_id)
    except NotAFilter:
        denied(request, request.path)
        raise Http404 from None


def _cursor(request: HttpRequest) -> Cursor:
    def number(name: str) -> int | None:
        text = request.GET.get(name, "")
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None

    return Cursor(number("before"), number("after"), "oldest" in request.GET)


# -- the log ------------------------------------------------------------------------------------------------------


@officer
@require_GET
def log(request: HttpRequest) -> HttpResponse:
    who, wanted, cursor = person(request), wanted_of(request), _cursor(request)
    page = audit_lists.page(audit_lists.scope(who.clinic_id, wanted), cursor)
    context = {
        "wanted": wanted,
        "chips": audit_filters.chips(wanted),
        "days": audit_lines.by_day(who.clinic_id, page.entries),
        "page": page,
        "keep": wanted.query,
        "narrow": NarrowForm(who, initial=_as_chosen(wanted)),
        "saved": who.audit_views.all(),
        "save": SaveViewForm(),
        "reviewed": audit_reviews.latest(who.clinic_id),
        **_unusual(request, wanted, cursor),
    }
    looked(request, "list", patient=wanted.patient, consult=wanted.consult, filter=wanted.query)
    return page_of(request, "change_list", "Audit log", context)


def _unusual(request: HttpRequest, wanted: Wanted, cursor: Cursor) -> dict[str, Any]:
    """What stands out, above the first page; not where the officer has asked for some kinds of entries only."""
    kinds = ("about", "action", "outcome", "role", "purpose", "source", "session")
    if cursor != Cursor() or any(getattr(wanted, name) for name in kinds):
        return {}
    period = wanted
    if not (wanted.since or wanted.until):
        day = timezone.localdate() - audit_anomalies.USUAL_PERIOD
        period = replace(wanted, since=day.isoformat())
    found = audit_anomalies.look(person(request).clinic_id, period, sessions.actor(request))
    return {"found": found, "unusual": audit_anomalies.by_kind(found.anomalies), "period": period}


def _as_chosen(wanted: Wanted) -> dict[str, str]:
    """The filters as the form beside the list shows them."""
    number = Patient.objects.filter(pk=wanted.patient).values_list("record_number", flat=True) if wanted.patient else []
    what = f"action:{wanted.action}" if wanted.action else f"about:{wanted.about}" if wanted.about else ""
    same = ("person", "role", "outcome", "purpose", "since", "until", "consult", "source", "session")
    return {name: getattr(wanted, name) for name in same} | {"what": what, "record_number": next(iter(number), "")}


@officer
@require_POST
def narrow(request: HttpRequest) -> HttpResponse:
    """From what was typed to an address that holds ids and dates only."""
    who = person(request)
    form = NarrowForm(who, request.POST)
    form.is_valid()
    typed = form.cleaned_data
    if typed.get("q"):
        return _search(request, typed["q"])
    for name in form.errors:
        messages.warning(request, f"{form.fields[name].label}: this was not understood and is left out.")
    kind, _, what = typed.get("what", "").partition(":")
    same = ("role", "outcome", "purpose", "since", "until", "consult", "source", "session")
    given = {name: str(typed.get(name) or "") for name in same}
    wanted = Wanted(**given, person=str(typed["person"].pk) if typed.get("person") else "")
    wanted = replace(wanted, **({kind: what} if kind else {}))
    if number := typed.get("record_number"):
        found = audit_filters.patient_by_number(who.clinic_id, number)
        looked(request, "search", found=int(found is not None))
        if found is None:
            messages.warning(request, "No patient has this record number. Look it up in the review's patient finder.")
        else:
            wanted = replace(wanted, patient=str(found.pk))
    if wanted.consult and not Consult.objects.filter(pk=wanted.consult, clinic=who.clinic_id).exists():
        messages.warning(request, "There is no such consult. Copy its id from an entry.")
        wanted = wanted.without("consult")
    return redirect(list_of(wanted))


def _search(request: HttpRequest, typed: str) -> HttpResponse:
    clinic = person(request).clinic_id
    number = int(typed) if typed.isascii() and typed.isdecimal() and len(typed) < 19 else 0  # as a check names an entry
    if AuditEntry.objects.filter(pk=number, clinic_id=clinic).exists():
        return redirect("admin:vault_auditentry_change", number)
    choices = audit_filters.found(clinic, typed)
    looked(request, "search", found=len(choices))
    if len(choices) == 1:
        only = choices[0].rest
        alone = only.patient and not only.without("patient")
        return redirect("admin:vault_auditentry_patient", only.patient) if alone else redirect(list_of(only))
    if choices:
        return page_of(request, "choices", "What do you mean?", {"choices": choices})
    messages.warning(
        request,
        "Nothing is called that. Type a record number, a colleague's name, or what was done. "
        "Patients' names are found on the review page.",
    )
    return redirect(LIST)


def list_of(wanted: Wanted) -> str:
    return f"{reverse(LIST)}?{wanted.query}" if wanted else reverse(LIST)


# -- timelines ----------------------------------------------------------------------------------------------------


@officer
@require_GET
def patient(request: HttpRequest, patient_id: UUID) -> HttpResponse:
    found = one_of(request, Patient.objects.filter(pk=patient_id, clinic_id=person(request).clinic_id))
    context = {"patient": found, "heading": str(found) if found.masks else f"Erased record ({found.record_number})"}
    if not {"before", "after"} & set(request.GET):
        context["lookers"] = audit_lookers.of_patient(found)
    return _timeline(request, "patient", Wanted(patient=str(patient_id)), context)


@officer
@require_GET
def person_page(request: HttpRequest, person_id: UUID) -> HttpResponse:
    found = one_of(request, User.objects.filter(pk=person_id, clinic=person(request).clinic_id))
    return _timeline(request, "person", Wanted(person=str(person_id)), {"member": found, "heading": found.name})


@officer
@require_GET
def consult(request: HttpRequest, consult_id: UUID) -> HttpResponse:
    rows = Consult.objects.select_related("clinician", "patient")
    found = one_of(request, rows.filter(pk=consult_id, clinic=person(request).clinic_id))
    heading = f"Visit of {timezone.localtime(found.created_at):%d %B %Y, %H:%M}"
    return _timeline(request, "consult", Wanted(consult=str(consult_id)), {"consult": found, "heading": heading})


def one_of(request: HttpRequest, rows: Any) -> Any:
    if (found := rows.first()) is None:
        denied(request, request.path)
        raise Http404
    return found


def _timeline(request: HttpRequest, kind: str, wanted: Wanted, about: dict[str, Any]) -> HttpResponse:
    clinic, cursor = person(request).clinic_id, _cursor(request)
    ascending = request.GET.get("order") == "oldest"
    if ascending and cursor == Cursor():
        cursor = Cursor(oldest=True)
    page = audit_lists.page(audit_lists.scope(clinic, wanted, whole=kind != "person"), cursor)
    context = {
        **about,
        "kind": kind,
        "wanted": wanted,
        "ascending": ascending,
        "page": page,
        "keep": "order=oldest" if ascending else "order=newest",
        "days": audit_lines.by_day(clinic, page.entries[::-1] if ascending else page.entries),
    }
    more = {"about": wanted.person} if wanted.person else {}
    looked(request, f"timeline of a {kind}", patient=wanted.patient, consult=wanted.consult, **more)
    return page_of(request, "timeline", about["heading"], context)


# -- activity -----------------------------------------------------------------------------------------------------


@officer
@require_GET
def activity(request: HttpRequest) -> HttpResponse:
    chosen = request.GET.get("span", "week")
    if chosen not in audit_activity.SPANS:
        raise Http404
    span = audit_activity.SPANS[chosen]
    bars = audit_activity.bars(person(request).clinic, span, timezone.now())
    looked(request, "activity", span=chosen)
    context = {
        "spans": audit_activity.SPANS.items(),
        "chosen": chosen,
        "span": span,
        "chart": audit_chart.draw(bars, span),
        "bars": bars[::-1],
        "uncounted": sum(not bar.counted for bar in bars),
    }
    return page_of(request, "activity", "Activity", context)
