"""Verifying the whole log for an officer who asked on a page: in the background, with how far it has come."""

from collections.abc import Callable
from itertools import chain
from uuid import UUID

from django.db.models import F
from django.utils import timezone

from accounts.models import User
from consults.audit_models import AuditCheck
from vault import audit, audit_key, audit_publish, audit_tree, audit_verify
from vault.core.notes import BadNote


def begin(officer: User, by: audit.Actor) -> AuditCheck:
    """A row for the work, which `run` does. One that is under way is not doubled."""
    for check in AuditCheck.objects.filter(done_at=None)[:5]:
        if check.is_under_way:
            return check
    now = timezone.now()
    last = audit_tree.head()
    check = AuditCheck.objects.create(officer=officer, at=now, moved_at=now, total=last.size if last else 0)
    audit.record("audit.verify", by, check=str(check.pk))
    return check


def run(check_id: UUID) -> None:
    check = AuditCheck.objects.filter(pk=check_id, done_at=None).first()
    if check is None:
        return
    check.faults, check.compared, check.silent = _found(_moved(check_id))
    check.done_at = timezone.now()
    check.save(update_fields=["faults", "compared", "silent", "done_at"])


def _moved(check_id: UUID) -> Callable[[int], None]:
    def tell(entries: int) -> None:
        row = AuditCheck.objects.filter(pk=check_id)
        row.update(looked_at=F("looked_at") + entries, moved_at=timezone.now())

    return tell


def _found(progress: Callable[[int], None]) -> tuple[list[str], int, list[str]]:
    """One sentence a fault, how many checkpoints the log was compared with, and who of those outside did not answer."""
    try:
        key = audit_key.load_public()
        files = chain.from_iterable(audit_publish.seen_in(file, key) for file in audit_publish.own_files())
        asked, silent = audit_publish.asked_outside(key)
        kept = [*files, *audit_publish.seen_by_witnesses(key), *asked]
        report = audit_verify.verify(key, kept, progress=progress)
    except (audit_key.NoKey, audit_publish.NotPublished) as error:
        return [str(error)], 0, []
    except (BadNote, OSError, ValueError, KeyError):
        return ["What was published of this log cannot be read or is not signed by its key."], 0, []
    said = [f"Entry {one.entry}: {one.what}" if one.entry is not None else one.what for one in report.faults]
    return said, report.checkpoints, silent
