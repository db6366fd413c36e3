"""Several workers: they share the consults, take over from one that is killed, and hand over when told to stop."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from aiortc import RTCPeerConnection
from channels.db import database_sync_to_async
from django.conf import settings as product
from django.db import connection

from consults import consent, visit
from consults.models import Consult, VoiceRecording
from consults.quality_models import QualitySample
from signaling import leases, metrics
from signaling.legs import NO_SERVERS
from signaling.sharing import ALIKE, SILENT, Sharing
from signaling.worker import Worker
from tests.cast import BY, agree
from tests.engines import free_port
from tests.signaling.browser_end import QUALITY, answered, monitored, offer_to_worker
from tests.signaling.test_worker import Tone
from vault.models import AuditEntry

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.django_db(transaction=True)


async def _do(verb, *args, **more):
    return await database_sync_to_async(verb)(*args, **more)


async def _until(condition, within=10.0):
    async with asyncio.timeout(within):
        while not (found := await condition()):
            await asyncio.sleep(0.03)
    return found


@pytest.fixture
async def browser():
    peer = RTCPeerConnection(NO_SERVERS)
    yield peer
    await peer.close()


# -- who takes what ------------------------------------------------------------------------------------------


def _three(loads):
    return {name: Sharing(name) for name in loads}


def _tell_all(workers, loads, now=0.0):
    for one in workers.values():
        for name, load in loads.items():
            one.heard(name, load, now)


def test_all_workers_come_to_the_same_one_and_all_get_their_share():
    loads = {"one": 10, "two": 10, "three": 10}
    workers = _three(loads)
    _tell_all(workers, loads)
    taken = Counter()
    for _ in range(3000):
        consult = str(uuid4())
        (name,) = [name for name, one in workers.items() if one.mine(consult, loads[name], 1.0)]
        taken[name] += 1
    assert min(taken.values()) > 850


def test_who_has_more_waits_and_who_is_silent_is_not_counted_on():
    loads = {"one": 0, "two": ALIKE + 1}
    workers = _three(loads)
    _tell_all(workers, loads)
    consults = [str(uuid4()) for _ in range(50)]
    assert all(workers["one"].mine(c, 0, 1.0) for c in consults)
    assert not any(workers["two"].mine(c, ALIKE + 1, 1.0) for c in consults)
    assert all(workers["two"].mine(c, ALIKE + 1, SILENT + 1) for c in consults)
    workers["two"].heard("one", None, 1.0)  # it takes no more
    assert all(workers["two"].mine(c, ALIKE + 1, 1.0) for c in consults)


async def test_where_the_other_worker_does_not_ask_this_one_does(sockets, worker, browser):
    worker.sharing.heard("dead", -100, time.monotonic())
    socket = await (await sockets.patient(await sockets.visit("admitted"))).hello()
    await monitored(socket, browser)
    assert len(worker.legs) == 1


# -- leases ---------------------------------------------------------------------------------------------------


async def test_a_consult_without_legs_is_given_back(sockets, worker, browser):
    now = await sockets.visit("admitted")
    socket = await (await sockets.patient(now)).hello()
    await monitored(socket, browser)
    assert (await _do(Consult.objects.get, pk=now.consult.pk)).worker == "worker-one"
    await browser.close()

    async def free():
        return (await _do(Consult.objects.get, pk=now.consult.pk)).worker == ""

    await _until(free)


async def test_what_a_dead_worker_had_is_freed_and_its_pages_are_told(sockets, worker):
    now = await sockets.visit("admitted")
    clinician, patient = await sockets.in_call(now)
    assert await leases.claim_async("dead", now.consult.pk, now.seat.pk, "monitor")
    await _do(Consult.objects.update, worker_until=datetime(2020, 1, 1, tzinfo=UTC))
    for socket in (clinician, patient):
        assert await socket.until("worker") == {"kind": "worker", "status": "gone"}
    assert (await _do(Consult.objects.get, pk=now.consult.pk)).worker == ""
    assert await socket.nothing_but_states(0.5)  # once


def test_a_refused_leg_leaves_no_lease(cast):
    from tests.cast import bring_to

    now = bring_to("admitted", cast.clinician, cast.patient)
    assert not leases.claim("one", now.consult.pk, now.seat.pk, "voice")
    now.consult.refresh_from_db()
    assert now.consult.worker == ""


# -- the end of a leg ----------------------------------------------------------------------------------------


async def test_withdrawal_closes_the_legs_and_the_log_says_when_the_last_packet_came(sockets, worker, browser):
    now = await sockets.visit("admitted")
    socket = await (await sockets.patient(now)).hello()
    channel, _ = await monitored(socket, browser)
    channel.send(QUALITY)
    await asyncio.sleep(0.1)
    await _do(consent.withdraw, now.seat, source="test")
    withdrawn = time.time()

    async def written():
        return await _do(AuditEntry.objects.filter(action="worker.close").first)

    entry = await _until(written, within=2)
    assert not worker.legs
    last = datetime.fromisoformat(entry.detail["last"]).timestamp()
    assert withdrawn - 2 < last < withdrawn + 2
    assert (entry.consult, entry.patient) == (str(now.consult.pk), str(sockets.cast.patient.pk))
    told = {name: entry.detail[name] for name in ("leg", "of", "why", "media")}
    assert told == {"leg": "monitor", "of": "patient", "why": "withdrawn", "media": 0}
    assert entry.detail["dtls"] >= 4
    assert entry.detail["stun"] >= 1
    # None is opened again until she agrees again.
    ask = (now.consult.pk, now.seat.pk, "monitor")
    assert not await leases.claim_async("worker-one", *ask)
    await _do(agree, now)
    assert await leases.claim_async("worker-one", *ask)


async def test_a_wrong_certificate_is_refused_and_in_the_log(sockets, worker, browser):
    now = await sockets.visit("admitted")
    socket = await (await sockets.patient(now)).hello()
    browser.createDataChannel("monitor")
    await browser.setLocalDescription(await browser.createOffer())
    sdp = "\r\n".join(
        f"a=fingerprint:sha-256 {':'.join(['AB'] * 32)}" if line.startswith("a=fingerprint:sha-256") else line
        for line in browser.localDescription.sdp.split("\r\n")
    )
    await socket.send({"kind": "description", "leg": "monitor", "negotiation": 0, "type": "offer", "sdp": sdp})
    await answered(socket, browser, "monitor")

    async def written():
        return await _do(AuditEntry.objects.filter(action="worker.close").first)

    entry = await _until(written, within=5)
    assert (entry.detail["why"], entry.detail["media"]) == ("failed", 0)


async def test_samples_of_an_erased_consult_keep_no_others_back(sockets, worker):
    kept, erased = await sockets.visit("admitted"), uuid4()
    worker._measured(erased, uuid4(), QUALITY)
    worker._measured(kept.consult.pk, kept.seat.pk, QUALITY)
    await _until(lambda: _do(QualitySample.objects.count))
    assert await _do(QualitySample.objects.count) == 1


# -- told to stop ---------------------------------------------------------------------------------------------


async def test_a_stopping_worker_hands_over_and_lets_a_patient_finish(sockets, browser):
    running = Worker("worker-one")
    task = asyncio.create_task(running.run())
    await asyncio.sleep(0)
    speaking, watched = await sockets.visit("tested"), await sockets.visit("admitted", of="colleague")
    patient = await (await sockets.patient(speaking)).hello()
    other = await (await sockets.patient(watched)).hello()
    peer = RTCPeerConnection(NO_SERVERS)
    await monitored(other, peer)
    browser.addTrack(Tone(0.3))
    await offer_to_worker(patient, browser, "voice")
    await answered(patient, browser, "voice")
    await patient.until("voice", status="recording")
    await asyncio.sleep(1.2)
    running.stop()

    async def handed_over():
        return (await _do(Consult.objects.get, pk=watched.consult.pk)).worker == ""

    await _until(handed_over, within=2)
    assert (await _do(Consult.objects.get, pk=speaking.consult.pk)).worker == "worker-one"
    assert not task.done()
    await patient.send({"kind": "voice_stop"})
    assert (await patient.until("voice"))["status"] == "kept"
    await asyncio.wait_for(task, 5)
    assert await _do(VoiceRecording.objects.count) == 1
    assert not await _do(Consult.objects.exclude(worker="").exists)
    ends = await _do(lambda: sorted(e.detail["why"] for e in AuditEntry.objects.filter(action="worker.close")))
    assert ends == ["done", "handed over"]
    await peer.close()


async def test_a_stopping_worker_takes_nothing_new(sockets, worker, browser):
    worker.health.draining = True
    socket = await (await sockets.patient(await sockets.visit("admitted"))).hello()
    browser.createDataChannel("monitor")
    await offer_to_worker(socket, browser, "monitor")
    await asyncio.sleep(0.5)
    assert not worker.legs
    assert not await _do(Consult.objects.exclude(worker="").exists)


# -- who watches the worker -----------------------------------------------------------------------------------


def _ask(address, path):
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


async def test_figures_and_health_say_nothing_of_people(sockets, worker, browser):
    now = await sockets.visit("admitted")
    socket = await (await sockets.patient(now)).hello()
    channel, _ = await monitored(socket, browser)
    channel.send(QUALITY)
    await _until(lambda: _do(QualitySample.objects.count))
    await asyncio.sleep(0.2)
    address = f"127.0.0.1:{free_port()}"
    end = metrics.serve(address, worker.health)
    try:
        assert await asyncio.to_thread(_ask, address, "/healthz") == (200, "well\n")
        status, figures = await asyncio.to_thread(_ask, address, "/metrics")
        assert status == 200
        assert 'telehealth_worker_legs{leg="monitor"} 1.0' in figures
        assert "telehealth_worker_consults 1.0" in figures
        for secret in (now.consult.pk, now.seat.pk, sockets.cast.patient.pk, sockets.cast.clinic.pk, worker.name):
            assert str(secret) not in figures
        worker.health.looked -= metrics.LATE + 5
        worker.health.draining = True
        assert await asyncio.to_thread(_ask, address, "/healthz") == (503, "draining\n")
        assert (await asyncio.to_thread(_ask, address, "/elsewhere"))[0] == 404
    finally:
        await asyncio.to_thread(end)


async def test_a_worker_without_its_database_is_not_well(worker, monkeypatch):
    async def away(_batch=None):
        raise OSError("away")

    monkeypatch.setattr(leases, "free_lapsed_async", away)
    await asyncio.sleep(0.3)
    seen = worker.health.looked
    await asyncio.sleep(0.3)
    assert worker.health.looked == seen
    worker.health.looked -= metrics.LATE
    assert not worker.health.well()


# -- processes ------------------------------------------------------------------------------------------------


def _process(number: int, port: int, log: Path) -> subprocess.Popen:
    database = product.DATABASES["default"]
    url = "postgres://{USER}:{PASSWORD}@{HOST}:{PORT}/".format(**database) + connection.settings_dict["NAME"]
    more = {"DATABASE_URL": url, "REDIS_URL": product.REDIS_URL, "WORKER_METRICS": f"127.0.0.1:{port}"}
    with (log / f"worker-{number}").open("w") as file:
        command = [sys.executable, "manage.py", "consult_worker"]
        return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **more}, stderr=file)


@pytest.mark.skipif(not product.REDIS_URL, reason="needs Postgres and Redis: runs in the suite on engines")
async def test_of_two_processes_one_is_killed_and_the_other_takes_over(sockets, tmp_path):
    """The page's part, to build its leg when told, is played by a peer here (and in monitor.js)."""
    ports = [free_port(), free_port()]
    workers = [await asyncio.to_thread(_process, n, port, tmp_path) for n, port in enumerate(ports)]
    peers = []
    try:
        for port in ports:

            async def well(port=port):
                try:
                    return (await asyncio.to_thread(_ask, f"127.0.0.1:{port}", "/healthz"))[0] == 200
                except OSError:
                    return False

            await _until(well, within=30)
        now = await sockets.visit("admitted")
        socket = await (await sockets.patient(now)).hello()
        peers.append(RTCPeerConnection(NO_SERVERS))
        await monitored(socket, peers[-1])
        holder = (await _do(Consult.objects.get, pk=now.consult.pk)).worker
        (first,) = [one for one in workers if f":{one.pid}:" in holder]
        (second,) = [one for one in workers if one is not first]
        first.kill()
        killed = time.monotonic()
        await socket.until("worker", status="gone")
        peers.append(RTCPeerConnection(NO_SERVERS))
        channel, _ = await monitored(socket, peers[-1])
        assert time.monotonic() - killed < 10
        assert f":{second.pid}:" in (await _do(Consult.objects.get, pk=now.consult.pk)).worker
        channel.send(QUALITY)
        await asyncio.sleep(0.2)
        second.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(second.wait, 15) == 0
        assert (await _do(Consult.objects.get, pk=now.consult.pk)).worker == ""
        assert await _do(QualitySample.objects.count) == 1  # what waited was stored
    finally:
        for one in workers:
            one.kill()
            one.wait()
        for peer in peers:
            await peer.close()


async def test_visits_that_are_over_are_freed_too(sockets, worker, browser):
    now = await sockets.visit("admitted")
    socket = await (await sockets.patient(now)).hello()
    await monitored(socket, browser)
    await _do(visit.end, now.consult, BY)

    async def written():
        return await _do(AuditEntry.objects.filter(action="worker.close").first)

    assert (await _until(written, within=2)).detail["why"] == "over"
