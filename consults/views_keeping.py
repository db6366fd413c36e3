"""A privacy officer's pages about keeping and erasing: for how long, what must not be erased, her links."""

from collections.abc import Mapping
from types import MappingProxyType
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from accounts import sessions
from accounts.access import denied, person, requires
from accounts.models import User
from consults import holds, receipts, retention
from consults.confirming import confirmed
from consults.keeping_forms import HoldForm, KeepingForm, LiftForm
from consults.models import SCOPES
from consults.retention_models import ConsentErasure, LegalHold
from vault import audit
from vault import patients as vault_patients
from vault.models import Patient

#: erasures that the page lists
RECENT = 10

officer = requires(User.Role.PRIVACY_OFFICER)


def _patient(request: HttpRequest, patient_id: UUID) -> Patient:
    try:
        return vault_patients.by_id(person(request).clinic_id, patient_id)
    except Patient.DoesNotExist:
        denied(request, request.path)
        raise Http404 from None


@officer
@require_http_methods(["GET", "POST"])
def keeping(request: HttpRequest) -> HttpResponse:
    """How long consent is kept, by what it is for; what is due, and what is held."""
    clinic, now = person(request).clinic, timezone.now()
    form = KeepingForm(request.POST or None, chosen=retention.periods(clinic.pk, now))
    if request.method == "POST" and form.is_valid() and confirmed(request, form):
        with transaction.atomic():
            rows = [
                retention.choose(person(request), scope, days, sessions.actor(request))
                for scope, days in form.days().items()
            ]
        waits = any(row and row.in_force_at > row.chosen_at for row in rows)
        said = "Saved. What is shorter than before counts in seven days." if waits else "Saved."
        messages.success(request, said if any(rows) else "Nothing was changed.")
        return redirect("keeping")
    audit.record("review.view", sessions.actor(request))
    chosen = retention.periods(clinic.pk, now)
    gone = ConsentErasure.objects.filter(consent__consult__clinic=clinic)
    context = {
        "form": form,
        "lines": [(form[scope], chosen[scope], _coming(chosen[scope])) for scope in SCOPES],
        "confirmed": sessions.confirmed_recently(request.session),
        "held": list(holds.of_clinic(clinic.pk)),
        "due": retention.coming_up(clinic.pk, now + retention.LOOK_AHEAD),
        "gone": gone.select_related("consent__consult__patient").order_by("-at", "-pk")[:RECENT],
    }
    return render(request, "consults/keeping.html", context)


def _coming(period: retention.Period) -> str:
    """What counts until the newest choice does."""
    if not period.coming:
        return ""
    return (
        "Nothing is erased for now" if period.days is None else f"{retention.said(period.scope, period.days)} for now"
    )


@officer
@require_http_methods(["GET", "POST"])
def hold(request: HttpRequest, patient_id: UUID) -> HttpResponse:
    """All holds of a record, with their reasons. POST: place one."""
    patient = _patient(request, patient_id)
    form = HoldForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and confirmed(request, form):
        try:
            holds.place(patient, person(request), form.cleaned_data["reason"], sessions.actor(request))
        except holds.NotHeld as error:
            form.add_error("reason", str(error))
        else:
            messages.success(request, "The hold stands. Nothing of this record is erased until you lift it.")
            return redirect("hold", patient.pk)
    return _holds(request, patient, form)


@officer
@require_POST
def lift(request: HttpRequest, patient_id: UUID, hold_id: UUID) -> HttpResponse:
    patient = _patient(request, patient_id)
    found = LegalHold.objects.filter(pk=hold_id, patient=patient).first()
    if found is None:
        denied(request, request.path)
        raise Http404
    form = LiftForm(request.POST, auto_id=f"{hold_id}-%s")
    if form.is_valid() and confirmed(request, form):
        try:
            holds.lift(found, person(request), form.cleaned_data["reason"], sessions.actor(request))
        except holds.NotHeld as error:
            form.add_error("reason", str(error))
        else:
            messages.success(request, "The hold is lifted.")
            return redirect("hold", patient.pk)
    return _holds(request, patient, HoldForm(), {found.pk: form})


def _holds(
    request: HttpRequest, patient: Patient, place: HoldForm, lifts: Mapping[UUID, HoldForm] = MappingProxyType({})
) -> HttpResponse:
    """`lifts`: hold -> the form by which it was to be lifted and was not."""
    opened = holds.history(patient, sessions.actor(request))
    context = {
        "patient": patient,
        "stand": [
            (one, lifts.get(one.hold.pk) or LiftForm(auto_id=f"{one.hold.pk}-%s"))
            for one in opened
            if not hasattr(one.hold, "lift")
        ],
        "lifted": [one for one in opened if hasattr(one.hold, "lift")],
        "form": place,
        "confirmed": sessions.confirmed_recently(request.session),
    }
    return render(request, "consults/hold.html", context)


@officer
@require_POST
def close_links(request: HttpRequest, patient_id: UUID) -> HttpResponse:
    """For a patient who calls because somebody else has her link."""
    patient = _patient(request, patient_id)
    closed = receipts.close_all(patient, sessions.actor(request))
    messages.success(request, "The links are closed for good." if closed else "No link was open.")
    return redirect("review-patient", patient.pk)
