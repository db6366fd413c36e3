"""`manage.py breach_drill`: play the thief of the database against one's own clinic."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts.models import Clinic
from telehealth.drill import attacks, seeding, thief
from vault import bulk
from vault.audit import SYSTEM


class Command(BaseCommand):
    help = (
        "Takes what a thief would have (the database, Redis, logs, folders) and tries to read patients from it. Prints"
        " what could be read, never a value. Exit 0: within the budget of vault/FORMAT.md; 1: beyond; 2: could not run."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--logs", type=Path, action="append", default=[], help="a folder of logs; may be repeated")
        parser.add_argument("--media", type=Path, action="append", default=[], help="another folder to be stolen")
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.add_argument("--seed", type=int, default=0, help="first add so many made-up patients (demo only)")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["seed"]:
            _seed(options["seed"])
        try:
            loot, truth = thief.steal([*options["logs"], *options["media"]]), thief.truth()
        except thief.CannotDrill as error:
            raise CommandError(str(error), returncode=2) from None
        results = list(attacks.all_of_them(loot, truth))
        if options["json"]:
            self.stdout.write(json.dumps([asdict(result) for result in results], indent=1))
        else:
            self._table(results, len(truth.values))
        beyond = sum(not result.within for result in results)
        if beyond:
            raise CommandError(f"{beyond} of {len(results)} attacks read more than the budget allows.", returncode=1)

    def _table(self, results: list[attacks.Result], patients: int) -> None:
        self.stdout.write(f"The thief and {patients:,} patients")
        for result in results:
            word = "within the budget" if result.within else "BEYOND THE BUDGET"
            self.stdout.write(f"  {result.attack:<22} {word}\n    tried {result.tried}\n    read  {result.read}")


def _seed(count: int) -> None:
    if not settings.DEMO:
        raise CommandError("Made-up patients are for the demo; this is a clinic's own database.", returncode=2)
    clinic = Clinic.objects.create(id=uuid4(), name="Drill")
    bulk.create_many(clinic.pk, seeding.people(count), SYSTEM)
