"""Consent: exact words shown, agreed to, signed in the patient's browser, and withdrawn.

Each act is one appended row with its sealed evidence (vault/FORMAT.md) and one audit entry, in one transaction.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from consults import hints, retention, statements
from consults.invitations import patient_actor
from consults.models import Consent, ConsentStatement, Consult, Participant, VoiceRecording
from vault import audit
from vault import patients as vault_patients
from vault.core import evidence
from vault.core.evidence import BadEvidence, moment_text
from vault.models import AuditEntry

PURPOSE = "Care by video in this visit"
#: how old a signed time may be when it arrives; the browser had it from us a moment before
FRESH = timedelta(minutes=5)
AHEAD = timedelta(seconds=5)
PATIENT = {"role": "patient", "name": "", "relation": ""}


class NotConsented(Exception):
    """The consent was not taken; the message says what to do, in words for the patient."""


class OtherRecorder(NotConsented):
    """Her browser spoke to somebody who showed another certificate than the worker did: nobody may be in between."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What whoever sits at the patient's browser chose and typed."""

    #: scope -> the language in which its words were read
    locales: Mapping[str, str]
    agreed: frozenset[str]
    name: str
    by: Mapping[str, str]
    witness: Mapping[str, str] | None
    recording: VoiceRecording | None
    #: fingerprints of the worker's certificate, as the browser saw them
    worker: tuple[str, ...]
    #: SPKI of the browser's key, base64
    key: str


def statement_for(consult: Consult, scope: str, locale: str = "en") -> ConsentStatement:
    words = statements.in_force(consult.clinic, scope, locale)
    if words is None:
        raise NotConsented("Your clinic has not set up its consent text yet. Please call your clinic.")
    return words


def _standing(now: datetime) -> QuerySet[Consent]:
    """What holds: given, not withdrawn, not expired, by the patient who has the seat."""
    return Consent.objects.filter(act=Consent.Act.GIVEN, withdrawal=None, expires_at__gt=now, participant__left_at=None)


def standing(consult_id: UUID) -> Consent | None:
    """The consent that holds in this consult now."""
    return _standing(timezone.now()).filter(consult_id=consult_id).order_by("-at").first()


def stands(consult_id: UUID) -> bool:
    """Whether there is one; what is sealed in it is not read for that."""
    return _standing(timezone.now()).filter(consult_id=consult_id).exists()


def standing_in(consults: Iterable[UUID], now: datetime) -> list[UUID]:
    """Those of these consults in which a consent stands, in one query."""
    return list(_standing(now).filter(consult_id__in=set(consults)).values_list("consult_id", flat=True))


def shares_records(patient_id: UUID) -> bool:
    """Whether the patient's newest word on it lets her records go to another provider."""
    newest = Consent.objects.filter(consult__patient=patient_id, act=Consent.Act.GIVEN).order_by("-at").first()
    return newest is not None and not hasattr(newest, "withdrawal") and statements.RECORDS in newest.scopes


# -- what is signed ----------------------------------------------------------------------------------------


def draw_up(seat: Participant, choice: Choice, at: datetime) -> dict[str, Any]:
    """The evidence of giving consent, as the browser has to sign it: the words in force now, nothing else."""
    consult = seat.consult
    asked = statements.scopes_of(consult.clinic)
    words = [statement_for(consult, scope, choice.locales.get(scope, "")) for scope in asked]
    recording = choice.recording
    return {
        **_about(seat, evidence.GIVE, at),
        "statements": [_named(one, agreed=one.scope in choice.agreed) for one in words],
        "name": choice.name,
        "by": dict(choice.by),
        "witness": dict(choice.witness) if choice.witness else None,
        "expires": moment_text(at + timedelta(hours=settings.CONSENT_LIFETIME_HOURS)),
        "recording": {"sha256": recording.sha256, "seconds": whole_seconds(recording)} if recording else None,
        "worker": list(choice.worker),
        "key": choice.key,
        "withdraws": None,
    }


