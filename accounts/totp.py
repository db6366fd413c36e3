"""Time-based one-time passwords (RFC 6238): which step a code belongs to. Pure."""

import hmac

from django_otp.oath import hotp

STEP_SECONDS = 30
DIGITS = 6


def code_at(seed: bytes, step: int) -> str:
    return f"{hotp(seed, step, DIGITS):0{DIGITS}d}"


def step_of(now: float) -> int:
    return int(now) // STEP_SECONDS


def matching_step(seed: bytes, code: str, now: float, *, after: int) -> int | None:
    """The step, later than `after`, whose code this is: the current one or the one before it; else None.

    The previous step passes because a person needs time to type; a code is usable for 30 to 60 seconds.
    A code from the future is refused.
    """
    if len(code) != DIGITS or not (code.isascii() and code.isdigit()):
        return None
    for step in (step_of(now), step_of(now) - 1):
        if hmac.compare_digest(code_at(seed, step), code) and step > after:
            return step
    return None
