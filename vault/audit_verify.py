"""Is the audit log the one that was signed? Looks at every entry, every hash and every signature there is.

Nothing here is taken from the database but what is compared with something: entries with their hashes, hashes with the
root, roots with signatures, and the tree's size and root with what was published or witnessed outside.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import islice, pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from django.db import connection
from django.db.models import F, Max, Q
from django.utils import timezone

from vault.audit_archive import NotArchived, open_archive
from vault.audit_leaves import leaves_between, leaves_of
from vault.audit_seal import FULL
from vault.audit_tree import HASH, Broken, frontier_at, nodes_made
from vault.core.entries import EPOCH, content_of, id_of, ids_of, moment_bytes, moment_bytes_of, unpacked
from vault.core.notes import Key, is_signed
from vault.core.tlog import EMPTY_ROOT, Frontier, leaf_hashes
from vault.models import AuditArchive, AuditBatch, AuditCarried, AuditEntry, AuditNode
from vault.spawned import ready

#: entries compared at once
WINDOW = 50_000
#: and looked at by one process at least, where there are several
STRETCH = 100_000
#: and in memory as a whole
AT_ONCE = 250
#: an entry that is older and still not in the tree has been kept out of it
LATEST = timedelta(minutes=5)
#: how long before the last sealing an entry may say that it happened: as long as the longest act may take
BEFORE = timedelta(hours=1)
#: and after, since two machines' clocks differ
AFTER = timedelta(minutes=1)
#: what comes of rows that hold anything: SQLite's columns take it
UNREADABLE = (TypeError, ValueError, AttributeError, struct.error)
_UNREADABLE = "The tree's tables hold what no program of ours writes"
_WAITS = "An entry waits to be sealed for more than five minutes. Is the sealer running?"
#: ids that are awaited, of which that is asked
MOST_AWAITED = 1000
#: faults that are told; after so many the rest is counted only
TOLD = 100


@dataclass(frozen=True, slots=True)
class Seen:
    """A checkpoint that somebody keeps outside this database, its signature checked."""

    size: int
    root: bytes
    where: str


@dataclass(frozen=True, slots=True)
class Fault:
    """`entry`: the id of the first bad entry, or None where only its place (`index`) is known."""

    what: str
    entry: int | None = None
    index: int | None = None


@dataclass
class Report:
    entries: int = 0
    size: int = 0
    root: bytes = b""
    signed_at: str = ""
    checkpoints: int = 0
    faults: list[Fault] = field(default_factory=list)
    more: int = 0

    @property
    def ok(self) -> bool:
        return not self.faults and self.size > 0

    def fault(self, what: str, *, entry: int | None = None, index: int | None = None) -> None:
        if len(self.faults) < TOLD:
            self.faults.append(Fault(what, entry, index))
        else:
            self.more += 1

    def add(self, part: "Report") -> None:
        self.entries += part.entries
        self.checkpoints += part.checkpoints
        self.more += part.more
        for one in part.faults:
            self.fault(one.what, entry=one.entry, index=one.index)


def verify(
    key: Key,
    seen: Iterable[Seen] = (),
    *,
    progress: Callable[[int], None] = lambda n: None,
    processes: int = 1,
    archive: Path | None = None,
) -> Report:
    """Look at the whole log. `progress` is told how many entries were looked at since the last time; `archive` is
    the folder of the months that left the database, where it is not the one of the settings.

    Stretches of the log are looked at apart, each from a signed root on; with `processes` several at once.
    """
    report = Report()
    try:
        _look(report, key, seen, progress, processes, archive)
    except UNREADABLE:
        report.fault(f"{_UNREADABLE}.")
    return report


def _look(
    report: Report,
    key: Key,
    seen: Iterable[Seen],
    progress: Callable[[int], None],
    processes: int,
    archive: Path | None,
) -> None:
    outside = sorted([*seen, *_archives(report, key, archive, progress)], key=lambda one: one.size)
    _two_heads(report, outside)
    gone = max((row.size for row in _dropped()), default=0)
    stretches = _stretches(gone, processes)
    if processes == 1:
        parts: Iterable[Report] = (look_at(key, outside, one, progress) for one in stretches)
    else:
        parts = _side_by_side(key, outside, stretches, processes, progress)
    for part in parts:
        report.add(part)
    _end(report, outside)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Places in the tree, from the end of one batch to that of another. `gone`: its entries are in archives."""

    first: int
    end: int
    gone: bool = False


