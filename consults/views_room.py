"""The room of a consult: the invite, the patient's progress, admission, the end, notes, the spoken consent."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from accounts import sessions
from accounts.access import clinician, denied, person
from consults import alert_words, alerts, call_chart, call_summary, invitations, mail, tasks, visit, voice
from consults.answers import sorry
from consults.forms import NoteForm
from consults.models import Consent, Consult, VoiceRecording
from vault import audit
from vault import patients as vault_patients
from vault.core.fields import KINDS


def _consult(request: HttpRequest, consult_id: UUID) -> Consult:
    try:
        return visit.of_clinician(person(request), consult_id)
    except Consult.DoesNotExist:
        denied(request, request.path)
        raise Http404 from None


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
        "warnings": [alert_words.said(a, reader="clinician") for a in alerts.standing([consult.id])],
    }


@clinician
@require_GET
def room_status(request: HttpRequest, consult_id: UUID) -> HttpResponse:
    return render(request, "consults/_room_status.html", _status(_consult(request, consult_id)))


def _ended(request: HttpRequest, consult: Consult) -> HttpResponse:
    call = call_summary.of(consult)
    warnings = [alert_words.said(a, reader="clinician") for a in consult.alerts.order_by("raised_at")]
    context = {
        "consult": consult,
        "patient": consult.patient,
        "notes": visit.read_notes(consult, sessions.actor(request)),
        "note_form": NoteForm(),
        "consents": Consent.objects.filter(consult=consult)
        .select_related("statement", "recording")
        .prefetch_related("erasures"),
        "call": call,
        "chart": call_chart.draw(call, consult.admitted_at, warnings) if call else None,
        "warnings": warnings,
    }
    return render(request, "consults/ended_clinician.html", context)


@clinician
@require_POST
def invite(request: HttpRequest, consult_id: UUID) -> HttpResponse:
    """A fresh link, shown once: only its digest is kept."""
    consult = _consult(request, consult_id)
    if consult.is_over:
        return sorry("This consult has ended. Start a new one.", status=409)
    _, token = invitations.invite(consult, sessions.actor(request))
    return render(request, "consults/_invite.html", {"link": invitations.link(token), "consult": consult})


@clinician
@require_POST
def invite_mail(request: HttpRequest, consult_id: UUID) -> HttpResponse:
    consult = _consult(request, consult_id)
    if consult.is_over:
        return sorry("This consult has ended. Start a new one.", status=409)
    try:
        queued = mail.mail_invitation(consult, sessions.actor(request))
    except mail.CannotMail as error:
        return sorry(str(error), status=409)
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
        .exclude(sound="")
        .first()
    )
    if found is None:
        raise Http404
    return HttpResponse(voice.play(found, sessions.actor(request)), content_type="audio/ogg")


def _answer(request: HttpRequest, consult_id: UUID, *, error: str = "") -> HttpResponse:
    """To a script: a word; to a form: the room again."""
    if request.headers.get("X-Requested-With") == "fetch":
        return sorry(error, status=409) if error else JsonResponse({"ok": True})
    if error:
        messages.error(request, error)
    return redirect("room", consult_id)
