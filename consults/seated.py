"""Who sits at a patient's page: the seat of her cookie, or the one kind page for everybody else."""

from collections.abc import Callable
from functools import wraps
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from consults import seats


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
