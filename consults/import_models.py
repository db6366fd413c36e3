"""Imports of patients from files: how far each has come, and what it says of rows that it did not add."""

import uuid

from django.db import models

from accounts.models import Clinic


class ImportRun(models.Model):
    """One file on its way into one clinic. Written in the transaction of every batch, so a killed import goes on."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    clinic = models.ForeignKey(Clinic, on_delete=models.PROTECT)
    #: SHA-256 of the whole file: the only thing kept of it
    file_digest = models.CharField(max_length=64)
    #: how it is read (encoding, delimiter, dates, what each column is): going on must read it the same way
    reading = models.JSONField()
    #: number of the file's last row; the header is row 1
    last_row = models.PositiveIntegerField()
    done_to = models.PositiveIntegerField(default=1)
    added = models.PositiveIntegerField(default=0)
    present = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)
    empty = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["clinic", "file_digest"], name="one_run_per_file")]

    def __str__(self) -> str:
        return f"import of {self.started_at:%Y-%m-%d %H:%M}"


class ImportRemark(models.Model):
    """A row that was not added, and why: a sentence of ours, never a word of the row."""

    class Outcome(models.TextChoices):
        PRESENT = "present", "already there"
        REFUSED = "refused", "refused"

    run = models.ForeignKey(ImportRun, on_delete=models.CASCADE, related_name="remarks")
    row = models.PositiveIntegerField()
    outcome = models.CharField(max_length=8, choices=Outcome.choices)
    reason = models.CharField(max_length=300)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "row"], name="one_remark_per_row")]
        ordering = ["row"]

    def __str__(self) -> str:
        return f"row {self.row}: {self.outcome}"
