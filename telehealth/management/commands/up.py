"""`manage.py up`: one command that prepares what is missing and runs everything."""

import hashlib
import logging
import os
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from telehealth import certificate, demo
from vault import audit_key, keyfile
from vault.custody import VaultUnavailable

logger = logging.getLogger("telehealth")


class Command(BaseCommand):
    help = "Prepares the data folder and runs the server, the worker and the background work."

    def handle(self, *_args: Any, **_options: Any) -> None:
        logging.captureWarnings(True)
        os.umask(0o077)
        self._prepare()
        key, crt = certificate.ensure(settings.DATA_DIR / "tls", settings.HOST)
        # Imported here because importing Daphne installs Twisted's reactor, which other commands do not want.
        from telehealth import processes

        if settings.REDIS_URL:
            processes.run_separately(key, crt, self._greet)
        else:
            processes.run_embedded(key, crt, self._greet)
        self.stdout.write("Stopped.")

    def _prepare(self) -> None:
        if not Path(settings.VAULT_KEY_FILE).exists():
            self._create_vault_key()
        if not audit_key.path().exists():
            audit_key.create(settings.AUDIT_ORIGIN)
        call_command("migrate", verbosity=0, interactive=False)
        self._collect_static()
        demo.seed()

    def _create_vault_key(self) -> None:
        try:
            keyfile.configured_file().create()
        except VaultUnavailable as error:
            raise CommandError(str(error)) from None

    def _collect_static(self) -> None:
        """Collect only when a file changed: a second start takes seconds."""
        state = hashlib.sha256()
        for finder in get_finders():
            for name, storage in finder.list([]):
                info = os.stat(storage.path(name))
                state.update(f"{name} {info.st_size} {info.st_mtime_ns}\n".encode())
        stamp = Path(settings.STATIC_ROOT) / "collected"
        if not stamp.exists() or stamp.read_text() != state.hexdigest():
            call_command("collectstatic", verbosity=0, interactive=False, clear=True)
            stamp.write_text(state.hexdigest())

    def _greet(self) -> None:
        self.stdout.write(f"\nReady at {settings.PUBLIC_ORIGIN}")
        if settings.DEMO:
            password = (settings.DATA_DIR / "keys" / "demo_password").read_text().strip()
            self.stdout.write("The certificate is self-made, so the browser asks once whether you trust it.\n")
            self.stdout.write(f"Demo accounts of {demo.CLINIC}, password  {password}")
            for user in demo.accounts():
                self.stdout.write(f"  {user.email:<30} {user.get_role_display():<16} {user.name}")
            self.stdout.write(f"\nThe current one-time code:  {Path(sys.executable)} manage.py demo_code EMAIL")
            self.stdout.write(
                "Next: sign in as a clinician, start a consult with a patient, copy the invite link and open it in a\n"
                "private window. Ctrl-C stops everything.\n"
            )
        self.stdout.flush()
