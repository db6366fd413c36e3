"""The clinic's telephone number: checked when it is typed, and as a link dials it."""

import phonenumbers
from django.conf import settings
from django.core.exceptions import ValidationError


def _parsed(text: str) -> phonenumbers.PhoneNumber | None:
    try:
        number = phonenumbers.parse(text, settings.DEFAULT_REGION)
    except phonenumbers.NumberParseException:
        return None
    return number if phonenumbers.is_possible_number(number) else None


def check(text: str) -> None:
    """A patient whose call failed has nothing but this number."""
    if _parsed(text) is None:
        raise ValidationError("Type the number as one dials it, with its area code.", code="phone")


def link(text: str) -> str:
    """The address behind a number (RFC 3966), or empty where it is none."""
    number = _parsed(text) if text else None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.RFC3966)) if number else ""
