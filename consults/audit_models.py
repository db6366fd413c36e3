"""What stands beside the log: filters under a name, reviews signed off, exports under way, counts of past hours."""

import uuid
from datetime import timedelta

from django.conf import settings
from django.db import models
from django.utils import timezone

from accounts.models import Clinic
from vault.models import Patient
from vault.token_field import TokenField

#: an export that has not moved for so long was broken off
STANDS_STILL = timedelta(minutes=1)


class AuditView(models.Model):
    """A filter of the log under a name, for the officer who made it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="audit_views")
    name = models.CharField(max_length=40)
    #: as it stands in the list's address: ids, dates and names of actions
    query = models.CharField(max_length=400)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="audit_view_once")]
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class AuditReview(models.Model):
    """A part of the log that an officer has read and signed off. Append-only: a second look is a second review."""

    class Finding(models.TextChoices):
        CLEAR = "clear", "Nothing to object to"
        FOLLOW_UP = "follow_up", "Needs a follow-up"
        BREACH = "breach", "Somebody's privacy was breached"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    clinic = models.ForeignKey(Clinic, on_delete=models.PROTECT)
    officer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="audit_reviews")
    since = models.DateTimeField()
    until = models.DateTimeField()
    #: id of the newest entry there was: what came later was not looked at
    newest = models.PositiveBigIntegerField()
    #: whom it is about, if not everybody
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="reviews_of_me"
    )
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, null=True, related_name="audit_reviews")
    finding = models.CharField(max_length=10, choices=Finding.choices)
    #: of a period or a person: there is no patient under whose key it could be sealed
    note = models.CharField(max_length=1000, blank=True)
    #: of a patient: sealed under her key
    sealed_note = TokenField()
    at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["clinic", "-at"], name="audit_reviews_of_clinic")]
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"review of {self.at:%Y-%m-%d %H:%M}"


class AuditExport(models.Model):
    """A file of entries on its way to an officer: how far it has come, and the digest of what was sent."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    clinic = models.ForeignKey(Clinic, on_delete=models.PROTECT)
    officer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="audit_exports")
    form = models.CharField(max_length=8)
    at = models.DateTimeField()
    #: when it was last seen to move: a browser that goes away says nothing
    moved_at = models.DateTimeField()
    rows = models.PositiveIntegerField(default=0)
    done_at = models.DateTimeField(null=True)
    #: SHA-256 of the whole file
    digest = models.CharField(max_length=64, blank=True)
    #: the filter has more entries than one file holds
    capped = models.BooleanField(default=False)

    class Meta:
        indexes = [models.Index(fields=["officer", "-at"], name="audit_exports_of_officer")]
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"export of {self.at:%Y-%m-%d %H:%M}"

    @property
    def rows_said(self) -> str:
        return f"{self.rows:,}"

    @property
    def is_under_way(self) -> bool:
        return self.done_at is None and timezone.now() - self.moved_at < STANDS_STILL


class AuditCheck(models.Model):
    """A verification of the whole log that an officer asked for: how far it has come, and what was found."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    officer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="audit_checks")
    at = models.DateTimeField()
    #: when it was last seen to move: a process that dies says nothing
    moved_at = models.DateTimeField()
    #: entries there were when it began, and those looked at so far
    total = models.PositiveBigIntegerField()
    looked_at = models.PositiveBigIntegerField(default=0)
    done_at = models.DateTimeField(null=True)
    #: checkpoints kept outside the database that it was compared with
    compared = models.PositiveIntegerField(default=0)
    #: one sentence a fault, with the entry it is about
    faults = models.JSONField(default=list)
    #: one sentence for each place outside that could not be asked
    silent = models.JSONField(default=list)

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"check of {self.at:%Y-%m-%d %H:%M}"

    @property
    def looked_said(self) -> str:
        return f"{self.looked_at:,}"

    @property
    def is_under_way(self) -> bool:
        return self.done_at is None and timezone.now() - self.moved_at < STANDS_STILL


class AuditHour(models.Model):
    """Entries of one clinic in one hour that is over. The log only grows, so what was counted once stays right."""

    # no index of its own: the constraint's serves
    clinic = models.ForeignKey(Clinic, on_delete=models.CASCADE, db_index=False)
    hour = models.DateTimeField()
    done = models.PositiveIntegerField()
    #: refused or failed
    refused = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["clinic", "hour"], name="audit_hour_once")]

    def __str__(self) -> str:
        return f"{self.done + self.refused} entries from {self.hour:%Y-%m-%d %H:%M}"
