"""`manage.py create_vault_key`: the file with the key-encryption key, made once, never over an existing one."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from vault.custody import VaultUnavailable
from vault.keyfile import configured_file


class Command(BaseCommand):
    help = "Makes the vault's key file. Back it up apart from the database: without it no patient's data opens."
    requires_system_checks = ()

    def handle(self, *_args: Any, **_options: Any) -> None:
        try:
            file = configured_file()
            file.create()
        except VaultUnavailable as error:
            raise CommandError(str(error)) from None
        except FileExistsError:
            raise CommandError(f"{file.path} is there already; it is left as it is.") from None
        except OSError as error:
            raise CommandError(f"{file.path} cannot be written: {error.strerror}.") from None
        self.stdout.write(f"{file.path} is made. Back it up now, apart from the database.")
