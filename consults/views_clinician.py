"""The clinician's pages: the day, patients, the room of a consult."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import attempts, sessions, signin
from accounts.access import clinician, denied, person
from accounts.second_factor import qr_svg
from consults import invitations, mail, tasks, visit, voice
from consults.forms import NoteForm, PatientForm, RevealForm, first_error
from consults.models import Consent, Consult, QualitySample, VoiceRecording
from vault import audit
from vault import patients as vault_patients
from vault.core.fields import KINDS
from vault.models import Patient

RECENT = 20
#: how often one person may read protected values in 15 minutes: far above a day's work, far below copying a clinic
REVEALS = 60


def _consult(request: HttpRequest, consult_id: UUID) -> Consult:
    try:
        return visit.of_clinician(person(request), consult_id)
    except Consult.DoesNotExist:
        denied(request, request.path)
        raise Http404 from None


def _patient(request: HttpRequest, patient_id: UUID) -> Patient:
    try:
        return vault_patients.by_id(person(request).clinic_id, patient_id)
    except Patient.DoesNotExist:
        denied(request, request.path)
        raise Http404 from None


def _lists(request: HttpRequest) -> dict[str, Any]:
    mine = Consult.objects.filter(clinician=person(request)).select_related("patient")
    waiting = list(visit.waiting(person(request)))
    waiting_ids = {p.consult_id for p in waiting}
    views = {p.consult_id: visit.look(p.consult_id) for p in waiting}
    return {
        "now": timezone.now(),
        "waiting": [(p, views[p.consult_id]) for p in waiting],
        "live": mine.filter(ended_at=None).exclude(admitted_at=None).order_by("-admitted_at"),
        "open": [
            c
            for c in mine.filter(ended_at=None, admitted_at=None).order_by("-created_at")[:RECENT]
            if c.id not in waiting_ids
        ],
        "done": mine.exclude(ended_at=None).order_by("-ended_at")[:RECENT],
    }


@clinician
@require_GET
def dashboard(request: HttpRequest) -> HttpResponse:
    return render(request, "consults/dashboard.html", _lists(request))


@clinician
@require_GET
def dashboard_lists(request: HttpRequest) -> HttpResponse:
    return render(request, "consults/_lists.html", _lists(request))


@clinician
@require_POST
def search(request: HttpRequest) -> HttpResponse:
    """Search as one types. A POST, so that what is typed is in no address and no log."""
    query = request.POST.get("q", "").strip()
    with transaction.atomic():
        found = vault_patients.search(person(request).clinic_id, query, sessions.actor(request)) if query else []
    return render(request, "consults/_search_results.html", {"patients": found, "asked": bool(query)})


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
        return _sorry(first_error(form))
    if not visit.knows(person(request), record):
        denied(request, request.path)
        return _sorry("Start a consult with this patient first; then you can read the record.", status=403)
    if not sessions.confirmed_recently(request.session):
        try:
            if not signin.judge(request, person(request), form.cleaned_data["code"], action="signin.stepup"):
                return JsonResponse(
                    {"error": "Type the current code from your authenticator app.", "code": True}, status=403
                )
        except signin.Throttled:
            return _sorry("Too many tries. Wait 15 minutes, then try again.", status=429)
        sessions.confirm(request)
        audit.record("signin.stepup", sessions.actor(request))
    if not attempts.allowed("reveal", str(person(request).pk), limit=REVEALS):
        denied(request, request.path)
        return _sorry("You have opened very many values. Wait 15 minutes, then go on.", status=429)
    try:
        values = vault_patients.reveal(
            record, form.cleaned_data["fields"], sessions.actor(request), purpose=form.cleaned_data["purpose"]
        )
    except vault_patients.NotRevealed as error:
        return _sorry(str(error))
    return JsonResponse({"values": values, "seconds": 60})


@clinician
@require_POST
def start(request: HttpRequest) -> HttpResponse:
    try:
        record = _patient(request, UUID(request.POST.get("patient", "")))
    except ValueError:
        raise Http404 from None
    consult = visit.start(person(request), record, sessions.actor(request))
    return redirect("room", consult.id)


@clinician
@require_GET
def room(request: HttpRequest, consult_id: UUID) -> HttpResponse:
    consult = _consult(request, consult_id)
    actor = sessions.actor(request)
    audit.record("consult.view", actor, patient=consult.patient_id, consult=consult.id)
    if consult.is_over:
        return _ended(request, consult)
    context = {
        **_status(consult),
        "note_form": NoteForm(),
        "purposes": vault_patients.PURPOSES.items(),
        "fields": [(f, KINDS[f].label, mask) for f, mask in consult.patient.masked.items()],
        "confirmed": sessions.confirmed_recently(request.session),
    }
    return render(request, "consults/room.html", context)


def _status(consult: Consult) -> dict[str, Any]:
    view = visit.look(consult.id)
    invitation = consult.invitations.order_by("-created_at").first()
    return {
        "consult": consult,
        "patient": consult.patient,
        "view": view,
        "invitation": invitation,
        "invite_open": bool(
            invitation
            and not invitation.redeemed_at
            and not invitation.revoked_at
            and invitation.expires_at > timezone.now()
        ),
        "mail": getattr(invitation, "mail", None) if invitation else None,
        "consent": Consent.objects.filter(consult=consult).select_related("statement").first(),
        "now": timezone.now(),
    }


@clinician
@require_GET
def room_status(request: HttpRequest, consult_id: UUID) -> HttpResponse:
    return render(request, "consults/_room_status.html", _status(_consult(request, consult_id)))


def _ended(request: HttpRequest, consult: Consult) -> HttpResponse:
    samples = list(QualitySample.objects.filter(consult=consult).order_by("at"))
    context = {
        "consult": consult,
        "patient": consult.patient,
        "notes": visit.read_notes(consult, sessions.actor(request)),
        "note_form": NoteForm(),
        "consents": Consent.objects.filter(consult=consult).select_related("statement", "recording"),
        "samples": samples,
        "worst_rtt": max((s.rtt_ms for s in samples if s.rtt_ms is not None), default=None),
        "worst_loss": max((s.loss for s in samples if s.loss is not None), default=None),
    }
    return render(request, "consults/ended_clinician.html", context)


@clinician
@require_POST
def invite(request: HttpRequest, consult_id: UUID) -> HttpResponse:
    """A fresh link, shown once: only its digest is kept."""
    consult = _consult(request, consult_id)
    if consult.is_over:
        return _sorry("This consult has ended. Start a new one.", status=409)
    _, token = invitations.invite(consult, sessions.actor(request))
    link = invitations.link(token)
    return render(request, "consults/_invite.html", {"link": link, "qr": qr_svg(link), "consult": consult})


@clinician
@require_POST
def invite_mail(request: HttpRequest, consult_id: UUID) -> HttpResponse:
    consult = _consult(request, consult_id)
    if consult.is_over:
        return _sorry("This consult has ended. Start a new one.", status=409)
    try:
        queued = mail.mail_invitation(consult, sessions.actor(request))
    except mail.CannotMail as error:
        return _sorry(str(error), status=409)
    tasks.enqueue(tasks.send_invitation, queued.pk)
    return JsonResponse({"sent_to": consult.patient.masks.get("email", "")})


@clinician
@require_POST
def invite_revoke(request: HttpRequest, consult_id: UUID) -> HttpResponse:
    invitations.revoke(_consult(request, consult_id), sessions.actor(request))
    return redirect("room", consult_id)


@clinician
@require_POST
def admit(request: HttpRequest, consult_id: UUID) -> HttpResponse:
    try:
        visit.admit(_consult(request, consult_id), sessions.actor(request))
    except visit.NotNow as error:
        return _answer(request, consult_id, error=str(error))
    return _answer(request, consult_id)


@clinician
@require_POST
def end(request: HttpRequest, consult_id: UUID) -> HttpResponse:
    visit.end(_consult(request, consult_id), sessions.actor(request))
    return _answer(request, consult_id)


@clinician
@require_POST
def note(request: HttpRequest, consult_id: UUID) -> HttpResponse:
    consult = _consult(request, consult_id)
    form = NoteForm(request.POST)
    if not form.is_valid():
        return _answer(request, consult_id, error="Write something before you save the note.")
    visit.write_note(consult, person(request), form.cleaned_data["text"], sessions.actor(request))
    return _answer(request, consult_id)


@clinician
@require_GET
def recording(request: HttpRequest, consult_id: UUID, recording_id: int) -> HttpResponse:
    """The spoken consent, for the consult's clinician; a recording that the patient did not send is nobody's."""
    consult = _consult(request, consult_id)
    found = (
        VoiceRecording.objects.select_related("participant__consult__patient")
        .filter(pk=recording_id, participant__consult=consult, consent__isnull=False)
        .first()
    )
    if found is None:
        raise Http404
    return HttpResponse(voice.play(found, sessions.actor(request)), content_type="audio/ogg")


def _answer(request: HttpRequest, consult_id: UUID, *, error: str = "") -> HttpResponse:
    """To a script: a word; to a form: the room again."""
    if request.headers.get("X-Requested-With") == "fetch":
        return _sorry(error, status=409) if error else JsonResponse({"ok": True})
    if error:
        messages.error(request, error)
    return redirect("room", consult_id)


def _sorry(text: str, status: int = 400) -> JsonResponse:
    return JsonResponse({"error": text}, status=status)
