"""`manage.py create_operator EMAIL --name NAME --clinic CLINIC`: the first account of a clinic. It makes the others."""

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.urls import reverse

from accounts import signin
from accounts.models import Clinic, User
from vault import audit


class Command(BaseCommand):
    help = "Creates an operator, and the clinic when it is new, and prints a one-time activation link."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--name", required=True, help="the operator's name, as colleagues see it")
        parser.add_argument("--clinic", required=True, help="the clinic's name; a new one is made when none has it")

    def handle(self, *_args: Any, **options: Any) -> None:
        email, name, clinic_name = (options[key].strip() for key in ("email", "name", "clinic"))
        if User.objects.filter(email=email.lower()).exists():
            raise CommandError("Somebody has this e-mail already. Let an operator make a new link in the admin.")
        try:
            with transaction.atomic():
                clinic, is_new = _clinic(clinic_name)
                user, secret = _operator(clinic, email, name)
        except ValidationError as error:
            raise CommandError("Nothing was created. " + " ".join(_sentences(error))) from None
        self.stdout.write(f"{user.name} is an operator of {'the new clinic ' if is_new else ''}{clinic.name}.")
        self.stdout.write("Give this link to the operator in person; it works once, for 48 hours:")
        self.stdout.write(f"{settings.PUBLIC_ORIGIN}{reverse('activate')}#{secret}")


def _clinic(name: str) -> tuple[Clinic, bool]:
    clinic = Clinic.objects.filter(name=name).first()
    if clinic:
        return clinic, False
    clinic = Clinic(name=name)
    clinic.full_clean()
    clinic.save()
    audit.record("account.change", _console(clinic), clinic=str(clinic.pk), changed=["name"])
    return clinic, True


def _operator(clinic: Clinic, email: str, name: str) -> tuple[User, str]:
    user = User(email=email.lower(), name=name, role=User.Role.OPERATOR, clinic=clinic)
    user.set_unusable_password()
    user.full_clean()
    user.save()
    by = _console(clinic)
    audit.record("account.change", by, account=str(user.pk), changed=["email", "name", "role"])
    return user, signin.make_activation(user, by)


def _console(clinic: Clinic) -> audit.Actor:
    """Whoever may run commands on the server: the log cannot know more than that."""
    return audit.Actor(role="system", person="create_operator", clinic=clinic.pk, source="console")


def _sentences(error: ValidationError) -> list[str]:
    return [f"{field}: {' '.join(texts)}" for field, texts in error.message_dict.items()]