def draw_up_withdrawal(given: Consent, key: str, at: datetime) -> dict[str, Any]:
    """The evidence of withdrawing: it names the digest of what was given, and agrees to nothing."""
    data, _ = opened(given)
    before = evidence.read(data)
    return {
        **_about(given.participant, evidence.WITHDRAW, at),
        "statements": [{**one, "agreed": False} for one in before["statements"]],
        "name": "",
        "by": before["by"],
        "witness": None,
        "expires": None,
        "recording": None,
        "worker": [],
        "key": key,
        "withdraws": given.evidence_digest,
    }


def _about(seat: Participant, act: str, at: datetime) -> dict[str, Any]:
    clinic = seat.consult.clinic
    return {
        "format": evidence.FORMAT,
        "act": act,
        "consult": str(seat.consult_id),
        "clinic": {"id": str(clinic.pk), "name": clinic.name},
        "patient": str(seat.consult.patient_id),
        "purpose": PURPOSE,
        "time": moment_text(at),
    }


def _named(words: ConsentStatement, *, agreed: bool) -> dict[str, Any]:
    return {
        "scope": words.scope,
        "locale": words.locale,
        "version": words.version,
        "digest": statements.digest_of(words),
        "required": words.scope in statements.REQUIRED,
        "agreed": agreed,
    }


def whole_seconds(recording: VoiceRecording) -> int:
    return int(recording.seconds + 0.5)


def opened(consent: Consent) -> tuple[bytes, bytes]:
    """The signed bytes of an act and their signature. The caller has written the entry."""
    sealed = vault_patients.unseal(consent.consult.patient, "consent_evidence", consent.evidence)
    return sealed[evidence.SIGNATURE_BYTES :], sealed[: evidence.SIGNATURE_BYTES]


# -- giving ------------------------------------------------------------------------------------------------


@transaction.atomic
def give(seat: Participant, data: bytes, signature: bytes, *, source: str) -> Consent:
    """Record consent that her browser signed. The same bytes again give the same record."""
    consult = (
        Consult.objects.select_for_update(of=("self",)).select_related("patient", "clinic").get(pk=seat.consult_id)
    )
    seat.consult = consult
    signed = _signed(data, signature, evidence.GIVE)
    digest = evidence.digest(data, signature)
    before = Consent.objects.filter(evidence_digest=digest, participant=seat, act=Consent.Act.GIVEN).first()
    if before:
        return before
    _may_give(seat)
    recording = _recording_in(seat, signed)
    choice = _choice_in(signed, recording)
    check_choice(seat, choice)
    _same(draw_up(seat, choice, _fresh(signed["time"])), data)
    _own_key(seat, choice.key)
    expires = datetime.fromisoformat(signed["expires"])
    _not_again(seat, expires)
    now = timezone.now()
    consent = Consent.objects.create(
        consult=consult,
        participant=seat,
        act=Consent.Act.GIVEN,
        method=Consent.Method.SPOKEN if recording else Consent.Method.WRITTEN,
        statement=statement_for(consult, statements.MAIN, choice.locales[statements.MAIN]),
        statement_digest=signed["statements"][0]["digest"],
        statements=signed["statements"],
        scopes=sorted(choice.agreed, key=statements.scopes_of(consult.clinic).index),
        purpose=PURPOSE,
        by_role=choice.by["role"],
        signed_name=vault_patients.seal(consult.patient, "signed_name", choice.name.encode()),
        evidence=vault_patients.seal(consult.patient, "consent_evidence", signature + data),
        evidence_digest=digest,
        key_digest=_key_digest(choice.key),
        recording=recording,
        at=now,
        expires_at=expires,
    )
    seat.voice_agreed_at = None  # the recording is over; another one would be another question
    seat.save(update_fields=["voice_agreed_at"])
    drop_unused_recordings(consult, patient_actor(seat, source))
    _note(consent, seat, source, "consent.give")
    hints.consult_changed(consult)
    return consent


def _may_give(seat: Participant) -> None:
    consult = seat.consult
    if consult.is_over or seat.identity_confirmed_at is None or seat.devices is None:
        raise NotConsented("This visit is not open for consent. Please call your clinic.")
    if stands(consult.id):
        raise NotConsented("You have already agreed.")


