"""A privacy officer's pages about one record: export it, erase it, the certificate of that."""

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from accounts import attempts, sessions
from accounts.access import denied, person, requires
from accounts.models import User
from consults import certificate_pdf, concerns, erasing, export, holds, tasks
from consults.confirming import ConfirmedForm, confirmed
from consults.export_forms import EraseForm, ExportForm
from consults.typesetting import CannotSet
from vault import audit
from vault import patients as vault_patients
from vault.core.fields import KINDS
from vault.models import Patient

#: exports one person may make in 15 minutes: far above a day's work, far below carrying a clinic away
EXPORTS = 20

officer = requires(User.Role.PRIVACY_OFFICER)


def _patient(request: HttpRequest, patient_id: UUID) -> Patient:
    try:
        return vault_patients.by_id(person(request).clinic_id, patient_id)
    except Patient.DoesNotExist:
        denied(request, request.path)
        raise Http404 from None


@officer
@require_http_methods(["GET", "POST"])
def export_record(request: HttpRequest, patient_id: UUID) -> HttpResponse:
    patient = _patient(request, patient_id)
    form = ExportForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and confirmed(request, form):
        try:
            return _file(request, patient, form)
        except export.NotExported as error:
            form.add_error(None, str(error))
    else:
        audit.record("patient.view", sessions.actor(request), patient=patient.id)
    context = _about(request, patient, form) | {
        "holds": export.holds(patient),
        "forms": export.FORMS.items(),
        "reasons": export.REASONS.items(),
    }
    return render(request, "consults/export.html", context)


def _file(request: HttpRequest, patient: Patient, form: ExportForm) -> HttpResponse:
    if not attempts.allowed("export", str(person(request).pk), limit=EXPORTS):
        denied(request, request.path)
        raise export.NotExported("You have exported very many records. Wait 15 minutes, then go on.")
    by, wanted = sessions.actor(request), form.cleaned_data
    file = export.export(patient, by, form=wanted["form"], reason=wanted["reason"])
    if file.decoy and (concern := concerns.decoy_read(person(request), patient, by)):
        tasks.enqueue(tasks.tell_officers, str(concern.id))
    return _download(file)


def _download(file: export.File) -> HttpResponse:
    # NoStoreMiddleware keeps it out of every cache.
    return HttpResponse(
        file.content,
        content_type=file.content_type,
        headers={
            "Content-Disposition": f'attachment; filename="{file.name}"',
            "Content-Length": str(len(file.content)),
        },
    )


@officer
@require_http_methods(["GET", "POST"])
def erase(request: HttpRequest, patient_id: UUID) -> HttpResponse:
    patient = _patient(request, patient_id)
    if patient.shredded_at is not None:
        return redirect("erasure", patient.id)
    form = EraseForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and confirmed(request, form):
        by, typed = sessions.actor(request), form.cleaned_data
        try:
            erasing.erase(patient, by, reason=typed["reason"], typed_number=typed["record_number"])
        except erasing.WrongNumber as error:
            form.add_error("record_number", str(error))
        except erasing.NotErased as error:
            form.add_error(None, str(error))
        else:
            return redirect("erasure", patient.id)
    else:
        audit.record("patient.view", sessions.actor(request), patient=patient.id)
    context = _about(request, patient, form) | {
        "goes": erasing.goes(patient),
        "stays": erasing.stays(patient),
        "reasons": erasing.REASONS.items(),
        "live": erasing.in_a_visit(patient),
        "held": holds.standing(patient.pk).exists(),
    }
    return render(request, "consults/erase.html", context)


def _about(request: HttpRequest, patient: Patient, form: ConfirmedForm) -> dict[str, object]:
    return {
        "patient": patient,
        "form": form,
        "fields": [(f, KINDS[f].label, mask) for f, mask in patient.masked.items()],
        "confirmed": sessions.confirmed_recently(request.session),
    }


def _certificate(request: HttpRequest, patient_id: UUID) -> erasing.Certificate:
    certificate = erasing.certificate(_patient(request, patient_id))
    if certificate is None:
        denied(request, request.path)
        raise Http404
    return certificate


@officer
@require_GET
def erasure(request: HttpRequest, patient_id: UUID) -> HttpResponse:
    certificate = _certificate(request, patient_id)
    return render(request, "consults/erasure.html", {"certificate": certificate, "stays": erasing.STAYS})


@officer
@require_GET
def erasure_pdf(request: HttpRequest, patient_id: UUID) -> HttpResponse:
    certificate = _certificate(request, patient_id)
    try:
        return _download(certificate_pdf.file(certificate, person(request).clinic.name))
    except CannotSet as error:
        context = {"certificate": certificate, "stays": erasing.STAYS, "trouble": f"{error} Print this page instead."}
        return render(request, "consults/erasure.html", context, status=500)
