"""Patients' records: adding one, the masked record, values read for a purpose, starting a consult from it."""

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import sessions
from accounts.access import clinician, denied, person
from consults import concerns, reading, tasks, visit
from consults.answers import sorry
from consults.confirming import confirmed
from consults.forms import ChangeForm, EmergencyForm, PatientForm, RevealForm, first_error
from consults.models import Consult
from vault import audit
from vault import patients as vault_patients
from vault.core.fields import KINDS
from vault.models import Patient

#: consults that a record shows
RECENT = 20


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
        "fields": _masked(record),
        "purposes": vault_patients.PURPOSES.items(),
        "consults": Consult.objects.filter(patient=record, clinician=person(request)).order_by("-created_at")[:RECENT],
        "may_reveal": reading.may_read(person(request), record),
        "emergency": concerns.standing(person(request), record),
        "confirmed": sessions.confirmed_recently(request.session),
        "relay_offered": bool(settings.TURN_URLS) and not person(request).clinic.relay_only,
    }
    return render(request, "consults/patient.html", context)


def _masked(record: Patient) -> list[tuple[str, str, str]]:
    return [(f, KINDS[f].label, mask) for f, mask in record.masked.items()]


def _reader(request: HttpRequest) -> reading.Reader:
    fresh = sessions.confirmed_recently(request.session)
    return reading.Reader(person(request), sessions.actor(request), fresh)


def _consult(request: HttpRequest, record: Patient, form: RevealForm) -> UUID | None:
    """The reader's own visit with this patient that the page named, if any; the log must not name another."""
    named: UUID | None = form.cleaned_data["consult"]
    if named and not Consult.objects.filter(pk=named, patient=record, clinician=person(request)).exists():
        denied(request, request.path)
        raise Http404
    return named


@clinician
@require_POST
def reveal(request: HttpRequest, patient_id: UUID) -> HttpResponse:
    """Protected values for a stated purpose, to a clinician of the patient with a fresh second factor."""
    record = _patient(request, patient_id)
    form = RevealForm(request.POST)
    if not form.is_valid():
        return sorry(first_error(form))
    # A code is judged only for somebody who would get something for it.
    if reading.may_read(person(request), record) and not confirmed(request, form):
        return JsonResponse({"error": first_error(form, named=False), "code": "code" in form.errors}, status=403)
    typed = form.cleaned_data
    try:
        read = reading.reveal(
            _reader(request), record, typed["fields"], purpose=typed["purpose"], consult=_consult(request, record, form)
        )
    except reading.Refused as refused:
        return sorry(str(refused), status=429 if refused.why == "quota" else 403)
    except vault_patients.NotRevealed as error:
        return sorry(str(error))
    if read.concern:
        tasks.enqueue(tasks.tell_officers, str(read.concern.id))
    return JsonResponse({"values": read.values, "seconds": reading.SHOWN_SECONDS})


@clinician
@require_http_methods(["GET", "POST"])
def emergency(request: HttpRequest, patient_id: UUID) -> HttpResponse:
    """Access to one record for 15 minutes, with a reason that a privacy officer reads."""
    record = _patient(request, patient_id)
    if reading.may_read(person(request), record):
        return redirect("patient", record.id)
    form = EmergencyForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and confirmed(request, form):
        try:
            concern = concerns.break_glass(
                person(request), record, form.cleaned_data["reason"], sessions.actor(request)
            )
        except concerns.NotOpened as error:
            form.add_error(None, str(error))
        else:
            tasks.enqueue(tasks.tell_officers, str(concern.id))
            return redirect("patient", record.id)
    audit.record("patient.view", sessions.actor(request), patient=record.id)
    fresh = sessions.confirmed_recently(request.session)
    return render(request, "consults/emergency.html", {"patient": record, "form": form, "confirmed": fresh})


@clinician
@require_http_methods(["GET", "POST"])
def change(request: HttpRequest, patient_id: UUID) -> HttpResponse:
    """Correct a record: what is left empty stays as it is."""
    record = _patient(request, patient_id)
    if not reading.may_read(person(request), record):
        denied(request, request.path)
        raise Http404
    form = ChangeForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and confirmed(request, form):
        try:
            reading.require_confirmed(_reader(request), record)
            vault_patients.change(record, form.values(), sessions.actor(request))
        except vault_patients.BadFields as error:
            for field, message in error.errors.items():
                form.add_error(field, message)
        except reading.Refused as refused:
            form.add_error(None, str(refused))
        else:
            messages.success(request, "The record is corrected and sealed again.")
            return redirect("patient", record.id)
    audit.record("patient.view", sessions.actor(request), patient=record.id)
    context = {
        "patient": record,
        "form": form,
        "confirmed": sessions.confirmed_recently(request.session),
        "lines": [(form[f], record.masked.get(f, ""), f not in vault_patients.NEEDED) for f in KINDS],
    }
    return render(request, "consults/change.html", context)


@clinician
@require_POST
def start(request: HttpRequest) -> HttpResponse:
    try:
        record = _patient(request, UUID(request.POST.get("patient", "")))
    except ValueError:
        raise Http404 from None
    try:
        consult = visit.start(person(request), record, sessions.actor(request), relay_only="relay_only" in request.POST)
    except visit.NotNow as error:
        messages.error(request, str(error))
        return redirect("patient", record.id)
    return redirect("room", consult.id)
