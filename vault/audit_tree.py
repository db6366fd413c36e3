"""The Merkle tree over the audit log, as the database keeps it: hashes read by place, proofs, checkpoints."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from vault.core.entries import RUN
from vault.core.tlog import Frontier, consistency_proof, inclusion_proof, node_hash
from vault.models import AuditBatch, AuditEntry, AuditNode
from vault.rows import read

#: the levels whose nodes have rows; between them a node is hashed from at most 128 of these
STEP = 8
WIDE = 1 << STEP
HASH = 32
#: batches that are looked through for an entry
LATEST = 1000


class Broken(Exception):
    """The tree's own tables do not hold together; `manage.py audit_verify` says where."""


def place_of(level: int, index: int) -> int:
    return level << 48 | index


def nodes_made(size: int, frontier: Frontier, leaves: list[bytes]) -> Iterator[tuple[int, bytes]]:
    """(place, hash) of what gets a row when these leaf hashes are appended to a tree of this size, which they are."""
    for number, made in enumerate(frontier.extend(leaves)):
        for index, node in enumerate(made, size >> STEP * number):
            if number:  # those of the leaves are in the batch
                yield place_of(STEP * number, index), node


def head() -> AuditBatch | None:
    """The newest batch: its size and root are the tree's."""
    return AuditBatch.objects.order_by("-first").first()


def waits_since(moment: datetime) -> bool:
    """Whether an entry of before this moment is not in the tree."""
    seen_to = AuditBatch.objects.order_by("-first").values_list("seen_to", flat=True).first() or 0
    return AuditEntry.objects.filter(id__gt=seen_to, at__lt=moment).exists()


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where an entry is in the tree: its leaf's index, and the batch that it came in with."""

    index: int
    batch: AuditBatch


def find(entry: int) -> Whereabouts | None:
    """None where the entry is not in the tree, or not yet."""
    # One that committed late came in with a later batch than its neighbours, seconds afterwards.
    rows = AuditBatch.objects.filter(seen_to__gte=entry).order_by("seen_to", "first").defer("hashes")
    for at in range(0, LATEST, 20):
        for batch in rows[at : at + 20]:
            place = _number_in(bytes(batch.ids), entry)
            if place is not None:
                return Whereabouts(batch.first + place, batch)
    return None


def _number_in(runs: bytes, entry: int) -> int | None:
    before = 0
    for first, count in RUN.iter_unpack(runs):
        if first <= entry < first + count:
            return int(before + entry - first)
        before += count
    return None


class Hashes:
    """Reads node hashes for proofs; what one proof reads twice is fetched once."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], list[bytes]] = {}

    def read(self, level: int, index: int) -> bytes:
        """The hash of the complete subtree of 2**level leaves that is the `index`th of its level."""
        base = level - level % STEP
        first, count = index << (level - base), 1 << (level - base)
        row = self._row(base, first // WIDE)
        at = first % WIDE
        hashes = row[at : at + count]
        if len(hashes) != count:
            raise Broken(f"hashes {first} to {first + count - 1} of level {base} are missing")
        while len(hashes) > 1:
            hashes = [node_hash(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
        return hashes[0]

    def _row(self, base: int, block: int) -> list[bytes]:
        """The hashes of one block of 256 at a level that is kept; the last block has fewer."""
        if (base, block) not in self._kept:
            fetch = _leaf_hashes if base == 0 else _node_hashes
            self._kept[base, block] = list(fetch(base, block * WIDE))
        return self._kept[base, block]


def peaks_of(size: int) -> list[tuple[int, int]]:
    """(level, index) of the complete subtrees that a tree of this size is made of, the largest first."""
    return [(level, (size >> level) - 1) for level in reversed(range(size.bit_length())) if size >> level & 1]


def frontier_at(size: int) -> Frontier:
    """The right edge that the tree had at this size, as its rows have it; whether that was signed is not asked."""
    hashes = Hashes()
    return Frontier(size, [hashes.read(level, index) for level, index in peaks_of(size)])


_PIECES = f"""
SELECT first, substr(hashes, CAST(CASE WHEN first < %s THEN (%s - first) * {HASH} + 1 ELSE 1 END AS integer), %s)
FROM {AuditBatch._meta.db_table} WHERE first >= %s AND first < %s ORDER BY first
"""  # noqa: S608


def _leaf_hashes(_base: int, first: int) -> Iterator[bytes]:
    """Hashes of up to 256 leaves from this one on."""
    at, end = first, first + WIDE
    before = AuditBatch.objects.filter(first__lte=first).order_by("-first").values_list("first", flat=True).first() or 0
    # Of a batch of thousands, only the piece that is wanted.
    for start, piece in read(_PIECES, [first, first, WIDE * HASH, before, end]):
        if max(start, first) != at:
            raise Broken(f"the hash of entry {at} is missing")
        for offset in range(0, min(len(piece), (end - at) * HASH), HASH):
            yield bytes(piece[offset : offset + HASH])
        at += len(piece) // HASH


def _node_hashes(base: int, first: int) -> Iterator[bytes]:
    places = range(place_of(base, first), place_of(base, first + WIDE))
    rows = AuditNode.objects.filter(place__gte=places.start, place__lt=places.stop).order_by("place")
    for wanted, (place, node) in zip(places, rows.values_list("place", "hash"), strict=False):
        if place != wanted:
            raise Broken(f"a hash of level {base} is missing")
        yield bytes(node)


def prove_entry(index: int, size: int) -> list[bytes]:
    """The audit path of RFC 6962, section 2.1.1: that this leaf is in the tree of this size."""
    return list(inclusion_proof(index, size, Hashes().read))


def prove_growth(old: int, new: int) -> list[bytes]:
    """The consistency proof of RFC 6962, section 2.1.2: that the newer tree begins with the older."""
    return list(consistency_proof(old, new, Hashes().read))
