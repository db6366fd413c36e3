"""The worker against a real WebRTC peer: it monitors, it takes the spoken consent, and it gets nothing else."""

import asyncio
import contextlib
import fractions
import io
import json
import math
from datetime import timedelta

import av
import pytest
from aiortc import AudioStreamTrack, RTCPeerConnection
from channels.db import database_sync_to_async
from django.conf import settings
from django.db.models import F

from consults import visit
from consults.models import Consult, VoiceRecording
from consults.quality_models import QualitySample
from signaling import leases
from signaling import worker as worker_module
from signaling.legs import NO_SERVERS
from signaling.worker import Worker
from tests.cast import BY, agree
from tests.signaling.browser_end import FIGURES, QUALITY, answered, monitored, offer_to_worker
from vault import patients
from vault.models import AuditEntry

pytestmark = pytest.mark.django_db(transaction=True)

HEARD = json.dumps(
    {"kind": "quality", **FIGURES, "loss": 0, "audio_packets": 100, "buffer_ms": 30, "audio_codec": "opus"}
)


async def _do(verb, *args, **more):
    return await database_sync_to_async(verb)(*args, **more)


async def _until(condition, within=10.0):
    """Wait for something that shows in the database or in memory only."""
    async with asyncio.timeout(within):
        while not (found := await condition()):
            await asyncio.sleep(0.03)
    return found


@pytest.fixture
async def browser():
    """The browser's end of a leg."""
    peer = RTCPeerConnection(NO_SERVERS)
    yield peer
    await peer.close()


class Tone(AudioStreamTrack):
    """Somebody speaks: a sine tone, or silence."""

    def __init__(self, loudness):
        super().__init__()
        self.loudness, self.at = loudness, 0

    async def recv(self):
        await super().recv()  # which keeps the pace
        frame = av.AudioFrame(format="s16", layout="mono", samples=160)
        samples = [int(self.loudness * 32767 * math.sin(2 * math.pi * 440 * (self.at + n) / 8000)) for n in range(160)]
        frame.planes[0].update(b"".join(s.to_bytes(2, "little", signed=True) for s in samples))
        frame.pts, frame.sample_rate, frame.time_base = self.at, 8000, fractions.Fraction(1, 8000)
        self.at += 160
        return frame


# -- monitoring ----------------------------------------------------------------------------------------------


async def test_the_monitor_opens_and_samples_are_kept(sockets, worker, browser):
    now = await sockets.visit("admitted")
    socket = await (await sockets.patient(now)).hello()
    channel, _ = await monitored(socket, browser)
    channel.send('{"kind":"heartbeat"}')
    channel.send(QUALITY)
    sample = await _until(lambda: _do(QualitySample.objects.first))
    assert (sample.consult_id, sample.participant_id) == (now.consult.id, now.seat.id)
    assert (sample.rtt_ms, sample.loss, sample.relayed) == (23.5, None, False)
    assert sample.mos is None, "no sound came: nothing to judge"
    assert (sample.microphone, sample.camera) == (True, False)


async def test_the_worker_works_out_how_it_sounds(sockets, worker, browser):
    socket = await (await sockets.patient(await sockets.visit("admitted"))).hello()
    channel, _ = await monitored(socket, browser)
    channel.send(HEARD)
    sample = await _until(lambda: _do(QualitySample.objects.first))
    assert sample.mos == pytest.approx(4.36, abs=0.03)
    assert sample.audio_codec == "opus"


async def test_the_worker_never_offers_to_take_sound_or_picture_to_monitor(sockets, worker, browser):
    socket = await (await sockets.staff(await sockets.visit("admitted"))).hello()
    _, answer = await monitored(socket, browser)
    kinds = [line.split()[0] for line in answer.splitlines() if line.startswith("m=")]
    assert kinds == ["m=application"]
    assert "a=candidate" in answer
    assert not worker.legs[next(iter(worker.legs))][1].pc.getReceivers()


async def _everything_is_tried(sockets, now):
    """A page of each side that offers sound for every leg there is, and a monitor as it should be; gives answers."""
    answers = []
    for opened in (await sockets.patient(now), await sockets.staff(now)):
        for leg, sound in (("monitor", False), ("voice", True), ("monitor", True)):
            if not opened.accepted:
                break
            peer, socket = RTCPeerConnection(NO_SERVERS), opened
            if sound:
                peer.addTrack(Tone(0.3))
            else:
                peer.createDataChannel("monitor")
            with contextlib.suppress(AssertionError, TimeoutError):  # closed, refused, or not answered
                if (leg, sound) == ("monitor", False):
                    await socket.hello()
                await offer_to_worker(socket, peer, leg)
                answers.append((leg, (await asyncio.wait_for(socket.until("description", leg=leg), 1))["sdp"]))
            await peer.close()
        await opened.close()
    return answers