def _stretches(gone: int, processes: int) -> list[Stretch]:
    """All of the tree: what is in archives, and the rest in one piece, or in some for each process."""
    size = AuditBatch.objects.aggregate(size=Max("size"))["size"] or 0
    cuts = [gone]
    while processes > 1 and (want := cuts[-1] + max((size - gone) // (processes * 4), STRETCH)) < size:
        cuts.append(AuditBatch.objects.filter(size__gte=want).order_by("size").values_list("size", flat=True)[0])
    if cuts[-1] < size:
        cuts.append(size)
    rest = [Stretch(first, end) for first, end in pairwise(cuts)]
    return [Stretch(0, gone, gone=True), *rest] if gone else rest


def _side_by_side(
    key: Key, outside: list[Seen], stretches: list[Stretch], processes: int, progress: Callable[[int], None]
) -> Iterator[Report]:
    name = str(connection.settings_dict["NAME"])
    connection.close()
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=ready, initargs=(name,)) as pool:
        for part in pool.map(partial(look_at, key, outside), stretches):
            progress(part.entries)
            yield part


def look_at(
    key: Key, outside: Sequence[Seen], stretch: Stretch, progress: Callable[[int], None] = lambda n: None
) -> Report:
    report = Report()
    inside = [one for one in outside if stretch.first < one.size <= stretch.end or one.size == stretch.first == 0]
    try:
        walk = _Walk(report, key, inside, stretch)
    except Broken as error:
        report.fault(f"The tree does not hold together: {error}.", index=stretch.first)
        return report
    try:
        for window in _windows(stretch):
            walk.window(window)
            progress(sum(len(b.hashes) // HASH for b in window))
        walk.end()
    except UNREADABLE:
        index = walk.frontier.size
        report.fault(f"{_UNREADABLE}, from here on at the latest.", index=index)
    return report


def _dropped() -> list[AuditArchive]:
    return list(AuditArchive.objects.filter(dropped=True).order_by("first"))


def _archives(report: Report, key: Key, where: Path | None, progress: Callable[[int], None]) -> Iterator[Seen]:
    """What left the database must be in files that hold; their roots are compared with the tree like any other's."""
    size, root, carried = 0, EMPTY_ROOT, dict[int, tuple[str, Any]]()
    rows = _dropped()
    left = _left_of(rows[-1].size) if rows else {}
    for row in rows:
        try:
            found = open_archive(row, key, where=where, wanted=left)
        except NotArchived as error:
            report.fault(f"Entries {row.first:,} to {row.size - 1:,} are not in the database. {error}", index=row.first)
            return
        if (found.first, found.before_root) != (size, root):
            report.fault("The archives do not follow each other.", index=row.first)
        size, root = found.size, found.root
        report.entries += found.entries
        carried |= {entry: (patient, detail) for patient, (entry, detail) in found.versions.items()}
        for entry in [entry for entry, known in found.wanted.items() if left[entry] == known]:
            del left[entry]
        progress(found.entries)
        yield Seen(size, root, f"the archive of {row.month}")
    for entry in sorted(left):
        report.fault("An entry is not what the archive says, or was put in afterwards.", entry=entry)
    for one in AuditCarried.objects.iterator():
        if carried.pop(one.entry, None) != (one.patient, one.detail):
            report.fault("What is kept of an archived entry is not what the archive says.", entry=one.entry)
    for entry in sorted(carried):
        report.fault("What was kept of an archived entry is gone.", entry=entry)


def _left_of(size: int) -> dict[int, bytes]:
    """Entry -> hash, of what is in archives and also in the database: the first of a month, sealed with the last of
    the one before."""
    last = AuditBatch.objects.filter(size=size).first()
    found = list(leaves_between(0, last.seen_to)) if last else []
    late = set(unpacked(bytes(last.awaited))) if last else set()
    return {
        id_of(leaf): known for leaf, known in zip(found, leaf_hashes(found), strict=True) if id_of(leaf) not in late
    }


def _end(report: Report, outside: Sequence[Seen]) -> None:
    last = AuditBatch.objects.order_by("-first").first()
    if last is None:
        there = AuditEntry.objects.exists()
        report.fault(
            "No entry has been sealed. Is the sealer running?"
            if there
            else "The log is empty. A log that is in use never is."
        )
    report.size, report.root = (last.size, bytes(last.root)) if last else (0, b"")
    for one in outside:
        if one.size > report.size:
            report.checkpoints += 1
            report.fault(
                f"The log was put back or cut: it has {report.size:,} entries, and {one.where} has seen {one.size:,}.",
                index=report.size,
            )
            break
    # What is awaited is written down without a signature: an entry that it would excuse is not awaited for ever.
    awaited = unpacked(bytes(last.awaited))[:MOST_AWAITED] if last else []
    for waits in (Q(id__in=awaited), Q(id__gt=last.seen_to if last else 0)):  # in two, since each has its index
        late = AuditEntry.objects.filter(waits, at__lt=timezone.now() - LATEST).order_by("id")
        for entry in late.values_list("id", flat=True)[:TOLD]:
            report.fault(_WAITS, entry=entry)


def _two_heads(report: Report, outside: Sequence[Seen]) -> None:
    for one, other in pairwise(outside):
        if one.size == other.size and one.root != other.root:
            report.fault(
                f"Two heads of one size: {one.where} and {other.where} have different logs of {one.size:,} entries."
            )


def _entry_at(index: int) -> int | None:
    batch = AuditBatch.objects.filter(first__lte=index, size__gt=index).defer("hashes").first()
    ids = unpacked(bytes(batch.ids)) if batch else []
    return ids[index - batch.first] if batch and index - batch.first < len(ids) else None


def _windows(stretch: Stretch) -> Iterator[list[AuditBatch]]:
    window: list[AuditBatch] = []
    held, last = 0, stretch.first - 1
    while batches := list(AuditBatch.objects.filter(first__gt=last, size__lte=stretch.end).order_by("first")[:200]):
        last = batches[-1].first
        for batch in batches:
            window.append(batch)
            held += len(batch.hashes) // HASH
            if held >= WINDOW:
                yield window
                window, held = [], 0
    if window:
        yield window


def _hashes_of(batch: AuditBatch) -> list[bytes]:
    hashes = bytes(batch.hashes)
    return [hashes[at : at + HASH] for at in range(0, len(hashes), HASH)]


class _Walk:
    """Goes along the batches, and builds the tree anew beside them."""

    def __init__(self, report: Report, key: Key, outside: Sequence[Seen], stretch: Stretch) -> None:
        self.report, self.key = report, key
        self.outside, self.gone = list(outside), stretch.gone
        self.frontier = frontier_at(stretch.first)
        self.seen_to = 0
        #: entry -> its hash and moment, read and in no batch so far: it committed late, or nobody sealed it
        self.loose: dict[int, tuple[bytes, bytes]] = {}
        self.awaited: set[int] = set()
        #: sizes at which the log is what somebody outside has seen, and where the stretch begins
        self.agreed = [stretch.first]
        #: from when on entries of the next batch may be: since when nobody had sealed
        self.since = moment_bytes(EPOCH)
        #: first of a batch -> the same
        self.since_of: dict[int, bytes] = {}
        if stretch.first:
            self._go_on_from(stretch.first)

    def _go_on_from(self, size: int) -> None:
        """Everything up to here is somebody else's to look at, but for the root that is built upon."""
        batch = AuditBatch.objects.filter(size=size).first()
        if batch is None:
            raise Broken(f"no batch ends after {size:,} entries")
        self.seen_to = batch.seen_to
        self.awaited = set(unpacked(bytes(batch.awaited)))
        for leaf in leaves_of(sorted(self.awaited)):  # they come in with a later batch
            self.loose[id_of(leaf)] = leaf_hashes([leaf])[0], moment_bytes_of(leaf)
        rows = AuditBatch.objects.filter(size__lte=batch.size, size__lt=F("first") + FULL)
        if caught_up := rows.order_by("-first").first():
            self.since = moment_bytes(caught_up.at - BEFORE)
        if not self._head_holds(batch):
            self.report.fault("The hashes up to here do not make a root that was signed.", index=batch.size)

    def window(self, batches: list[AuditBatch]) -> None:
        if not self.gone:
            self._entries(batches, self.seen_to)
        self.seen_to = max(self.seen_to, batches[-1].seen_to)
        before = Frontier(self.frontier.size, self.frontier.hashes())
        made: dict[int, bytes] = {}
        for batch in batches:
            made.update(self._grow(batch))
        self._nodes(made)
        if not self._head_holds(batches[-1]):
            self._first_that_does_not(before, batches)

    # -- entries against their hashes ------------------------------------------------------------------------

    def _entries(self, batches: list[AuditBatch], seen_to: int) -> None:
        entries: list[int] = []
        hashes: list[bytes] = []
        moments: list[bytes] = []
        contents: set[int] = set()
        found = leaves_between(seen_to, batches[-1].seen_to)
        while some := list(islice(found, AT_ONCE)):
            entries += ids_of(some)
            hashes += leaf_hashes(some)
            moments += map(moment_bytes_of, some)
            contents.update(map(hash, map(content_of, some)))
        self.report.entries += len(entries)
        if len(contents) < len(entries):  # or two that only look alike, which is looked at there
            self._twice(leaves_between(seen_to, batches[-1].seen_to))
        self.since_of = dict(self._since(batches))
        self.awaited = set(unpacked(bytes(batches[-1].awaited)))
        as_sealed = b"".join(hashes) == b"".join(bytes(batch.hashes) for batch in batches)
        if as_sealed and not self.loose and entries == [i for batch in batches for i in unpacked(bytes(batch.ids))]:
            at = 0
            for batch in batches:
                end = at + len(batch.hashes) // HASH
                self._times(batch, moments[at:end], entries[at:end])
                at = end
            return
        self.loose.update(zip(entries, zip(hashes, moments, strict=True), strict=True))
        for batch in batches:
            self._entries_of(batch)
        for entry in sorted(set(self.loose) - self.awaited):
            self.report.fault("An entry was put in afterwards: it is in the table and in no batch.", entry=entry)
            del self.loose[entry]

    def _entries_of(self, batch: AuditBatch) -> None:
        """One by one, for a batch in which something differs, or whose entries came late."""
        ids, hashes = unpacked(bytes(batch.ids)), _hashes_of(batch)
        if len(ids) != len(hashes):
            self.report.fault("A batch has another number of entries than of hashes.", index=batch.first)
        for index, (entry, stored) in enumerate(zip(ids, hashes, strict=False), batch.first):
            found, moment = self.loose.pop(entry, (b"", b""))
            if not found:
                self.report.fault("An entry is gone.", entry=entry, index=index)
            elif found != stored:
                self.report.fault("An entry was changed.", entry=entry, index=index)
            else:
                self._times(batch, [moment], [entry])

    def _twice(self, found: Iterator[bytes]) -> None:
        known: dict[bytes, int] = {}
        for leaf in found:
            entry = id_of(leaf)
            if (first := known.setdefault(content_of(leaf), entry)) != entry:
                self.report.fault(f"An entry is there twice: this one says the same as entry {first:,}.", entry=entry)

    def _since(self, batches: list[AuditBatch]) -> Iterator[tuple[int, bytes]]:
        """A sealer that was away finds older entries, and so does a log's first; then batches are full until it has
        caught up."""
        for batch in batches:
            yield batch.first, self.since
            if len(batch.hashes) < FULL * HASH:
                self.since = moment_bytes(batch.at - BEFORE)

    def _times(self, batch: AuditBatch, moments: list[bytes], entries: list[int]) -> None:
        earliest, latest = self.since_of[batch.first], moment_bytes(batch.at + AFTER)
        if not moments or (earliest <= min(moments) and max(moments) <= latest):
            return
        for moment, entry in zip(moments, entries, strict=True):
            if not earliest <= moment <= latest:
                what = (
                    f"An entry's time is not that of its sealing, {batch.at:%Y-%m-%d %H:%M} UTC: it was put in"
                    " afterwards, or a clock was wrong."
                )
                self.report.fault(what, entry=entry)

    # -- hashes against roots, roots against signatures ------------------------------------------------------

    def _grow(self, batch: AuditBatch) -> dict[int, bytes]:
        """Append its hashes; what the tree keeps of them, by place."""
        made: dict[int, bytes] = {}
        leaves = _hashes_of(batch)
        if batch.first != self.frontier.size or batch.size != batch.first + len(leaves):
            what = f"Batches do not follow each other: {self.frontier.size:,} entries come before {batch.first:,}."
            self.report.fault(what, index=min(self.frontier.size, batch.first))
        while self.outside and self.outside[0].size <= self.frontier.size + len(leaves):
            ahead = max(self.outside[0].size - self.frontier.size, 0)
            made.update(nodes_made(self.frontier.size, self.frontier, leaves[:ahead]))
            leaves = leaves[ahead:]
            self._compare(self.outside.pop(0))
        made.update(nodes_made(self.frontier.size, self.frontier, leaves))
        return made

    def _compare(self, one: Seen) -> None:
        self.report.checkpoints += 1
        if one.size and self.frontier.root() != one.root:
            # Of two heads of one size the log may be the one.
            since = next(size for size in reversed(self.agreed) if size < one.size)
            what = f"From here on the log is another than the one of {one.size:,} entries that {one.where} has."
            self.report.fault(what, entry=_entry_at(since), index=since)
        else:
            self.agreed.append(one.size)

    def _head_holds(self, batch: AuditBatch) -> bool:
        root = bytes(batch.root)
        well_signed = is_signed(self.key, batch.size, root, bytes(batch.signature))
        return self.frontier.root() == root and well_signed

    def _first_that_does_not(self, before: Frontier, batches: list[AuditBatch]) -> None:
        for batch in batches:
            before.extend(_hashes_of(batch))
            root, ids = bytes(batch.root), unpacked(bytes(batch.ids))
            what = ""
            if before.root() != root:
                what = "From this batch on the hashes do not make the root that stands there."
            elif not is_signed(self.key, batch.size, root, bytes(batch.signature)):
                what = "From this batch on the root is not signed by the log's key: hashes were made anew."
            if what:
                self.report.fault(what, entry=ids[0] if ids else None, index=batch.first)
                return

    def _nodes(self, wanted: dict[int, bytes]) -> None:
        stored = dict(AuditNode.objects.filter(place__in=list(wanted)).values_list("place", "hash"))
        for place, node in sorted(wanted.items()):
            if bytes(stored.get(place, b"")) != node:
                level, index = place >> 48, place & (1 << 48) - 1
                self.report.fault("A hash inside the tree is missing or was changed.", index=index << level)

    # -- the end ---------------------------------------------------------------------------------------------

    def end(self) -> None:
        for entry in sorted(set(self.loose) - self.awaited):
            self.report.fault("An entry was put in afterwards: it is in the table and in no batch.", entry=entry)
