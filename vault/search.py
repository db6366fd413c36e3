"""Finding patients without opening their records: by digest, or in the sealed index, sorted by name (FORMAT.md)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from vault import audit, postings
from vault.core.blocks import Entry
from vault.core.sealing import CannotOpen
from vault.core.terms import Question, Term, Word, questions, sort_key, terms
from vault.keyring import Index, indexes
from vault.models import AuditEntry, ClinicIndex, Patient
from vault.records import read_record
from vault.rows import given, given_uuid, read, stored

LONGEST_QUERY = 200
#: patients with the same phone number or e-mail who are looked at one by one
MOST_ALIKE = 200
#: a list may be laid out anew while it is read; how often to read again
TRIES = 3


@dataclass(frozen=True, slots=True)
class Found:
    """Patients in the order of names; `similar` are near misses; `more`: the list goes on."""

    patients: list[Patient] = field(default_factory=list)
    similar: list[Patient] = field(default_factory=list)
    more: bool = False
    #: who was looked at and did not open
    shut: list[UUID] = field(default_factory=list)


def find(clinic: UUID, query: str, actor: audit.Actor, *, limit: int = 20) -> Found:
    """Patients of this clinic that match the query, which is patient data and so not logged."""
    try:
        found, asked = look(clinic, query, limit=limit)
    except CannotOpen:
        audit.record("vault.tamper", actor, outcome=AuditEntry.Outcome.FAILED, what="index")
        raise
    for patient in found.shut:
        audit.record("vault.tamper", actor, patient=patient, outcome=AuditEntry.Outcome.FAILED)
    audit.record(
        "patient.search",
        actor,
        words=len(asked.words) + len(asked.digests) if asked else 0,
        found=len(found.patients),
        similar=len(found.similar),
    )
    return found


def look(clinic: UUID, query: str, *, limit: int = 20) -> tuple[Found, Question | None]:
    """What `find` finds, and as which question it was read; without the entry, which the caller owes."""
    found, asked = Found(), None
    shut: set[UUID] = set()
    for asked in questions(query[:LONGEST_QUERY], settings.DEFAULT_REGION):
        answer = _answer(clinic, asked, limit)
        shut.update(answer.shut)
        if answer.patients or not found.similar:
            found = answer
        if answer.patients:
            break
    return replace(found, shut=sorted(shut)), asked


def _answer(clinic: UUID, asked: Question, limit: int) -> Found:
    live = indexes(clinic)
    if asked.digests:
        patients, shut = _by_digest(clinic, live, asked)
        return Found(patients[:limit], more=len(patients) > limit, shut=shut)
    for _ in range(TRIES):
        exact, similar, long = _by_name(live[0], asked, limit)
        # What finds nothing may have looked under an index key that was replaced meanwhile.
        if (exact and not long) or _layout(clinic) == live[0].layout:
            break
        live = indexes(clinic)
    patients = _in_order(clinic, exact[:limit])
    return Found(patients, _in_order(clinic, similar), more=len(exact) > limit)


def _layout(clinic: UUID) -> int:
    return ClinicIndex.objects.filter(clinic_id=clinic).values_list("layout", flat=True).first() or 0


def _by_name(index: Index, asked: Question, limit: int) -> tuple[list[Entry], list[Entry], bool]:
    """What matches, what nearly does, and whether lists of more than one block were read."""
    reader = postings.Reader(index)
    exact = reader.matching([word.terms for word in asked.words], year=asked.year, most=limit + 1)
    wanted = limit - len(exact)
    known, similar = set(exact), set[Entry]()
    if wanted > 0:
        for groups in _nearly(asked.words):
            similar.update(reader.matching(groups, year=asked.year, most=limit))
    return exact, sorted(similar - known)[: max(wanted, 0)], reader.long


def _nearly(words: Sequence[Word]) -> Iterator[list[frozenset[Term]]]:
    """What to look for when few match: one typo in one of the words, or every word by its sound."""
    for at, word in enumerate(words):
        if word.typos:
            yield [other.terms if at != other_at else word.typos for other_at, other in enumerate(words)]
    if any(word.sounds for word in words):
        yield [word.terms | word.sounds for word in words]


def _in_order(clinic: UUID, entries: list[Entry]) -> list[Patient]:
    if not entries:
        return []
    numbers = [entry.number for entry in entries]
    if connection.vendor == "postgresql":  # one statement, however many they are, which is planned once
        rows = _patients("clinic_id = %s AND number = ANY(%s::bigint[])", [stored(clinic), numbers])
    else:
        marks = ", ".join(["%s"] * len(numbers))
        rows = _patients(f"clinic_id = %s AND number IN ({marks})", [stored(clinic), *numbers])
    known = {patient.number: patient for patient in rows}
    return [known[e.number] for e in entries if e.number in known]


def _by_digest(clinic: UUID, live: list[Index], asked: Question) -> tuple[list[Patient], list[UUID]]:
    """One indexed read; what else was asked is checked in the few records that it finds.

    A record that does not open comes last, by its mask, and is named: it hides nobody else.
    """
    wanted: list[str] = []
    values: list[Any] = []
    for alternatives in asked.digests:
        columns = [_column(clinic, index, text, live) for index, text in alternatives]
        wanted.append(f"({' OR '.join(column for column, _ in columns)})")
        values += [value for _, some in columns for value in some]
    rows = _patients(f"{' AND '.join(wanted)} LIMIT {MOST_ALIKE}", values)
    rows = sorted((row for row in rows if row.clinic_id == clinic), key=lambda row: row.number or 0)
    if len(rows) < 2 and not asked.words and asked.year is None:
        return rows, []
    named: list[tuple[int, int, Patient]] = []
    shut: list[Patient] = []
    for row in rows:
        try:
            known = read_record(row).values
        except CannotOpen:
            shut.append(row)
            continue
        if _fits(asked, known):
            named.append((sort_key(known["name"]), row.number or 0, row))
    ordered = [row for *_, row in sorted(named, key=itemgetter(0, 1))]
    return ordered + shut, [row.id for row in shut]


def _column(clinic: UUID, index: str, text: str, live: list[Index]) -> tuple[str, list[Any]]:
    """A condition on the patient's row, and its values.

    The clinic is not asked for beside a digest, which has it in its key: SQLite would walk the clinic's patients.
    """
    if index == "record_number":
        return "(clinic_id = %s AND record_number = %s)", [stored(clinic), text]
    # While an index key is rotated a row has the digest of either.
    marks = ", ".join(["%s"] * len(live))
    return f"{index}_digest IN ({marks})", [one.digests.digest(index, text) for one in live]


#: what a list shows; the other columns are read when asked for
_COLUMNS = ("id", "clinic_id", "record_number", "masks", "number")
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM vault_patient"  # noqa: S608


def _patients(where: str, values: list[Any]) -> list[Patient]:
    """By hand, since the ORM takes longer to write these statements than they take to run."""
    return [
        Patient.from_db(
            connection.alias, _COLUMNS, (given_uuid(row[0]), given_uuid(row[1]), row[2], given(row[3]), row[4])
        )
        for row in read(f"{_SELECT} WHERE {where}", values)
    ]


def _fits(asked: Question, values: Mapping[str, str]) -> bool:
    listed = terms(values["name"], values["birth_date"])
    by_year = asked.year is None or values["birth_date"].startswith(str(asked.year))
    return by_year and all(listed & word.terms for word in asked.words)
