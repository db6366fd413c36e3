"""JSON in its one form (FORMAT.md): what is signed or hashed has no second spelling. Pure.

A subset of RFC 8785: objects, arrays, strings, whole numbers, true, false and null. `parse` takes just what `canonical`
writes, so two readers never see two things in the same bytes.
"""

import json
import re
from typing import Any

import msgspec

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
    return b"".join(_pieces(value))


def _pieces(value: Any) -> list[bytes]:
    """What is written one after the other. A long text is a piece as it is: each copy of a voice takes its time."""
    pieces: list[bytes] = []
    try:
        _write(value, pieces, MOST_DEPTH)
    except UnicodeEncodeError:
        raise NotCanonical("A text holds half a character.") from None
    return pieces


def _write(value: Any, pieces: list[bytes], depth: int) -> None:
    if not depth:
        raise NotCanonical("This is nested too deep.")
    if isinstance(value, str):
        _write_text(value, pieces)
    elif isinstance(value, dict):
        _write_object(value, pieces, depth - 1)
    elif isinstance(value, list | tuple):
        pieces.append(b"[")
        for number, one in enumerate(value):
            if number:
                pieces.append(b",")
            _write(one, pieces, depth - 1)
        pieces.append(b"]")
    else:
        pieces.append(_word(value))


def _write_text(value: str, pieces: list[bytes]) -> None:
    plain = value.encode()
    # Looked at as a whole, where the library looks at each letter.
    if plain.translate(None, _PLAIN):
        pieces.append(json.dumps(value, ensure_ascii=False).encode())
    else:
        pieces += (b'"', plain, b'"')


def _write_object(value: dict[Any, Any], pieces: list[bytes], depth: int) -> None:
    for name in value:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise NotCanonical("A member's name is small letters, digits and underscores.")
    pieces.append(b"{")
    for number, name in enumerate(sorted(value)):
        pieces.append(f'{"," if number else ""}"{name}":'.encode())
        _write(value[name], pieces, depth)
    pieces.append(b"}")


def _word(value: Any) -> bytes:
    if value is None or isinstance(value, bool):
        return {None: b"null", True: b"true", False: b"false"}[value]
    if not isinstance(value, int):
        raise NotCanonical("Only texts, whole numbers, true, false, null, lists and objects are written.")
    if not -LARGEST <= value <= LARGEST:
        raise NotCanonical("A number is too large.")
    return int.__repr__(value).encode()


def parse(data: bytes) -> Any:
    if len(data) > MOST_BYTES:
        raise NotCanonical("This is too long to be read.")
    try:
        value = msgspec.json.decode(data)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        raise NotCanonical("This is not JSON as it is written here.") from None
    # A member named twice, a space, another spelling of a number or letter: none of them comes out the same.
    at = 0
    for piece in _pieces(value):
        if not data.startswith(piece, at):
            raise NotCanonical("This is JSON in another spelling than the one there is.")
        at += len(piece)
    if at != len(data):
        raise NotCanonical("This is JSON in another spelling than the one there is.")
    return value
