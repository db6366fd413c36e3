"""Who may open a socket: the same functions that decide for pages, asked anew when something changed or runs out."""

import contextlib
import math
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.backends.db import SessionStore

from accounts import attempts, sessions
from accounts.models import User
from consults import invitations, visit
from consults.models import Consult, Participant
from consults.seats import cookie_name
from vault import audit
from vault.audit import Actor
from vault.models import AuditEntry

#: of one person's refused sockets, how many are written down in a quarter of an hour: a page asks again and again
REFUSALS = 20


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody with a place in a consult, and how the log names her."""

    participant: Participant
    actor: Actor
    #: when (seconds since 1970) to ask again although nothing was written
    ask_by: float = math.inf


def _session(scope: dict[str, Any]) -> SessionStore:
    return SessionStore(scope["cookies"].get(settings.SESSION_COOKIE_NAME))


def _source(scope: dict[str, Any]) -> str:
    return str((scope.get("client") or [""])[0])


def staff(scope: dict[str, Any]) -> User | None:
    return sessions.person(_session(scope))


def visitor(scope: dict[str, Any], consult_id: UUID, role: str) -> Visitor | None:
    """The visitor this socket's cookies stand for, or None; why not is nobody's business."""
    if role == Participant.Role.PATIENT:
        seat = invitations.seated(consult_id, scope["cookies"].get(cookie_name(consult_id), ""))
        return Visitor(seat, invitations.patient_actor(seat, _source(scope))) if seat else None
    session = _session(scope)
    user = sessions.person(session)
    if user is None or user.role != User.Role.CLINICIAN:
        return None
    try:
        consult = visit.of_clinician(user, consult_id)
        participant = consult.participants.get(role=Participant.Role.CLINICIAN)
    except (Consult.DoesNotExist, Participant.DoesNotExist):
        return None
    talks = consult.is_live and visit.patient_is_here(consult)
    if talks:
        _stay_signed_in(session)
    actor = sessions.staff_actor(user, source=_source(scope), session=sessions.session_mark(session))
    return Visitor(participant, actor, _ask_by(session, talks=talks))


def _stay_signed_in(session: SessionStore) -> None:
    """A clinician who talks to a patient is not idle, though she clicks nothing. A call without a patient is none."""
    sessions.touch(session)
    if session.modified:
        with contextlib.suppress(UpdateError):  # signed out in this very moment: the next look finds nobody
            session.save(must_create=False)


def _ask_by(session: SessionStore, *, talks: bool) -> float:
    """Halfway to the session's end, which comes nearer. Sooner in a call: idle time begins when it is over."""
    now = time.time()
    return now + (sessions.ends(session) - now) / (8 if talks else 2)


def refused(scope: dict[str, Any]) -> None:
    """Somebody who is signed in asked for a socket that is not hers: in the log, as with a page."""
    session = _session(scope)
    user = sessions.person(session)
    if user and attempts.allowed("socket", str(user.pk), limit=REFUSALS):
        by = sessions.staff_actor(user, source=_source(scope), session=sessions.session_mark(session))
        audit.record("access.denied", by, outcome=AuditEntry.Outcome.REFUSED, path=scope["path"][:120])


visitor_async = database_sync_to_async(visitor)
staff_async = database_sync_to_async(staff)
refused_async = database_sync_to_async(refused)