async def test_in_a_whole_visit_the_worker_names_sound_at_the_consent_step_only(sockets, worker):
    named = {}
    for stage in ("identified", "tested", "waiting", "admitted"):
        answers = await _everything_is_tried(sockets, await sockets.visit(stage))
        named[stage] = sorted(
            (leg, line.split()[0]) for leg, sdp in answers for line in sdp.splitlines() if line.startswith("m=")
        )
    silent = [("monitor", "m=application")] * 2
    assert named == {
        "identified": silent,
        "tested": [*silent, ("voice", "m=audio")],
        "waiting": silent,
        "admitted": silent,
    }


async def test_sound_offered_to_the_monitor_closes_the_socket(sockets, worker, browser):
    socket = await (await sockets.patient(await sockets.visit("tested"))).hello()
    browser.createDataChannel("monitor")
    browser.addTrack(Tone(0.3))
    await offer_to_worker(socket, browser, "monitor")
    assert await socket.closed_with() == 4400
    assert worker.legs == {}


async def test_bad_samples_are_ignored_and_the_good_one_after_them_is_kept(sockets, worker, browser):
    socket = await (await sockets.patient(await sockets.visit("admitted"))).hello()
    channel, _ = await monitored(socket, browser)
    bad = ["", "{", QUALITY.replace("23.5", "-1"), QUALITY.replace("23.5", "NaN"), QUALITY[:-1] + ',"consult":"x"}']
    for text in (*bad, b"\x00\x01", QUALITY):
        channel.send(text)
    await _until(lambda: _do(QualitySample.objects.count))
    assert await _do(lambda: list(QualitySample.objects.values_list("rtt_ms", flat=True))) == [23.5]


async def test_a_channel_by_another_name_is_not_heard(sockets, worker, browser):
    socket = await (await sockets.patient(await sockets.visit("admitted"))).hello()
    other = browser.createDataChannel("chat")
    channel, _ = await monitored(socket, browser)
    other.send(QUALITY.replace("23.5", "666"))
    channel.send(QUALITY)
    await _until(lambda: _do(QualitySample.objects.count))
    assert await _do(lambda: list(QualitySample.objects.values_list("rtt_ms", flat=True))) == [23.5]


async def test_more_than_four_messages_a_second_are_not_kept(sockets, worker, browser):
    socket = await (await sockets.patient(await sockets.visit("admitted"))).hello()
    channel, _ = await monitored(socket, browser)
    for _ in range(300):
        channel.send(QUALITY)
    await _until(lambda: _do(QualitySample.objects.count))
    await asyncio.sleep(0.3)
    assert await _do(QualitySample.objects.count) < 30


async def test_the_end_of_the_consult_ends_its_legs(sockets, worker, browser):
    now = await sockets.visit("admitted")
    socket = await (await sockets.patient(now)).hello()
    await monitored(socket, browser)
    assert len(worker.legs) == 1
    await _do(visit.end, now.consult, BY)

    async def gone():
        return not worker.legs

    await _until(gone)


async def test_an_offer_that_makes_no_sense_hurts_nobody_else(sockets, worker, browser, caplog):
    socket = await (await sockets.patient(await sockets.visit("admitted"))).hello()
    from tests.signaling.sockets import offer

    await socket.send(offer("monitor", 0))
    channel, _ = await monitored(socket, browser)
    channel.send(QUALITY)
    await _until(lambda: _do(QualitySample.objects.count))
    assert "Traceback" not in caplog.text


async def test_being_monitored_is_in_the_log(sockets, worker, browser):
    now = await sockets.visit("admitted")
    socket = await (await sockets.patient(now)).hello()
    await monitored(socket, browser)
    entry = await _do(AuditEntry.objects.get, action="worker.monitor")
    assert (entry.role, entry.person, entry.consult) == ("worker", "worker-one", str(now.consult.id))
    assert entry.detail == {"leg": "monitor", "of": "patient"}


# -- the spoken consent ----------------------------------------------------------------------------------------


async def _speak(socket, browser, loudness, seconds):
    browser.addTrack(Tone(loudness))
    await offer_to_worker(socket, browser, "voice")
    answer = await answered(socket, browser, "voice")
    assert "a=recvonly" in answer
    await socket.until("voice", status="recording")
    await asyncio.sleep(seconds)
    await socket.send({"kind": "voice_stop"})
    return await socket.until("voice")


