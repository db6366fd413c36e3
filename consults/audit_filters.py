"""What an officer asks of the log: filters that stand in an address as ids, dates and names, never as typed words."""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, time, timedelta
from ipaddress import ip_address
from uuid import UUID

from django.db.models import Q
from django.http import QueryDict
from django.utils import timezone
from django.utils.http import urlencode

from accounts.models import User
from consults.audit_lines import WHY
from consults.models import Consult
from vault.audit import ACTIONS
from vault.core.terms import record_number
from vault.models import AuditEntry, Patient

#: the first word of an action, by what a reviewer would call it
ABOUT = {
    "records": ("Patient records", ("patient", "vault")),
    "consents": ("Consent and receipts", ("consent", "receipt")),
    "keeping": ("Keeping and legal holds", ("retention", "hold")),
    "consults": ("Consults and notes", ("consult", "worker")),
    "invites": ("Invites and identity", ("invite", "identity")),
    "signin": ("Sign-in", ("signin", "signout")),
    "accounts": ("Accounts", ("account",)),
    "reviews": ("Reviews", ("review",)),
    "refusals": ("Refusals", ("access",)),
    "calls": ("How calls went", ("board", "watch")),
    "log": ("Looks at the log and evidence", ("admin", "audit")),
}
ROLES = {
    **dict(User.Role.choices),
    "patient": "Patient",
    "nobody": "Nobody signed in",
    "worker": "The media worker",
    "system": "The system",
}
#: days that an address may name: beyond, the clock of some time zone has none
FIRST_DAY, LAST_DAY = date(1970, 1, 2), date(2199, 12, 30)
#: choices that a search shows when it found several
MOST_CHOICES = 20
_MARK = re.compile("[0-9a-f]{16}")


class NotAFilter(Exception):
    """An address that no page of ours makes, or that names somebody of another clinic."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries. Empty: all of the clinic's."""

    person: str = ""
    patient: str = ""
    consult: str = ""
    about: str = ""
    action: str = ""
    outcome: str = ""
    role: str = ""
    purpose: str = ""
    #: where it came from, and the mark of a session (`accounts.sessions.session_mark`)
    source: str = ""
    session: str = ""
    #: days, the last one included, as the clinic's clock has them
    since: str = ""
    until: str = ""

    @property
    def query(self) -> str:
        return urlencode({f.name: value for f in fields(self) if (value := getattr(self, f.name))})

    def __bool__(self) -> bool:
        return bool(self.query)

    def without(self, name: str) -> "Wanted":
        return replace(self, **{name: ""})

    @property
    def actions(self) -> list[str]:
        """What `action` and `about` come to; empty where neither is set."""
        kinds = ABOUT[self.about][1] if self.about else ()
        return [self.action] if self.action else [a for a in ACTIONS if a.partition(".")[0] in kinds]

    @property
    def since_at(self) -> datetime | None:
        return _midnight(date.fromisoformat(self.since)) if self.since else None

    @property
    def until_at(self) -> datetime | None:
        """The moment before which it happened."""
        return _midnight(date.fromisoformat(self.until) + timedelta(days=1)) if self.until else None


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time()))


def parse(query: QueryDict, clinic: UUID) -> Wanted:
    """The filters in an address, or `NotAFilter`."""
    wanted = Wanted(**{f.name: query.get(f.name, "") for f in fields(Wanted)})
    known = {"about": set(ABOUT), "action": set(ACTIONS), "outcome": set(AuditEntry.Outcome.values), "role": set(ROLES)}
    for name, values in (known | {"purpose": set(WHY)}).items():
        if (given := getattr(wanted, name)) and given not in values:
            raise NotAFilter(name)
    try:
        uuids = {n: UUID(v) for n in ("person", "patient", "consult") if (v := getattr(wanted, n))}
        if wanted.source and str(ip_address(wanted.source)) != wanted.source:
            raise NotAFilter("source")
        if wanted.session and not _MARK.fullmatch(wanted.session):
            raise NotAFilter("session")
        days = [date.fromisoformat(day) for day in (wanted.since, wanted.until) if day]
    except ValueError:
        raise NotAFilter("form") from None
    if not all(FIRST_DAY <= day <= LAST_DAY for day in days):
        raise NotAFilter("day")
    if not all(_OF_CLINIC[name](clinic, value) for name, value in uuids.items()):
        raise NotAFilter("clinic")
    return replace(wanted, **{name: str(value) for name, value in uuids.items()})


