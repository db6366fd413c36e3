"""Invite links: made for a consult, redeemed by one browser, revocable. Only digests of their secrets are kept."""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from consults import hints
from consults.models import Consult, Invitation, Participant
from vault import audit
from vault.audit import Actor
from vault.models import AuditEntry

#: 256 bits each
TOKEN_BYTES = 32


class NotInvited(Exception):
    """The token is unknown, used, expired or revoked; which one is nobody's business."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A place in a consult and the secret that the browser keeps to prove that it is hers."""

    participant: Participant
    secret: str


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def link(token: str) -> str:
    """The link with the token in its fragment: browsers keep fragments out of requests, so no log has it."""
    return f"{settings.PUBLIC_ORIGIN}{reverse('join')}#{token}"


def receipt_token(seat_secret: str) -> str:
    """Of the link to her own page. Her browser's secret makes it again at any time; nothing in the database does."""
    made = hmac.new(seat_secret.encode(), b"telehealth receipt", hashlib.sha256).digest()
    return base64.urlsafe_b64encode(made).decode().rstrip("=")


@transaction.atomic
def invite(consult: Consult, by: Actor) -> tuple[Invitation, str]:
    """A fresh invite and its token; earlier unused ones of the consult stop working."""
    now = timezone.now()
    consult.invitations.filter(redeemed_at=None, revoked_at=None).update(revoked_at=now)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    invitation = Invitation.objects.create(
        consult=consult,
        token_digest=digest(token),
        created_at=now,
        expires_at=now + timedelta(hours=settings.INVITE_LIFETIME_HOURS),
    )
    audit.record("invite.create", by, patient=consult.patient_id, consult=consult.id, invite=invitation.pk)
    return invitation, token


@transaction.atomic
def revoke(consult: Consult, by: Actor) -> None:
    """Unused links stop working, and so does the seat of whoever used one: the next invite starts afresh."""
    now = timezone.now()
    consult = Consult.objects.select_for_update().get(pk=consult.pk)
    consult.invitations.filter(revoked_at=None).update(revoked_at=now)
    _empty_seat(consult, now)
    audit.record("invite.revoke", by, patient=consult.patient_id, consult=consult.id)
    hints.consult_changed(consult)


def _empty_seat(consult: Consult, now: datetime) -> None:
    """Whoever has the seat leaves, and her admission with her: the clinician lets in whoever takes it next."""
    left = consult.participants.filter(role=Participant.Role.PATIENT, left_at=None).update(left_at=now)
    if left and consult.is_live:
        consult.admitted_at = None
        consult.negotiation += 1
        consult.save(update_fields=["admitted_at", "negotiation"])


def find(token: str) -> Invitation:
    """The invite this token opens. Looking changes nothing."""
    invitation = (
        Invitation.objects.select_related("consult__clinic", "consult__clinician")
        .filter(
            token_digest=digest(token),
            redeemed_at=None,
            revoked_at=None,
            expires_at__gt=timezone.now(),
            consult__ended_at=None,
        )
        .first()
    )
    if invitation is None:
        raise NotInvited
    return invitation


@transaction.atomic
def redeem(token: str, *, source: str) -> Seat:
    """Take the patient's seat with this token. Of browsers that race for it, one conditional UPDATE picks one."""
    now = timezone.now()
    invitation = find(token)
    # Locked, so that nobody is admitted or sent home while the seat changes hands.
    consult = Consult.objects.select_for_update().get(pk=invitation.consult_id)
    taken = Invitation.objects.filter(pk=invitation.pk, redeemed_at=None, revoked_at=None).update(redeemed_at=now)
    if not taken or consult.is_over:
        raise NotInvited
    _empty_seat(consult, now)
    secret = secrets.token_urlsafe(TOKEN_BYTES)
    seat = Participant.objects.create(
        consult=consult,
        role=Participant.Role.PATIENT,
        seat_digest=digest(secret),
        receipt_digest=digest(receipt_token(secret)),
        joined_at=now,
    )
    audit.record(
        "invite.redeem",
        patient_actor(seat, source),
        patient=consult.patient_id,
        consult=consult.id,
        invite=invitation.pk,
    )
    hints.consult_changed(consult)
    return Seat(seat, secret)


def record_look(invitation: Invitation, *, source: str) -> None:
    """Whoever holds the link has seen which clinic and clinician invite."""
    consult = invitation.consult
    by = Actor(role="nobody", clinic=consult.clinic_id, source=source)
    audit.record("invite.view", by, patient=consult.patient_id, consult=consult.id, invite=invitation.pk)


def record_refusal(*, source: str) -> None:
    """An invite that did not open, in the log without its token."""
    audit.record("invite.redeem", Actor(role="nobody", source=source), outcome=AuditEntry.Outcome.REFUSED)


def seated(consult_id: UUID, secret: str) -> Participant | None:
    """The patient whose browser holds this seat's secret, while the seat stands."""
    if not secret:
        return None
    return (
        Participant.objects.select_related("consult__clinic", "consult__clinician", "consult__patient")
        .filter(consult_id=consult_id, seat_digest=digest(secret), left_at=None, role=Participant.Role.PATIENT)
        .first()
    )


def patient_actor(seat: Participant, source: str) -> Actor:
    consult = seat.consult
    return Actor(
        role="patient",
        person=str(consult.patient_id),
        clinic=consult.clinic_id,
        source=source,
        session=seat.seat_digest[:16],
    )
