"""What a privacy officer makes of the log: saved views, reviews signed off, files."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import attempts, sessions
from accounts.access import person
from consults import audit_files, audit_filters, audit_reviews
from consults.audit_filters import Wanted
from consults.audit_forms import LogExportForm, ReviewForm
from consults.audit_models import AuditExport, AuditReview
from consults.confirming import confirmed
from consults.views_audit import list_of, looked, officer, one_of, page_of, wanted_of
from vault.models import Patient

#: sign-offs and exports that a page shows
RECENT, RECENT_EXPORTS = 50, 10
#: exports one person may begin in 15 minutes
EXPORTS = 20


@officer
@require_POST
def views(request: HttpRequest) -> HttpResponse:
    """Keep the filter of this page under a name, or remove one."""
    who, by = person(request), sessions.actor(request)
    wanted = wanted_of(request, QueryDict(request.POST.get("query", "")[:400]))
    try:
        if gone := request.POST.get("remove", ""):
            audit_reviews.remove_view(who, by, UUID(gone))
            messages.success(request, "Removed.")
        else:
            view = audit_reviews.save_view(who, by, name=request.POST.get("name", ""), query=wanted.query)
            messages.success(request, f"Saved as “{view.name}”.")
    except (audit_reviews.NotDone, ValueError) as error:
        messages.warning(request, str(error) if isinstance(error, audit_reviews.NotDone) else "This view is gone.")
    return redirect(list_of(wanted))


# -- reviews ------------------------------------------------------------------------------------------------------


@officer
@require_http_methods(["GET", "POST"])
def reviews(request: HttpRequest) -> HttpResponse:
    who, wanted = person(request), wanted_of(request)
    today = timezone.localdate().isoformat()
    last = audit_reviews.latest(who.clinic_id)
    initial = {
        "since": wanted.since or (timezone.localdate(last.until).isoformat() if last else today),
        "until": wanted.until or today,
        "person": wanted.person,
    }
    about = Patient.objects.get(pk=wanted.patient) if wanted.patient else None
    form = ReviewForm(who, request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid() and _signed(request, form, about):
        return redirect("admin:vault_auditentry_reviews")
    looked(request, "reviews", patient=wanted.patient)
    context = {
        "form": form,
        "subject": about,
        "signed": audit_reviews.of_clinic(who.clinic_id)[:RECENT],
    }
    return page_of(request, "reviews", "Reviews of the log", context)


def _signed(request: HttpRequest, form: ReviewForm, about: Patient | None) -> bool:
    typed = form.cleaned_data
    days = Wanted(since=typed["since"].isoformat(), until=typed["until"].isoformat())
    assert days.since_at  # noqa: S101  (the form wants both)
    assert days.until_at  # noqa: S101
    try:
        audit_reviews.sign(
            person(request),
            sessions.actor(request),
            since=days.since_at,
            until=days.until_at,
            finding=typed["finding"],
            note=typed["note"],
            person=typed["person"],
            patient=about,
        )
    except audit_reviews.NotDone as error:
        form.add_error(None, str(error))
        return False
    messages.success(request, "Signed off. It is in the log.")
    return True


@officer
@require_GET
def review(request: HttpRequest, review_id: UUID) -> HttpResponse:
    found: AuditReview = one_of(request, audit_reviews.of_clinic(person(request).clinic_id).filter(pk=review_id))
    looked(request, "review", patient=str(found.patient_id or ""), review=str(found.pk))
    return page_of(request, "review", "A review", {"review": found, "note": audit_reviews.note_of(found)})


# -- files --------------------------------------------------------------------------------------------------------


@officer  # type: ignore[arg-type]  # a file is no HttpResponse to the types
@require_http_methods(["GET", "POST"])
def export(request: HttpRequest) -> HttpResponseBase:
    wanted, form = wanted_of(request), LogExportForm(request.POST or None, initial={"form": "csv"})
    if request.method == "POST" and form.is_valid() and confirmed(request, form):
        if attempts.allowed("audit-export", str(person(request).pk), limit=EXPORTS):
            return _sent(request, wanted, form.cleaned_data["form"])
        form.add_error(None, "You have begun very many exports. Wait 15 minutes, then go on.")
    else:
        looked(request, "export", patient=wanted.patient, consult=wanted.consult, filter=wanted.query)
    context = {
        "wanted": wanted,
        "chips": audit_filters.chips(wanted),
        "form": form,
        "confirmed": sessions.confirmed_recently(request.session),
        "most": f"{audit_files.MOST_ROWS:,}",
        "exports": _exports(request),
    }
    return page_of(request, "export", "Export from the log", context)


def _sent(request: HttpRequest, wanted: Wanted, form: str) -> StreamingHttpResponse:
    by = sessions.actor(request)
    begun = audit_files.begin(person(request), by, wanted, form)
    pieces: Iterator[bytes] = audit_files.lines(begun, by, wanted)
    return StreamingHttpResponse(
        audit_files.in_pieces(pieces) if isinstance(request, ASGIRequest) else pieces,
        content_type=audit_files.FORMS[form].content_type,
        headers={"Content-Disposition": f'attachment; filename="{audit_files.name_of(begun)}"'},
    )


def _exports(request: HttpRequest) -> Any:
    return AuditExport.objects.filter(officer=person(request))[:RECENT_EXPORTS]


@officer
@require_GET
def progress(request: HttpRequest) -> HttpResponse:
    """How far the own exports have come; says nothing of the log, so it is no look at it."""
    return render(request, "admin/vault/auditentry/_exports.html", {"exports": _exports(request)})
