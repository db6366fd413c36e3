"""The patient's pages: the invite, who she is, the visit. She has no account; her seat is a cookie."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import attempts
from accounts.sessions import source_of
from consults import consent, invitations, seats, visit
from consults.answers import sorry
from consults.forms import ConsentForm, DevicesForm, IdentityForm, first_error
from consults.models import Participant

#: invites one address may try in 15 minutes; tokens have 256 bits, so this is about noise, not about guessing
INVITES_PER_ADDRESS = 60


def not_invited(request: HttpRequest) -> HttpResponse:
    """One page for every reason: unknown, used, expired, revoked, somebody else's."""
    return render(request, "consults/not_invited.html", status=404)


def with_seat(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Pass the patient's seat in, found by her cookie; whoever has none sees the one kind page."""

    @wraps(view)
    def seated(request: HttpRequest, consult_id: UUID) -> HttpResponse:
        seat = seats.of_request(request, consult_id)
        if seat is None:
            return not_invited(request)
        return view(request, seat)

    return seated


@require_GET
def join(request: HttpRequest) -> HttpResponse:
    """The page behind every link. The token is in the fragment; the page's script reads it. Nothing changes here."""
    return render(request, "consults/join.html")


def _may_try(request: HttpRequest) -> bool:
    return attempts.allowed("invite", source_of(request), limit=INVITES_PER_ADDRESS)


@require_POST
def join_look(request: HttpRequest) -> HttpResponse:
    """Who invites, for the page to show. Looking uses nothing up."""
    if not _may_try(request):
        return not_invited(request)
    try:
        invitation = invitations.find(request.POST.get("token", ""))
    except invitations.NotInvited:
        invitations.record_refusal(source=source_of(request))
        return not_invited(request)
    invitations.record_look(invitation, source=source_of(request))
    return render(request, "consults/_invited.html", {"consult": invitation.consult, "invitation": invitation})


@require_POST
def join_redeem(request: HttpRequest) -> HttpResponse:
    if not _may_try(request):
        return not_invited(request)
    try:
        seat = invitations.redeem(request.POST.get("token", ""), source=source_of(request))
    except invitations.NotInvited:
        invitations.record_refusal(source=source_of(request))
        return not_invited(request)
    response = redirect("visit", seat.participant.consult_id)
    seats.remember(response, seat)
    return response


def _page(request: HttpRequest, template: str, seat: Participant, status: int = 200, **more: Any) -> HttpResponse:
    context = {"consult": seat.consult, "seat": seat, "clinic": seat.consult.clinic, **more}
    return render(request, template, context, status=status)


@require_GET
@with_seat
def visit_page(request: HttpRequest, seat: Participant) -> HttpResponse:
    """The visit at the step where the patient is. From the device test on it is one page, so the camera stays on."""
    view = visit.look(seat.consult_id)
    if view.stage == "ended":
        return _page(request, "consults/ended_patient.html", seat)
    if view.stage == "identity":
        return _page(request, "consults/identity.html", seat, form=IdentityForm())
    try:
        statement = consent.statement_for(seat.consult, "video_visit")
    except consent.NotConsented as error:
        return _page(request, "consults/cannot_continue.html", seat, reason=str(error))
    return _page(
        request,
        "consults/visit.html",
        seat,
        view=view,
        statement=statement,
        statement_digest=consent.digest_of(statement),
        offers_voice=seat.consult.clinic.offers_voice_consent,
    )


@require_http_methods(["POST"])
@with_seat
def identity(request: HttpRequest, seat: Participant) -> HttpResponse:
    form = IdentityForm(request.POST)
    try:
        if form.is_valid():
            typed = {f: str(form.cleaned_data[f]) for f in ("name", "birth_date")}
            if visit.confirm_identity(seat, **typed, source=source_of(request)):
                return redirect("visit", seat.consult_id)
            form.add_error(None, "That does not match what your clinic has. Check both and try again.")
    except visit.NotNow as error:
        return _page(request, "consults/cannot_continue.html", seat, reason=str(error), status=403)
    return _page(request, "consults/identity.html", seat, form=form)


@require_POST
@with_seat
def devices(request: HttpRequest, seat: Participant) -> HttpResponse:
    form = DevicesForm(request.POST)
    if not form.is_valid():
        return sorry(first_error(form))
    try:
        visit.devices_tested(seat, form.cleaned_data, source=source_of(request))
    except visit.NotNow as error:
        return sorry(str(error), status=409)
    return JsonResponse({"ok": True})


@require_POST
@with_seat
def give_consent(request: HttpRequest, seat: Participant) -> HttpResponse:
    """Take consent, then to the waiting room: the patient has nothing left to do."""
    form = ConsentForm(request.POST)
    if not form.is_valid():
        return sorry("Tick the box and type your name to agree.")
    data = form.cleaned_data
    recording = None
    if data["recording"] is not None:
        recording = seat.voice_recordings.filter(pk=data["recording"]).first()
        if recording is None:
            return sorry("The recording was not found. Record it again or go on without it.")
    try:
        # Both or neither: whoever had agreed and did not wait could neither agree again nor be admitted.
        with transaction.atomic():
            given = consent.give(
                seat, shown=data["shown"], typed_name=data["name"], recording=recording, source=source_of(request)
            )
            visit.wait(seat, source=source_of(request))
    except (consent.NotConsented, visit.NotNow) as error:
        return sorry(str(error), status=409)
    return JsonResponse({"ok": True, "consent": str(given.id), "at": given.at.isoformat()})


@require_POST
@with_seat
def withdraw(request: HttpRequest, seat: Participant) -> HttpResponse:
    consent.withdraw(seat, source=source_of(request))
    return JsonResponse({"ok": True})
