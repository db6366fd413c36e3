"""A privacy officer's pages: what needs a look, one of it, finding a patient, her record, a decoy."""

from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import sessions
from accounts.access import denied, person, requires
from accounts.models import User
from consults import concerns, holds, receipts
from consults.confirming import confirmed
from consults.forms import DecoyForm, SignForm
from consults.models import Concern
from vault import audit
from vault import patients as vault_patients
from vault import search as vault_search
from vault.core.fields import KINDS
from vault.models import AuditEntry, Patient

#: rows a list shows
RECENT = 20

officer = requires(User.Role.PRIVACY_OFFICER)


@officer
@require_GET
def review(request: HttpRequest) -> HttpResponse:
    clinic = person(request).clinic_id
    audit.record("review.view", sessions.actor(request))
    context = {"waiting": concerns.waiting(clinic), "signed": concerns.signed(clinic)[:RECENT]}
    return render(request, "consults/review.html", context)


@officer
@require_http_methods(["GET", "POST"])
def review_one(request: HttpRequest, concern_id: UUID) -> HttpResponse:
    concern = _concern(request, concern_id)
    form = SignForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        typed = form.cleaned_data
        try:
            concerns.sign(
                concern, person(request), finding=typed["finding"], note=typed["note"], by=sessions.actor(request)
            )
        except concerns.NotSigned as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, "Signed off. It is in the log.")
            return redirect("review")
    context = {
        "concern": concern,
        "patient": concern.patient,
        "reason": concerns.reason_of(concern, sessions.actor(request)),
        "entries": [_told(entry) for entry in concerns.read_under(concern)[:RECENT]],
        "form": form,
        "findings": Concern.Finding.choices,
        "about_you": concern.person_id == person(request).pk,
    }
    return render(request, "consults/review_one.html", context)


def _told(entry: AuditEntry) -> dict[str, object]:
    """One entry as a reviewer reads it."""
    fields = [KINDS[f].label.lower() for f in entry.detail.get("fields", []) if f in KINDS]
    return {
        "at": entry.at,
        "sentence": audit.ACTIONS.get(entry.action, entry.action),
        "fields": ", ".join(fields),
        "purpose": vault_patients.PURPOSES.get(entry.purpose, ""),
        "refused": entry.outcome == AuditEntry.Outcome.REFUSED,
    }


def _concern(request: HttpRequest, concern_id: UUID) -> Concern:
    try:
        rows = Concern.objects.select_related("person", "patient", "reviewer")
        return rows.get(pk=concern_id, clinic=person(request).clinic_id)
    except Concern.DoesNotExist:
        denied(request, request.path)
        raise Http404 from None


@officer
@require_POST
def review_search(request: HttpRequest) -> HttpResponse:
    """The patient finder: a POST, so that what is typed is in no address and no log."""
    query = request.POST.get("q", "").strip()
    found = vault_search.Found()
    if query:
        with transaction.atomic():
            found = vault_search.find(person(request).clinic_id, query, sessions.actor(request))
    return render(request, "consults/_search_results.html", {"found": found, "asked": bool(query), "officer": True})


@officer
@require_GET
def review_patient(request: HttpRequest, patient_id: UUID) -> HttpResponse:
    """A record as an officer sees it: masks, and who did what with it."""
    try:
        record = vault_patients.by_id(person(request).clinic_id, patient_id)
    except Patient.DoesNotExist:
        denied(request, request.path)
        raise Http404 from None
    audit.record("patient.view", sessions.actor(request), patient=record.id)
    entries = AuditEntry.objects.filter(patient=str(record.id)).order_by("-id")[:RECENT]
    context = {
        "patient": record,
        "fields": [(f, KINDS[f].label, mask) for f, mask in record.masked.items()],
        "entries": [{**_told(entry), "who": entry.person_name or entry.role} for entry in entries],
        "held": holds.standing(record.pk).count(),
        "links": receipts.open_links(record).count(),
    }
    return render(request, "consults/review_patient.html", context)


@officer
@require_http_methods(["GET", "POST"])
def review_decoy(request: HttpRequest) -> HttpResponse:
    """Add a patient, or a made-up one whom nobody has a reason to read. Nothing at rest tells which."""
    form = DecoyForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and confirmed(request, form):
        values = {f: v for f, v in form.values().items() if f in KINDS}
        try:
            # One entry like any other patient's: an entry of its own would name the decoy to whoever reads the log.
            decoy = form.cleaned_data["decoy"]
            vault_patients.create(person(request).clinic_id, values, sessions.actor(request), canary=decoy)
        except vault_patients.BadFields as error:
            for field, message in error.errors.items():
                form.add_error(field, message)
        else:
            said = "You are told when somebody reads the record." if decoy else "Everything protected is sealed."
            messages.success(request, f"The record is among the patients'. {said}")
            return redirect("review")
    fresh = sessions.confirmed_recently(request.session)
    return render(request, "consults/review_decoy.html", {"form": form, "confirmed": fresh})
