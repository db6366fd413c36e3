"""Patients' records: adding one, the masked record, values read for a purpose, starting a consult from it."""

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import attempts, sessions, signin
from accounts.access import clinician, denied, person
from consults import visit
from consults.answers import sorry
from consults.forms import PatientForm, RevealForm, first_error
from consults.models import Consult
from vault import audit
from vault import patients as vault_patients
from vault.core.fields import KINDS
from vault.models import Patient

#: consults that a record shows
RECENT = 20
#: how often one person may read protected values in 15 minutes: far above a day's work, far below copying a clinic
REVEALS = 60


def _patient(request: HttpRequest, patient_id: UUID) -> Patient:
    try:
        return vault_patients.by_id(person(request).clinic_id, patient_id)
    except Patient.DoesNotExist:
        denied(request, request.path)
        raise Http404 from None


@clinician
@require_http_methods(["GET", "POST"])
def patient_new(request: HttpRequest) -> HttpResponse:
    form = PatientForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            patient = vault_patients.create(person(request).clinic_id, form.values(), sessions.actor(request))
        except vault_patients.BadFields as error:
            for field, message in error.errors.items():
                form.add_error(field, message)
        else:
            messages.success(request, "The patient is added. Everything protected is sealed.")
            return redirect("patient", patient.id)
    return render(request, "consults/patient_new.html", {"form": form})


@clinician
@require_GET
def patient(request: HttpRequest, patient_id: UUID) -> HttpResponse:
    record = _patient(request, patient_id)
    audit.record("patient.view", sessions.actor(request), patient=record.id)
    context = {
        "patient": record,
        "fields": [(f, KINDS[f].label, mask) for f, mask in record.masked.items()],
        "purposes": vault_patients.PURPOSES.items(),
        "consults": Consult.objects.filter(patient=record, clinician=person(request)).order_by("-created_at")[:RECENT],
        "may_reveal": visit.knows(person(request), record),
        "confirmed": sessions.confirmed_recently(request.session),
    }
    return render(request, "consults/patient.html", context)


@clinician
@require_POST
def reveal(request: HttpRequest, patient_id: UUID) -> HttpResponse:
    """Protected values for a stated purpose, to a clinician of the patient with a fresh second factor."""
    record = _patient(request, patient_id)
    form = RevealForm(request.POST)
    if not form.is_valid():
        return sorry(first_error(form))
    if not visit.knows(person(request), record):
        denied(request, request.path)
        return sorry("Start a consult with this patient first; then you can read the record.", status=403)
    if not sessions.confirmed_recently(request.session):
        try:
            if not signin.judge(request, person(request), form.cleaned_data["code"], action="signin.stepup"):
                return JsonResponse(
                    {"error": "Type the current code from your authenticator app.", "code": True}, status=403
                )
        except signin.Throttled:
            return sorry("Too many tries. Wait 15 minutes, then try again.", status=429)
        sessions.confirm(request)
        audit.record("signin.stepup", sessions.actor(request))
    if not attempts.allowed("reveal", str(person(request).pk), limit=REVEALS):
        denied(request, request.path)
        return sorry("You have opened very many values. Wait 15 minutes, then go on.", status=429)
    try:
        revealed = vault_patients.reveal(
            record, form.cleaned_data["fields"], sessions.actor(request), purpose=form.cleaned_data["purpose"]
        )
    except vault_patients.NotRevealed as error:
        return sorry(str(error))
    return JsonResponse({"values": revealed.values, "seconds": 60})


@clinician
@require_POST
def start(request: HttpRequest) -> HttpResponse:
    try:
        record = _patient(request, UUID(request.POST.get("patient", "")))
    except ValueError:
        raise Http404 from None
    try:
        consult = visit.start(person(request), record, sessions.actor(request))
    except visit.NotNow as error:
        messages.error(request, str(error))
        return redirect("patient", record.id)
    return redirect("room", consult.id)
