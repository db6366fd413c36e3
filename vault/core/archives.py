"""A month of the audit log as one file that verifies by itself (FORMAT.md). Pure.

The file is gzip of: a line of JSON, then for each batch of the tree a head, and for each entry its hash and its bytes.
"""

import base64
import gzip
import json
import struct
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple

from vault.core.entries import id_of, values_of
from vault.core.notes import Key, is_signed
from vault.core.tlog import HASH_BYTES, Frontier, leaf_hash

FORMAT = "telehealth-audit-archive/1"
#: entries in the batch (4), its root (32) and the signature of the checkpoint after it (64)
_BATCH = struct.Struct(f">I{HASH_BYTES}s64s")
#: an entry's hash and the number of its bytes
_ENTRY = struct.Struct(f">{HASH_BYTES}sI")
_HEAD_MOST = 64 << 10
_BATCH_MOST = 1 << 20
_ENTRY_MOST = 64 << 10
#: faults that are told
TOLD = 100
#: what says which version of a record is the newest
VERSIONS = ("patient.change", "patient.shred")


class Sealed(NamedTuple):
    """A batch as it goes into the file."""

    hashes: Sequence[bytes]
    root: bytes
    signature: bytes
    leaves: Sequence[bytes]


class Damaged(Exception):
    """The file is not an archive, or is cut; the message says which."""


def write(out: IO[bytes], month: str, origin: str, before: Frontier, size: int, batches: Iterable[Sealed]) -> None:
    """`before`: the tree up to the file's first entry; `size`: the tree after its last."""
    head = {
        "format": FORMAT,
        "month": month,
        "origin": origin,
        "first": before.size,
        "size": size,
        "before": [base64.b64encode(one).decode() for one in before.hashes()],
    }
    # No name and no time inside: the same month makes the same file.
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=4, filename="", mtime=0) as packed:
        packed.write(json.dumps(head).encode() + b"\n")
        for batch in batches:
            packed.write(_BATCH.pack(len(batch.hashes), batch.root, batch.signature))
            for one, leaf in zip(batch.hashes, batch.leaves, strict=True):
                packed.write(_ENTRY.pack(one, len(leaf)) + leaf)


@dataclass
class Contents:
    """What an archive was found to hold. `faults`: sentences, with the entry's id or None; it is good without any."""

    month: str = ""
    first: int = 0
    size: int = 0
    before_root: bytes = b""
    root: bytes = b""
    entries: int = 0
    last_id: int = 0
    faults: list[tuple[str, int | None]] = field(default_factory=list)
    #: patient -> (entry, its detail): her newest version in this file
    versions: dict[str, tuple[int, Any]] = field(default_factory=dict)
    #: id -> hash, of the entries that were asked for
    wanted: dict[int, bytes] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.faults and self.entries > 0

    def fault(self, what: str, entry: int | None = None) -> None:
        if len(self.faults) < TOLD:
            self.faults.append((what, entry))


def check(
    file: IO[bytes],
    key: Key,
    *,
    wanted: Collection[int] = (),
    progress: Callable[[int], None] = lambda n: None,
) -> Contents:
    """Look at every byte: entries against hashes, hashes against roots, roots against the log's signatures.

    That the file's tree is the one that stands in the database or was published is for the caller to compare.
    """
    found = Contents()
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as packed:
            _check(packed, key, found, frozenset(wanted), progress)
    except Damaged as damage:
        found.fault(str(damage))
    except (EOFError, OSError, zlib.error):
        found.fault("The file is cut or damaged.")
    return found


def _check(
    packed: gzip.GzipFile, key: Key, found: Contents, wanted: frozenset[int], progress: Callable[[int], None]
) -> None:
    frontier = _head(packed, key, found)
    while frontier.size < found.size:
        count, root, signature = _BATCH.unpack(_exactly(packed, _BATCH.size))
        if not 0 < count <= min(_BATCH_MOST, found.size - frontier.size):
            raise Damaged("A batch is longer than the file says.")
        hashes = []
        for stored, leaf in _entries(packed, count):
            _look_at(found, stored, leaf, wanted)
            hashes.append(stored)
        at = frontier.size
        frontier.extend(hashes)
        if frontier.root() != root:
            found.fault(f"The hashes from place {at:,} on do not make the root that stands there.")
        elif not is_signed(key, frontier.size, root, signature):
            found.fault(f"The root after place {at:,} is not signed by the log's key.")
        if len(found.faults) >= TOLD:
            return
        progress(count)
    found.root = frontier.root()
    if packed.read(1):
        found.fault("Something follows the last entry.")


def _head(packed: gzip.GzipFile, key: Key, found: Contents) -> Frontier:
    line = packed.readline(_HEAD_MOST)
    try:
        head = json.loads(line)
        if head["format"] != FORMAT:
            raise Damaged("This is not an archive of an audit log.")
        found.month, found.first, found.size = str(head["month"]), int(head["first"]), int(head["size"])
        frontier = Frontier(found.first, [base64.b64decode(one, validate=True) for one in head["before"]])
        origin = str(head["origin"])
    except (ValueError, KeyError, TypeError):
        raise Damaged("This is not an archive of an audit log.") from None
    if origin != key.name:
        raise Damaged(f"This is the archive of another log: {origin}.")
    if found.size <= found.first:
        raise Damaged("The archive holds no entry.")
    found.before_root = frontier.root()
    return frontier


def _entries(packed: gzip.GzipFile, count: int) -> Iterator[tuple[bytes, bytes]]:
    for _ in range(count):
        stored, length = _ENTRY.unpack(_exactly(packed, _ENTRY.size))
        if length > _ENTRY_MOST:
            raise Damaged("An entry is longer than any can be.")
        yield stored, _exactly(packed, length)


def _exactly(packed: gzip.GzipFile, count: int) -> bytes:
    data = packed.read(count)
    if len(data) != count:
        raise Damaged("The file is cut.")
    return data


def _look_at(found: Contents, stored: bytes, leaf: bytes, wanted: frozenset[int]) -> None:
    found.entries += 1
    if leaf_hash(leaf) != stored:
        found.fault("An entry was changed.", _id_or_none(leaf))
        return
    entry = id_of(leaf)
    found.last_id = max(found.last_id, entry)
    if entry in wanted:
        found.wanted[entry] = stored
    if any(action in leaf for action in _VERSION_BYTES):
        _note_version(found, leaf)


_VERSION_BYTES = tuple(action.encode() for action in VERSIONS)


def _note_version(found: Contents, leaf: bytes) -> None:
    values = values_of(leaf)
    if values["action"] in VERSIONS and values["patient"]:
        known, _ = found.versions.get(values["patient"], (0, None))
        if values["id"] > known:
            found.versions[values["patient"]] = (values["id"], values["detail"])


def _id_or_none(leaf: bytes) -> int | None:
    try:
        return id_of(leaf)
    except struct.error:
        return None
