"""What the vault keeps: patient records made of tokens, sealed values, wrapped keys, search digests, the audit log.

The vault knows clinics and people by UUID only: it is the lowest room and imports no other.
"""

import uuid

from django.db import models

from vault.core.fields import BLANK_MASK, KINDS
from vault.core.terms import DIGESTED
from vault.core.tokens import LENGTH
from vault.token_field import TokenField


class Patient(models.Model):
    """A record: one token per protected field, and the masks that lists may show."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    clinic_id = models.UUIDField()
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
    #: the clinic's running number by which the sealed index lists her; none once shredded
    number = models.PositiveBigIntegerField(null=True)
    national_id_digest = models.BigIntegerField(null=True)
    phone_digest = models.BigIntegerField(null=True)
    email_digest = models.BigIntegerField(null=True)
    created_at = models.DateTimeField()
    shredded_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["clinic_id", "record_number"], name="record_number_once_per_clinic"),
            models.UniqueConstraint(fields=["clinic_id", "number"], name="number_once_per_clinic"),
        ]
        indexes = [
            models.Index(
                fields=[f"{field}_digest"], name=f"by_{field}", condition=models.Q((f"{field}_digest__isnull", False))
            )
            for field in DIGESTED
        ]

    def __str__(self) -> str:
        return f"{self.masks.get('name', '')} ({self.record_number})"

    @property
    def masked(self) -> dict[str, str]:
        """Field name -> mask, for every field that has a value."""
        return {field: self.masks.get(field, BLANK_MASK) for field in KINDS if getattr(self, field)}


class DataKey(models.Model):
    """A patient's data key, wrapped (FORMAT.md). Destroying the row shreds what it sealed."""

    # no index of its own: the constraint's serves
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="data_keys", db_index=False)
    generation = models.PositiveIntegerField()
    wrapped = models.BinaryField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["patient", "generation"], name="one_data_key_per_generation")]

    def __str__(self) -> str:
        return f"data key {self.generation} of {self.patient_id}"


class SealedRecord(models.Model):
    """All protected fields of a patient, sealed together."""

    patient = models.OneToOneField(Patient, on_delete=models.PROTECT, primary_key=True, related_name="record")
    key = models.OneToOneField(DataKey, on_delete=models.PROTECT)
    version = models.PositiveIntegerField(default=1)
    sealed = models.BinaryField()

    def __str__(self) -> str:
        return f"record of {self.patient_id}, version {self.version}"


class SealedValue(models.Model):
    """What a token outside the record stands for."""

    token = models.CharField(max_length=LENGTH, primary_key=True)
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="sealed_values")
    field = models.CharField(max_length=24)
    key = models.ForeignKey(DataKey, on_delete=models.PROTECT)
    sealed = models.BinaryField()
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.token


class ClinicIndex(models.Model):
    """One row a clinic: the lock that writers of its sealed index take, and its running numbers."""

    clinic_id = models.UUIDField(primary_key=True)
    last_number = models.PositiveBigIntegerField(default=0)
    #: bumped when a list's leaves are laid out anew, so that a reader who was in the middle reads again
    layout = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return f"index of {self.clinic_id}"


class IndexKey(models.Model):
    """A clinic's index key, wrapped. While it is rotated there are two: writers serve both, readers the one in use."""

    clinic_id = models.UUIDField()
    generation = models.PositiveIntegerField(default=1)
    wrapped = models.BinaryField()
    created_at = models.DateTimeField()
    #: set once every patient is listed under it
    in_use = models.BooleanField(default=True)
    #: how far the building has come: the last patient's number
    built_to = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["clinic_id", "generation"], name="one_index_key_per_generation")]

    def __str__(self) -> str:
        return f"index key {self.generation} of {self.clinic_id}"


class IndexBlock(models.Model):
    """One block of a sealed index. The label is all that tells it apart, and tells nothing."""

    label = models.BinaryField(max_length=16, primary_key=True)
    key = models.ForeignKey(IndexKey, on_delete=models.CASCADE, db_index=False)
    sealed = models.BinaryField()

    def __str__(self) -> str:
        return bytes(self.label).hex()


