"""Consent: exact words shown, agreed to, and withdrawn. Each act is one appended row and one audit entry."""

import hashlib
import json
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from consults import hints
from consults.invitations import patient_actor
from consults.models import Consent, ConsentStatement, Consult, Participant, VoiceRecording
from vault import audit
from vault import patients as vault_patients

PURPOSE = "Care by video in this visit"


class NotConsented(Exception):
    """The consent was not taken; the message says what to do, in words for the patient."""


def statement_for(consult: Consult, scope: str, locale: str = "en") -> ConsentStatement:
    """The newest published words of this scope: the clinic's own, else the ones for every clinic."""
    statement = (
        ConsentStatement.objects.filter(
            Q(clinic=consult.clinic_id) | Q(clinic=None),
            scope=scope,
            locale=locale,
            published_at__lte=timezone.now(),
        )
        .order_by(F("clinic_id").desc(nulls_last=True), "-version")
        .first()
    )
    if statement is None:
        raise NotConsented("Your clinic has not set up its consent text yet. Please call your clinic.")
    return statement


def digest_of(statement: ConsentStatement) -> str:
    """SHA-256 over the statement's canonical JSON: sorted keys, no spaces, UTF-8."""
    fields = {
        "scope": statement.scope,
        "locale": statement.locale,
        "version": statement.version,
        "title": statement.title,
        "text": statement.text,
    }
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def standing(consult_id: UUID) -> Consent | None:
    """The consent that holds now: given, not withdrawn, not expired, by the patient who has the seat."""
    return (
        Consent.objects.filter(
            consult_id=consult_id,
            act=Consent.Act.GIVEN,
            withdrawal=None,
            expires_at__gt=timezone.now(),
            participant__left_at=None,
        )
        .order_by("-at")
        .first()
    )


@transaction.atomic
def give(seat: Participant, *, shown: str, typed_name: str, recording: VoiceRecording | None, source: str) -> Consent:
    """Record consent. `shown`: the digest of the words the page showed, which must be the words in force."""
    consult = Consult.objects.select_for_update().select_related("patient").get(pk=seat.consult_id)
    statement = statement_for(consult, "video_visit")
    if consult.is_over or seat.identity_confirmed_at is None or seat.devices is None:
        raise NotConsented("This visit is not open for consent. Please call your clinic.")
    if shown != digest_of(statement):
        raise NotConsented("The text was renewed while you were reading. Please read it again.")
    if not typed_name.strip() or len(typed_name) > 120:
        raise NotConsented("Type your name to agree.")
    if standing(consult.id):
        raise NotConsented("You have already agreed.")
    if recording and (recording.participant_id != seat.id or not recording.sound):
        raise NotConsented("The recording does not belong to this visit. Record it again or go on without it.")
    now = timezone.now()
    consent = Consent.objects.create(
        consult=consult,
        participant=seat,
        act=Consent.Act.GIVEN,
        method=Consent.Method.SPOKEN if recording else Consent.Method.WRITTEN,
        statement=statement,
        statement_digest=shown,
        scopes=["video_visit"] + (["voice"] if recording else []),
        purpose=PURPOSE,
        signed_name=vault_patients.seal(consult.patient, "signed_name", typed_name.strip().encode()),
        recording=recording,
        at=now,
        expires_at=now + timedelta(hours=settings.CONSENT_LIFETIME_HOURS),
    )
    drop_unused_recordings(consult, patient_actor(seat, source))
    _note(consent, seat, source, "consent.give")
    hints.consult_changed(consult)
    return consent


@transaction.atomic
def withdraw(seat: Participant, *, source: str) -> Consent | None:
    """Withdraw: a new row beside the old one. The gate shuts for both sides; asking twice does nothing."""
    consult = Consult.objects.select_for_update().get(pk=seat.consult_id)
    given = standing(consult.id)
    if given is None:
        return None
    withdrawn = Consent.objects.create(
        consult=consult,
        participant=seat,
        act=Consent.Act.WITHDRAWN,
        method=given.method,
        statement=given.statement,
        statement_digest=given.statement_digest,
        scopes=given.scopes,
        purpose=given.purpose,
        at=timezone.now(),
        withdraws=given,
    )
    consult.negotiation += 1
    consult.save(update_fields=["negotiation"])
    _note(withdrawn, seat, source, "consent.withdraw")
    hints.consult_changed(consult)
    return withdrawn


def drop_unused_recordings(consult: Consult, by: audit.Actor) -> None:
    """Erase what no consent names: the patient spoke it again, or went on without. No voice is kept for nothing."""
    for recording in VoiceRecording.objects.filter(participant__consult=consult, consent=None):
        number = recording.pk
        recording.delete()
        vault_patients.erase(recording.sound)
        audit.record("consent.voice.drop", by, patient=consult.patient_id, consult=consult.id, recording=number)


def _note(consent: Consent, seat: Participant, source: str, action: str) -> None:
    audit.record(
        action,
        patient_actor(seat, source),
        patient=consent.consult.patient_id,
        consult=consent.consult_id,
        consent=str(consent.id),
        version=consent.statement.version,
        words=consent.statement_digest,
        method=consent.method,
    )
