"""The spoken consent: kept sealed, played only by named people, each time in the log."""

import hashlib
from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from consults import consent, hints
from consults.invitations import patient_actor
from consults.models import Participant, VoiceRecording
from vault import audit
from vault import patients as vault_patients
from vault.audit import Actor


def may_record(seat: Participant) -> bool:
    """Only at the consent step, where the clinic offers it and she said yes to it: else there is nothing to record."""
    consult = seat.consult
    at_step = seat.devices is not None and not consent.stands(consult.id)
    return (
        consult.clinic.offers_voice_consent
        and not consult.is_over
        and seat.left_at is None
        and seat.identity_confirmed_at is not None
        and seat.voice_agreed_at is not None
        and at_step
    )


@transaction.atomic
def agree(seat: Participant, *, yes: bool, source: str) -> None:
    """She says whether she may be recorded. Without a yes there is no voice leg; a no erases what was recorded."""
    seat = Participant.objects.select_for_update(of=("self",)).select_related("consult__clinic").get(pk=seat.pk)
    consult = seat.consult
    seat.voice_agreed_at = (seat.voice_agreed_at or timezone.now()) if yes else None
    seat.save(update_fields=["voice_agreed_at"])
    if not yes:
        consent.drop_unused_recordings(consult, patient_actor(seat, source))
    by = patient_actor(seat, source)
    audit.record("consent.voice.agree", by, patient=consult.patient_id, consult=consult.id, yes=yes)


def own(seat: Participant, source: str) -> tuple[VoiceRecording, bytes] | None:
    """The seat's newest recording that no consent uses yet, for herself to hear."""
    recording = seat.voice_recordings.filter(consent=None).exclude(sound="").order_by("-created_at").first()
    return (recording, play(recording, patient_actor(seat, source))) if recording else None


@transaction.atomic
def keep(seat: Participant, sound: bytes, *, seconds: float, fingerprints: Sequence[str] = ()) -> VoiceRecording:
    """Seal a recording the worker made, in place of an earlier one. `sound`: an Ogg/Opus file.

    `fingerprints`: of the certificate that the worker showed on that leg (RFC 8122), `sha-256 AA:BB...`.
    """
    consult = seat.consult
    consent.drop_unused_recordings(consult, patient_actor(seat, ""))
    recording = VoiceRecording.objects.create(
        participant=seat,
        sound=vault_patients.seal(consult.patient, "consent_voice", sound),
        seconds=seconds,
        sha256=hashlib.sha256(sound).hexdigest(),
        fingerprints=list(fingerprints),
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
