"""What the vault keeps: patient records made of tokens, sealed values, wrapped keys, search digests, the audit log.

The vault knows clinics and people by UUID only: it is the lowest room and imports no other.
"""

import uuid

from django.db import models

from vault.core.fields import KINDS
from vault.core.tokens import LENGTH
from vault.token_field import TokenField


class Patient(models.Model):
    """A record: one token per protected field, and the masks that lists may show."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    clinic_id = models.UUIDField(db_index=True)
    #: the clinic's own, non-secret number for the record
    record_number = models.CharField(max_length=24)
    name = TokenField()
    birth_date = TokenField()
    national_id = TokenField()
    phone = TokenField()
    email = TokenField()
    address = TokenField()
    notes = TokenField()
    masks = models.JSONField(default=dict)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["clinic_id", "record_number"], name="record_number_once_per_clinic")
        ]

    def __str__(self) -> str:
        return f"{self.masks.get('name', '')} ({self.record_number})"

    @property
    def masked(self) -> dict[str, str]:
        """Field name -> mask, for every field that has a value."""
        return {field: self.masks[field] for field in KINDS if field in self.masks}


class DataKey(models.Model):
    """A patient's data key, wrapped (FORMAT.md). Destroying the row shreds what it sealed."""

    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="data_keys")
    generation = models.PositiveIntegerField()
    wrapped = models.BinaryField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["patient", "generation"], name="one_data_key_per_generation")]

    def __str__(self) -> str:
        return f"data key {self.generation} of {self.patient_id}"


class IndexKey(models.Model):
    """A clinic's index key, wrapped."""

    clinic_id = models.UUIDField(unique=True)
    wrapped = models.BinaryField()
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"index key of {self.clinic_id}"


class SealedValue(models.Model):
    """What a token stands for."""

    token = models.CharField(max_length=LENGTH, primary_key=True)
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="sealed_values")
    field = models.CharField(max_length=16)
    generation = models.PositiveIntegerField()
    sealed = models.BinaryField()
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.token


class SearchDigest(models.Model):
    """One digest under which a patient is found."""

    clinic_id = models.UUIDField()
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="search_digests")
    field = models.CharField(max_length=16)
    digest = models.BinaryField(max_length=16)

    class Meta:
        indexes = [models.Index(fields=["clinic_id", "digest", "patient"], name="digest_to_patient")]

    def __str__(self) -> str:
        return f"{self.field} digest of {self.patient_id}"


class AuditEntry(models.Model):
    """One thing somebody did, or was refused. Appended by `vault.audit.record`; triggers refuse change and removal."""

    class Outcome(models.TextChoices):
        DONE = "done", "done"
        REFUSED = "refused", "refused"
        FAILED = "failed", "failed"

    at = models.DateTimeField(db_index=True)
    action = models.CharField(max_length=40)
    outcome = models.CharField(max_length=8, choices=Outcome.choices, default=Outcome.DONE)
    clinic_id = models.UUIDField(null=True)
    person = models.CharField(max_length=64, blank=True)
    person_name = models.CharField(max_length=120, blank=True)
    role = models.CharField(max_length=20)
    patient = models.CharField(max_length=64, blank=True)
    consult = models.CharField(max_length=64, blank=True)
    purpose = models.CharField(max_length=200, blank=True)
    source = models.CharField(max_length=64, blank=True)
    session = models.CharField(max_length=16, blank=True)
    detail = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]
        verbose_name = "audit entry"
        verbose_name_plural = "audit log"
        indexes = [
            models.Index(fields=["clinic_id", "-id"], name="audit_clinic"),
            models.Index(fields=["patient", "-id"], name="audit_patient"),
            models.Index(fields=["consult", "-id"], name="audit_consult"),
            models.Index(fields=["person", "-id"], name="audit_person"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.action} {self.outcome}"
