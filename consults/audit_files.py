"""The log as a file: CSV for a spreadsheet, JSON Lines for a program, FHIR for a system. Streamed, never stored."""

import csv
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from io import StringIO
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import connections, transaction
from django.utils import timezone

from accounts.models import User
from consults import audit_lists
from consults.audit_fhir import event
from consults.audit_filters import Wanted
from consults.audit_models import AuditExport
from vault import audit
from vault.models import AuditEntry, Patient

#: entries that one file holds: what spreadsheets open, and a browser loads in about a minute
MOST_ROWS = 1_000_000
#: entries read at a time
BATCH = 2_000

Entries = list[AuditEntry]
Numbers = dict[str, str]


def csv_rows(entries: Entries, numbers: Numbers) -> str:
    out = StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL)
    for entry in entries:
        writer.writerow([harmless(str(value)) for value in facts(entry, numbers).values()])
    return out.getvalue()


#: what a spreadsheet takes for the beginning of a formula (OWASP, "CSV Injection"), full-width forms too
FORMULA = tuple("=+-@\t\r\n＝＋－＠")


def harmless(cell: str) -> str:
    """A cell that no spreadsheet computes."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def json_rows(entries: Entries, numbers: Numbers) -> str:
    lines = (json.dumps(facts(entry, numbers) | {"detail": entry.detail}, ensure_ascii=False) for entry in entries)
    return "".join(f"{line}\n" for line in lines)


def fhir_rows(entries: Entries, _numbers: Numbers) -> str:
    return "".join(f"{json.dumps(event(entry), ensure_ascii=False)}\n" for entry in entries)


def facts(entry: AuditEntry, numbers: Numbers) -> dict[str, Any]:
    """One entry as a row, its columns by name."""
    return {
        "id": entry.pk,
        "at": entry.at.isoformat(),
        "action": entry.action,
        "said": audit.ACTIONS.get(entry.action, entry.action),
        "outcome": entry.outcome,
        "role": entry.role,
        "person": entry.person,
        "person_name": entry.person_name,
        "patient": entry.patient,
        "record_number": numbers.get(entry.patient, ""),
        "consult": entry.consult,
        "purpose": entry.purpose,
        "source": entry.source,
        "session": entry.session,
        "detail": json.dumps(entry.detail, ensure_ascii=False) if entry.detail else "",
    }


@dataclass(frozen=True, slots=True)
class Form:
    label: str
    help: str
    content_type: str
    ending: str
    write: Callable[[Entries, Numbers], str]
    head: str = ""


_HEAD = '"' + '","'.join(facts(AuditEntry(at=timezone.now()), {})) + '"\r\n'
FORMS = {
    "csv": Form("CSV", "For a spreadsheet. No cell is a formula.", "text/csv; charset=utf-8", "csv", csv_rows, _HEAD),
    "jsonl": Form("JSON Lines", "For a program: one entry a line, exact.", "application/jsonl", "jsonl", json_rows),
    "fhir": Form(
        "FHIR R4", "For another system: one AuditEvent a line.", "application/fhir+ndjson", "ndjson", fhir_rows
    ),
}


@transaction.atomic
def begin(officer: User, by: audit.Actor, wanted: Wanted, form: str) -> AuditExport:
    """The entry is written, and committed, before the first line goes out."""
    now = timezone.now()
    export = AuditExport.objects.create(clinic=officer.clinic, officer=officer, form=form, at=now, moved_at=now)
    audit.record(
        "audit.export",
        by,
        patient=UUID(wanted.patient) if wanted.patient else None,
        consult=UUID(wanted.consult) if wanted.consult else None,
        export=str(export.pk),
        form=form,
        filter=wanted.query,
    )
    return export


def lines(export: AuditExport, by: audit.Actor, wanted: Wanted) -> Iterator[bytes]:
    """The file, newest entry first, piece by piece. Written down while it goes: rows, and at the end its digest."""
    form, where = FORMS[export.form], audit_lists.scope(export.clinic_id, wanted)
    digest, rows, below = hashlib.sha256(), 0, audit_lists.newest_id() + 1
    if form.head:
        digest.update(form.head.encode())
        yield form.head.encode()
    for entries in audit_lists.walk(where, below=below, size=BATCH):
        capped = rows + len(entries) > MOST_ROWS
        piece = form.write(entries[: MOST_ROWS - rows], _numbers(export.clinic_id, entries)).encode()
        rows = min(rows + len(entries), MOST_ROWS)
        digest.update(piece)
        AuditExport.objects.filter(pk=export.pk).update(rows=rows, moved_at=timezone.now(), capped=capped)
        yield piece
        if capped:
            break
    _end(export, by, rows, digest.hexdigest())


def _numbers(clinic: UUID, entries: Entries) -> Numbers:
    named = Patient.objects.filter(clinic_id=clinic, pk__in={entry.patient for entry in entries if entry.patient})
    return {str(pk): number for pk, number in named.values_list("pk", "record_number")}


@transaction.atomic
def _end(export: AuditExport, by: audit.Actor, rows: int, digest: str) -> None:
    AuditExport.objects.filter(pk=export.pk).update(done_at=timezone.now(), digest=digest)
    audit.record("audit.export.done", by, export=str(export.pk), rows=rows, sha256=digest)


def _next(pieces: Iterator[bytes]) -> bytes | None:
    return next(pieces, None)


async def in_pieces(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The same for an ASGI server, which would gather a plain iterator in memory first."""
    try:
        while (piece := await sync_to_async(_next)(pieces)) is not None:
            yield piece
    finally:
        # Its thread ends with the request, and nobody else would close what it opened.
        await sync_to_async(connections.close_all)()


def name_of(export: AuditExport) -> str:
    return f"audit-log-{timezone.localtime(export.at):%Y-%m-%d-%H%M}.{FORMS[export.form].ending}"
