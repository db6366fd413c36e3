"""The kinds of protected field: how a value is normalised, masked and made searchable. Pure."""

import datetime as dt
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import phonenumbers
from anyascii import anyascii
from email_validator import EmailNotValidError, validate_email

PREFIX_LETTERS = range(2, 9)
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
    if date.year < 1900:
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
    words = [w for w in value.split() if w[0].isalnum()] or [value]
    ends = [words[0], words[-1]] if len(words) > 1 else [words[0]]
    return " ".join(f"{w[0].upper()}." for w in ends)


def _last_two(value: str) -> str:
    return f"••••{value[-2:]}"


def _domain(value: str) -> str:
    return f"•••@{value.rpartition('@')[2]}"


def _nothing(_value: str) -> str:
    return BLANK_MASK


def _whole(index: str) -> Callable[[str], Iterable[tuple[str, str]]]:
    return lambda value: [(index, value.casefold())]


def _prefixes(value: str) -> Iterable[tuple[str, str]]:
    return {("name_prefix", word[:n]) for word in fold(value).split() for n in PREFIX_LETTERS if len(word) >= n}


def _not_searched(_value: str) -> Iterable[tuple[str, str]]:
    return ()


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of protected field."""

    label: str
    normalise: Callable[[str, str], str]
    mask: Callable[[str], str]
    #: (index name, text to digest) pairs under which the value is found
    terms: Callable[[str], Iterable[tuple[str, str]]]


KINDS: dict[str, Kind] = {
    "name": Kind("Name", _name, _initials, _prefixes),
    "birth_date": Kind("Date of birth", _birth_date, lambda v: v[:4], _whole("birth_date")),
    "national_id": Kind("National id", _national_id, _last_two, _whole("national_id")),
    "phone": Kind("Phone", _phone, _last_two, _whole("phone")),
    "email": Kind("E-mail", _email, _domain, _whole("email")),
    "address": Kind("Address", _text, _nothing, _not_searched),
    "notes": Kind("Notes", _text, _nothing, _not_searched),
}


def query_readings(query: str, region: str) -> list[list[list[tuple[str, str]]]]:
    """What a typed search could mean, likeliest first. A reading is a list of words, all of which must match; a word
    is a list of alternatives, of which one must.

    First the query as one phone number, e-mail, date or id, spaces and all; then word by word: "maria 1984-03-17"
    could be an id too, and is none.
    """
    whole = _whole_value_terms(query, region)
    words = [group for word in query.split() for group in _word_terms(word, region)]
    return [reading for reading in ([whole] if whole else [], words) if reading]


def _word_terms(word: str, region: str) -> list[list[tuple[str, str]]]:
    whole = _whole_value_terms(word, region)
    parts = [
        ("name_prefix", part[: PREFIX_LETTERS.stop - 1])
        for part in fold(word).split()
        if len(part) >= PREFIX_LETTERS.start
    ]
    if len(parts) > 1:  # "anna-maria" is two names, while the pieces of a date or an address are no names at all
        return [whole] if whole else [[part] for part in parts]
    return [whole + parts] if whole or parts else []


def _whole_value_terms(text: str, region: str) -> list[tuple[str, str]]:
    terms: list[tuple[str, str]] = []
    for field in ("birth_date", "email", "phone", "national_id"):
        if field in ("phone", "national_id") and not any(c.isdigit() for c in text):
            continue
        try:
            terms.extend(KINDS[field].terms(KINDS[field].normalise(text, region)))
        except BadValue:
            continue
    return terms
