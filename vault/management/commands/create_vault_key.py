"""`manage.py create_vault_key`: the file with the key-encryption key, made once, never over an existing one."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from vault.keyring import FileProvider


class Command(BaseCommand):
    help = "Makes the vault's key file. Back it up apart from the database: without it no patient's data opens."
    requires_system_checks = ()

    def handle(self, *_args: Any, **_options: Any) -> None:
        path = Path(settings.VAULT_KEY_FILE)
        try:
            FileProvider.create(path)
        except FileExistsError:
            raise CommandError(f"{path} is there already; it is left as it is.") from None
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}.") from None
        self.stdout.write(f"{path} is made. Back it up now, apart from the database.")
