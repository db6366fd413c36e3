"""Merkle trees of RFC 6962 section 2.1 (RFC 9162 section 2), and their tiles as in C2SP tlog-tiles. Pure.

A complete subtree is named by level and index: `(level, index)` covers `1 << level` leaves from `index << level` on.
The hashes that a proof needs are asked for by that name, so that a caller may keep them as it likes.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
#: trees are smaller than this, so that a size fits into a signed 64-bit integer
SIZE_LIMIT = 1 << 63
#: C2SP tlog-witness allows no more, and no tree below 2**62 leaves needs more
MOST_PROOF_LINES = 63
TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT

#: (level, index) -> the hash of that complete subtree
Read = Callable[[int, int], bytes]


class NotProven(Exception):
    """The proof does not show what it was given for. One message for every cause."""

    def __init__(self) -> None:
        super().__init__("The proof does not hold.")


def leaf_hash(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    return [sha256(b"\x00" + data).digest() for data in entries]


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def _parents(row: Sequence[bytes]) -> list[bytes]:
    """Of neighbours two by two; a last one without a neighbour is left out."""
    pairs = iter(row)
    return [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=False)]


def _folded(hashes: Sequence[bytes]) -> bytes:
    """The root over complete subtrees that stand beside each other, each smaller than the one before."""
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


class Frontier:
    """The right edge of a growing tree: its size and the roots of its complete subtrees. Enough to append for ever."""

    __slots__ = ("_edge", "size")

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        """`hashes`: as `hashes()` gave them for this size."""
        if not 0 <= size < SIZE_LIMIT:
            raise ValueError("no tree has this size")
        _check_lengths(hashes)
        levels = [level for level in reversed(range(size.bit_length())) if size >> level & 1]
        self.size = size
        self._edge = dict(zip(levels, hashes, strict=True))  # level -> hash

    def hashes(self) -> list[bytes]:
        """The roots of the complete subtrees, the largest first."""
        return [self._edge[level] for level in sorted(self._edge, reverse=True)]

    def root(self) -> bytes:
        return _folded(self.hashes()) if self.size else EMPTY_ROOT

    def extend(self, leaves: Sequence[bytes]) -> list[list[bytes]]:
        """Append leaf hashes. What tiles gain by it: at `[n]` the new hashes of tile level n, the first of which has
        the index `old size >> 8 * n`; see `grown_tiles`.
        """
        if self.size + len(leaves) >= SIZE_LIMIT:
            raise ValueError("the tree is full")
        _check_lengths(leaves)
        made: list[list[bytes]] = []
        row, level = list(leaves), 0
        while row:
            if level % TILE_HEIGHT == 0:
                made.append(row)
            if (waiting := self._edge.pop(level, None)) is not None:
                row = [waiting, *row]
            if len(row) % 2:
                self._edge[level] = row[-1]
            row, level = _parents(row), level + 1
        self.size += len(leaves)
        return made


def _check_lengths(hashes: Sequence[bytes]) -> None:
    # Two hashes are hashed as they stand: of other lengths, where one ends and the next begins would be anyone's guess.
    if not set(map(len, hashes)) <= {HASH_BYTES}:
        raise ValueError("a hash has 32 bytes")


# -- tiles -------------------------------------------------------------------------------------------------

_PATH = re.compile(r"([0-7])/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


@dataclass(frozen=True, slots=True)
class Tile:
    """`width` hashes beside each other, 32 bytes each; of 256 unless it is the last of its level."""

    level: int
    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """Below the log's `tile/`, or with the level cut off, its `tile/entries/`."""
        digits = str(self.index)
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        partial = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"{self.level}/{'/'.join([*('x' + part for part in parts[:-1]), parts[-1]])}{partial}"


def tile_at_path(path: str) -> Tile:
    """The tile whose `path` this is; `ValueError` where it is none's."""
    if len(path) <= 64 and (found := _PATH.fullmatch(path)):
        level, digits, width = found.groups()
        tile = Tile(int(level), int(digits.replace("x", "").replace("/", "")), int(width or TILE_WIDTH))
        if tile.path == path and tile.width <= TILE_WIDTH:
            return tile
    raise ValueError("no tile has this path")


def tile_of(size: int, level: int, index: int) -> Tile:
    """How wide the tile is in a tree of this size; `ValueError` where the tree has no such tile."""
    width = min((size >> TILE_HEIGHT * level) - index * TILE_WIDTH, TILE_WIDTH)
    if width < 1:
        raise ValueError("the tree has no such tile")
    return Tile(level, index, width)


