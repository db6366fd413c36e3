"""The patient's pages: the invite, who she is, the visit. She has no account; her seat is a cookie."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import attempts
from accounts.sessions import source_of
from consults import consent, invitations, receipts, seats, statements, views_consent, visit
from consults.answers import sorry
from consults.forms import DevicesForm, IdentityForm, first_error
from consults.models import Participant
from consults.seated import not_invited, with_seat

#: invites one address may try in 15 minutes; tokens have 256 bits, so this is about noise, not about guessing
INVITES_PER_ADDRESS = 60


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
    context = {
        "consult": seat.consult,
        "seat": seat,
        "clinic": seat.consult.clinic,
        "origin": settings.PUBLIC_ORIGIN,
        "receipt_link": receipts.link(seat, seats.secret_of(request, seat.consult_id)),
        **more,
    }
    return render(request, template, context, status=status)


@require_GET
@with_seat
def visit_page(request: HttpRequest, seat: Participant) -> HttpResponse:
    """The visit at the step where the patient is. From the device test on it is one page, so the camera stays on."""
    view = visit.look(seat.consult_id)
    if view.stage == "ended":
        agreed = bool(receipts.agreements(seat))
        return _page(request, "consults/ended_patient.html", seat, agreed=agreed)
    if view.stage == "identity":
        return _page(request, "consults/identity.html", seat, form=IdentityForm())
    try:
        step = views_consent.step(request, seat)
    except statements.NoWords as error:
        return _page(request, "consults/cannot_continue.html", seat, reason=str(error))
    return _page(request, "consults/visit.html", seat, view=view, given=consent.standing(seat.consult_id), **step)


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
