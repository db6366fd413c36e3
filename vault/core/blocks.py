"""Blocks of the sealed index: their labels, their sealing, and the two kinds of content (FORMAT.md). Pure."""

import hmac
import os
import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.core.sealing import CannotOpen

VERSION = b"\x03"
LABEL_BYTES = 16
LEAF_MOST = 320
_LEAF, _DIRECTORY = 0, 1
_CLASSES = (2, 4, 8, 16, 32, 64, 128, 192, 256, LEAF_MOST)
_DIRECTORY_CLASS = 64
_HEAD = struct.Struct("<BBH")
_LEAF_ENTRY, _DIRECTORY_ENTRY = 13, 16
#: count of entries -> bytes of a leaf's entries with their padding
_LEAF_SIZE = [next(c for c in _CLASSES if c >= count) * _LEAF_ENTRY for count in range(LEAF_MOST + 1)]


class Entry(NamedTuple):
    """One patient in one list. Ordered by name, then number."""

    sort_key: int
    number: int
    year: int  # of birth, less 1900


class Leaf:
    """Up to `LEAF_MOST` entries in order, as three columns."""

    __slots__ = ("keys", "numbers", "years")

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        columns = list(zip(*entries, strict=True)) or [(), (), ()]
        self.keys, self.numbers, self.years = array("Q", columns[0]), array("I", columns[1]), bytes(columns[2])

    def __len__(self) -> int:
        return len(self.keys)

    def of_year(self, year: int, start: int, end: int) -> Iterator[Entry]:
        """The entries of one year of birth between two places. Few are, so the column of years is searched first."""
        at = self.years.find(year, start, end)
        while at >= 0:
            yield Entry(self.keys[at], self.numbers[at], year)
            at = self.years.find(year, at + 1, end)

    def entries(self) -> list[Entry]:
        return list(map(Entry, self.keys, self.numbers, self.years))


class Directory:
    """Where a long list's leaves are: the lowest (sort key, number) of each, in order, and its block's number."""

    __slots__ = ("blocks", "lowest")

    def __init__(self, lowest: list[tuple[int, int]], blocks: list[int]) -> None:
        self.lowest, self.blocks = lowest, blocks

    def position(self, entry: tuple[int, int]) -> int:
        """Which leaf an entry belongs to."""
        return max(bisect_left(self.lowest, (entry[0], entry[1] + 1)) - 1, 0)


def _column(kind: str, data: bytes) -> "array[int]":
    column = array(kind)
    column.frombytes(data)
    if sys.byteorder == "big":
        column.byteswap()
    return column


def _bytes(column: "array[int]") -> bytes:
    if sys.byteorder == "big":
        column = array(column.typecode, column)
        column.byteswap()
    return column.tobytes()


def encode(block: Leaf | Directory) -> bytes:
    if isinstance(block, Leaf):
        count = len(block)
        body = _bytes(block.keys) + _bytes(block.numbers) + block.years
        return _HEAD.pack(_LEAF, 0, count) + body.ljust(_LEAF_SIZE[count], b"\0")
    count = len(block.blocks)
    keys, numbers = array("Q", [k for k, _ in block.lowest]), array("I", [n for _, n in block.lowest])
    body = _bytes(keys) + _bytes(numbers) + _bytes(array("I", block.blocks))
    return _HEAD.pack(_DIRECTORY, 0, count) + body.ljust(_directory_size(count), b"\0")


def _directory_size(count: int) -> int:
    return -(-count // _DIRECTORY_CLASS) * _DIRECTORY_CLASS * _DIRECTORY_ENTRY


def decode(plain: bytes) -> Leaf | Directory:
    """The block, if it is the one encoding there is. That entries ascend is the writer's word: to look costs more than
    to decrypt, and only a holder of the index key could break it.
    """
    if len(plain) < _HEAD.size:
        raise CannotOpen
    kind, zero, count = _HEAD.unpack_from(plain)
    if kind == _LEAF and count <= LEAF_MOST:
        width, size = _LEAF_ENTRY, _LEAF_SIZE[count]
    elif kind == _DIRECTORY and count:
        width, size = _DIRECTORY_ENTRY, _directory_size(count)
    else:
        raise CannotOpen
    start, end = _HEAD.size, _HEAD.size + count * width
    if zero or len(plain) != start + size or plain.count(0, end) != len(plain) - end:
        raise CannotOpen
    keys = _column("Q", plain[start : start + 8 * count])
    numbers = _column("I", plain[start + 8 * count : start + 12 * count])
    rest = plain[start + 12 * count : end]
    if kind == _LEAF:
        leaf = Leaf.__new__(Leaf)  # without columns that would be thrown away at once
        leaf.keys, leaf.numbers, leaf.years = keys, numbers, rest
        return leaf
    return Directory(list(zip(keys, numbers, strict=True)), list(_column("I", rest)))


class BlockSealer:
    """Labels and seals the index blocks of one clinic under one generation of its index key."""

    __slots__ = ("_cipher", "_label_key", "_place")

    def __init__(self, index_key: bytes, clinic: UUID, generation: int) -> None:
        self._label_key = hmac.digest(index_key, b"telehealth/2/label", "sha256")
        self._cipher = AESGCM(hmac.digest(index_key, b"telehealth/2/block", "sha256"))
        self._place = b"telehealth/2/block" + clinic.bytes + generation.to_bytes(4, "big")

    def label(self, index: str, term: str, block: int = 0) -> bytes:
        name, text = index.encode(), term.encode()
        said = b"%b%b%b%b%b" % (
            len(name).to_bytes(2, "big"),
            name,
            len(text).to_bytes(2, "big"),
            text,
            block.to_bytes(4, "big"),
        )
        return hmac.digest(self._label_key, said, "sha256")[:LABEL_BYTES]

    def seal(self, label: bytes, block: Leaf | Directory) -> bytes:
        nonce = os.urandom(12)
        return VERSION + nonce + self._cipher.encrypt(nonce, encode(block), self._place + label)

    def open(self, label: bytes, sealed: bytes) -> Leaf | Directory:
        if len(sealed) < 29 or sealed[:1] != VERSION:
            raise CannotOpen
        try:
            return decode(self._cipher.decrypt(sealed[1:13], sealed[13:], self._place + label))
        except InvalidTag:
            raise CannotOpen from None
