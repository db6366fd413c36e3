"""An officer's work on the log: reviews signed off, filters kept under a name."""

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from consults.audit_lists import newest_id
from consults.audit_models import AuditReview, AuditView
from vault import audit
from vault import patients as vault_patients
from vault.models import Patient

#: saved views of one officer: a row of links has to stay one
MOST_VIEWS = 12


class NotDone(Exception):
    """It was refused; the message says why."""


@transaction.atomic
def sign(
    officer: User,
    by: audit.Actor,
    *,
    since: datetime,
    until: datetime,
    finding: str,
    note: str = "",
    person: User | None = None,
    patient: Patient | None = None,
) -> AuditReview:
    """Sign off what happened from `since` to before `until`; of one person or patient, or of everybody.

    A note about a patient is sealed under her key. Of anything else it is plain, and names no patient.
    """
    now = timezone.now()
    if since >= until or since > now:
        raise NotDone("Choose a first day that is not after the last, nor in the future.")
    if person is not None and person.pk == officer.pk:
        raise NotDone("This is about you. Another privacy officer must look at it.")
    if finding not in AuditReview.Finding.values:
        raise NotDone("Choose what you found.")
    note = " ".join(note.split())
    seals = patient is not None and patient.shredded_at is None and bool(note)
    if patient is not None and note and not seals:
        raise NotDone("This record was erased, so a note on it can be sealed no more. Leave the note empty.")
    review = AuditReview.objects.create(
        clinic=officer.clinic,
        officer=officer,
        since=since,
        until=min(until, now),
        newest=newest_id(),
        person=person,
        patient=patient,
        finding=finding,
        note="" if seals else note,
        sealed_note=vault_patients.seal(patient, "review_note", note.encode()) if patient and seals else "",
        at=now,
    )
    audit.record(
        "audit.review",
        by,
        patient=patient.id if patient else None,
        review=str(review.id),
        since=since.isoformat(),
        until=review.until.isoformat(),
        newest=review.newest,
        about=str(person.pk) if person else "",
        finding=finding,
    )
    return review


def of_clinic(clinic: UUID) -> QuerySet[AuditReview]:
    return AuditReview.objects.filter(clinic_id=clinic).select_related("officer", "person", "patient")


def latest(clinic: UUID) -> AuditReview | None:
    """The newest sign-off of everybody's doings."""
    return of_clinic(clinic).filter(person=None, patient=None).order_by("-at").first()


def note_of(review: AuditReview) -> str:
    """What the officer wrote. The caller has written the entry."""
    if not review.sealed_note:
        return review.note
    if review.patient is None or review.patient.shredded_at:
        return ""
    return vault_patients.unseal(review.patient, "review_note", review.sealed_note).decode()


@transaction.atomic
def save_view(owner: User, by: audit.Actor, *, name: str, query: str) -> AuditView:
    """Keep a filter under a name; the same name again replaces it."""
    name = audit.clean(name, 40)
    if not name or not query:
        raise NotDone("Choose a filter and give it a name.")
    User.objects.select_for_update().get(pk=owner.pk)  # two at once must not both be the last that fits
    others = AuditView.objects.filter(owner=owner).exclude(name=name)
    if others.count() >= MOST_VIEWS:
        raise NotDone(f"You have {MOST_VIEWS} saved views. Remove one first.")
    view, _ = AuditView.objects.update_or_create(owner=owner, name=name, defaults={"query": query})
    audit.record("audit.saved_view", by, view=str(view.id), query=query)
    return view


@transaction.atomic
def remove_view(owner: User, by: audit.Actor, view: UUID) -> None:
    gone, _ = AuditView.objects.filter(owner=owner, pk=view).delete()
    if not gone:
        raise NotDone("This view is gone already.")
    audit.record("audit.saved_view", by, view=str(view), removed=True)
