"""Staff who read a patient of their own surname: compared in memory when an officer looks, kept nowhere."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts.models import User
from vault.audit import Actor
from vault.core.fields import fold
from vault.core.sealing import CannotOpen
from vault.custody import VaultUnavailable
from vault.models import Patient
from vault.patients import noted
from vault.records import read_by_id

#: records opened for one page: opening is what takes time
MOST_OPENED = 40


@dataclass(frozen=True, slots=True)
class Compared:
    """`pairs`: the newest row of each person who read a namesake; how many patients were opened, and left out."""

    pairs: list[Any]
    compared: int
    left_out: int


def compare(clinic: UUID, kinds: Iterable[Sequence[Any]], by: Actor) -> Compared:
    """Rows have `id`, `person` and `patient`, the gravest kind first; when there are too many, the newest of each."""
    people = {str(pk): name for pk, name in User.objects.filter(clinic=clinic).values_list("pk", "name")}
    newest: dict[tuple[str, str], Any] = {}
    for row in [row for rows in kinds for row in sorted(rows, key=lambda row: -row.id)]:
        if row.patient and row.person in people:
            newest.setdefault((row.person, row.patient), row)
    patients = list(dict.fromkeys(patient for _, patient in newest))
    opened = _surnames(clinic, patients[:MOST_OPENED], by)
    pairs = [row for (person, patient), row in newest.items() if own(people[person]) & opened.get(patient, set())]
    return Compared(pairs, len(opened), max(len(patients) - MOST_OPENED, 0))


def own(name: str) -> set[str]:
    """The surname of a member of staff: the last word, and the parts of a hyphenated one. Titles come first."""
    return {part for part in fold(" ".join(name.split()[-1:])).split() if len(part) > 1}


def possible(name: str) -> set[str]:
    """Words of a patient's name that may be a surname: all after the first, since some people have two."""
    return {part for part in fold(name).split()[1:] if len(part) > 1}


def _surnames(clinic: UUID, patients: Sequence[str], by: Actor) -> dict[str, set[str]]:
    opened: dict[str, set[str]] = {}
    for patient in Patient.objects.filter(clinic_id=clinic, pk__in=patients, shredded_at=None):
        try:
            with noted(by, patient):
                opened[str(patient.pk)] = possible(read_by_id(patient.pk).values.get("name", ""))
        except CannotOpen:
            continue  # it is in the log now
        except VaultUnavailable:
            break
    return opened
