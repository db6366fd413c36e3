"""`manage.py audit_key`: makes the key that signs the audit log, or prints what a verifier needs to know of it."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from vault import audit_key


class Command(BaseCommand):
    help = "Makes the audit log's signing key if there is none, and prints its public half for witnesses and verifiers."
    requires_system_checks = ()

    def handle(self, *_args: Any, **_options: Any) -> None:
        try:
            signer = audit_key.load() if audit_key.path().exists() else audit_key.create(settings.AUDIT_ORIGIN)
        except audit_key.NoKey as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"{audit_key.path()} cannot be written: {error.strerror}.") from None
        audit_key.write_public(signer.key)
        self.stdout.write(signer.key.vkey)
