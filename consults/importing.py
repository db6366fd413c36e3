"""Patients from a file: every row added, or found to be there, or refused with a reason. Killed, it goes on.

A batch of rows, how far the run has come and what it says of rows are one transaction: either all of it is there or
none. A row that was handled is never handled again.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from django.db import IntegrityError, OperationalError, connection, transaction
from django.utils import timezone

from accounts.models import Clinic
from consults.import_models import ImportRemark, ImportRun
from consults.import_rows import BadRow, CsvFile, Row, record_of
from vault import audit, bulk, postings
from vault.core.terms import digest_text
from vault.keyring import indexes
from vault.models import Patient
from vault.patients import new_record_number
from vault.rows import in_turn

BATCH = 1000
#: how often a batch is planned anew when others are in its way
TRIES = 5
PRESENT, REFUSED = ImportRemark.Outcome.PRESENT, ImportRemark.Outcome.REFUSED
Say = Callable[[ImportRun], None]


class NotImported(Exception):
    """The import did not begin or stopped; the message says what to do. What was done before stays."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A row that was read: a record to add, or a reason why not."""

    row: int
    record: bulk.NewRecord | None
    reason: str = ""
    is_empty: bool = False


@dataclass(slots=True)
class Seen:
    """What earlier rows of this file hold, by digest: of two rows for one patient the first counts."""

    rows: dict[bytes, int] = field(default_factory=dict)

    def before(self, row: int, record: bulk.NewRecord) -> str:
        """The reason why this row repeats an earlier one, or ""; from now on it counts itself."""
        marks = self._marks(record)
        for what, mark in marks.items():
            if mark in self.rows:
                return f"Row {self.rows[mark]} has the same {what}. That row counts."
        self.rows.update(dict.fromkeys(marks.values(), row))
        return ""

    @staticmethod
    def _marks(record: bulk.NewRecord) -> dict[str, bytes]:
        whole = sorted(record.values.items())
        said = {
            "record number": record.record_number,
            "national id": record.values.get("national_id", ""),
            "values": repr((whole, record.record_number)),
        }
        return {what: hashlib.sha256(f"{what}\0{text}".encode()).digest() for what, text in said.items() if text}


def judge(file: CsvFile) -> Iterator[Judged]:
    """Every row of the file by itself and beside the rows before it: the same at each reading."""
    seen = Seen()
    for row in file.rows():
        yield _judged(file, row, seen)


def _judged(file: CsvFile, row: Row, seen: Seen) -> Judged:
    if row.is_empty:
        return Judged(row.number, None, is_empty=True)
    try:
        record = record_of(file, row)
    except BadRow as error:
        return Judged(row.number, None, str(error))
    repeated = seen.before(row.number, record)
    return Judged(row.number, None, repeated) if repeated else Judged(row.number, record)


def begin(clinic: Clinic, file: CsvFile, by: audit.Actor, *, beside: bool = False) -> ImportRun:
    """The run of this file: a new one, or the one that was stopped. `beside`: another run may stay unfinished."""
    run = ImportRun.objects.filter(clinic=clinic, file_digest=file.digest).first()
    if run:
        if run.reading != file.reading:
            raise NotImported(
                "This file was begun with other columns, dates, encoding or delimiter. Say the same again."
            )
        return run
    other = ImportRun.objects.filter(clinic=clinic, finished_at=None).order_by("-started_at").first()
    if other and not beside:
        raise NotImported(
            f"The import that began on {timezone.localtime(other.started_at):%-d %B %Y at %H:%M} stopped after row "
            f"{other.done_to} of {other.last_row}, and this is another file, or the same one changed since. "
            f"Give the unchanged file (SHA-256 {other.file_digest[:16]}…) to go on, "
            "or say --new to import this one and leave the other as it is."
        )
    with transaction.atomic():
        run = ImportRun.objects.create(
            clinic=clinic,
            file_digest=file.digest,
            reading=file.reading,
            last_row=file.last_row,
            started_at=timezone.now(),
        )
        audit.record("patient.import", by, file=file.digest, rows=file.last_row, state="begun")
    return run


def go_on(run: ImportRun, file: CsvFile, by: audit.Actor, say: Say) -> None:
    """Handle the rest of the file, and tell `say` after every batch."""
    if run.finished_at:
        return
    # Rows handled before are read again, not handled: later ones may repeat them.
    rest = (judged for judged in judge(file) if judged.row > run.done_to)
    while batch := list(islice(rest, BATCH)):
        _commit(run, batch, by)
        say(run)
    _finish(run, by)
    say(run)


def _commit(run: ImportRun, batch: list[Judged], by: audit.Actor) -> None:
    for left in reversed(range(TRIES)):
        try:
            # COPY raises the driver's own errors, unless they are asked to be Django's.
            with connection.wrap_database_errors, in_turn():
                _handle(run, batch, by)
            break
        except (IntegrityError, OperationalError):
            # Somebody added one of these patients at the same moment, or the two of us waited for each other.
            if not left:
                raise NotImported("The database is busy or gone. Run the same command again to go on.") from None
    run.refresh_from_db()


