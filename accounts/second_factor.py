"""The second factor: authenticator apps by TOTP (RFC 6238) and one-time recovery codes."""

import hashlib
import os
import secrets
import time
from base64 import b32encode
from urllib.parse import quote, urlencode

import segno
from django.db import transaction
from django.utils import timezone

from accounts.models import Authenticator, RecoveryCode, User
from accounts.totp import DIGITS, STEP_SECONDS, code_at, step_of

SEED_BYTES = 20
RECOVERY_CODES = 8


def current_code(device: Authenticator) -> str:
    return code_at(bytes(device.seed), step_of(time.time()))


def begin_enrolment(user: User, begun: int | None = None) -> Authenticator:
    """An unconfirmed authenticator with a fresh seed, or the one that this same sign-in has begun with.

    Another sign-in gets a seed of its own: somebody else with the password may have been shown the first.
    """
    device: Authenticator | None = Authenticator.objects.filter(user=user, confirmed=False, pk=begun).first()
    if device is None:
        device = Authenticator.objects.create(
            user=user, name="Authenticator app", confirmed=False, seed=os.urandom(SEED_BYTES)
        )
    return device


@transaction.atomic
def confirm_enrolment(device: Authenticator, token: str) -> list[str] | None:
    """Confirm by a first code; gives the recovery codes, to be shown once, or None when the code was wrong."""
    if not device.verify_token(token):
        return None
    Authenticator.objects.filter(user=device.user).exclude(pk=device.pk).delete()
    Authenticator.objects.filter(pk=device.pk).update(confirmed=True)
    return new_recovery_codes(device.user)


def authenticator_of(user: User) -> Authenticator | None:
    device: Authenticator | None = Authenticator.objects.filter(user=user, confirmed=True).first()
    return device


@transaction.atomic
def new_recovery_codes(user: User) -> list[str]:
    codes = [_spell(secrets.token_bytes(16)) for _ in range(RECOVERY_CODES)]
    RecoveryCode.objects.filter(user=user).delete()
    RecoveryCode.objects.bulk_create(RecoveryCode(user=user, digest=_recovery_digest(code)) for code in codes)
    return codes


def accept_recovery_code(device: Authenticator, typed: str) -> bool:
    """Use up one recovery code; of parallel tries exactly one succeeds. Wrong ones count like wrong app codes."""
    if device.is_disabled:
        return False
    rows = RecoveryCode.objects.filter(user=device.user, digest=_recovery_digest(typed), used_at=None)
    if rows.update(used_at=timezone.now()) == 1:
        return True
    device.count_failure()
    return False


def _spell(secret: bytes) -> str:
    text = b32encode(secret).decode().rstrip("=").lower()
    return "-".join(text[i : i + 5] for i in range(0, len(text), 5))


def _recovery_digest(code: str) -> str:
    # 128 random bits need no slow hash; case and dashes are the reader's.
    return hashlib.sha256("".join(c for c in code.lower() if c.isalnum()).encode()).hexdigest()


def provisioning_uri(device: Authenticator, issuer: str) -> str:
    label = quote(f"{issuer}:{device.user.email}")
    query = urlencode({"secret": spelled_seed(device, 0), "issuer": issuer, "digits": DIGITS, "period": STEP_SECONDS})
    return f"otpauth://totp/{label}?{query}"


def spelled_seed(device: Authenticator, group: int = 4) -> str:
    text = b32encode(bytes(device.seed)).decode().rstrip("=")
    return " ".join(text[i : i + group] for i in range(0, len(text), group)) if group else text


def qr_svg(text: str) -> str:
    """An inline SVG of a QR code; made here, so the secret in it leaves for nobody's service. Colours come from CSS."""
    svg = segno.make(text, error="m").svg_inline(
        scale=4, border=3, omitsize=True, svgclass="qr", lineclass="qr-ink", dark="#000", light=None
    )
    return str(svg)
