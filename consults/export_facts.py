"""Everything the clinic keeps about one patient, opened and put in order, for whoever writes it down (FHIR, PDF)."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Avg, Count, Max, Min, Q

from accounts.models import Clinic, User
from consults import retention
from consults.models import Concern, Consent, Consult, Note, Participant, VoiceRecording
from vault import patients as vault_patients
from vault.audit import Actor
from vault.core.fields import KINDS
from vault.models import AuditEntry, Patient
from vault.records import read_record


@dataclass(frozen=True, slots=True)
class Quality:
    """How the calls of one consult went, over all samples of both sides."""

    samples: int
    first: dt.datetime
    last: dt.datetime
    #: what was measured -> its mean; what was never measured is missing
    means: dict[str, float]


@dataclass(frozen=True, slots=True, repr=False)
class Visit:
    """One consult. The lists are oldest first."""

    consult: Consult
    seats: list[Participant]
    #: with the note in clear
    notes: list[tuple[Note, str]]
    #: with the name as she signed it; "" for a withdrawal, which is not signed, and for what was erased
    consents: list[tuple[Consent, str]]
    #: with the sound, an Ogg/Opus file
    recordings: list[tuple[VoiceRecording, bytes]]
    quality: Quality | None

    @property
    def clinician(self) -> User:
        return self.consult.clinician


@dataclass(frozen=True, slots=True, repr=False)
class Facts:
    patient: Patient
    clinic: Clinic
    #: field -> value in clear, in the order of KINDS
    values: dict[str, str]
    visits: list[Visit]
    #: emergency access to her record, oldest first, with the reason and the reviewer's note in clear
    emergencies: list[tuple[Concern, str, str]]
    #: what was done with her record, oldest first
    log: list[AuditEntry]
    #: who made this, why (a key of `consults.export.REASONS`), and the moment
    by: Actor
    reason: str
    at: dt.datetime
    #: she is made up, and an officer is to be told of the export
    decoy: bool = False


def counts(patient: Patient) -> dict[str, Any]:
    """How much there is of what, read without opening anything: for the log and for the page."""
    of_hers = Q(consult__patient=patient)
    return {
        "values": len(_filled(patient)),
        "visits": Consult.objects.filter(patient=patient).count(),
        "notes": Note.objects.filter(of_hers).count(),
        "consents": Consent.objects.filter(of_hers).count(),
        "recordings": VoiceRecording.objects.filter(participant__consult__patient=patient).count(),
        "entries": AuditEntry.objects.filter(patient=str(patient.id)).count(),
    }


def counted(number: int, one: str, more: str = "") -> str:
    return f"{number} {one if number == 1 else more or one + 's'}"


def gather(patient: Patient, by: Actor, *, reason: str, at: dt.datetime) -> Facts:
    """Open everything. The caller has checked who asks, and written the entry."""
    clinic = Clinic.objects.get(pk=patient.clinic_id)
    consults = Consult.objects.filter(patient=patient).select_related("clinician").order_by("created_at")
    record = read_record(patient)
    return Facts(
        patient=patient,
        clinic=clinic,
        values={field: record.values[field] for field in KINDS if field in record.values},
        visits=[_visit(patient, consult) for consult in consults],
        emergencies=_emergencies(patient),
        log=list(AuditEntry.objects.filter(patient=str(patient.id)).order_by("id")),
        by=by,
        reason=reason,
        at=at,
        decoy=record.decoy,
    )


def staff_in(facts: Facts) -> dict[UUID, str]:
    """Everybody of the staff whom the facts name: id -> name."""
    people = {v.clinician.pk: v.clinician.name for v in facts.visits}
    people |= {note.author_id: note.author.name for v in facts.visits for note, _ in v.notes}
    people |= dict(_people_of(facts.log))
    people |= dict(_people_of([facts.by]))
    return people


def _people_of(actors: Iterable[AuditEntry | Actor]) -> Iterable[tuple[UUID, str]]:
    for actor in actors:
        if actor.role in User.Role.values:
            yield UUID(actor.person), actor.person_name


def _filled(patient: Patient) -> list[str]:
    return [field for field in KINDS if getattr(patient, field)]


def _open(patient: Patient, field: str, token: str) -> str:
    return vault_patients.unseal(patient, field, token).decode()


def _emergencies(patient: Patient) -> list[tuple[Concern, str, str]]:
    rows = Concern.objects.filter(patient=patient, kind=Concern.Kind.BREAK_GLASS).order_by("at")
    opened = []
    for row in rows.select_related("person", "reviewer"):
        note = _open(patient, "review_note", row.note) if row.note else ""
        opened.append((row, _open(patient, "break_glass_reason", row.reason), note))
    return opened


def _visit(patient: Patient, consult: Consult) -> Visit:
    notes = consult.notes.select_related("author").order_by("created_at")
    acts = consult.consents.select_related("statement", "withdraws", "withdrawal", "recording")
    consents = acts.prefetch_related("erasures").order_by("at")
    recordings = VoiceRecording.objects.filter(participant__consult=consult).order_by("created_at")
    return Visit(
        consult=consult,
        seats=list(consult.participants.filter(role=Participant.Role.PATIENT).order_by("joined_at")),
        notes=[(note, _open(patient, "consult_note", note.text)) for note in notes],
        consents=[(c, _signed_name(patient, c)) for c in consents],
        recordings=[(r, vault_patients.unseal(patient, "consent_voice", r.sound)) for r in recordings if r.sound],
        quality=_quality(consult),
    )


def _signed_name(patient: Patient, consent: Consent) -> str:
    there = consent.signed_name and not retention.erased(consent)
    return _open(patient, "signed_name", consent.signed_name) if there else ""


MEASURED = ("rtt_ms", "jitter_ms", "loss", "frames_per_second", "kbit_in", "kbit_out")


def _quality(consult: Consult) -> Quality | None:
    sums: dict[str, Any] = consult.quality.aggregate(
        samples=Count("id"), first=Min("at"), last=Max("at"), **{name: Avg(name) for name in MEASURED}
    )
    if not sums["samples"]:
        return None
    means = {name: round(sums[name], 1) for name in MEASURED if sums[name] is not None}
    return Quality(sums["samples"], sums["first"], sums["last"], means)
