"""What tests of the officer's log pages share: entries of any time, and what a page shows."""

from django.utils import timezone

from accounts.sessions import staff_actor
from vault.models import AuditEntry

LIST = "/admin/vault/auditentry/"


def of(user, **more):
    return staff_actor(user, **more)


def entry(user, action="patient.view", *, at=None, outcome="done", **about):
    """An entry that happened at some time."""
    made = AuditEntry(
        at=at or timezone.now(),
        action=action,
        outcome=outcome,
        clinic_id=user.clinic_id,
        person=str(user.pk),
        person_name=user.name,
        role=user.role,
        **{name: str(value) for name, value in about.items() if name != "detail"},
        detail=about.get("detail", {}),
    )
    made.save(force_insert=True)
    return made


def shown(answer):
    """The ids of the entries on a page, in order."""
    return [line.entry.pk for day in answer.context["days"] for line in day.lines]
