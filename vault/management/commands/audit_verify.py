"""`manage.py audit_verify`: looks at the whole audit log and names the first bad entry."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.db.models import Max

from vault import audit_key, audit_publish, audit_verify
from vault.core.notes import BadNote, parse_vkey
from vault.models import AuditBatch

#: letters of the bar that says how far it has come
BAR = 40


class Command(BaseCommand):
    help = "Verifies the audit log: every entry, every hash, the signature, and what was published and witnessed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--against",
            action="append",
            default=[],
            metavar="FILE",
            help="published checkpoints, kept elsewhere; the file that AUDIT_PUBLISH names is always looked at",
        )
        parser.add_argument(
            "--archive", type=Path, metavar="FOLDER", help="where the archived months are, if not where they were"
        )
        parser.add_argument("--processes", type=int, default=1, help="how many stretches of the log at once")
        parser.add_argument(
            "--offline", action="store_true", help="do not ask witnesses and buckets what they have seen"
        )
        parser.add_argument("--vkey", help="the log's public key as you noted it, instead of the one beside the log")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            key = parse_vkey(options["vkey"]) if options["vkey"] else audit_key.load_public()
            files = [*map(Path, options["against"]), *audit_publish.own_files()]
            seen = [one for file in files for one in audit_publish.seen_in(file, key)]
            seen += audit_publish.seen_by_witnesses(key)
            asked, silent = audit_publish.asked_outside(key) if not options["offline"] else ([], [])
        except (audit_key.NoKey, audit_publish.NotPublished) as error:
            raise CommandError(str(error)) from None
        except (BadNote, ValueError, KeyError) as error:
            raise CommandError(f"A checkpoint does not hold: {error}") from None
        except OSError as error:
            raise CommandError(f"{error.filename} cannot be read: {error.strerror}.") from None
        processes, archive = max(1, min(options["processes"], 64)), options["archive"]
        try:
            report = audit_verify.verify(
                key, [*seen, *asked], progress=self._progress(), processes=processes, archive=archive
            )
        except DatabaseError as error:
            raise CommandError(f"The log's tables cannot be read: {str(error).splitlines()[0]}.") from None
        self._say(report)
        for sentence in silent:
            self.stdout.write(f"NOTE {sentence}")
        if not report.ok:
            raise SystemExit(1)

    def _progress(self) -> Any:
        size, done = AuditBatch.objects.aggregate(size=Max("size"))["size"] or 1, 0

        def tell(entries: int) -> None:
            nonlocal done
            done += entries
            if self.stderr.isatty():
                part = min(1.0, done / size)
                bar = "#" * int(part * BAR)
                self.stderr.write(f"\r[{bar:-<{BAR}}] {part:4.0%}  {done:,} entries", ending="")

        return tell

    def _say(self, report: audit_verify.Report) -> None:
        for fault in report.faults:
            place = f"entry {fault.entry:,}: " if fault.entry is not None else ""
            place = place or (f"at {fault.index:,}: " if fault.index is not None else "")
            self.stdout.write(f"BAD  {place}{fault.what}")
        if report.more:
            self.stdout.write(f"     and {report.more:,} more.")
        compared = f"{report.checkpoints:,} checkpoints kept outside" if report.checkpoints else "nothing kept outside"
        if report.ok:
            self.stdout.write(
                f"The log holds: {report.entries:,} entries, {report.size:,} in the tree,"
                f" root {report.root.hex()[:16]}, compared with {compared}."
            )
        else:
            self.stdout.write("The log does not hold. Keep this output, the database and the last backup as they are.")
