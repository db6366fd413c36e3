"""Months of the audit log as files that verify without the database, and their leaving it."""

import hashlib
import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from vault import audit
from vault.audit_leaves import leaves_of
from vault.audit_months import Month, months
from vault.audit_months import drop as drop_part
from vault.audit_tree import HASH, frontier_at
from vault.core import archives
from vault.core.entries import unpacked
from vault.core.notes import Key
from vault.core.tlog import leaf_hashes
from vault.models import AuditArchive, AuditBatch, AuditCarried, AuditShipment

#: months that stay in the database at least: what a running rotation or an officer's review looks back to
KEPT = 13


class NotArchived(Exception):
    """The message says why, and what to do."""


class NotSealed(NotArchived):
    """Some of the month's entries are not in the tree yet."""


def file_of(month: str, where: Path | None = None) -> Path:
    return (where or Path(settings.AUDIT_ARCHIVE)) / f"audit-{month}.archive"


def write(month: Month, key: Key, progress: Callable[[int], None] = lambda n: None) -> AuditArchive:
    """Write the month's file and say so in the log. What does not agree with the tree is not written."""
    if month.end is None:
        raise NotArchived("The month is not over.")
    first = (AuditArchive.objects.filter(dropped=False).order_by("-size").values_list("size", flat=True).first()) or 0
    size = _sealed_to(month.end)
    if size is None or size <= first:
        raise NotSealed(f"Not every entry of {month.name} is sealed yet. Is the sealer running?")
    before = frontier_at(first)
    target = file_of(month.name)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = target.with_suffix(".part")
    with open(os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "w+b") as out:
        archives.write(out, month.name, key.name, before, size, _batches(first, size, progress))
        out.flush()
        os.fsync(out.fileno())
        out.seek(0)
        found = archives.check(out, key)
        if not found.ok or (found.first, found.size) != (first, size):
            raise NotArchived(f"The file does not verify: {found.faults[:1]}. Run manage.py audit_verify.")
        out.seek(0)
        digest = hashlib.file_digest(out, "sha256").hexdigest()
    part.replace(target)
    _sync(target.parent)
    with transaction.atomic():
        row = AuditArchive.objects.create(month=month.name, first=first, size=size, digest=digest, at=timezone.now())
        audit.record("audit.archive", audit.SYSTEM, month=month.name, entries=size - first, sha256=digest)
    return row


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sealed_to(end: int) -> int | None:
    """The tree's size when every entry below this id was in it."""
    for batch in AuditBatch.objects.filter(seen_to__gte=end - 1).order_by("first").defer("hashes").iterator():
        if not any(one < end for one in unpacked(bytes(batch.awaited))):
            return batch.size
    return None


def _batches(first: int, size: int, progress: Callable[[int], None]) -> Iterator[archives.Sealed]:
    for batch in AuditBatch.objects.filter(first__gte=first, size__lte=size).order_by("first").iterator(chunk_size=20):
        ids, stored = unpacked(bytes(batch.ids)), bytes(batch.hashes)
        leaves = list(leaves_of(ids))
        if b"".join(leaf_hashes(leaves)) != stored:
            raise NotArchived(f"Entries from {ids[0]:,} on do not agree with the tree. Run manage.py audit_verify.")
        hashes = [stored[at : at + HASH] for at in range(0, len(stored), HASH)]
        yield archives.Sealed(hashes, bytes(batch.root), bytes(batch.signature), leaves)
        progress(len(ids))


def drop(month: Month, key: Key) -> AuditArchive:
    """Let the month's entries leave the database, once its file was looked at again. For the table's owner."""
    if connection.vendor != "postgresql":
        raise NotArchived("Months leave the database on Postgres only.")
    row = AuditArchive.objects.filter(month=month.name, dropped=False).first()
    if row is None:
        raise NotArchived(f"{month.name} is not archived. Run manage.py audit_months archive first.")
    if months()[0].name != month.name:
        raise NotArchived(f"{months()[0].name} comes first: months leave in their order.")
    if len([one for one in months() if one.end]) <= KEPT:
        raise NotArchived(f"The last {KEPT} months stay: reviews, exports and rotations of keys look back at them.")
    behind = AuditShipment.objects.filter(sent_to__lt=row.size).values_list("address", flat=True).first()
    if behind:
        raise NotArchived(f"{behind} does not have all of {month.name} yet.")
    found = open_archive(row, key)
    with transaction.atomic():
        _carry(found)
        gone = AuditArchive.objects.create(
            month=row.month, first=row.first, size=row.size, digest=row.digest, dropped=True, at=timezone.now()
        )
        audit.record("audit.drop", audit.SYSTEM, month=row.month, entries=row.size - row.first, sha256=row.digest)
        drop_part(month)
    return gone


def _carry(found: archives.Contents) -> None:
    """Which version of a record is the newest is asked of the log, also when that entry has left."""
    AuditCarried.objects.bulk_create(
        [
            AuditCarried(entry=entry, patient=patient, detail=detail)
            for patient, (entry, detail) in found.versions.items()
        ],
        batch_size=500,
        ignore_conflicts=True,  # an entry may stand at the end of one file and the beginning of a month
    )


def open_archive(
    row: AuditArchive, key: Key, *, where: Path | None = None, wanted: Collection[int] = ()
) -> archives.Contents:
    """Its contents, all looked at; `NotArchived` where the file is not there, is another, or does not hold."""
    file = file_of(row.month, where)
    try:
        with open(file, "rb") as opened:
            found = archives.check(opened, key, wanted=wanted)
            opened.seek(0)
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise NotArchived(f"{file} cannot be read: {error.strerror}.") from None
    if not found.ok:
        what, entry = found.faults[0] if found.faults else ("It holds nothing.", None)
        raise NotArchived(f"{file}: {f'entry {entry:,}: ' if entry is not None else ''}{what}")
    if digest != row.digest or (found.month, found.first, found.size) != (row.month, row.first, row.size):
        raise NotArchived(f"{file} is another file than the one that was written.")
    return found
