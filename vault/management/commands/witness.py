"""`manage.py witness`: runs a witness of transparency logs, or makes its key. It uses no database and no settings."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from vault import witness


class Command(BaseCommand):
    help = "Witnesses other houses' logs: cosigns that each only ever grew."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        witness.add_arguments(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            witness.run(options, self.stdout.write)
        except witness.CannotWitness as error:
            raise CommandError(str(error)) from None
