"""A voice that no consent uses is neither kept nor played."""

import pytest
from django.urls import reverse

from consults import visit, voice
from consults.models import VoiceRecording
from tests.cast import BY, agree, bring_to, sign_in
from vault.models import AuditEntry, SealedValue


@pytest.fixture
def tested(cast):
    return bring_to("tested", cast.clinician, cast.patient)


def _speak(tested, sound=b"OggS"):
    return voice.keep(tested.seat, sound, seconds=2)


def _kept():
    return VoiceRecording.objects.count(), SealedValue.objects.filter(field="consent_voice").count()


def test_a_recording_the_patient_dropped_is_erased_when_she_agrees(tested):
    _speak(tested)
    agree(tested)
    assert _kept() == (0, 0)
    assert AuditEntry.objects.filter(action="consent.voice.drop", role="patient").count() == 1


def test_recording_again_replaces_the_first(tested):
    first = _speak(tested)
    second = _speak(tested)
    assert list(VoiceRecording.objects.all()) == [second]
    assert not SealedValue.objects.filter(token=first.sound).exists()


def test_the_recording_a_consent_uses_stays(tested):
    recording = _speak(tested)
    agree(tested, recording=recording)
    visit.end(tested.consult, BY)
    assert _kept() == (1, 1)


def test_the_end_erases_what_was_not_used(tested):
    _speak(tested)
    visit.end(tested.consult, BY)
    assert _kept() == (0, 0)


def test_nobody_plays_a_recording_that_was_not_sent(cast, tested):
    recording = _speak(tested)
    answer = sign_in(cast.clinician).get(reverse("recording", args=[tested.consult.id, recording.pk]))
    assert answer.status_code == 404
    assert not AuditEntry.objects.filter(action="consent.voice.play").exists()
