"""`manage.py import_patients FILE --clinic NAME`: a clinic's patients from a CSV file."""

import csv
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Clinic
from consults import importing
from consults.import_columns import BadColumns, parse_map
from consults.import_models import ImportRemark, ImportRun
from consults.import_rows import DATES, DELIMITERS, ENCODINGS, BadFile, CsvFile, read
from vault import audit
from vault.custody import VaultUnavailable

#: a line this often when nobody watches the terminal
LINE_EVERY = 10.0
BAR = 24
#: rows that the summary names for one reason
NAMED = 5


class Command(BaseCommand):
    help = (
        "Adds the patients of a CSV file to a clinic. Its first row names the columns. Every row is added, or already "
        "there (same record number or national id), or refused with a reason. Stopped, it goes on when run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="the CSV file, or - for standard input, so that no plain file is needed")
        parser.add_argument("--clinic", required=True, help="the clinic's name")
        parser.add_argument("--encoding", choices=sorted(ENCODINGS), default="utf-8")
        parser.add_argument("--delimiter", choices=sorted(DELIMITERS), default="", help="found out when not said")
        parser.add_argument("--dates", choices=sorted(DATES), default="iso", help="the order in dates of birth")
        parser.add_argument(
            "--columns", default="", help="“Client=name,3=ignore”: what a column is, where its header does not say"
        )
        parser.add_argument(
            "--report", type=Path, help="write rows that were not added, with reasons, to this CSV file"
        )
        parser.add_argument("--check", action="store_true", help="say what would happen, and change nothing")
        parser.add_argument("--new", action="store_true", help="begin although another file's import is unfinished")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            self._import(options)
        except (BadFile, BadColumns, importing.NotImported, VaultUnavailable) as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError("Stopped. Run the same command again to go on.") from None

    def _import(self, options: dict[str, Any]) -> None:
        clinic = Clinic.objects.filter(name=options["clinic"]).first()
        if clinic is None:
            raise CommandError("No clinic has this name.")
        file = read(
            _bytes(options["file"]),
            encoding=options["encoding"],
            delimiter=options["delimiter"],
            dates=options["dates"],
            stated=parse_map(options["columns"]),
        )
        self.stdout.write(f"Columns: {', '.join(column.replace('_', ' ') for column in file.columns)}")
        if options["check"]:
            self._check(clinic, file, options["report"])
            return
        by = audit.Actor(role="system", person="import_patients", clinic=clinic.pk, source="console")
        run = importing.begin(clinic, file, by, beside=options["new"])
        if run.finished_at:
            self.stdout.write(f"This file was imported on {run.finished_at:%-d %B %Y}. Nothing is left to do.")
        elif run.done_to > 1:
            self.stdout.write(f"Going on after row {run.done_to}.")
        importing.go_on(run, file, by, Progress(self, run))
        self._sum_up(run)
        self._report(run.remarks.values_list("row", "outcome", "reason"), options["report"])

    def _check(self, clinic: Clinic, file: CsvFile, report: Path | None) -> None:
        judged, added, remarks = importing.judge(file), 0, []
        while batch := list(islice(judged, importing.BATCH)):
            add, said = importing.settle(clinic, batch)
            added += len(add)
            remarks += said
        here = sum(outcome == importing.PRESENT for _, outcome, _ in remarks)
        self.stdout.write(f"Would add {added:,}; already there {here:,}; would refuse {len(remarks) - here:,}.")
        self._report(remarks, report)

    def _sum_up(self, run: ImportRun) -> None:
        empty = f", {run.empty:,} empty" if run.empty else ""
        self.stdout.write(
            f"Rows 2 to {run.last_row}: {run.added:,} added, {run.present:,} already there, "
            f"{run.refused:,} refused{empty}."
        )

    def _report(self, remarks: Iterable[tuple[int, str, str]], path: Path | None) -> None:
        if path:
            _write(path, remarks)
            self.stdout.write(f"Rows that were not added stand in {path}.")
            return
        by_reason: dict[str, list[int]] = defaultdict(list)
        for row, _, reason in remarks:
            by_reason[reason].append(row)
        for reason, rows in sorted(by_reason.items(), key=lambda item: -len(item[1]))[: 4 * NAMED]:
            more = f" and {len(rows) - NAMED:,} more" if len(rows) > NAMED else ""
            self.stdout.write(f"  {reason} (row {', '.join(map(str, rows[:NAMED]))}{more})")
        if by_reason:
            self.stdout.write("--report FILE lists every row.")


def _bytes(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise CommandError(f"The file cannot be read: {error.strerror}.") from None


def _write(path: Path, remarks: Iterable[tuple[int, str, str]]) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "result", "reason"])
        writer.writerows((row, ImportRemark.Outcome(outcome).label, reason) for row, outcome, reason in remarks)


class Progress:
    """How far it is, how fast, and how long still: a bar where somebody watches, else a line now and then."""

    def __init__(self, command: Command, run: ImportRun) -> None:
        self._out = command.stdout
        self._first, self._started, self._said = run.done_to, time.monotonic(), 0.0

    def __call__(self, run: ImportRun) -> None:
        now = time.monotonic()
        watched = self._out.isatty()
        if not (watched or run.finished_at or now - self._said >= LINE_EVERY):
            return
        self._said = now
        line = self._line(run, now - self._started)
        if watched:
            self._out.write(f"\r\x1b[K{line}", ending="\n" if run.finished_at else "")
            self._out.flush()
        else:
            self._out.write(line)

    def _line(self, run: ImportRun, seconds: float) -> str:
        share = (run.done_to - 1) / max(run.last_row - 1, 1)
        rate = (run.done_to - self._first) / seconds if seconds > 0 else 0.0
        left = (run.last_row - run.done_to) / rate if rate else 0.0
        bar = "█" * round(share * BAR) + "░" * (BAR - round(share * BAR))
        return f"{bar} {share:4.0%}  row {run.done_to:,} of {run.last_row:,}  {rate:,.0f} rows/s  {_span(left)} left"


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
