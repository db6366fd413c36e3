"""What a privacy officer must look at: emergency access, and decoys that were read; told, reviewed, signed off."""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.db.models import QuerySet
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from consults.models import Concern
from vault import audit
from vault import patients as vault_patients
from vault.audit import Actor
from vault.models import AuditEntry, Patient

STANDS = timedelta(minutes=15)
#: open at once, and a day, for one person: an emergency is rare
OPEN_AT_ONCE = 3
A_DAY = 10
SHORTEST_REASON = 10
GIVE_UP_AFTER = 8


class NotOpened(Exception):
    """Emergency access was refused; the message says why."""


class NotSigned(Exception):
    """The review was not taken; the message says why."""


# -- emergency access ----------------------------------------------------------------------------------------


@transaction.atomic
def break_glass(person: User, patient: Patient, reason: str, by: Actor) -> Concern:
    """Access to one record for 15 minutes. The caller has checked the role and the fresh second factor."""
    reason = " ".join(reason.split())
    if sum(letter.isalpha() for letter in reason) < SHORTEST_REASON:
        raise NotOpened("Say in a few words why it cannot wait.")
    if person.role != User.Role.CLINICIAN or person.clinic_id != patient.clinic_id or patient.shredded_at:
        raise NotOpened("There is nothing to read in this record.")
    now = timezone.now()
    User.objects.select_for_update().get(pk=person.pk)  # two at once must not both be the last that is allowed
    mine = Concern.objects.filter(person=person, kind=Concern.Kind.BREAK_GLASS)
    today = mine.filter(at__gt=now - timedelta(days=1))
    if mine.filter(until__gt=now).count() >= OPEN_AT_ONCE or today.count() >= A_DAY:
        raise NotOpened("You have used emergency access too often. Ask your privacy officer.")
    concern = Concern.objects.create(
        kind=Concern.Kind.BREAK_GLASS,
        clinic=person.clinic,
        person=person,
        patient=patient,
        reason=vault_patients.seal(patient, "break_glass_reason", reason.encode()),
        at=now,
        until=now + STANDS,
    )
    audit.record("patient.break_glass", by, patient=patient.id, concern=str(concern.id), minutes=15)
    return concern


def standing(person: User, patient: Patient) -> Concern | None:
    """The emergency access that this person has to this patient now."""
    return (
        Concern.objects.filter(kind=Concern.Kind.BREAK_GLASS, person=person, patient=patient, until__gt=timezone.now())
        .order_by("-until")
        .first()
    )


def decoy_read(person: User, patient: Patient, by: Actor) -> Concern | None:
    """Raise the alarm at this person's first reading of a decoy."""
    with transaction.atomic():
        User.objects.select_for_update().get(pk=person.pk)
        if Concern.objects.filter(kind=Concern.Kind.DECOY, person=person, patient=patient).exists():
            return None
        concern = Concern.objects.create(
            kind=Concern.Kind.DECOY, clinic=person.clinic, person=person, patient=patient, at=timezone.now()
        )
        audit.record("patient.canary", by, patient=patient.id, concern=str(concern.id))
    return concern


# -- review --------------------------------------------------------------------------------------------------


def waiting(clinic: UUID) -> QuerySet[Concern]:
    """What nobody has signed off, oldest first."""
    return Concern.objects.filter(clinic_id=clinic, reviewed_at=None).select_related("person", "patient").order_by("at")


def signed(clinic: UUID) -> QuerySet[Concern]:
    rows = Concern.objects.filter(clinic_id=clinic).exclude(reviewed_at=None)
    return rows.select_related("person", "patient", "reviewer").order_by("-reviewed_at")


def reason_of(concern: Concern, by: Actor) -> str:
    """Why the glass was broken, opened for an officer; the entry is written first."""
    audit.record("review.view", by, patient=concern.patient_id, concern=str(concern.id))
    if not concern.reason or concern.patient.shredded_at:
        return ""
    return vault_patients.unseal(concern.patient, "break_glass_reason", concern.reason).decode()


def read_under(concern: Concern) -> QuerySet[AuditEntry]:
    """What this person did to this record from then on, while the access stood; of a decoy, since it was read."""
    entries = AuditEntry.objects.filter(
        patient=str(concern.patient_id), person=str(concern.person_id), at__gte=concern.at - timedelta(seconds=5)
    )
    if concern.until:
        entries = entries.filter(at__lte=concern.until)
    return entries.order_by("id")


@transaction.atomic
def sign(concern: Concern, officer: User, *, finding: str, note: str, by: Actor) -> None:
    """Sign a concern off, once, by somebody whom it is not about."""
    concern = Concern.objects.select_for_update().select_related("patient").get(pk=concern.pk)
    if concern.reviewed_at:
        raise NotSigned("Somebody has signed this off already.")
    if concern.person_id == officer.pk:
        raise NotSigned("This is about you. Another privacy officer must look at it.")
    if finding not in Concern.Finding.values:
        raise NotSigned("Choose what you found.")
    if note.strip() and not concern.patient.shredded_at:
        concern.note = vault_patients.seal(concern.patient, "review_note", note.strip().encode())
    concern.reviewed_at, concern.reviewer, concern.finding = timezone.now(), officer, finding
    concern.save()
    audit.record("review.sign", by, patient=concern.patient_id, concern=str(concern.id), finding=finding)


# -- telling the officers ------------------------------------------------------------------------------------


def tell(concern_id: UUID) -> None:
    """Mail the privacy officers: who and when, nothing about the patient. Safe to run twice or side by side."""
    with transaction.atomic():
        concern = (
            Concern.objects.select_for_update(of=("self",))
            .select_related("person", "clinic")
            .filter(pk=concern_id, told_at=None, failures__lt=GIVE_UP_AFTER)
            .first()
        )
        if concern is None:
            return
        officers = User.objects.filter(clinic=concern.clinic, role=User.Role.PRIVACY_OFFICER, is_active=True)
        emails = list(officers.exclude(pk=concern.person_id).values_list("email", flat=True))
        if not emails:
            return  # told as soon as the clinic has an officer: the sweep comes by again
        try:
            _post(concern, emails)
        except OSError:  # every failure to reach or please the mail server
            concern.failures += 1
            concern.save(update_fields=["failures"])
            return
        concern.told_at = timezone.now()
        concern.save(update_fields=["told_at"])
        by = Actor(role="system", person="mail", clinic=concern.clinic_id)
        audit.record("review.told", by, patient=concern.patient_id, concern=str(concern.id), officers=len(emails))


def _post(concern: Concern, emails: list[str]) -> None:
    link = f"{settings.PUBLIC_ORIGIN}{reverse('review-one', args=[concern.id])}"
    context = {"concern": concern, "link": link}
    message = EmailMultiAlternatives(
        subject=f"{concern.get_kind_display()}: please review",
        body=render_to_string("consults/mail/concern.txt", context),
        to=emails,
    )
    message.attach_alternative(render_to_string("consults/mail/concern.html", context), "text/html")
    message.send()


def untold() -> list[UUID]:
    """Concerns whose letter has not gone out: the task was lost, or the mail server was away."""
    rows = Concern.objects.filter(told_at=None, failures__lt=GIVE_UP_AFTER)
    return list(rows.values_list("pk", flat=True)[:100])
