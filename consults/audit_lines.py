"""Entries of the log as a reviewer reads them: a sentence each, by day."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any
from uuid import UUID

from django.utils import timezone

from accounts.models import User
from vault.audit import ACTIONS, ERASURE_REASONS, EXPORT_REASONS
from vault.core.fields import KINDS
from vault.models import AuditEntry, Patient
from vault.patients import PURPOSES

WHY = {**PURPOSES, **EXPORT_REASONS, **ERASURE_REASONS}


@dataclass(frozen=True, slots=True)
class Line:
    entry: AuditEntry
    sentence: str
    who: str
    #: whether that is somebody with a page of her own
    is_staff: bool
    patient: str


@dataclass(frozen=True, slots=True)
class Day:
    day: date
    lines: list[Line]


def sentence_of(entry: AuditEntry) -> str:
    said = ACTIONS.get(entry.action, entry.action)
    # Entries are as others wrote them: a detail may be of any shape.
    named = entry.detail.get("fields") if isinstance(entry.detail, dict) else None
    fields = [KINDS[f].label.lower() for f in named if f in KINDS] if isinstance(named, list) else []
    why = WHY.get(entry.purpose, entry.purpose)
    return f"{said}{': ' if fields else ''}{', '.join(fields)}{f' ({why.lower()})' if why else ''}"


def who_of(entry: AuditEntry) -> str:
    return entry.person_name or ("the patient" if entry.role == "patient" else entry.role)


def by_day(clinic: UUID, entries: Iterable[AuditEntry]) -> list[Day]:
    """In the order given; the masked patients of a page are read in one query."""
    rows = list(entries)
    ids = {entry.patient for entry in rows if entry.patient}
    patients = {str(p.pk): str(p) for p in Patient.objects.filter(clinic_id=clinic, pk__in=ids)}
    lines = [
        Line(
            entry,
            sentence_of(entry),
            who_of(entry),
            entry.role in User.Role.values and entry.clinic_id == clinic and bool(entry.person),
            patients.get(entry.patient, ""),
        )
        for entry in rows
    ]
    return [Day(day, list(found)) for day, found in groupby(lines, key=lambda line: _day(line.entry))]


def _day(entry: AuditEntry) -> date:
    return timezone.localtime(entry.at).date()


def particulars(entry: AuditEntry) -> list[tuple[str, str]]:
    """What an entry says besides: name and value as text."""
    detail: Any = entry.detail
    if not isinstance(detail, dict):
        return [("detail", str(detail))]
    return [(name.replace("_", " "), _text(value)) for name, value in detail.items() if value not in ("", None, [])]


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