_OF_CLINIC: dict[str, Callable[[UUID, UUID], bool]] = {
    "person": lambda clinic, key: User.objects.filter(pk=key, clinic=clinic).exists(),
    "patient": lambda clinic, key: Patient.objects.filter(pk=key, clinic_id=clinic).exists(),
    "consult": lambda clinic, key: Consult.objects.filter(pk=key, clinic=clinic).exists(),
}


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter that is on: how a person says it, and the filters without it."""

    label: str
    rest: Wanted


def chips(wanted: Wanted) -> list[Chip]:
    said: dict[str, Callable[[str], str]] = {
        "person": lambda key: f"by {User.objects.get(pk=key).name}",
        "patient": lambda key: f"patient {Patient.objects.get(pk=key)}",
        "consult": lambda key: f"consult {key[:8]}",
        "about": lambda key: ABOUT[key][0],
        "action": lambda key: ACTIONS[key],
        "outcome": lambda key: AuditEntry.Outcome(key).label,
        "role": lambda key: ROLES[key],
        "purpose": lambda key: f"to: {WHY[key].lower()}",
        "source": lambda key: f"from address {key}",
        "session": lambda key: f"session {key[:8]}",
        "since": lambda key: f"from {key}",
        "until": lambda key: f"up to {key}",
    }
    return [Chip(say(v), wanted.without(name)) for name, say in said.items() if (v := getattr(wanted, name))]


def found(clinic: UUID, typed: str) -> list[Chip]:
    """What typed words may mean: a record number, an id, somebody's name, words of an action or reason; no protected
    value."""
    words = typed.split()
    if not words:
        return []
    choices = [Chip(f"Patient {p}", Wanted(patient=str(p.pk))) for p in _patients(clinic, typed)]
    choices += [*_by_id(clinic, typed.strip()), *_by_origin(typed.strip())]
    names = Q()
    for word in words:
        names &= Q(name__icontains=word)
    people = User.objects.filter(names, clinic=clinic).order_by("name")[:MOST_CHOICES]
    choices += [Chip(f"What {user.name} did", Wanted(person=str(user.pk))) for user in people]
    low = [word.lower() for word in words]
    choices += [
        Chip(f"Who {sentence}", Wanted(action=action))
        for action, sentence in ACTIONS.items()
        if all(word in f"{action} {sentence}" for word in low)
    ]
    choices += [
        Chip(f"What was done to: {said.lower()}", Wanted(purpose=why))
        for why, said in WHY.items()
        if all(word in said.lower() for word in low)
    ]
    return choices[:MOST_CHOICES]


def _patients(clinic: UUID, typed: str) -> list[Patient]:
    return list(Patient.objects.filter(clinic_id=clinic, record_number=record_number(typed)))


def _by_id(clinic: UUID, typed: str) -> list[Chip]:
    try:
        key = UUID(typed)
    except ValueError:
        return []
    labels = {"person": "What this person did", "patient": "This patient", "consult": "This consult"}
    return [Chip(label, Wanted(**{name: str(key)})) for name, label in labels.items() if _OF_CLINIC[name](clinic, key)]


def _by_origin(typed: str) -> list[Chip]:
    if _MARK.fullmatch(typed):
        return [Chip("This session", Wanted(session=typed))]
    try:
        source = str(ip_address(typed))
    except ValueError:
        return []
    return [Chip(f"What came from {source}", Wanted(source=source))]


def patient_by_number(clinic: UUID, typed: str) -> Patient | None:
    return next(iter(_patients(clinic, typed)), None)
