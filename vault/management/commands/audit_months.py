"""`manage.py audit_months`: closes months of the audit log, archives them, and lets old ones leave the database."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError

from vault import audit_archive, audit_key, audit_months
from vault.audit_months import Month
from vault.core import archives
from vault.core.notes import BadNote, Key, parse_vkey
from vault.models import AuditArchive

#: an id that was drawn and not used is awaited for a minute or two
TRIES, AGAIN_SECONDS = 60, 5.0


class Command(BaseCommand):
    help = "Closes months of the audit log, archives them into files, and lets archived ones leave the database."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("list", help="which months there are, and where")
        verbs.add_parser("monthly", help="close, archive, and drop what AUDIT_KEEP_MONTHS no longer keeps")
        verbs.add_parser("close", help="close the month that is over (Postgres)")
        verbs.add_parser("archive", help="write every closed month that is not archived yet")
        drop = verbs.add_parser("drop", help="let the oldest month leave the database, once its file is looked at")
        drop.add_argument("month", metavar="2026-11")
        check = verbs.add_parser("check", help="look at a file alone; no database is asked")
        check.add_argument("file", type=Path)
        check.add_argument("--vkey", help="the log's public key as you noted it")

    def handle(self, *_args: Any, **options: Any) -> None:
        verb: Callable[[dict[str, Any]], None] = getattr(self, f"_{options['verb']}")
        try:
            verb(options)
        except (audit_archive.NotArchived, audit_months.NotClosed, audit_key.NoKey) as error:
            raise CommandError(str(error)) from None
        except OperationalError as error:
            raise CommandError(f"Not now: {str(error).splitlines()[0]}. Nothing was changed.") from None
        except OSError as error:
            raise CommandError(f"{error.filename} cannot be used: {error.strerror}.") from None

    def _list(self, _options: dict[str, Any]) -> None:
        archived = {(row.month, row.dropped): row for row in AuditArchive.objects.all()}
        for (month, dropped), row in sorted(archived.items()):
            if dropped:
                self.stdout.write(f"{month}  {row.size - row.first:>12,} entries  {audit_archive.file_of(month)} only")
        for one in audit_months.months():
            where = str(audit_archive.file_of(one.name)) if (one.name, False) in archived else "not archived"
            self.stdout.write(f"{one.name or 'now'}  in the database, {'open' if one.end is None else where}")

    def _monthly(self, options: dict[str, Any]) -> None:
        self._close(options)
        for left in reversed(range(TRIES)):
            try:
                self._archive(options)
                break
            except audit_archive.NotSealed:
                if not left:
                    raise
                time.sleep(AGAIN_SECONDS)
        keep = settings.AUDIT_KEEP_MONTHS
        closed = [one for one in audit_months.months() if one.end]
        for month in closed[: max(len(closed) - max(keep, audit_archive.KEPT), 0)] if keep else []:
            self._let_go(month)

    def _close(self, _options: dict[str, Any]) -> None:
        closed = audit_months.close()
        self.stdout.write(f"{closed.name} is closed." if closed else "No month is over that was not closed.")

    def _archive(self, _options: dict[str, Any]) -> None:
        key = audit_key.load_public()
        done = set(AuditArchive.objects.filter(dropped=False).values_list("month", flat=True))
        for month in audit_months.months():
            if month.end is not None and month.name not in done:
                row = audit_archive.write(month, key, self._progress(month))
                self.stdout.write(
                    f"{audit_archive.file_of(month.name)}: {row.size - row.first:,} entries, sha256 {row.digest}"
                )

    def _progress(self, month: Month) -> Callable[[int], None]:
        done = 0

        def tell(entries: int) -> None:
            nonlocal done
            done += entries
            if sys.stderr.isatty():
                self.stderr.write(f"\r{month.name}: {done:,} entries", ending="")

        return tell

    def _drop(self, options: dict[str, Any]) -> None:
        found = [one for one in audit_months.months() if one.name == options["month"] and one.end]
        if not found:
            raise CommandError(f"{options['month']} is no closed month in the database.")
        self._let_go(found[0])

    def _let_go(self, month: Month) -> None:
        audit_archive.drop(month, audit_key.load_public())
        self.stdout.write(f"{month.name} left the database. Keep {audit_archive.file_of(month.name)}.")

    def _check(self, options: dict[str, Any]) -> None:
        with open(options["file"], "rb") as file:
            found = archives.check(file, self._key(options["vkey"]))
        for what, entry in found.faults:
            self.stdout.write(f"BAD  {f'entry {entry:,}: ' if entry is not None else ''}{what}")
        if not found.ok:
            raise SystemExit(1)
        self.stdout.write(
            f"The archive of {found.month} holds: {found.entries:,} entries, places {found.first:,} to"
            f" {found.size - 1:,}, root {found.root.hex()[:16]}."
        )

    def _key(self, vkey: str | None) -> Key:
        try:
            return parse_vkey(vkey) if vkey else audit_key.load_public()
        except BadNote as error:
            raise CommandError(str(error)) from None
