"""The spoken consent: kept sealed, played only by named people, each time in the log."""

import hashlib

from django.db import transaction
from django.utils import timezone

from consults import consent, hints
from consults.invitations import patient_actor
from consults.models import Participant, VoiceRecording
from vault import audit
from vault import patients as vault_patients
from vault.audit import Actor


def may_record(seat: Participant) -> bool:
    """Only at the consent step, only where the clinic offers it: before and after it there is nothing to record."""
    consult = seat.consult
    at_step = seat.devices is not None and consent.standing(consult.id) is None
    return (
        consult.clinic.offers_voice_consent
        and not consult.is_over
        and seat.left_at is None
        and seat.identity_confirmed_at is not None
        and at_step
    )


@transaction.atomic
def keep(seat: Participant, sound: bytes, *, seconds: float) -> VoiceRecording:
    """Seal a recording the worker made, in place of an earlier one. `sound`: an Ogg/Opus file."""
    consult = seat.consult
    consent.drop_unused_recordings(consult, patient_actor(seat, ""))
    recording = VoiceRecording.objects.create(
        participant=seat,
        sound=vault_patients.seal(consult.patient, "consent_voice", sound),
        seconds=seconds,
        sha256=hashlib.sha256(sound).hexdigest(),
        created_at=timezone.now(),
    )
    audit.record(
        "consent.voice",
        patient_actor(seat, ""),
        patient=consult.patient_id,
        consult=consult.id,
        recording=recording.pk,
        seconds=round(seconds, 1),
    )
    hints.consult_changed(consult)
    return recording


def play(recording: VoiceRecording, by: Actor) -> bytes:
    """The recording's Ogg/Opus bytes; the entry is written first."""
    consult = recording.participant.consult
    audit.record("consent.voice.play", by, patient=consult.patient_id, consult=consult.id, recording=recording.pk)
    return vault_patients.unseal(consult.patient, "consent_voice", recording.sound)
