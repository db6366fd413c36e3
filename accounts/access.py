"""Who may open a page. Missing and forbidden look alike: a stranger gets 404."""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode

from accounts.models import User
from accounts.sessions import actor
from vault import audit
from vault.models import AuditEntry

View = Callable[..., HttpResponse]


def requires(*roles: str) -> Callable[[View], View]:
    """Let staff of these roles in (any role when none is named); send strangers to sign in; others find nothing."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not isinstance(request.user, User):
                if request.method == "GET" and request.headers.get("X-Background") != "1":
                    return redirect(f"{reverse('signin')}?{urlencode({'next': request.path})}")
                return HttpResponse("Sign in again.", status=401, content_type="text/plain")
            if roles and request.user.role not in roles:
                denied(request, request.path)
                raise Http404
            return view(request, *args, **kwargs)

        guarded.allowed_roles = roles or tuple(User.Role.values)  # type: ignore[attr-defined]
        return guarded

    return decorate


def denied(request: HttpRequest, what: str) -> None:
    audit.record("access.denied", actor(request), outcome=AuditEntry.Outcome.REFUSED, path=what[:120])


def person(request: HttpRequest) -> User:
    return cast(User, request.user)


clinician = requires(User.Role.CLINICIAN)
staff = requires()