def _decoded(sound):
    """Length in seconds, and the loudest sample of full scale."""
    with av.open(io.BytesIO(sound)) as file:
        assert file.streams.audio[0].codec_context.name in ("opus", "libopus")
        frames = list(file.decode(audio=0))
    resampler = av.AudioResampler(format="s16", layout="mono", rate=48_000)
    pieces = [p for f in frames for p in resampler.resample(f)]
    samples = [s for p in pieces for s in memoryview(bytes(p.planes[0])[: p.samples * 2]).cast("h")]
    return len(samples) / 48_000, max(map(abs, samples)) / 32768


async def test_a_spoken_consent_is_kept_sealed_and_can_be_heard(sockets, worker, browser):
    now = await sockets.visit("tested")
    socket = await (await sockets.patient(now)).hello()
    kept = await _speak(socket, browser, 0.3, 1.5)
    assert kept["status"] == "kept"
    recording = await _do(VoiceRecording.objects.get, pk=kept["recording"])
    assert recording.participant_id == now.seat.id
    assert any(one.startswith("sha-256 ") for one in recording.fingerprints)
    assert recording.fingerprints == kept["fingerprints"]
    sound = await _do(patients.unseal, sockets.cast.patient, "consent_voice", recording.sound)
    assert sound[:4] == b"OggS"
    length, peak = _decoded(sound)
    assert abs(length - kept["seconds"]) < 0.5
    assert 0.5 < length < 10
    assert 0.1 < peak < 0.6
    from hashlib import sha256

    assert recording.sha256 == sha256(sound).hexdigest()


async def test_silence_is_not_kept(sockets, worker, browser):
    socket = await (await sockets.patient(await sockets.visit("tested"))).hello()
    answer = await _speak(socket, browser, 0.0, 1.0)
    assert (answer["status"], answer["recording"]) == ("failed", 0)
    assert not await _do(VoiceRecording.objects.exists)


async def test_a_recording_ends_at_its_limit(sockets, worker, browser, settings):
    settings.VOICE_SECONDS = 1
    socket = await (await sockets.patient(await sockets.visit("tested"))).hello()
    browser.addTrack(Tone(0.3))
    await offer_to_worker(socket, browser, "voice")
    await answered(socket, browser, "voice")
    kept = await socket.until("voice", status="kept")
    assert kept["seconds"] <= 1.1


@pytest.mark.parametrize("stage", ["identified", "waiting", "admitted"])
async def test_before_and_after_the_consent_step_the_worker_takes_no_voice(sockets, worker, browser, stage):
    """The socket refuses it first; this asks the worker itself, as a socket gone wrong would."""
    now = await sockets.visit(stage)
    assert not await leases.claim_async("worker-one", now.consult.id, now.seat.id, "voice")
    browser.addTrack(Tone(0.3))
    await browser.setLocalDescription(await browser.createOffer())
    frame = {
        "kind": "description",
        "leg": "voice",
        "negotiation": 0,
        "type": "offer",
        "sdp": browser.localDescription.sdp,
    }
    await worker._handle(
        {
            "consult": str(now.consult.id),
            "participant": str(now.seat.id),
            "tab": "0" * 16,
            "role": "patient",
            "frame": frame,
        }
    )
    assert worker.legs == {}
    assert not await _do(AuditEntry.objects.filter(action="worker.monitor").exists)


async def test_speech_after_consent_was_given_in_writing_is_not_kept(sockets, worker, browser):
    now = await sockets.visit("tested")
    socket = await (await sockets.patient(now)).hello()
    browser.addTrack(Tone(0.3))
    await offer_to_worker(socket, browser, "voice")
    await answered(socket, browser, "voice")
    await socket.until("voice", status="recording")
    await asyncio.sleep(0.8)
    await _do(agree, now)
    assert (await socket.until("voice"))["status"] == "failed"
    assert not await _do(VoiceRecording.objects.exists)

    async def closed():
        return not worker.legs

    await _until(closed)


# -- leases ----------------------------------------------------------------------------------------------------


async def test_of_two_workers_one_gets_the_consult(sockets):
    now = await sockets.visit("admitted")
    ask = (now.consult.id, now.seat.id, "monitor")
    assert await leases.claim_async("one", *ask)
    assert not await leases.claim_async("two", *ask)
    assert await leases.claim_async("one", *ask)
    await leases.release_async("one")
    assert await leases.claim_async("two", *ask)


