"""Is the audit log the one that was signed? Looks at every entry, every hash and every signature there is.

Nothing here is taken from the database but what is compared with something: entries with their hashes, hashes with the
root, roots with signatures, and the tree's size and root with what was published or witnessed outside.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice, pairwise

from django.utils import timezone

from vault.audit_key import is_signed
from vault.audit_leaves import leaves_between
from vault.audit_seal import FULL
from vault.audit_tree import HASH, nodes_made
from vault.core.entries import EPOCH, content_of, id_of, moment_bytes, moment_bytes_of, unpacked
from vault.core.notes import Key
from vault.core.tlog import Frontier, leaf_hashes
from vault.models import AuditBatch, AuditEntry, AuditNode

#: entries compared at once
WINDOW = 50_000
#: and in memory as a whole
AT_ONCE = 250
#: an entry that is older and still not in the tree has been kept out of it
LATEST = timedelta(minutes=5)
#: how long before the last sealing an entry may say that it happened: as long as the longest act may take
BEFORE = timedelta(hours=1)
#: and after, since two machines' clocks differ
AFTER = timedelta(minutes=1)
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


def verify(
    key: Key,
    seen: Iterable[Seen] = (),
    *,
    progress: Callable[[int], None] = lambda n: None,
) -> Report:
    """Look at the whole log. `progress` is told how many entries were looked at since the last time."""
    report, outside = Report(), sorted(seen, key=lambda one: one.size)
    _two_heads(report, outside)
    walk = _Walk(report, key, outside)
    seen_to = 0
    for window in _windows():
        walk.window(window, seen_to)
        seen_to = max(seen_to, window[-1].seen_to)
        progress(sum(len(b.hashes) // HASH for b in window))
    walk.end(seen_to)
    return report


def _two_heads(report: Report, outside: Sequence[Seen]) -> None:
    for one, other in pairwise(outside):
        if one.size == other.size and one.root != other.root:
            report.fault(
                f"Two heads of one size: {one.where} and {other.where} have different logs of {one.size:,} entries."
            )


def _windows() -> Iterator[list[AuditBatch]]:
    window: list[AuditBatch] = []
    held, last = 0, -1
    while batches := list(AuditBatch.objects.filter(first__gt=last).order_by("first")[:200]):
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

    def __init__(self, report: Report, key: Key, outside: Sequence[Seen]) -> None:
        self.report, self.key = report, key
        self.outside = list(outside)
        self.frontier = Frontier()
        #: entry -> its hash and moment, read and in no batch so far: it committed late, or nobody sealed it
        self.loose: dict[int, tuple[bytes, bytes]] = {}
        self.awaited: set[int] = set()
        self.last: AuditBatch | None = None
        self.agreed = 0
        #: from when on entries of the next batch may be: since when nobody had sealed
        self.since = moment_bytes(EPOCH)
        #: first of a batch -> the same
        self.since_of: dict[int, bytes] = {}

    def window(self, batches: list[AuditBatch], seen_to: int) -> None:
        self._entries(batches, seen_to)
        before = Frontier(self.frontier.size, self.frontier.hashes())
        made: dict[int, bytes] = {}
        for batch in batches:
            made.update(self._grow(batch))
        self.last = batches[-1]
        self._nodes(made)
        if not self._head_holds(self.last):
            self._first_that_does_not(before, batches)

    # -- entries against their hashes ------------------------------------------------------------------------

    def _entries(self, batches: list[AuditBatch], seen_to: int) -> None:
        entries: list[int] = []
        hashes: list[bytes] = []
        moments: list[bytes] = []
        contents: set[int] = set()
        found = leaves_between(seen_to, batches[-1].seen_to)
        while some := list(islice(found, AT_ONCE)):
            entries += map(id_of, some)
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
            what = f"The log is another than the one of {one.size:,} entries that {one.where} has."
            self.report.fault(what, index=self.agreed)
        else:
            self.agreed = one.size

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

    def end(self, seen_to: int) -> None:
        report, last = self.report, self.last
        if last:
            report.size, report.root = last.size, bytes(last.root)
        elif AuditEntry.objects.exists():
            report.fault("No entry has been sealed. Is the sealer running?")
        else:
            report.fault("The log is empty. A log that is in use never is.")
        for one in self.outside:
            report.checkpoints += 1
            report.fault(
                f"The log was put back or cut: it has {report.size:,} entries, and {one.where} has seen {one.size:,}.",
                index=report.size,
            )
            break
        for entry in sorted(set(self.loose) - self.awaited):
            report.fault("An entry was put in afterwards: it is in the table and in no batch.", entry=entry)
        late = AuditEntry.objects.filter(id__gt=seen_to, at__lt=timezone.now() - LATEST).order_by("id")
        for entry in late.values_list("id", flat=True)[:TOLD]:
            report.fault("An entry waits to be sealed for more than five minutes. Is the sealer running?", entry=entry)
