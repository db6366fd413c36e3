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
#: ASCII that stands for itself in a JSON string (RFC 8259, 7), DEL left to the library
_PLAIN = bytes(set(range(0x20, 0x7F)) - set(b'"\\'))


class NotCanonical(Exception):
    """Not JSON in its one form. The message says what is wrong and quotes nothing."""


def canonical(value: Any) -> bytes:
    """Keys sorted, no spaces, UTF-8, nothing escaped that need not be."""
    try:
        return "".join(_pieces(value)).encode()
    except UnicodeEncodeError:
        raise NotCanonical("A text holds half a character.") from None


def _pieces(value: Any) -> list[str]:
    """What is written one after the other. A long text is a piece as it is: each copy of a voice takes its time."""
    pieces: list[str] = []
    _write(value, pieces, MOST_DEPTH)
    return pieces


def _write(value: Any, pieces: list[str], depth: int) -> None:
    if not depth:
        raise NotCanonical("This is nested too deep.")
    if isinstance(value, str):
        pieces += ('"', value, '"') if _is_plain(value) else (json.dumps(value, ensure_ascii=False),)
    elif isinstance(value, dict):
        _write_object(value, pieces, depth - 1)
    elif isinstance(value, list | tuple):
        pieces.append("[")
        for number, one in enumerate(value):
            pieces.append("," if number else "")
            _write(one, pieces, depth - 1)
        pieces.append("]")
    else:
        pieces.append(_word(value))


def _write_object(value: dict[Any, Any], pieces: list[str], depth: int) -> None:
    for name in value:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise NotCanonical("A member's name is small letters, digits and underscores.")
    pieces.append("{")
    for number, name in enumerate(sorted(value)):
        pieces.append(f'{"," if number else ""}"{name}":')
        _write(value[name], pieces, depth)
    pieces.append("}")


def _word(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if not isinstance(value, int):
        raise NotCanonical("Only texts, whole numbers, true, false, null, lists and objects are written.")
    if not -LARGEST <= value <= LARGEST:
        raise NotCanonical("A number is too large.")
    return int.__repr__(value)


def _is_plain(text: str) -> bool:
    """Nothing in it is escaped; looked at as a whole, where the library looks at each letter."""
    return text.isascii() and not text.encode().translate(None, _PLAIN)


def parse(data: bytes) -> Any:
    if len(data) > MOST_BYTES:
        raise NotCanonical("This is too long to be read.")
    try:
        text = data.decode()
        value = json.loads(text, parse_float=_no_fraction, parse_constant=_no_fraction)
    except (ValueError, RecursionError):
        raise NotCanonical("This is not JSON as it is written here.") from None
    # A member named twice, a space, another spelling of a number or letter: none of them comes out the same.
    at = 0
    for piece in _pieces(value):
        if not text.startswith(piece, at):
            raise NotCanonical("This is JSON in another spelling than the one there is.")
        at += len(piece)
    if at != len(text):
        raise NotCanonical("This is JSON in another spelling than the one there is.")
    return value


def _no_fraction(_text: str) -> Any:
    raise ValueError