def test_of_workers_that_race_exactly_one_wins(committed_cast):
    from tests.at_once import at_once
    from tests.cast import bring_to

    now = bring_to("admitted", committed_cast.clinician, committed_cast.patient)
    ask = (now.consult.id, now.seat.id, "monitor")
    results = at_once([lambda n=n: leases.claim(f"worker-{n}", *ask) for n in range(6)])
    assert sorted(results) == [False] * 5 + [True]


def _pass(consult, seconds):
    """As if so much time had gone by on the database's clock."""
    Consult.objects.filter(pk=consult.pk).update(worker_until=F("worker_until") - timedelta(seconds=seconds))


def test_a_lapsed_lease_is_taken_over_and_the_old_worker_notices(cast):
    from tests.cast import bring_to

    now = bring_to("admitted", cast.clinician, cast.patient)
    ask = (now.consult.id, now.seat.id, "monitor")
    assert leases.claim("one", *ask)
    _pass(now.consult, leases.LEASE.total_seconds() - 1)
    assert leases.renew("one", [ask]) == {}
    _pass(now.consult, leases.LEASE.total_seconds() - 1)
    assert not leases.claim("two", *ask)
    _pass(now.consult, 2)
    assert leases.claim("two", *ask)
    assert leases.renew("one", [ask]) == {(now.seat.id, "monitor"): "over"}
    assert leases.renew("two", [ask]) == {}


@pytest.mark.skipif(not settings.REDIS_URL, reason="several machines share Postgres: runs in the suite on engines")
@pytest.mark.parametrize("wrong", [-3600, 3600])
def test_a_machine_whose_clock_is_wrong_keeps_its_leases_and_takes_nobodys(cast, clock, wrong):
    from tests.cast import bring_to

    now = bring_to("admitted", cast.clinician, cast.patient)
    ask = (now.consult.id, now.seat.id, "monitor")
    clock.move(wrong)
    assert leases.claim("one", *ask)
    clock.move(-wrong)
    assert not leases.claim("two", *ask)
    assert leases.free_lapsed() == []
    _pass(now.consult, leases.LEASE.total_seconds() + 1)
    assert leases.claim("two", *ask)


@pytest.mark.parametrize("why", ["over", "left", "another consult"])
def test_nothing_is_leased_that_nobody_may_have(cast, why):
    import uuid

    from consults import invitations
    from tests.cast import bring_to

    now = bring_to("admitted", cast.clinician, cast.patient)
    consult = now.consult.id
    if why == "over":
        visit.end(now.consult, BY)
    elif why == "left":
        invitations.revoke(now.consult, BY)
    else:
        consult = bring_to("admitted", cast.colleague, cast.colleagues_patient).consult.id
    assert not leases.claim("one", consult, now.seat.id, "monitor")
    assert not leases.claim("one", uuid.uuid4(), now.seat.id, "monitor")


async def test_two_running_workers_answer_an_offer_once(sockets, worker, browser):
    second = Worker("worker-two")
    task = asyncio.create_task(second.run())
    await asyncio.sleep(0)
    socket = await (await sockets.patient(await sockets.visit("admitted"))).hello()
    await monitored(socket, browser)
    assert await socket.nothing_but_states(0.2)
    assert len(worker.legs) + len(second.legs) == 1
    task.cancel()
    await asyncio.wait({task})


async def test_a_stopped_worker_stores_its_samples_and_gives_its_consults_back(sockets, browser, monkeypatch):
    monkeypatch.setattr(worker_module, "STORE_EVERY", 60)
    running = Worker("worker-one")
    task = asyncio.create_task(running.run())
    await asyncio.sleep(0)
    now = await sockets.visit("admitted")
    socket = await (await sockets.patient(now)).hello()
    channel, _ = await monitored(socket, browser)
    channel.send(QUALITY)

    async def measured():
        return running.samples

    await _until(measured)
    task.cancel()
    await asyncio.wait({task})
    assert await _do(QualitySample.objects.count) == 1
    assert (await _do(Consult.objects.get, pk=now.consult.pk)).worker == ""


async def test_a_worker_ends_although_what_it_waits_for_swallows_its_end(monkeypatch):
    """As a publish over Redis does now and then, when its answer and the end come together."""
    monkeypatch.setattr(worker_module, "STORE_EVERY", 0.01)
    begun = asyncio.Event()

    async def swallows():
        running._say_load = said
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)

    running = Worker("worker-one")
    said, running._say_load = running._say_load, swallows
    task = asyncio.create_task(running.run())
    await asyncio.wait_for(begun.wait(), 5)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=5)
    assert done
