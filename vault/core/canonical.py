"""JSON in its one form (FORMAT.md): what is signed or hashed has no second spelling. Pure.

A subset of RFC 8785: objects, arrays, strings, whole numbers, true, false and null. `parse` takes just what `canonical`
writes, so two readers never see two things in the same bytes.
"""

import json
import re
from typing import Any

#: whole numbers that every reader of JSON has exactly
LARGEST = 2**53 - 1
MOST_BYTES = 64 << 20
MOST_DEPTH = 16
_NAME = re.compile("[a-z][a-z0-9_]{0,31}")


class NotCanonical(Exception):
    """Not JSON in its one form. The message says what is wrong and quotes nothing."""


def canonical(value: Any) -> bytes:
    """Keys sorted, no spaces, UTF-8, nothing escaped that need not be."""
    try:
        return _written(value).encode()
    except UnicodeEncodeError:
        raise NotCanonical("A text holds half a character.") from None


def _written(value: Any) -> str:
    _check(value, MOST_DEPTH)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def parse(data: bytes) -> Any:
    if len(data) > MOST_BYTES:
        raise NotCanonical("This is too long to be read.")
    try:
        text = data.decode()
        value = json.loads(text, parse_float=_no_fraction, parse_constant=_no_fraction)
    except (ValueError, RecursionError):
        raise NotCanonical("This is not JSON as it is written here.") from None
    # A member named twice, a space, another spelling of a number or letter: none of them comes out the same.
    if _written(value) != text:
        raise NotCanonical("This is JSON in another spelling than the one there is.")
    return value


def _no_fraction(_text: str) -> Any:
    raise ValueError


def _check(value: Any, depth: int) -> None:
    if not depth:
        raise NotCanonical("This is nested too deep.")
    if isinstance(value, dict):
        for name, one in value.items():
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise NotCanonical("A member's name is small letters, digits and underscores.")
            _check(one, depth - 1)
    elif isinstance(value, list | tuple):
        for one in value:
            _check(one, depth - 1)
    elif isinstance(value, int):
        if not -LARGEST <= value <= LARGEST:
            raise NotCanonical("A number is too large.")
    elif value is not None and not isinstance(value, str):
        raise NotCanonical("Only texts, whole numbers, true, false, null, lists and objects are written.")
