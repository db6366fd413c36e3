"""The sealed index in the database: patients put into lists and taken out, and lists read (FORMAT.md).

Writers hold the clinic's `ClinicIndex` row. Readers hold nothing: a list that is laid out anew while it is read shows
in the row's `layout`, and the search reads again.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from uuid import UUID

from django.db import connection

from vault.core.blocks import LEAF_MOST, Directory, Entry, Leaf
from vault.core.sealing import CannotOpen
from vault.core.terms import Term
from vault.keyring import Index
from vault.models import ClinicIndex, IndexBlock
from vault.rows import delete_many, put_many, read

#: blocks asked for in one statement
MOST_LABELS = 500

#: leaves of the shortest list looked at together, at most
WINDOW = 32

Block = Leaf | Directory


def locked(clinic: UUID) -> ClinicIndex:
    """The clinic's index, to be written in this transaction and by nobody else."""
    ClinicIndex.objects.get_or_create(clinic_id=clinic)
    return ClinicIndex.objects.select_for_update().get(clinic_id=clinic)


def fetch(index: Index, labels: Iterable[bytes]) -> dict[bytes, Block]:
    """The blocks that exist, opened."""
    wanted = list(labels)
    found: dict[bytes, Block] = {}
    for at in range(0, len(wanted), MOST_LABELS):
        some = wanted[at : at + MOST_LABELS]
        if connection.vendor == "postgresql":
            rows = read("SELECT label, sealed FROM vault_indexblock WHERE label = ANY(%b)", [some])
        else:
            marks = ",".join(["%s"] * len(some))
            rows = read(f"SELECT label, sealed FROM vault_indexblock WHERE label IN ({marks})", some)  # noqa: S608
        for label, sealed in rows:
            found[label] = index.blocks.open(label, sealed)
    return found


