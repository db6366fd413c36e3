"""The kinds of protected field: how a value is normalised and masked. Pure."""

import datetime as dt
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import phonenumbers
from anyascii import anyascii
from email_validator import EmailNotValidError, validate_email

BLANK_MASK = "••••••"


class BadValue(ValueError):
    """The value is not one of this field's kind; the message is for the person who typed it."""


def fold(text: str) -> str:
    """Plain letters and digits, in any script, words apart by one space: "Zoë O'Neil" -> "zoe oneil"."""
    plain = anyascii(unicodedata.normalize("NFC", text).replace("'", "").replace("’", "")).casefold()
    return " ".join("".join(c if c.isalnum() else " " for c in plain.replace("'", "")).split())


def _one_line(value: str) -> str:
    return " ".join(unicodedata.normalize("NFC", value).split())


def _name(value: str, _region: str) -> str:
    value = _one_line(value)
    if not fold(value) or len(value) > 120:
        raise BadValue("Enter the patient's name as she uses it, at most 120 letters.")
    return value


def _birth_date(value: str, _region: str) -> str:
    try:
        date = dt.date.fromisoformat(value.strip())
    except ValueError:
        raise BadValue("Enter the date of birth as year-month-day, for example 1984-03-17.") from None
    if not 1900 <= date.year <= 2155:  # the index keeps the year in one byte
        raise BadValue("Enter a date of birth after 1900.")
    return date.isoformat()


def _national_id(value: str, _region: str) -> str:
    value = re.sub(r"[\s.\-/]", "", value).upper()
    if not re.fullmatch(r"[0-9A-Z]{4,24}", value):
        raise BadValue("Enter the national id with letters and digits only.")
    return value


def _phone(value: str, region: str) -> str:
    try:
        number = phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException:
        number = None
    if number is None or not phonenumbers.is_possible_number(number):
        raise BadValue("Enter the phone number with its area code, or with + and the country code.")
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def _email(value: str, _region: str) -> str:
    try:
        checked = validate_email(value.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise BadValue("Enter the e-mail address in full, for example name@example.org.") from None
    return str(checked.normalized)


def _text(value: str, _region: str) -> str:
    value = unicodedata.normalize("NFC", value).strip()
    if len(value) > 8000:
        raise BadValue("Keep the text under 8,000 letters.")
    return value


def _initials(value: str) -> str:
    words = value.split()
    ends = words[:1] + words[1:][-1:]
    if ends and not (ends[0][0].isalnum() and ends[-1][0].isalnum()):
        words = [word for word in words if word[0].isalnum()] or [value]
        ends = words[:1] + words[1:][-1:]
    return " ".join([f"{word[0].upper()}." for word in ends])


def _last_two(value: str) -> str:
    return f"••••{value[-2:]}"


def _domain(value: str) -> str:
    return f"•••@{value.rpartition('@')[2]}"


def _nothing(_value: str) -> str:
    return BLANK_MASK


def is_mask(text: str) -> bool:
    """Whether the text is a mask that can be told from a value by its looks."""
    return re.fullmatch(r"•{6}|•{4}..|•{3}@.*", text) is not None


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of protected field."""

    label: str
    normalise: Callable[[str, str], str]
    mask: Callable[[str], str]


KINDS: dict[str, Kind] = {
    "name": Kind("Name", _name, _initials),
    "birth_date": Kind("Date of birth", _birth_date, lambda v: v[:4]),
    "national_id": Kind("National id", _national_id, _last_two),
    "phone": Kind("Phone", _phone, _last_two),
    "email": Kind("E-mail", _email, _domain),
    "address": Kind("Address", _text, _nothing),
    "notes": Kind("Notes", _text, _nothing),
}