def check_choice(seat: Participant, choice: Choice) -> None:
    """What can be said of a choice before anything is signed."""
    asked = set(statements.scopes_of(seat.consult.clinic))
    if not choice.name.strip() or len(choice.name) > evidence.NAME_MOST:
        raise NotConsented("Type your name to agree.")
    if not choice.agreed <= asked or not choice.agreed >= statements.REQUIRED:
        raise NotConsented("Tick the box of the video visit to agree to it. The others are yours to leave.")
    if (statements.VOICE in choice.agreed) != (choice.recording is not None):
        raise NotConsented("Record the sentence, or go on without a recording.")
    if bool(choice.worker) != (choice.recording is not None):
        raise NotConsented("The recorder was not recognised. Record the sentence again, or go on without a recording.")
    if choice.recording and choice.recording.participant_id != seat.pk:
        raise NotConsented("The recording does not belong to this visit. Record it again or go on without it.")
    if (
        choice.recording
        and choice.recording.fingerprints
        and not set(choice.worker) <= set(choice.recording.fingerprints)
    ):
        raise OtherRecorder(
            "The recording did not come straight from this browser. Record it again or go on without it."
        )


def record_refusal(seat: Participant, *, source: str) -> None:
    """A recording that came by way of somebody else, in the log; called after what was refused is undone."""
    consult, refused = seat.consult, AuditEntry.Outcome.REFUSED
    by = patient_actor(seat, source)
    audit.record(
        "consent.give", by, patient=consult.patient_id, consult=consult.id, outcome=refused, why="another recorder"
    )


def _signed(data: bytes, signature: bytes, act: str) -> dict[str, Any]:
    try:
        signed = evidence.verify(data, signature)
    except BadEvidence:
        raise NotConsented("What your browser signed could not be read. Load this page again and repeat it.") from None
    if signed["act"] != act:
        raise NotConsented("What your browser signed is something else. Load this page again and repeat it.")
    return signed


def _choice_in(signed: Mapping[str, Any], recording: VoiceRecording | None) -> Choice:
    return Choice(
        locales={one["scope"]: one["locale"] for one in signed["statements"]},
        agreed=frozenset(one["scope"] for one in signed["statements"] if one["agreed"]),
        name=signed["name"],
        by=signed["by"],
        witness=signed["witness"],
        recording=recording,
        worker=tuple(signed["worker"]),
        key=signed["key"],
    )


def _recording_in(seat: Participant, signed: Mapping[str, Any]) -> VoiceRecording | None:
    if signed["recording"] is None:
        return None
    # Her own seat's only, and only one that no other consent uses.
    found = seat.voice_recordings.filter(sha256=signed["recording"]["sha256"], consent=None).exclude(sound="").first()
    if found is None:
        raise NotConsented("The recording was not found. Record it again or go on without it.")
    return found


def _fresh(time: str) -> datetime:
    at, now = datetime.fromisoformat(time), timezone.now()
    if not now - FRESH <= at <= now + AHEAD:
        raise NotConsented("That took too long to arrive. Nothing was recorded; please agree once more.")
    return at


def _same(wanted: Mapping[str, Any], data: bytes) -> None:
    """Byte for byte what we would have had signed: other words, another consult or clinic end here."""
    try:
        same = evidence.evidence_bytes(wanted) == data
    except BadEvidence:
        same = False
    if not same:
        raise NotConsented("The text was renewed while you were reading. Please read it again.")


def _key_digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _own_key(seat: Participant, key: str) -> None:
    """A key is made for one visit. One that signed for another is somebody else's, or was carried off."""
    if Consent.objects.filter(key_digest=_key_digest(key)).exclude(consult=seat.consult_id).exists():
        raise NotConsented("This browser's key belongs to another visit. Load this page again and repeat it.")


def _not_again(seat: Participant, expires: datetime) -> None:
    """Anybody can make a second valid signature out of a first (r, n - s): what was withdrawn would be given again."""
    if Consent.objects.filter(participant=seat, act=Consent.Act.GIVEN, expires_at=expires).exists():
        raise NotConsented("This was recorded before, and withdrawn. To agree again, press the button once more.")


# -- withdrawing -------------------------------------------------------------------------------------------


