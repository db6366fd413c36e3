"""`manage.py demo_code EMAIL`: the current one-time code of a demo account. Exists in demo mode only."""

import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.second_factor import authenticator_of, current_code
from accounts.totp import STEP_SECONDS, step_of
from telehealth import demo


class Command(BaseCommand):
    help = "Prints the current one-time code of a demo account."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")

    def handle(self, *_args: Any, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError("There are no demo accounts outside demo mode.")
        user = next((u for u in demo.accounts() if u.email == options["email"].lower()), None)
        device = authenticator_of(user) if user else None
        if device is None:
            raise CommandError("No demo account has this e-mail. `make run` prints the ones there are.")
        if device.last_step >= step_of(time.time()):
            # The code of this half minute was used; used ones are refused.
            time.sleep(STEP_SECONDS - time.time() % STEP_SECONDS + 0.1)
        self.stdout.write(current_code(device))
