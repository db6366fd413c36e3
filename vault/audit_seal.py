"""Puts entries of the audit log into the Merkle tree, soon after they were written, and signs the tree.

Entries become visible in another order than their ids have, and a rolled-back transaction takes its ids with it. So an
id that is passed over is awaited until no transaction that could have taken it is still under way.
"""

import time
from dataclasses import dataclass, field
from itertools import islice, pairwise

from django.db import connection, transaction
from django.utils import timezone

from vault.audit_key import sign_root
from vault.audit_leaves import leaves_of, newer_leaves
from vault.audit_tree import Broken, frontier_at, head, nodes_made
from vault.core.entries import id_of, ids_of, packed, unpacked
from vault.core.notes import Signer
from vault.core.tlog import Frontier, leaf_hashes
from vault.models import AuditBatch, AuditEntry, AuditNode

#: new entries in one batch at most; one that has so many says that there were more (FORMAT.md)
FULL = 4096
#: an id is awaited so many seconds at least: a number is drawn a moment before its transaction has one
AWAITED_SECONDS = 60.0
#: ids passed over at once that are awaited one by one; what comes after more of them waits instead
LEAP = 10_000
_HIGHEST = 2**63 - 1
#: any number; what else in this database takes advisory locks must take another
_LOCK = 0x7467_6C6F_6700


@dataclass
class Sealer:
    """Seals in one process; another that runs beside it takes turns with it."""

    signer: Signer
    frontier: Frontier = field(default_factory=Frontier)
    #: awaited id -> (when it was first passed over, the first transaction that came after)
    _awaited: dict[int, tuple[float, int]] = field(default_factory=dict)
    #: id after which very many were passed over -> the same
    _leaps: dict[int, tuple[float, int]] = field(default_factory=dict)

    def seal(self) -> int:
        """Put what is there into the tree, `FULL` at a time; how many entries that were."""
        if not self._anything():  # asked before a lock is taken, since this is asked all day
            return 0
        with transaction.atomic():
            if not _alone():
                return 0
            last = head()
            self._follow(last)
            return self._seal_some(last)

    def _anything(self) -> bool:
        last = AuditBatch.objects.order_by("-first").values_list("seen_to", "awaited").first()
        seen_to, awaited = last or (0, b"")
        return bool(awaited) or AuditEntry.objects.filter(id__gt=seen_to).exists()

    def _follow(self, last: AuditBatch | None) -> None:
        """Go on from where the database is, which another process may have moved."""
        size = last.size if last else 0
        if self.frontier.size != size:
            self.frontier = frontier_at(size)
        if last and self.frontier.root() != bytes(last.root):
            # Signing it would make the damage part of the log.
            raise Broken(f"the hashes of the first {size} entries do not make the root that was signed")

    def _seal_some(self, last: AuditBatch | None) -> int:
        seen_to = last.seen_to if last else 0
        awaited = unpacked(bytes(last.awaited)) if last else []
        oldest, next_one = _transactions()
        found = list(leaves_of(awaited)) if awaited else []
        new = list(islice(newer_leaves(seen_to, _drawn(), FULL), FULL))
        new = self._before_leap(new, seen_to, oldest, next_one) if next_one else new
        if not found and not new:
            return 0
        late = set(ids_of(found))
        still = [one for one in awaited if one not in late and not self._settled(one, oldest)]
        still += self._passed_over(ids_of(new), seen_to, next_one) if next_one else []
        self._write(found + new, max(seen_to, id_of(new[-1]) if new else 0), still)
        return len(found) + len(new)

    def _passed_over(self, known: list[int], seen_to: int, next_one: int) -> list[int]:
        gaps = [range(one + 1, after) for one, after in pairwise([seen_to, *known]) if after - one <= LEAP]
        passed = [one for gap in gaps for one in gap]
        self._awaited |= dict.fromkeys(passed, (time.monotonic(), next_one))
        return passed

    def _before_leap(self, new: list[bytes], seen_to: int, oldest: int, next_one: int) -> list[bytes]:
        """Ids that somebody drew by the million and did not use would fill the memory, if each was awaited."""
        for number, (one, after) in enumerate(pairwise([seen_to, *ids_of(new)])):
            if after - one <= LEAP:
                continue
            since, first_after = self._leaps.setdefault(one, (time.monotonic(), next_one))
            if oldest < first_after or time.monotonic() - since < AWAITED_SECONDS:
                return new[:number]
        self._leaps.clear()
        return new

    def _settled(self, one: int, oldest: int) -> bool:
        since, next_one = self._awaited.setdefault(one, (time.monotonic(), 0))
        if not next_one:  # awaited by the process before this one
            self._awaited[one] = (since, _transactions()[1])
            return False
        if oldest < next_one or time.monotonic() - since < AWAITED_SECONDS:
            return False
        del self._awaited[one]
        return True

    def _write(self, leaves: list[bytes], seen_to: int, awaited: list[int]) -> None:
        hashes = leaf_hashes(leaves)
        first, frontier = self.frontier.size, Frontier(self.frontier.size, self.frontier.hashes())
        AuditNode.objects.bulk_create(AuditNode(place=p, hash=node) for p, node in nodes_made(first, frontier, hashes))
        root = frontier.root()
        AuditBatch.objects.create(
            first=first,
            size=frontier.size,
            ids=packed(ids_of(leaves)),
            seen_to=seen_to,
            awaited=packed(awaited),
            hashes=b"".join(hashes),
            root=root,
            signature=sign_root(self.signer, frontier.size, root),
            at=timezone.now(),
        )
        transaction.on_commit(lambda: setattr(self, "frontier", frontier))


def _alone() -> bool:
    if connection.vendor != "postgresql":
        return True  # a transaction has the database to itself (IMMEDIATE)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        return bool(cursor.fetchone()[0])


def _drawn() -> int:
    """The highest id that the database has given out. A row above it was put in by hand, and all that comes after it
    would seem to have been passed over; it stays out of the tree, which `audit_verify` tells."""
    if connection.vendor != "postgresql":
        return _HIGHEST  # ids go on from the highest that there is
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sequence_last_value(pg_get_serial_sequence(%s, 'id'))", [AuditEntry._meta.db_table])
        return int(cursor.fetchone()[0] or 0)


def _transactions() -> tuple[int, int]:
    """The oldest transaction under way and the one that would come next; zeros where they come one after another."""
    if connection.vendor != "postgresql":
        return 0, 0
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint FROM pg_current_snapshot() s"
        )
        oldest, next_one = cursor.fetchone()
        return int(oldest), int(next_one)
