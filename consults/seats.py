"""The cookie with which a patient's browser keeps her seat: one per consult, so two visits do not collide."""

from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from consults import invitations
from consults.models import Participant


def cookie_name(consult_id: UUID) -> str:
    return f"__Host-seat-{consult_id.hex[:16]}"


def remember(response: HttpResponse, seat: invitations.Seat) -> None:
    response.set_cookie(
        cookie_name(seat.participant.consult_id),
        seat.secret,
        # Whoever opens her link a day early still has her seat when the visit begins.
        max_age=(settings.INVITE_LIFETIME_HOURS + settings.CONSENT_LIFETIME_HOURS) * 3600,
        secure=True,
        httponly=True,
        samesite="Lax",  # Strict would lose the seat when she comes back by the link in her mail
        path="/",
    )


def of_request(request: HttpRequest, consult_id: UUID) -> Participant | None:
    return invitations.seated(consult_id, secret_of(request, consult_id))


def secret_of(request: HttpRequest, consult_id: UUID) -> str:
    return request.COOKIES.get(cookie_name(consult_id), "")
