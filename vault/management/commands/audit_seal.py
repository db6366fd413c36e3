"""`manage.py audit_seal`: puts new entries of the audit log into the Merkle tree and signs it, until told to stop."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from vault import audit_key, audit_sealing, audit_ship


class Command(BaseCommand):
    help = "Seals and signs the audit log as it grows. One runs; a second beside it takes over when the first ends."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="seal what is there now, and end")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            if options["once"]:
                self.stdout.write(f"{audit_sealing.catch_up():,} entries sealed.")
            else:
                audit_sealing.run_until_told()
        except (audit_key.NoKey, audit_ship.NotShipped) as error:
            raise CommandError(str(error)) from None
