"""Who looked at one patient's record, and why: what the log has of her, told by person."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from accounts.models import User
from consults import audit_lists
from consults.audit_filters import Wanted
from consults.audit_lines import WHY
from consults.models import Concern, Consult, Participant
from vault.core.fields import KINDS
from vault.models import AuditEntry, Patient

#: what shows something of her, or would have
LOOKS = {
    "patient.view": "opened the masked record",
    "consult.view": "opened their visit",
    "consult.note.read": "read notes",
    "consent.voice.play": "listened to their consent",
    "patient.reveal": "read",
    "patient.canary": "read a decoy",
    "patient.change": "corrected the record",
    "patient.export": "exported the whole record",
    "patient.break_glass": "took emergency access",
    "invite.view": "looked at an invite",
    "review.view": "looked at it in a review",
    "hold.view": "looked at the legal holds on their record",
    "board.visit": "looked at how the call went",
    "audit.view": "looked at their entries in the log",
}
#: newest looks that are told
MOST_LOOKS = 2_000
#: ties that are told of one person
MOST_TIES = 3
COLUMNS = ("id", "at", "action", "outcome", "person", "person_name", "role", "purpose", "detail")
DONE = AuditEntry.Outcome.DONE


@dataclass(frozen=True, slots=True)
class Looker:
    """One member of staff. `ties`: what she has to do with the patient; empty where nothing is known. `unmet`: a visit
    that she started and in which nobody has confirmed to be the patient, which is no tie: anybody may start one."""

    person: str
    name: str
    role: str
    times: int
    refused: int
    did: list[str]
    whys: list[str]
    ties: list[str]
    unmet: str
    first: datetime
    last: datetime

    @property
    def is_stranger(self) -> bool:
        return not self.ties

    @property
    def entries(self) -> int:
        return self.times + self.refused

    @property
    def in_a_day(self) -> bool:
        return timezone.localdate(self.first) == timezone.localdate(self.last)


@dataclass(frozen=True, slots=True)
class Lookers:
    """`looked_to`: how far back was looked, where there is more."""

    people: list[Looker]
    looked_to: datetime | None = None

    @property
    def strangers(self) -> int:
        return sum(one.is_stranger for one in self.people)


def of_patient(patient: Patient) -> Lookers:
    """Those without a tie first, then who looked last."""
    where = audit_lists.scope(patient.clinic_id, Wanted(patient=str(patient.pk)))
    looks = Q(action__in=LOOKS, role__in=User.Role.values)
    rows, edge = audit_lists.last_stretch(where, looks, COLUMNS, MOST_LOOKS)
    by_person: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        by_person[row.person].append(row)
    ties = _ties(patient, by_person)
    people = [told(own, *ties[person]) for person, own in by_person.items()]
    people.sort(key=lambda one: (not one.is_stranger, -one.last.timestamp()))
    more = edge is not None or len(rows) == MOST_LOOKS
    return Lookers(people, rows[-1].at if more and rows else None)


def told(rows: Sequence[Any], ties: list[str], unmet: str = "") -> Looker:
    """`rows`: one person's, newest first."""
    done = [row for row in rows if row.outcome == DONE]
    newest = rows[0]
    return Looker(
        newest.person,
        newest.person_name,
        newest.role,
        len(done),
        len(rows) - len(done),
        did(done),
        list(dict.fromkeys(WHY.get(row.purpose, row.purpose) for row in rows if row.purpose)),
        ties,
        unmet,
        rows[-1].at,
        newest.at,
    )


def did(rows: Iterable[Any]) -> list[str]:
    """The gravest last; a field that was read is named once."""
    found = {row.action for row in rows}
    fields = {name for row in rows if row.action == "patient.reveal" for name in _fields(row.detail)}
    labels = ", ".join(_labels(fields)) or "protected fields"
    said = {**LOOKS, "patient.reveal": f"read {labels}"}
    return [sentence for action, sentence in said.items() if action in found]


def _fields(detail: Any) -> list[Any]:
    # Entries are as others wrote them: a detail may be of any shape.
    named = detail.get("fields") if isinstance(detail, dict) else None
    return [name for name in named if isinstance(name, str)] if isinstance(named, list) else []


def _labels(fields: Iterable[str]) -> list[str]:
    return [kind.label.lower() for name, kind in KINDS.items() if name in fields]


def _ties(patient: Patient, people: Iterable[str]) -> dict[str, tuple[list[str], str]]:
    """Person -> ties, the oldest kind first, and the newest visit that is none."""
    ties: dict[str, list[str]] = {person: [] for person in people}
    unmet = dict.fromkeys(ties, "")
    staff = User.objects.filter(clinic=patient.clinic_id, pk__in=[person for person in ties if _is_id(person)])
    for user in staff.exclude(role=User.Role.CLINICIAN):
        ties[str(user.pk)].append(f"{user.get_role_display().lower()} of the clinic")
    made = AuditEntry.objects.filter(patient=str(patient.pk), action="patient.create", person__in=list(ties))
    for person in made.values_list("person", flat=True)[:1]:
        ties[person].append("added the record")
    came = Participant.objects.filter(
        consult=OuterRef("pk"), role=Participant.Role.PATIENT, identity_confirmed_at__isnull=False
    )
    for consult in Consult.objects.filter(patient=patient, clinician__in=staff).annotate(came=Exists(came)):
        person, visit = str(consult.clinician_id), f"visit on {_day(consult.created_at)}"
        if consult.came:
            ties[person].append(visit)
        else:
            unmet[person] = visit
    for concern in Concern.objects.filter(patient=patient, person__in=staff, kind=Concern.Kind.BREAK_GLASS):
        ties[str(concern.person_id)].append(f"emergency on {_day(concern.at)}")
    return {person: (list(dict.fromkeys(said))[-MOST_TIES:], unmet[person]) for person, said in ties.items()}


def _day(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%-d %b %Y}"


def _is_id(person: str) -> bool:
    try:
        UUID(person)
    except ValueError:
        return False
    return True