class Writing:
    """A batch of changes to one clinic's lists under one index key. Collect with `add` and `remove`, then `save`."""

    def __init__(self, clinic: ClinicIndex, index: Index) -> None:
        self._clinic, self._index = clinic, index
        self._added: dict[Term, set[Entry]] = {}
        self._removed: dict[Term, set[Entry]] = {}

    def add(self, terms: Iterable[Term], entry: Entry) -> None:
        for term in terms:
            self._added.setdefault(term, set()).add(entry)

    def remove(self, terms: Iterable[Term], entry: Entry) -> None:
        for term in terms:
            self._removed.setdefault(term, set()).add(entry)

    def save(self) -> None:
        """Write the blocks that changed. Adding what is there, or removing what is not, changes nothing."""
        label = self._index.blocks.label
        roots = {label(*term): term for term in self._added.keys() | self._removed.keys()}
        blocks: dict[bytes, Block] = fetch(self._index, roots)
        blocks |= fetch(
            self._index, [name for root, term in roots.items() for name in self._touched(term, blocks.get(root))]
        )
        changed: dict[bytes, Block | None] = {}
        for root, term in roots.items():
            self._apply(term, root, blocks, changed)
        seal = self._index.blocks.seal
        kept = [(name, self._index.key_id, seal(name, block)) for name, block in changed.items() if block is not None]
        put_many(IndexBlock, ("label", "key_id", "sealed"), kept, key="label", fresh=not blocks)
        delete_many(IndexBlock, "label", [name for name, block in changed.items() if block is None])

    def _changes(self, term: Term) -> tuple[set[Entry], set[Entry]]:
        added, removed = self._added.get(term, set()), self._removed.get(term, set())
        return added, removed - added

    def _touched(self, term: Term, root: Block | None) -> set[bytes]:
        """The leaves below a directory that the changes of a term fall into."""
        if not isinstance(root, Directory):
            return set()
        added, removed = self._changes(term)
        positions = {root.position(entry[:2]) for entry in added | removed}
        return {self._index.blocks.label(*term, root.blocks[position]) for position in positions}

    def _apply(self, term: Term, root: bytes, blocks: dict[bytes, Block], changed: dict[bytes, Block | None]) -> None:
        added, removed = self._changes(term)
        block = blocks.get(root, Leaf())
        if isinstance(block, Leaf):
            merged = _merged(block, added, removed)
            if merged is None:
                return
            if len(merged) <= LEAF_MOST:
                changed[root] = Leaf(merged) if merged else None
                return
            self._clinic.layout += 1
            changed[root] = self._spread(term, merged, 1, changed)
            return
        self._apply_below(term, root, block, blocks, changed)

    def _apply_below(
        self,
        term: Term,
        root: bytes,
        directory: Directory,
        blocks: dict[bytes, Block],
        changed: dict[bytes, Block | None],
    ) -> None:
        added, removed = self._changes(term)
        by_leaf: dict[int, tuple[set[Entry], set[Entry]]] = {}
        for side, entries in enumerate((added, removed)):
            for entry in entries:
                by_leaf.setdefault(directory.position(entry[:2]), (set(), set()))[side].add(entry)
        for position in sorted(by_leaf, reverse=True):  # from the end, since a split moves what comes after
            name = self._index.blocks.label(*term, directory.blocks[position])
            leaf = blocks.get(name)
            if not isinstance(leaf, Leaf):
                raise CannotOpen
            merged = _merged(leaf, *by_leaf[position])
            if merged is None:
                continue
            if len(merged) <= LEAF_MOST:
                changed[name] = Leaf(merged)  # an empty leaf stays: its place in the directory is still right
                continue
            self._clinic.layout += 1
            spread = self._spread(term, merged, max(directory.blocks) + 1, changed)
            changed[name] = None
            spread.lowest[0] = min(spread.lowest[0], directory.lowest[position])
            directory.lowest[position : position + 1] = spread.lowest
            directory.blocks[position : position + 1] = spread.blocks
            changed[root] = directory

    def _spread(self, term: Term, merged: list[Entry], first: int, changed: dict[bytes, Block | None]) -> Directory:
        """Too many entries for one leaf, over fresh leaves three quarters full."""
        pieces = -(-len(merged) // (LEAF_MOST * 3 // 4))
        size = -(-len(merged) // pieces)
        parts = [merged[at : at + size] for at in range(0, len(merged), size)]
        numbers = list(range(first, first + len(parts)))
        for number, part in zip(numbers, parts, strict=True):
            changed[self._index.blocks.label(*term, number)] = Leaf(part)
        return Directory([part[0][:2] for part in parts], numbers)


def _merged(leaf: Leaf, added: set[Entry], removed: set[Entry]) -> list[Entry] | None:
    """The leaf's entries after the changes, in order; None when they change nothing."""
    entries = leaf.entries()
    if len(added) == 1 and not removed:
        (entry,) = added
        at = bisect_left(entries, entry)
        if at < len(entries) and entries[at] == entry:
            return None
        insort(entries, entry)
        return entries
    before = set(entries)
    after = (before - removed) | added
    return None if after == before else sorted(after)


class Lists:
    """The patients whom any of several terms lists, in the order of names, loaded leaf by leaf as needed."""

    def __init__(self, reader: "Reader", terms: Iterable[Term]) -> None:
        self._reader = reader
        self._leaves: list[Leaf] = []
        self._long: list[tuple[Term, Directory]] = []
        for term, block in reader.roots(terms):
            if isinstance(block, Leaf):
                self._leaves.append(block)
            else:
                self._long.append((term, block))

    @property
    def size(self) -> int:
        """About how many entries; never too few."""
        return sum(map(len, self._leaves)) + sum(len(directory.blocks) for _, directory in self._long) * LEAF_MOST

    def windows(self) -> Iterator[tuple[int, int]]:
        """The range of sort keys in pieces [low, high), each with twice the leaves of the one before."""
        bounds = sorted({key for _, directory in self._long for key, _ in directory.lowest})[1:]
        low, at, step = 0, 1, 2
        while at < len(bounds):
            yield low, bounds[at]
            low, at, step = bounds[at], at + step, min(step * 2, WINDOW)
        yield low, 1 << 64

    def between(self, low: int, high: int, year: int | None) -> list[Entry]:
        """The entries with low <= sort key < high, in order; of one year of birth (less 1900), if given."""
        wanted: list[tuple[Term, int]] = []
        for term, directory in self._long:
            first, last = directory.position((low, -1)), bisect_left(directory.lowest, (high, 0))
            wanted += [(term, block) for block in directory.blocks[first:last]]
        found: set[Entry] = set()
        for leaf in [*self._leaves, *self._reader.leaves(wanted)]:
            start, end = bisect_left(leaf.keys, low), bisect_left(leaf.keys, high)
            if year is None:
                found.update(map(Entry, leaf.keys[start:end], leaf.numbers[start:end], leaf.years[start:end]))
            else:
                found.update(leaf.of_year(year, start, end))
        return sorted(found)

    def among(self, candidates: list[Entry]) -> list[Entry]:
        """The candidates, which are in order, that are listed here too."""
        numbers: set[int] = set()
        for leaf in self._leaves:
            numbers.update(leaf.numbers)
        wanted = [(term, block) for term, directory in self._long for block in _holding(directory, candidates)]
        for leaf in self._reader.leaves(wanted):
            numbers.update(leaf.numbers)
        return [candidate for candidate in candidates if candidate.number in numbers]


def _holding(directory: Directory, candidates: list[Entry]) -> Iterator[int]:
    """The blocks of a directory whose range has a candidate in it. Both are in order, so each range is one look."""
    position = directory.position(candidates[0][:2])
    last = directory.position(candidates[-1][:2])
    at = 0
    while position <= last:
        yield directory.blocks[position]
        if position == last:
            return
        at = bisect_left(candidates, (*directory.lowest[position + 1], -1), at)
        position = directory.position(candidates[at][:2])


class Reader:
    """Reads one clinic's lists for one search; what was opened once is kept for its other passes."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._roots: dict[Term, Block | None] = {}
        self._leaves: dict[tuple[Term, int], Leaf] = {}
        #: whether lists of more than one block were read, which may have been laid out anew meanwhile
        self.long = False

    def matching(self, groups: Iterable[Iterable[Term]], *, year: int | None, most: int) -> list[Entry]:
        """The first `most` entries, in order, that are listed under some term of every group."""
        lists = sorted((Lists(self, group) for group in groups), key=lambda one: one.size)
        found: list[Entry] = []
        if not lists[0].size:
            return found
        born = None if year is None else year - 1900
        for low, high in lists[0].windows():
            hits = lists[0].between(low, high, born)
            for other in lists[1:]:
                hits = other.among(hits) if hits else hits
            found += hits
            if len(found) >= most:
                break
        return found[:most]

    def roots(self, terms: Iterable[Term]) -> Iterator[tuple[Term, Block]]:
        """The terms that have a list, with its first block."""
        wanted = list(terms)
        labels = {self._index.blocks.label(*term): term for term in wanted if term not in self._roots}
        blocks = fetch(self._index, labels)
        for name, term in labels.items():
            self._roots[term] = blocks.get(name)
        for term in wanted:
            block = self._roots[term]
            if block is not None:
                self.long = self.long or isinstance(block, Directory)
                yield term, block

    def leaves(self, wanted: list[tuple[Term, int]]) -> list[Leaf]:
        """Leaves below directories; one that is gone was laid out anew, and the search will read again."""
        labels = {self._index.blocks.label(*one[0], one[1]): one for one in wanted if one not in self._leaves}
        for name, block in fetch(self._index, labels).items():
            if not isinstance(block, Leaf):
                raise CannotOpen
            self._leaves[labels[name]] = block
        return [self._leaves[one] for one in wanted if one in self._leaves]


def remove_everywhere(index: Index, unwanted: Callable[[Entry], bool]) -> None:
    """Take entries out of every leaf there is, whatever its list is called."""
    for row in IndexBlock.objects.filter(key_id=index.key_id).iterator(200):
        block = index.blocks.open(bytes(row.label), bytes(row.sealed))
        if isinstance(block, Directory):
            continue
        kept = [entry for entry in block.entries() if not unwanted(entry)]
        if len(kept) < len(block):
            row.sealed = index.blocks.seal(bytes(row.label), Leaf(kept))
            row.save(update_fields=["sealed"])