def _handle(run: ImportRun, batch: list[Judged], by: audit.Actor) -> None:
    # First of all the claim: a second import of the same file waits here, and then finds the batch done.
    mine = ImportRun.objects.filter(pk=run.pk, done_to=run.done_to, finished_at=None)
    if not mine.update(done_to=batch[-1].row):
        raise NotImported("Another import of this file is running. Let it finish.")
    # Then the lock of everybody who adds a patient: nobody does between our looking for her and adding her.
    postings.locked(run.clinic_id)
    add, remarks = settle(run.clinic, batch)
    if add:
        bulk.create_many(run.clinic_id, _numbered(run.clinic, add), by)
    ImportRemark.objects.bulk_create([ImportRemark(run=run, row=r, outcome=o, reason=why) for r, o, why in remarks])
    outcomes = [outcome for _, outcome, _ in remarks]
    ImportRun.objects.filter(pk=run.pk).update(
        added=run.added + len(add),
        present=run.present + outcomes.count(PRESENT),
        refused=run.refused + outcomes.count(REFUSED),
        empty=run.empty + sum(judged.is_empty for judged in batch),
    )


def _numbered(clinic: Clinic, records: list[bulk.NewRecord]) -> list[bulk.NewRecord]:
    """The records, those without a record number given a new one that no patient of the clinic has."""
    fresh: set[str] = set()
    while (short := sum(not record.record_number for record in records) - len(fresh)) > 0:
        drawn = {new_record_number() for _ in range(short)} - fresh - {record.record_number for record in records}
        fresh |= drawn - _taken(clinic, drawn)
    return [r if r.record_number else bulk.NewRecord(r.values, fresh.pop()) for r in records]


def _taken(clinic: Clinic, numbers: set[str]) -> set[str]:
    taken = Patient.objects.filter(clinic_id=clinic.pk, record_number__in=numbers)
    return set(taken.values_list("record_number", flat=True))


def _finish(run: ImportRun, by: audit.Actor) -> None:
    with transaction.atomic():
        if ImportRun.objects.filter(pk=run.pk, finished_at=None).update(finished_at=timezone.now()):
            run.refresh_from_db()
            counts: dict[str, Any] = {"added": run.added, "present": run.present, "refused": run.refused}
            audit.record("patient.import", by, file=run.file_digest, rows=run.last_row, state="finished", **counts)


Remarks = list[tuple[int, str, str]]


def settle(clinic: Clinic, batch: Iterable[Judged]) -> tuple[list[bulk.NewRecord], Remarks]:
    """What of a batch is to be added, and (row, outcome, reason) for what is not: now the clinic's own count too."""
    batch = list(batch)
    here = _Here(clinic, [judged.record for judged in batch if judged.record])
    add: list[bulk.NewRecord] = []
    remarks: Remarks = []
    for judged in batch:
        if judged.record is None:
            remarks += [] if judged.is_empty else [(judged.row, REFUSED, judged.reason)]
            continue
        outcome, reason = here.has(judged.record)
        if outcome:
            remarks.append((judged.row, outcome, reason))
        else:
            add.append(judged.record)
    return add, remarks


class _Here:
    """Which patients of a batch the clinic has, found by two queries."""

    def __init__(self, clinic: Clinic, records: list[bulk.NewRecord]) -> None:
        # While an index is built anew, some patients have their digests under its key, the others under the old one.
        self._digests = [index.digests.digest for index in indexes(clinic.pk)]
        numbers = [record.record_number for record in records if record.record_number]
        ids = {digest for record in records for digest in self._ids_of(record)}
        numbered = Patient.objects.filter(clinic_id=clinic.pk, record_number__in=numbers)
        self._by_number = {p.record_number: p for p in numbered}
        # The clinic is compared here: with it in the query SQLite reads all of the clinic's patients.
        known = Patient.objects.filter(national_id_digest__in=ids)
        self._by_id = {p.national_id_digest: p for p in known if p.clinic_id == clinic.pk}

    def _ids_of(self, record: bulk.NewRecord) -> set[int]:
        value = record.values.get("national_id")
        return {digest("national_id", digest_text(value)) for digest in self._digests} if value else set()

    def has(self, record: bulk.NewRecord) -> tuple[str, str]:
        """(outcome, reason), or ("", "") when she is new."""
        ids = self._ids_of(record)
        numbered = self._by_number.get(record.record_number) if record.record_number else None
        known = next((self._by_id[digest] for digest in ids if digest in self._by_id), None)
        if numbered and numbered.shredded_at:
            return REFUSED, "A record with this number was erased here. Leave the row out, or give it another number."
        if numbered and known and numbered.pk != known.pk:
            return REFUSED, "The record number is one patient's here, the national id another's."
        if numbered and ids and numbered.national_id_digest not in (None, *ids):
            return REFUSED, "The patient with this record number has another national id here."
        if numbered:
            return PRESENT, "A patient with this record number is here."
        if known:
            return PRESENT, "A patient with this national id is here."
        return "", ""