#: what most entries are. The rest has an index of its own, so that one emergency in a year is found at once.
FREQUENT = (
    *("patient.view", "patient.search", "patient.reveal", "audit.view", "signin.password", "signin", "signout"),
    *("consult.list", "consult.view", "consult.create", "invite.create", "invite.view", "invite.redeem"),
    *("identity.check", "consult.devices", "consent.give", "consult.waiting", "consult.admit", "consult.end"),
    *("consult.connect", "worker.monitor"),
)


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
            models.Index(fields=["consult", "-id"], name="audit_of_consult", condition=~models.Q(consult="")),
            models.Index(fields=["person", "-id"], name="audit_person"),
            models.Index(
                fields=["clinic_id", "action", "-id"], name="audit_rare", condition=~models.Q(action__in=FREQUENT)
            ),
            models.Index(fields=["clinic_id", "-id"], name="audit_not_done", condition=~models.Q(outcome="done")),
            # which version of a record is the newest, if any still is
            models.Index(
                fields=["patient", "-id"],
                name="audit_version",
                condition=models.Q(action__in=["patient.change", "patient.shred"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.action} {self.outcome}"


class AuditBatch(models.Model):
    """Entries that went into the Merkle tree together, in the order of their ids (`vault.audit_seal`). Append-only."""

    #: place of the batch's first entry in the tree
    first = models.PositiveBigIntegerField(primary_key=True)
    #: entries in the tree after it
    size = models.PositiveBigIntegerField(unique=True)
    #: which entries, as runs (`vault.core.entries.packed`)
    ids = models.BinaryField()
    #: the highest id that had been seen by then
    seen_to = models.PositiveBigIntegerField(db_index=True)
    #: ids below it that may still come, as runs
    awaited = models.BinaryField()
    #: 32 bytes an entry
    hashes = models.BinaryField()
    root = models.BinaryField()
    signature = models.BinaryField()
    at = models.DateTimeField()

    class Meta:
        ordering = ["first"]

    def __str__(self) -> str:
        return f"entries {self.first} to {self.size - 1}"


class AuditNode(models.Model):
    """The hash of a complete subtree of 2**level entries, for the levels 8, 16, 24 and so on. Append-only."""

    #: level << 48 | which of that level
    place = models.PositiveBigIntegerField(primary_key=True)
    hash = models.BinaryField()

    def __str__(self) -> str:
        return f"{self.place >> 48}/{self.place & (1 << 48) - 1}"


class AuditWitnessing(models.Model):
    """What a witness signed of a checkpoint: the line of its note. Append-only."""

    size = models.PositiveBigIntegerField()
    witness = models.CharField(max_length=200)
    line = models.CharField(max_length=400)
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["size", "witness"], name="one_line_a_witness")]

    def __str__(self) -> str:
        return f"{self.witness}, {self.size} entries"


class AuditArchive(models.Model):
    """A month of the log was written into a file; with `dropped`, its entries left the database. Append-only."""

    #: as in 2026-11
    month = models.CharField(max_length=7)
    #: places in the tree: the file's first entry, and how many there are after its last
    first = models.PositiveBigIntegerField()
    size = models.PositiveBigIntegerField()
    #: SHA-256 of the file, hex
    digest = models.CharField(max_length=64)
    dropped = models.BooleanField(default=False)
    at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["month", "dropped"], name="a_month_is_archived_once_and_dropped_once")
        ]

    def __str__(self) -> str:
        return f"{self.month}, entries {self.first} to {self.size - 1}"


class AuditCarried(models.Model):
    """Of an entry that left the database: what says which version of a record is the newest. Append-only."""

    entry = models.PositiveBigIntegerField(primary_key=True)
    patient = models.CharField(max_length=64)
    detail = models.JSONField(default=dict)

    class Meta:
        indexes = [models.Index(fields=["patient", "-entry"], name="carried_version")]

    def __str__(self) -> str:
        return f"entry {self.entry}"


class AuditShipment(models.Model):
    """How far the log has been handed on to a place outside (`vault.audit_ship`)."""

    address = models.CharField(max_length=200, primary_key=True)
    #: place in the tree of the first entry that it does not have
    sent_to = models.PositiveBigIntegerField(default=0)
    moved_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.address
