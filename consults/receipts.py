"""Receipts: the link to the patient's own page, and the file by which her consent is checked away from here.

The link's token comes from the secret of her seat, so her browser finds it again and the database cannot make it. What
the page and the file need is asked once more of whoever brings the link: a link may have been passed on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic, sleep
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.urls import reverse

from accounts import attempts
from accounts.models import User
from consults import audit_lookers, consent, retention, statements
from consults.audit_lines import WHY
from consults.invitations import digest, receipt_token
from consults.models import Consent, ConsentStatement, Consult, Participant
from consults.retention_models import ConsentErasure
from vault import audit, proving
from vault import patients as vault_patients
from vault.core import receipt
from vault.models import AuditEntry, Patient

#: wrong names or dates that one link may be tried with in a day
TRIES = 10
TRIES_WITHIN = timedelta(days=1)
#: seconds that a file waits for the log to be sealed, which takes less than one
PATIENCE = 3.0
#: newest looks that her page lists
MOST_LOOKS = 200


ERASED = "Your clinic erased this record when its time was over. That it was there stays in the log: see below."


class NoReceipt(Exception):
    """There is no file; the message says what to do, in words for the patient."""


class NotYet(NoReceipt):
    """The log is not sealed so far; a moment later it is."""


class TooMany(Exception):
    """The link was tried too often; the message says what to do."""


# -- the link ----------------------------------------------------------------------------------------------


def link(seat: Participant, seat_secret: str) -> str:
    """The path of her own page, its token in the fragment; empty where the link was closed."""
    token = receipt_token(seat_secret)
    return f"{reverse('receipt')}#{token}" if seat.receipt_digest == digest(token) else ""


def find(token: str) -> Participant | None:
    return _seats().filter(receipt_digest=digest(token)).first() if token else None


def by_id(seat: str, receipt_digest: str) -> Participant | None:
    """The seat again, while its link stands."""
    return _seats().filter(pk=seat, receipt_digest=receipt_digest).first() if receipt_digest else None


def _seats() -> Any:
    # One that was given up still finds its receipt: what she agreed to does not end with the seat.
    patients = Participant.objects.filter(role=Participant.Role.PATIENT)
    return patients.select_related("consult__clinic", "consult__clinician", "consult__patient")


def actor(seat: Participant, source: str) -> audit.Actor:
    """Known by her link, not by her seat: the log tells the two apart."""
    consult = seat.consult
    return audit.Actor(
        role="patient",
        person=str(consult.patient_id),
        clinic=consult.clinic_id,
        source=source,
        session=seat.receipt_digest[:16],
    )


def confirm(seat: Participant, *, name: str, birth_date: str, source: str) -> bool:
    """Whether whoever brings the link is the patient, as at the start of a visit."""
    if not attempts.allowed("receipt", seat.receipt_digest, limit=TRIES, window=TRIES_WITHIN):
        raise TooMany("That did not match several times. Try again tomorrow, or call your clinic.")
    with transaction.atomic():
        patient = seat.consult.patient
        erased = patient.shredded_at is not None
        right = not erased and vault_patients.matches_identity(patient, name=name, birth_date=birth_date)
        _note(seat, source, "receipt.open", outcome="done" if right else "failed")
    if right:
        attempts.forgive("receipt", seat.receipt_digest)
    return right


@transaction.atomic
def close(seat: Participant, source: str) -> None:
    """The link stops working for good. What was agreed stays as it is."""
    _note(seat, source, "receipt.close")
    Participant.objects.filter(pk=seat.pk).update(receipt_digest="")


@transaction.atomic
def close_all(patient: Patient, by: audit.Actor) -> int:
    """Close every link of a patient, for an officer whom she asked. Returns how many there were."""
    seats = open_links(patient).select_for_update()
    for seat in seats:
        audit.record("receipt.close", by, patient=patient.pk, consult=seat.consult_id)
    Participant.objects.filter(pk__in=[seat.pk for seat in seats]).update(receipt_digest="")
    return len(seats)


def open_links(patient: Patient) -> QuerySet[Participant]:
    patients = Participant.objects.filter(role=Participant.Role.PATIENT, consult__patient=patient)
    return patients.exclude(receipt_digest="")


def _note(seat: Participant, source: str, action: str, *, outcome: str = "done", **detail: Any) -> None:
    consult = seat.consult
    audit.record(action, actor(seat, source), patient=consult.patient_id, consult=consult.id, outcome=outcome, **detail)


# -- what her page shows -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choice:
    """One scope: its words as she read them, and what she answered."""

    words: ConsentStatement
    agreed: bool

    @property
    def direction(self) -> str:
        return statements.direction(self.words.locale)


@dataclass(frozen=True, slots=True)
class Agreement:
    """One consent of this visit, with its withdrawal if there is one."""

    given: Consent
    withdrawal: Consent | None
    choices: list[Choice]
    #: where the clinic erased it, or the recording alone, when its time was over
    erased: ConsentErasure | None
    voice_erased: ConsentErasure | None
    #: (what it shows, entry) of the log, where that is all that is left
    left: list[tuple[str, int]]

    @property
    def has_receipt(self) -> bool:
        return bool(self.given.evidence) and not self.erased


def agreements(seat: Participant) -> list[Agreement]:
    """Newest first."""
    rows = Consent.objects.filter(participant=seat, act=Consent.Act.GIVEN)
    given = list(rows.select_related("withdrawal", "statement").prefetch_related("erasures").order_by("-at"))
    entries = _entries(seat) if any(retention.erased(act) for act in given) else []
    words = _words([one for act in given for one in act.statements])
    return [
        Agreement(
            act,
            getattr(act, "withdrawal", None),
            [Choice(words[one["digest"]], one["agreed"]) for one in act.statements if one["digest"] in words]
            or [Choice(act.statement, True)],
            retention.erased(act),
            retention.erased(act, ConsentErasure.What.RECORDING),
            [(LEFT[entry.action], entry.pk) for entry in entries if entry.detail.get("consent") == str(act.pk)],
        )
        for act in given
    ]


#: action -> what its entry shows of a consent that was erased
LEFT = {
    "consent.give": "that you agreed",
    "consent.withdraw": "that you withdrew",
    "consent.erase": "that it was erased",
}


def _entries(seat: Participant) -> list[AuditEntry]:
    """What the log says of the acts of this seat, oldest first."""
    acts = {str(pk) for pk in Consent.objects.filter(participant=seat).values_list("pk", flat=True)}
    done = AuditEntry.objects.filter(consult=str(seat.consult_id), outcome=AuditEntry.Outcome.DONE)
    rows = done.filter(clinic_id=seat.consult.clinic_id, action__in=LEFT).order_by("id")
    return [row for row in rows if row.detail.get("consent") in acts]


def _words(named: Sequence[dict[str, Any]]) -> dict[str, ConsentStatement]:
    """Digest -> the published words with exactly that digest."""
    wanted = Q(pk=None)
    for one in named:
        wanted |= Q(scope=one["scope"], locale=one["locale"], version=one["version"])
    return {statements.digest_of(words): words for words in ConsentStatement.objects.filter(wanted)}


@dataclass(frozen=True, slots=True)
class Look:
    """One time that somebody of the staff looked at her record."""

    entry: AuditEntry
    did: str
    why: str


def looks(seat: Participant) -> list[Look]:
    """Who of the clinic looked at her record, newest first; `MOST_LOOKS` of them at most."""
    rows = AuditEntry.objects.filter(
        clinic_id=seat.consult.clinic_id,
        patient=str(seat.consult.patient_id),
        action__in=audit_lookers.LOOKS,
        role__in=User.Role.values,
    )
    found = rows.order_by("-id")[:MOST_LOOKS]
    return [Look(one, _did(one), WHY.get(one.purpose, one.purpose)) for one in found]


def _did(entry: AuditEntry) -> str:
    """As the officer reads it, said to herself."""
    return ", ".join(audit_lookers.did([entry])).replace(" their ", " your ")


def proof(seat: Participant, entry: int, source: str) -> bytes:
    """That this look, or this consent, is in the log. `AuditEntry.DoesNotExist` for every entry that is not hers."""
    hers = {look.entry.pk for look in looks(seat)} | {one.pk for one in _entries(seat)}
    if entry not in hers:
        raise AuditEntry.DoesNotExist
    _note(seat, source, "receipt.proof", entry=entry)
    return proving.as_file(_proven([entry]))


# -- the file ----------------------------------------------------------------------------------------------


def make(seat: Participant, given: Consent, source: str, *, form: str = "json") -> bytes:
    """The receipt of one consent, and of its withdrawal (vault/FORMAT.md, "Receipt"). The entry is written first.

    `form`: in which she takes it with her, for the log.
    """
    if not given.evidence:
        raise NoReceipt("This consent was taken before receipts were made. Your clinic has its record.")
    if retention.erased(given):
        raise NoReceipt(ERASED)
    withdrawal: Consent | None = getattr(given, "withdrawal", None)
    acts = [given, *([withdrawal] if withdrawal else [])]
    _note(seat, source, "receipt.take", consent=str(given.id), form=form)
    with transaction.atomic():
        # Nothing is erased while it is read: whoever erases waits for the visit's row.
        Consult.objects.select_for_update().get(pk=given.consult_id)
        given.refresh_from_db(fields=["recording"])
        if ConsentErasure.objects.filter(consent=given, what=ConsentErasure.What.ACT).exists():
            raise NoReceipt(ERASED)
        signed, sound, erased = [_signed(act) for act in acts], _sound(given), _erasing_of(given)
    proven = _proven([*(_entry_of(act) for act in acts), *([erased] if erased else [])])
    return receipt.build(
        proven=[one | place for one, place in zip(signed, proven.places, strict=False)],
        checkpoint=proven.checkpoint,
        log=proven.log,
        witnesses=proven.witnesses,
        statements=_statements(given),
        recording=sound,
        erased=proven.places[-1] if erased else None,
    )


def _entry_of(act: Consent) -> int:
    action = "consent.give" if act.act == Consent.Act.GIVEN else "consent.withdraw"
    rows = AuditEntry.objects.filter(action=action, consult=str(act.consult_id), outcome=AuditEntry.Outcome.DONE)
    found = next((row.pk for row in rows if row.detail.get("consent") == str(act.id)), None)
    if found is None:
        raise NoReceipt("That part of the log is in the archive. Please ask your clinic for the receipt.")
    return found


def _proven(entries: Sequence[int]) -> proving.Proven:
    until = monotonic() + PATIENCE
    try:
        while True:
            try:
                return proving.prove(entries)
            except proving.NotSealed:
                if monotonic() >= until:
                    raise NotYet("The log is being sealed. Try again in a few seconds.") from None
                sleep(0.1)
    except proving.Gone:
        raise NoReceipt("That part of the log is in the archive. Please ask your clinic for the proof.") from None


def _signed(act: Consent) -> dict[str, bytes]:
    if not act.evidence:
        return {"evidence": b"", "signature": b""}
    data, signature = consent.opened(act)
    return {"evidence": data, "signature": signature}


def _statements(given: Consent) -> list[dict[str, Any]]:
    words = _words(given.statements)
    if any(one["digest"] not in words for one in given.statements):
        raise NoReceipt("The words are not those that you agreed to any more. Please tell your clinic.")
    return [{name: getattr(words[one["digest"]], name) for name in receipt.WORDS} for one in given.statements]


def _erasing_of(given: Consent) -> int | None:
    """The entry that says that the recording of this act was erased."""
    if given.recording is None or given.recording.sound:
        return None
    rows = AuditEntry.objects.filter(action="consent.erase", consult=str(given.consult_id))
    found = next((row.pk for row in rows if row.detail.get("consent") == str(given.pk)), None)
    if found is None:
        raise NoReceipt("That part of the log is in the archive. Please ask your clinic for the receipt.")
    return found


def _sound(given: Consent) -> bytes | None:
    if given.recording is None or not given.recording.sound:
        return None
    return vault_patients.unseal(given.consult.patient, "consent_voice", given.recording.sound)
