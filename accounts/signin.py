"""Signing in: the password opens nothing, it only allows the second factor to be tried."""

import hashlib
import secrets
import time
from datetime import timedelta

from django.contrib import auth
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac

from accounts import attempts, second_factor, sessions
from accounts.models import Authenticator, User
from vault import audit
from vault.models import AuditEntry

PENDING = "signin_pending"
PENDING_SECONDS = 600
ACTIVATION_LIFETIME = timedelta(hours=48)


class Throttled(Exception):
    """Too many tries for this account; the rightful person waits 15 minutes at most."""


def check_password(request: HttpRequest, email: str, password: str) -> User | None:
    """Judge e-mail and password. On success the session remembers, for ten minutes, who may try a second factor."""
    email = email.strip().lower()
    if not attempts.allowed("password", email):
        _refused(request, "signin.password", email, reason="throttled")
        raise Throttled
    # authenticate() hashes for unknown e-mails too, so the time taken tells nothing.
    user = auth.authenticate(request, username=email, password=password)
    if user is None:
        _refused(request, "signin.password", email, reason="wrong")
        return None
    attempts.forgive("password", email)
    audit.record("signin.password", _actor(request, user))
    request.session.flush()
    request.session[PENDING] = {"user": str(user.pk), "at": int(time.time())}
    return user


def pending_user(request: HttpRequest) -> User | None:
    """Who has given the right password in this session and may now try the second factor."""
    pending = request.session.get(PENDING)
    if not pending or time.time() - pending["at"] > PENDING_SECONDS:
        return None
    return User.objects.filter(pk=pending["user"], is_active=True).first()


def check_second_factor(request: HttpRequest, user: User, typed: str) -> bool:
    """Judge an app code or recovery code and, when right, sign in."""
    device = judge(request, user, typed, action="signin")
    if device is None:
        return False
    begin(request, user, device)
    return True


def judge(request: HttpRequest, user: User, typed: str, *, action: str) -> Authenticator | None:
    """Judge a code for this user, within the account's limit. Raises `Throttled`."""
    typed = typed.strip().replace(" ", "")
    if not attempts.allowed("second-factor", str(user.pk)):
        _refused(request, action, user, reason="throttled")
        raise Throttled
    device = second_factor.authenticator_of(user)
    if device is None:
        return None
    by_app = typed.isdigit()
    if not (device.verify_token(typed) if by_app else second_factor.accept_recovery_code(device, typed)):
        _refused(request, action, user, reason="wrong code")
        return None
    attempts.forgive("second-factor", str(user.pk))
    return device


@transaction.atomic
def begin(request: HttpRequest, user: User, device: Authenticator) -> None:
    sessions.begin(request, user, device)
    request.session.pop(PENDING, None)
    # The session key is made when it is saved; the log names the session that the person goes on with.
    request.session.save()
    audit.record("signin", _actor(request, user))


def _actor(request: HttpRequest, user: User) -> audit.Actor:
    return sessions.staff_actor(
        user, source=sessions.source_of(request), session=sessions.session_mark(request.session)
    )


def _refused(request: HttpRequest, action: str, who: User | str, *, reason: str) -> None:
    known = who if isinstance(who, User) else User.objects.filter(email=who).first()
    if known:
        actor = _actor(request, known)
    else:
        # An unknown e-mail may be a password typed in the wrong box: keep a keyed digest only.
        digest = salted_hmac("accounts.unknown", str(who), algorithm="sha256").hexdigest()[:16]
        actor = audit.Actor(role="nobody", person=f"unknown:{digest}", source=sessions.source_of(request))
    audit.record(action, actor, outcome=AuditEntry.Outcome.FAILED, reason=reason)


def make_activation(user: User, by: audit.Actor) -> str:
    """A one-time secret with which the person sets a password; only its digest is kept."""
    secret = secrets.token_urlsafe(32)
    user.activation_digest = hashlib.sha256(secret.encode()).hexdigest()
    user.activation_expires_at = timezone.now() + ACTIVATION_LIFETIME
    user.save(update_fields=["activation_digest", "activation_expires_at"])
    audit.record("account.link", by, account=str(user.pk))
    return secret


def activating_user(secret: str) -> User | None:
    digest = hashlib.sha256(secret.encode()).hexdigest()
    user = User.objects.filter(
        activation_digest=digest, activation_expires_at__gt=timezone.now(), is_active=True
    ).first()
    return user if user and constant_time_compare(user.activation_digest, digest) else None


@transaction.atomic
def activate(request: HttpRequest, user: User, password: str) -> None:
    """Set the password. An authenticator that was set up stays: a reset never skips the second factor."""
    user.set_password(password)
    user.activation_digest, user.activation_expires_at = "", None
    user.save()
    audit.record("account.activate", _actor(request, user))