def changed_tiles(old: int, new: int) -> Iterator[tuple[Tile, int]]:
    """Every tile of the tree of `new` leaves that the tree of `old` did not have at this width, and its width there.

    So all tiles of a tree are `changed_tiles(0, size)`.
    """
    if not 0 <= old <= new < SIZE_LIMIT:
        raise ValueError("a tree only grows")
    level = 0
    while had := new >> TILE_HEIGHT * level:
        before = old >> TILE_HEIGHT * level
        for index in range(before // TILE_WIDTH, -(-had // TILE_WIDTH)):
            tile, width = tile_of(new, level, index), max(before - index * TILE_WIDTH, 0)
            if tile.width > width:
                yield tile, width
        level += 1


def grown_tiles(
    old: int, made: Sequence[Sequence[bytes]], fetch: Callable[[Tile], bytes]
) -> Iterator[tuple[Tile, bytes]]:
    """The tiles to write after `made = frontier.extend(...)` on a tree of `old` leaves, each with its bytes.

    `fetch` gives the bytes of the partial tiles that were the last ones; it is asked for one a level at most.
    """
    for level, hashes in enumerate(made):
        index, had = divmod(old >> TILE_HEIGHT * level, TILE_WIDTH)
        data = fetch(Tile(level, index, had)) if had else b""
        if len(data) != had * HASH_BYTES:
            raise ValueError("a tile has 32 bytes a hash")
        data += b"".join(hashes)
        for at in range(0, len(data), TILE_WIDTH * HASH_BYTES):
            part = data[at : at + TILE_WIDTH * HASH_BYTES]
            yield Tile(level, index, len(part) // HASH_BYTES), part
            index += 1


def reading_tiles(size: int, fetch: Callable[[Tile], bytes]) -> Read:
    """Hashes of the complete subtrees of a tree of this size, out of its tiles."""

    def read(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, TILE_HEIGHT)
        tile_index, first = divmod(index << height, TILE_WIDTH)
        tile = tile_of(size, tile_level, tile_index)
        data = fetch(tile)
        if len(data) != tile.width * HASH_BYTES or first + (1 << height) > tile.width:
            raise ValueError("the tile does not hold this subtree")
        row = [
            data[at : at + HASH_BYTES]
            for at in range(first * HASH_BYTES, (first + (1 << height)) * HASH_BYTES, HASH_BYTES)
        ]
        while len(row) > 1:
            row = _parents(row)
        return row[0]

    return read


# -- proofs ------------------------------------------------------------------------------------------------


def _range_hash(start: int, end: int, read: Read) -> bytes:
    """The root over these leaves, where `start` is a multiple of the largest power of two that fits between."""
    hashes = []
    while start < end:
        level = (end - start).bit_length() - 1
        hashes.append(read(level, start >> level))
        start += 1 << level
    return _folded(hashes)


def _split(start: int, end: int) -> int:
    """Where the left subtree of these leaves ends: the largest power of two that is smaller than their number."""
    return start + (1 << (end - start - 1).bit_length() - 1)


def inclusion_proof(index: int, size: int, read: Read) -> list[bytes]:
    """RFC 6962 section 2.1.1: the lowest neighbour first."""
    if not 0 <= index < size < SIZE_LIMIT:
        raise ValueError("the tree has no such leaf")
    start, end, proof = 0, size, []
    while end - start > 1:
        middle = _split(start, end)
        if index < middle:
            proof.append(_range_hash(middle, end, read))
            end = middle
        else:
            proof.append(_range_hash(start, middle, read))
            start = middle
    return proof[::-1]


def consistency_proof(old: int, new: int, read: Read) -> list[bytes]:
    """RFC 6962 section 2.1.2; empty where `old` is 0 or `new`, since then there is nothing to show."""
    if not 0 <= old <= new < SIZE_LIMIT:
        raise ValueError("a tree only grows")
    if old in (0, new):
        return []
    start, end, proof = 0, new, []
    while end != old:
        middle = _split(start, end)
        if old <= middle:
            proof.append(_range_hash(middle, end, read))
            end = middle
        else:
            proof.append(_range_hash(start, middle, read))
            start = middle
    if start:  # else it is the old root, which the verifier has
        proof.append(_range_hash(start, end, read))
    return proof[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """RFC 9162 section 2.1.3.2, for a leaf's hash. `NotProven` unless the proof is the one that there is."""
    if not 0 <= index < size < SIZE_LIMIT:
        raise NotProven
    _check_proof((leaf, root, *proof))
    found = leaf
    for line, stands_left in _upwards(index, size - 1, proof):
        found = node_hash(line, found) if stands_left else node_hash(found, line)
    if found != root:
        raise NotProven


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """RFC 9162 section 2.1.4.2: the new tree begins with the leaves of the old one. `NotProven` unless it does."""
    if not 0 <= old <= new < SIZE_LIMIT:
        raise NotProven
    _check_proof((old_root, new_root, *proof))
    if old in (0, new):
        if proof or old_root != (new_root if new == old else EMPTY_ROOT) or (not new and new_root != EMPTY_ROOT):
            raise NotProven
        return
    steps = (old & -old).bit_length() - 1  # up to the largest subtree that ends where the old tree ends
    node, last = old - 1 >> steps, new - 1 >> steps
    if not node:  # that subtree is the old tree, and its root is not repeated
        proof = [old_root, *proof]
    if not proof:
        raise NotProven
    before = after = proof[0]
    for line, stands_left in _upwards(node, last, proof[1:]):
        if stands_left:
            before, after = node_hash(line, before), node_hash(line, after)
        else:
            after = node_hash(after, line)
    if before != old_root or after != new_root:
        raise NotProven


def _upwards(node: int, last: int, lines: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each line, and whether it stands left of what we have, from a node up to the root; `last` ends the node's level.

    `NotProven` where the lines are not just as many as the way is long.
    """
    for line in lines:
        if not last:
            raise NotProven
        stands_left = bool(node & 1) or node == last
        if stands_left:  # the last of a level may go up some levels before it has a neighbour
            steps = (node & -node).bit_length() - 1
            node, last = node >> steps, last >> steps
        yield line, stands_left
        node, last = node >> 1, last >> 1
    if last:
        raise NotProven


def _check_proof(hashes: Sequence[bytes]) -> None:
    if len(hashes) > MOST_PROOF_LINES + 2 or any(len(one) != HASH_BYTES for one in hashes):
        raise NotProven
