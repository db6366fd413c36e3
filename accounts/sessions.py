"""Signed-in sessions: one function says who a session belongs to, for HTTP and for sockets alike."""

import hashlib
import time
from types import SimpleNamespace
from typing import Any, cast

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django_otp import DEVICE_ID_SESSION_KEY
from django_otp.models import Device

from accounts.models import User
from vault.audit import Actor

STARTED = "session_started"
SEEN = "session_seen"
VERIFIED = "second_factor_at"
#: rewriting the session at every request would cost a write each; this is how exact the idle limit is
TOUCH_EVERY = 30


def begin(request: HttpRequest, user: User, device: Device) -> None:
    """Sign in after both factors: a new session id, the clock started. The old id is dead."""
    auth.login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    request.session.cycle_key()
    request.session[DEVICE_ID_SESSION_KEY] = device.persistent_id
    now = int(time.time())
    request.session.update({STARTED: now, SEEN: now, VERIFIED: now})
    request.user = user


def person(session: SessionBase) -> User | None:
    """The member of staff this session belongs to: signed in, both factors, in time, still allowed. Else None."""
    started, seen = session.get(STARTED), session.get(SEEN)
    if not isinstance(started, int) or not isinstance(seen, int):
        return None
    now = time.time()
    if now - started > settings.SESSION_ABSOLUTE_SECONDS or now - seen > settings.SESSION_IDLE_SECONDS:
        return None
    user = auth.get_user(cast(HttpRequest, SimpleNamespace(session=session)))
    if not isinstance(user, User) or not user.is_active:
        return None
    device = Device.from_persistent_id(session.get(DEVICE_ID_SESSION_KEY) or "")
    if device is None or device.user_id != user.pk or not device.confirmed:
        return None
    return user


def ends(session: SessionBase) -> float:
    """When (seconds since 1970) the session of a person ends, should she do nothing more."""
    absolute, idle = settings.SESSION_ABSOLUTE_SECONDS, settings.SESSION_IDLE_SECONDS
    return float(min(session[STARTED] + absolute, session[SEEN] + idle))


def touch(session: SessionBase) -> None:
    """Note that the person is there."""
    now = int(time.time())
    if now - int(session.get(SEEN, 0)) >= TOUCH_EVERY:
        session[SEEN] = now


def confirmed_recently(session: SessionBase) -> bool:
    """Whether the second factor is fresh enough for a sensitive act."""
    return time.time() - int(session.get(VERIFIED, 0)) <= settings.STEP_UP_SECONDS


def confirm(request: HttpRequest) -> None:
    request.session[VERIFIED] = int(time.time())
    request.session.cycle_key()


class PersonMiddleware(AuthenticationMiddleware):
    """`request.user` is somebody only when both factors, the time limits and the account hold."""

    def process_request(self, request: HttpRequest) -> None:
        user = person(request.session)
        if user is None:
            request.user = AnonymousUser()
            return
        request.user = user
        # Pages that poll by themselves say so: a page left open must not keep its session alive.
        if request.headers.get("X-Background") != "1":
            touch(request.session)


def session_mark(session: SessionBase) -> str:
    """A short digest that tells sessions apart in the log and opens none."""
    key = session.session_key or ""
    return hashlib.sha256(b"audit-session" + key.encode()).hexdigest()[:16] if key else ""


def source_of(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR", ""))


def actor(request: HttpRequest) -> Actor:
    """Who acts in this request, for the audit log."""
    user = request.user
    if isinstance(user, User):
        return staff_actor(user, source=source_of(request), session=session_mark(request.session))
    return Actor(role="nobody", source=source_of(request))


def staff_actor(user: User, **where: Any) -> Actor:
    return Actor(role=user.role, person=str(user.pk), person_name=user.name, clinic=user.clinic_id, **where)