def to_withdraw(seat: Participant) -> Consent | None:
    """What this seat gave last, unless it was withdrawn; also when the visit is over and the seat given up."""
    newest = Consent.objects.filter(participant=seat, act=Consent.Act.GIVEN).order_by("-at").first()
    # What was for the visit ends by itself; the recording that is kept and records that may be shared do not.
    if newest is None or hasattr(newest, "withdrawal") or retention.erased(newest):
        return None
    return newest


@transaction.atomic
def withdrawal_to_sign(seat: Participant, key: str, *, source: str) -> dict[str, Any] | None:
    """What her browser signs to withdraw; None where there is nothing to withdraw, or nothing that was signed."""
    given = to_withdraw(seat)
    if given is None or not given.evidence:
        return None
    # It is drawn up from the sealed act, which is opened for it.
    by, consult = patient_actor(seat, source), seat.consult
    audit.record("consent.withdraw.ask", by, patient=consult.patient_id, consult=consult.id, consent=str(given.id))
    return draw_up_withdrawal(given, key, timezone.now())


@transaction.atomic
def withdraw(seat: Participant, *, source: str, data: bytes = b"", signature: bytes = b"") -> Consent | None:
    """Withdraw: a new row beside the old one. The gate shuts for both sides; asking twice does nothing.

    Signed by her browser where it can; else the record says that it is not. Nobody is kept from withdrawing.
    """
    consult = (
        Consult.objects.select_for_update(of=("self",)).select_related("patient", "clinic").get(pk=seat.consult_id)
    )
    seat.consult = consult
    given = to_withdraw(seat)
    if given is None:
        return None
    more = _signed_withdrawal(given, data, signature) if data else {}
    withdrawn = Consent.objects.create(
        consult=consult,
        participant=seat,
        act=Consent.Act.WITHDRAWN,
        method=given.method,
        statement=given.statement,
        statement_digest=given.statement_digest,
        statements=[{**one, "agreed": False} for one in given.statements],
        scopes=given.scopes,
        purpose=given.purpose,
        by_role=given.by_role,
        at=timezone.now(),
        withdraws=given,
        **more,
    )
    if not consult.is_over:
        consult.negotiation += 1
        consult.save(update_fields=["negotiation"])
    _note(
        withdrawn,
        seat,
        source,
        "consent.withdraw",
        withdraws=given.evidence_digest,
        same_key=bool(more) and withdrawn.key_digest == given.key_digest,
    )
    hints.consult_changed(consult)
    return withdrawn


def _signed_withdrawal(given: Consent, data: bytes, signature: bytes) -> dict[str, str]:
    signed = _signed(data, signature, evidence.WITHDRAW)
    if not given.evidence:
        raise NotConsented("There is no signed record to withdraw. Withdraw without a signature.")
    _same(draw_up_withdrawal(given, signed["key"], _fresh(signed["time"])), data)
    _own_key(given.participant, signed["key"])
    return {
        "evidence": vault_patients.seal(given.consult.patient, "consent_evidence", signature + data),
        "evidence_digest": evidence.digest(data, signature),
        "key_digest": _key_digest(signed["key"]),
    }


def drop_unused_recordings(consult: Consult, by: audit.Actor) -> None:
    """Erase what no consent names: the patient spoke it again, or went on without. No voice is kept for nothing."""
    for recording in VoiceRecording.objects.filter(participant__consult=consult, consent=None):
        number = recording.pk
        recording.delete()
        vault_patients.erase(recording.sound)
        audit.record("consent.voice.drop", by, patient=consult.patient_id, consult=consult.id, recording=number)


def _note(consent: Consent, seat: Participant, source: str, action: str, **more: Any) -> None:
    audit.record(
        action,
        patient_actor(seat, source),
        patient=consent.consult.patient_id,
        consult=consent.consult_id,
        consent=str(consent.id),
        version=consent.statement.version,
        words=consent.statement_digest,
        method=consent.method,
        scopes=consent.scopes,
        by=consent.by_role,
        evidence=consent.evidence_digest,
        signed=bool(consent.evidence_digest),
        **more,
    )
