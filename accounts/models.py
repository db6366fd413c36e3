"""Who: clinics, their people, the people's second factors, and the counter that slows guessing down."""

import time
import uuid
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django_cryptography.fields import encrypt
from django_otp.models import Device

from accounts import phone
from accounts.totp import matching_step

#: NIST SP 800-63B-4, 3.2.2: after this many wrong codes in a row an operator has to help
FAILURES_BEFORE_DISABLED = 100


class Clinic(models.Model):
    """A practice. Everything belongs to one; people of another see "not found"."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=80, unique=True)
    phone = models.CharField("phone number patients may call", max_length=32, blank=True, validators=[phone.check])
    offers_voice_consent = models.BooleanField(
        "offer to record spoken consent",
        default=True,
        help_text="Patients may say their consent aloud. They can always go on without a recording.",
    )
    relay_only = models.BooleanField(
        "calls only over the clinic's relay",
        default=False,
        help_text="Neither side of a call learns the other's network address. Needs a TURN server.",
    )

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.relay_only and not settings.TURN_URLS:
            raise ValidationError({"relay_only": "No relay is set up (TELEHEALTH_TURN_URLS): no call could open."})

    @property
    def phone_link(self) -> str:
        return phone.link(self.phone)


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save()
        return user

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=(username or "").lower())


class User(AbstractBaseUser):  # type: ignore[django-manager-missing]  # the base of Authenticator is untyped
    """A member of staff. Patients have no account."""

    class Role(models.TextChoices):
        CLINICIAN = "clinician", "Clinician"
        PRIVACY_OFFICER = "privacy_officer", "Privacy officer"
        OPERATOR = "operator", "Operator"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    clinic = models.ForeignKey(Clinic, on_delete=models.PROTECT, related_name="people")
    email = models.EmailField("e-mail", unique=True)
    name = models.CharField(max_length=80)
    role = models.CharField(max_length=16, choices=Role.choices)
    is_active = models.BooleanField("may sign in", default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    #: digest of the activation link that is out, and until when it works
    activation_digest = models.CharField(max_length=64, blank=True, editable=False)
    activation_expires_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["name"]

    class Meta:
        verbose_name = "member of staff"
        verbose_name_plural = "staff"

    def __str__(self) -> str:
        return self.name

    @property
    def is_staff(self) -> bool:
        """Whether the admin has pages for this person; which ones is decided there, by role."""
        return self.role in (self.Role.PRIVACY_OFFICER, self.Role.OPERATOR)

    def has_perm(self, _perm: str, _obj: Any = None) -> bool:
        """Nobody holds Django's model permissions: roles decide, in each admin page."""
        return False

    def has_module_perms(self, _app_label: str) -> bool:
        return False


class Authenticator(Device):
    """A TOTP authenticator app (RFC 6238), its seed encrypted at rest. Verified by `accounts.second_factor`."""

    seed = encrypt(models.BinaryField())
    last_step = models.BigIntegerField(default=-1)
    #: wrong codes in a row, recovery codes included
    failures = models.PositiveIntegerField(default=0)

    @property
    def is_disabled(self) -> bool:
        return self.failures >= FAILURES_BEFORE_DISABLED

    def verify_token(self, token: str) -> bool:
        """Accept a code once; of parallel tries of the same code exactly one succeeds."""
        if self.is_disabled:
            return False
        step = matching_step(bytes(self.seed), token, time.time(), after=self.last_step)
        if step is None:
            self.count_failure()
            return False
        # One conditional UPDATE decides between parallel tries.
        claimed = Authenticator.objects.filter(pk=self.pk, last_step__lt=step).update(last_step=step, failures=0)
        return bool(claimed)

    def count_failure(self) -> None:
        Authenticator.objects.filter(pk=self.pk).update(failures=models.F("failures") + 1)


class RecoveryCode(models.Model):
    """A one-time code for a lost authenticator. Only its digest is kept; the code has 128 random bits."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="recovery_codes")
    digest = models.CharField(max_length=64, unique=True)
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"recovery code {self.pk}"


class Attempts(models.Model):
    """How often something was tried in the running window. `subject` is a digest: it may be an unknown e-mail."""

    subject = models.CharField(max_length=64, primary_key=True)
    window_started_at = models.DateTimeField()
    count = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.count} attempts"
