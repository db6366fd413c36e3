"""An entry of the audit log as the bytes that go into the Merkle tree (FORMAT.md). Pure.

The bytes are those of a row in PostgreSQL's binary COPY format, so that a verifier on PostgreSQL hashes what the server
sends without taking it apart: a 16-bit count of fields, then each with a 32-bit length, -1 for none. Big-endian.
"""

import datetime as dt
import json
import struct
from collections.abc import Sequence
from operator import itemgetter
from typing import Any
from uuid import UUID

#: the columns of an entry, in the order in which they are hashed
COLUMNS = (
    *("id", "at", "action", "outcome", "clinic_id", "person", "person_name", "role"),
    *("patient", "consult", "purpose", "source", "session", "detail"),
)
_COUNT = struct.pack(">h", len(COLUMNS))
_LENGTH = struct.Struct(">i")
_BIG = struct.Struct(">q")
_ID_AT = len(_COUNT) + _LENGTH.size
_MOMENT_AT = _ID_AT + 8 + _LENGTH.size
RUN = struct.Struct(">QI")
_LONGESTRUN = 1 << 20
_NONE = _LENGTH.pack(-1)
#: moments are counted in microseconds from here
EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
#: version of the JSON that follows, as PostgreSQL sends jsonb
_JSON = b"\x01"


def leaf_bytes(values: Sequence[Any]) -> bytes:
    """The bytes of one entry. `values`: in the order of `COLUMNS`; an aware datetime, a UUID or None, a dict."""
    parts = [_COUNT]
    for value in values:
        if value is None:
            parts.append(_NONE)
            continue
        data = _field(value)
        parts += (_LENGTH.pack(len(data)), data)
    return b"".join(parts)


def _field(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, int):
        return _BIG.pack(value)
    if isinstance(value, dt.datetime):
        return _BIG.pack((value - EPOCH) // _MICROSECOND)
    if isinstance(value, UUID):
        return value.bytes
    return _JSON + canonical_json(value).encode()


def canonical_json(value: Any) -> str:
    """As PostgreSQL writes jsonb: keys by length and then by bytes, nothing escaped that need not be."""
    return json.dumps(_ordered(value), ensure_ascii=False, allow_nan=False)


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
        return {key: _ordered(value[key]) for key in keys}
    if isinstance(value, list | tuple):
        return [_ordered(one) for one in value]
    return value


def moment_bytes(moment: dt.datetime) -> bytes:
    """As it stands in a leaf; of two, the later is the greater."""
    return _BIG.pack((moment - EPOCH) // _MICROSECOND)


#: leaf -> its moment as `moment_bytes` writes it
moment_bytes_of = itemgetter(slice(_MOMENT_AT, _MOMENT_AT + 8))
_id_bytes_of = itemgetter(slice(_ID_AT, _ID_AT + 8))
#: leaf -> all of it but the id
content_of = itemgetter(slice(_ID_AT + 8, None))


def id_of(leaf: bytes) -> int:
    found: int = _BIG.unpack_from(leaf, _ID_AT)[0]
    return found


def ids_of(leaves: Sequence[bytes]) -> list[int]:
    return [one for (one,) in _BIG.iter_unpack(b"".join(map(_id_bytes_of, leaves)))]


def values_of(leaf: bytes) -> dict[str, Any]:
    """What `leaf_bytes` wrote, as column -> value; `ValueError` where it is not that."""
    if leaf[:2] != _COUNT:
        raise ValueError("not an entry of the audit log")
    at, values = 2, []
    for _ in COLUMNS:
        (length,) = _LENGTH.unpack_from(leaf, at)
        at += 4
        values.append(None if length < 0 else leaf[at : at + length])
        at += max(length, 0)
    if at != len(leaf):
        raise ValueError("not an entry of the audit log")
    return {name: _value(name, data) for name, data in zip(COLUMNS, values, strict=True)}


def _value(name: str, data: bytes | None) -> Any:
    if data is None:
        return None
    if name in ("id", "at"):
        number = int.from_bytes(data, "big", signed=True)
        return number if name == "id" else _moment(number)
    if name == "clinic_id":
        return UUID(bytes=data)
    return json.loads(data[1:]) if name == "detail" else data.decode()


def _moment(number: int) -> dt.datetime:
    """PostgreSQL's times go further than ours, to infinity: of those, the last or the first."""
    try:
        return EPOCH + dt.timedelta(microseconds=number)
    except OverflowError:
        return dt.datetime.max.replace(tzinfo=dt.UTC) if number > 0 else dt.datetime.min.replace(tzinfo=dt.UTC)


def packed(ids: Sequence[int]) -> bytes:
    """Ascending ids as runs: (first, how many), each 8 and 4 bytes."""
    runs: list[list[int]] = []
    for one in ids:
        if runs and one == runs[-1][0] + runs[-1][1] and runs[-1][1] < _LONGESTRUN:
            runs[-1][1] += 1
        else:
            runs.append([one, 1])
    return b"".join(RUN.pack(*run) for run in runs)


def unpacked(runs: bytes) -> list[int]:
    return [one for first, count in RUN.iter_unpack(runs) for one in range(first, first + count)]
