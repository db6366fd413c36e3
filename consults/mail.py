"""Sending an invite by e-mail: sealed in the same transaction as the invite, sent by Celery, erased once sent."""

import json

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import timezone

from consults import invitations
from consults.models import Consult, InvitationMail
from vault import audit
from vault import patients as vault_patients
from vault.audit import Actor
from vault.models import AuditEntry

GIVE_UP_AFTER = 8


class CannotMail(Exception):
    """The message says what to do instead."""


@transaction.atomic
def mail_invitation(consult: Consult, by: Actor) -> InvitationMail:
    """Queue a fresh invite for the patient's own address. The row survives any crash; the task carries only its id."""
    if not settings.MAIL_WORKS:
        raise CannotMail("This server has no mail set up. Copy the link and send it yourself.")
    if not consult.patient.email:
        raise CannotMail("The record has no e-mail address. Copy the link and send it yourself.")
    invitation, token = invitations.invite(consult, by)
    address = vault_patients.unseal(consult.patient, "email", consult.patient.email).decode()
    letter = json.dumps({"to": address, "link": invitations.link(token)})
    mail = InvitationMail.objects.create(
        invitation=invitation,
        letter=vault_patients.seal(consult.patient, "invitation", letter.encode()),
        created_at=timezone.now(),
    )
    audit.record("invite.mail", by, patient=consult.patient_id, consult=consult.id, invite=invitation.pk)
    return mail


def send(mail_id: int) -> None:
    """Send one queued invite. Safe to run twice or side by side: the row is locked, and a sent one is left alone."""
    with transaction.atomic():
        mail = (
            InvitationMail.objects.select_for_update()
            .select_related("invitation__consult__patient")
            .filter(pk=mail_id, sent_at=None, failures__lt=GIVE_UP_AFTER, invitation__revoked_at=None)
            .first()
        )
        if mail is None:
            return
        consult = mail.invitation.consult
        by = Actor(role="system", person="mail", clinic=consult.clinic_id)
        letter = json.loads(vault_patients.unseal(consult.patient, "invitation", mail.letter))
        try:
            # Her address leaves the vault: not without a word in the log, which is taken back where nothing left.
            with transaction.atomic():
                _note(mail, by, AuditEntry.Outcome.DONE)
                _post(consult, letter)
        except OSError:  # every failure to reach or please the mail server; smtplib's derive from it
            mail.failures += 1
            mail.save(update_fields=["failures"])
            _note(mail, by, AuditEntry.Outcome.FAILED)
            return
        token, mail.letter, mail.sent_at = mail.letter, "", timezone.now()
        mail.save(update_fields=["letter", "sent_at"])
        vault_patients.erase(token)


def _note(mail: InvitationMail, by: Actor, outcome: str) -> None:
    consult = mail.invitation.consult
    audit.record(
        "invite.sent",
        by,
        patient=consult.patient_id,
        consult=consult.id,
        outcome=outcome,
        invite=mail.invitation_id,
        tries=mail.failures,
    )


def _post(consult: Consult, letter: dict[str, str]) -> None:
    context = {"consult": consult, "link": letter["link"], "hours": settings.INVITE_LIFETIME_HOURS}
    message = EmailMultiAlternatives(
        subject=f"Your video visit with {consult.clinic.name}",
        body=render_to_string("consults/mail/invitation.txt", context),
        to=[letter["to"]],
    )
    message.attach_alternative(render_to_string("consults/mail/invitation.html", context), "text/html")
    message.send()


def unsent() -> list[int]:
    """Invites that should have gone out: their task was lost with a broker, or the mail server was away."""
    rows = InvitationMail.objects.filter(sent_at=None, failures__lt=GIVE_UP_AFTER, invitation__revoked_at=None)
    return list(rows.values_list("pk", flat=True)[:100])
