"""How long consent is kept, what was erased when its time was over, and the holds that forbid it."""

import uuid

from django.conf import settings
from django.db import models

from accounts.models import Clinic
from vault.models import Patient
from vault.token_field import TokenField


class RetentionPeriod(models.Model):
    """A clinic's choice for one scope. Append-only: the newest that has come into force is the one that counts."""

    clinic = models.ForeignKey(Clinic, on_delete=models.PROTECT, related_name="retention_periods")
    scope = models.CharField(max_length=24)
    #: null: kept until the clinic chooses a period
    days = models.PositiveIntegerField(null=True)
    chosen_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    chosen_at = models.DateTimeField()
    #: later than the choice where it is the shorter one, so that a mistake can be taken back
    in_force_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["clinic", "scope", "-id"], name="retention_of_clinic")]

    def __str__(self) -> str:
        return f"{self.scope}: {self.days or 'no end'}"


class LegalHold(models.Model):
    """Until it is lifted nothing of this patient's is erased, neither consent nor record. Append-only."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    clinic = models.ForeignKey(Clinic, on_delete=models.PROTECT)
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="holds")
    #: why, sealed under her key
    reason = TokenField()
    placed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    placed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"hold of {self.placed_at:%Y-%m-%d %H:%M}"


class HoldLift(models.Model):
    """The end of a hold. Append-only, like the hold: neither is taken away unseen."""

    hold = models.OneToOneField(LegalHold, on_delete=models.PROTECT, related_name="lift")
    reason = TokenField()
    lifted_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    lifted_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"lifted {self.lifted_at:%Y-%m-%d %H:%M}"


class ConsentErasure(models.Model):
    """What of an act of consent was erased, and when: the act's row and both entries of the log stay. Append-only."""

    class What(models.TextChoices):
        ACT = "act", "the signed act"
        RECORDING = "recording", "the recording"

    consent = models.ForeignKey("consults.Consent", on_delete=models.PROTECT, related_name="erasures")
    what = models.CharField(max_length=9, choices=What.choices)
    at = models.DateTimeField()
    #: how long it had to be kept, and since when that was counted
    days = models.PositiveIntegerField()
    since = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["consent", "what"], name="erased_once")]
        ordering = ["at"]

    def __str__(self) -> str:
        return f"{self.get_what_display()}, erased {self.at:%Y-%m-%d %H:%M}"
