"""The running worker watches a visit of two real WebRTC peers, and what is wrong gets into the database by itself."""

import asyncio
import json

import pytest
from aiortc import RTCPeerConnection

from consults import alerts
from consults.quality_models import Alert, QualitySample
from signaling.legs import NO_SERVERS
from signaling.protocol import Quality
from tests.signaling.browser_end import monitored
from tests.signaling.test_worker import _do, _until
from vault.models import AuditEntry

pytestmark = pytest.mark.django_db(transaction=True)

GOOD = dict.fromkeys(Quality.__struct_fields__) | {
    **{"kind": "quality", "rtt_ms": 30, "jitter_ms": 2, "buffer_ms": 40, "loss": 0, "audio_packets": 100},
    **{"frames_per_second": 25, "level_in": 0.05, "level_out": 0.05, "audio_codec": "opus"},
    **{"relayed": False, "microphone": True, "camera": True},
}


@pytest.fixture
def quick(settings):
    """As in production, only sooner. Named before `worker`, which reads it when it starts."""
    settings.WATCH_SECONDS = {"heartbeat": 2.5, "one_way": 1.5, "silent": 1.5, "frozen": 1.5, "poor": 1.5}


class Side:
    """A page that says something four times in two seconds, for as long as it is there."""

    def __init__(self, channel):
        self.channel, self.says = channel, dict(GOOD)
        self.task = asyncio.create_task(self._talk())

    async def _talk(self):
        while True:
            self.channel.send(self.says if isinstance(self.says, str) else json.dumps(self.says))
            await asyncio.sleep(0.4)


@pytest.fixture
async def sides(quick, worker, sockets):
    """Both people of a visit, each with a leg to the worker, and a call that goes well."""
    now = await sockets.visit("admitted")
    made, peers = {}, []
    for role, opened in (("clinician", await sockets.staff(now)), ("patient", await sockets.patient(now))):
        peer = RTCPeerConnection(NO_SERVERS)
        peers.append(peer)
        channel, _ = await monitored(await opened.hello(), peer)
        made[role] = Side(channel)
    made["visit"] = now
    await _until(lambda: _do(lambda: QualitySample.objects.values("participant").distinct().count() == 2))
    yield made
    for role in ("clinician", "patient"):
        made[role].task.cancel()
    await asyncio.gather(*(peer.close() for peer in peers))


def _standing(now):
    return set(alerts.standing([now.consult.pk]).values_list("kind", "about"))


async def _stands(sides, expected):
    async def so():
        return await _do(_standing, sides["visit"]) == expected

    await _until(so)


#: who says what -> what is raised, about whom
WRONG = {
    "one-way audio": ("clinician", {"audio_packets": 0, "level_in": 0}, ("one_way_audio", "patient")),
    "packets without a sound": ("patient", {"level_in": 0}, ("one_way_audio", "clinician")),
    "a silent participant": ("patient", {"level_out": 0}, ("silent", "patient")),
    "a frozen picture": ("clinician", {"frames_per_second": 0}, ("frozen_video", "patient")),
    "a poor mark": ("patient", {"loss": 30, "rtt_ms": 600}, ("poor_quality", "patient")),
}


@pytest.mark.parametrize("name", WRONG)
async def test_it_is_raised_and_cleared(sides, name):
    who, wrong, expected = WRONG[name]
    await asyncio.sleep(2)
    assert await _do(_standing, sides["visit"]) == set()
    sides[who].says |= wrong
    await _stands(sides, {expected})
    sides[who].says = dict(GOOD)
    await _stands(sides, set())
    written = await _do(lambda: list(AuditEntry.objects.filter(action__startswith="watch.").order_by("id")))
    assert [entry.action for entry in written] == ["watch.raise", "watch.clear"]
    assert {entry.consult for entry in written} == {str(sides["visit"].consult.pk)}


async def test_a_heartbeat_that_is_lost(sides):
    sides["patient"].task.cancel()
    await _stands(sides, {("heartbeat_lost", "patient")})
    sides["patient"].task = asyncio.create_task(sides["patient"]._talk())
    await _stands(sides, set())


async def test_heartbeats_alone_are_a_sign_of_life(sides):
    sides["patient"].says = '{"kind":"heartbeat"}'
    await asyncio.sleep(4)
    assert await _do(_standing, sides["visit"]) == set()


async def test_while_the_database_is_away_it_waits(sides, monkeypatch):
    def away(*_):
        raise ConnectionError("away")

    with monkeypatch.context() as broken:
        broken.setattr("signaling.watching.alerts.settle", away)
        sides["patient"].says |= {"level_out": 0}
        await asyncio.sleep(3)
        assert not await _do(Alert.objects.exists)
    await _stands(sides, {("silent", "patient")})


LIES = [
    {"level_out": 1e308}, {"level_out": -1}, {"level_in": "loud"}, {"loss": 101}, {"audio_packets": 1.5},
    {"freezes": -1}, {"rtt_ms": None, "unknown": 1}, {"audio_codec": "<script>"}, {"local": "10.0.0.1"},
    {"microphone": 1},
]  # fmt: skip


async def test_figures_that_cannot_be_are_not_taken_and_others_say_nothing_of_the_other_side(sides):
    """A page that lies: what is no figure is dropped; what is one marks her own side, or her own hearing, only."""
    sides["patient"].task.cancel()
    for lie in LIES:
        sides["patient"].channel.send(json.dumps(GOOD | lie))
    sides["patient"].channel.send("[" * 1000)
    sides["patient"].channel.send('{"kind":"quality","loss":NaN}')
    before = await _do(QualitySample.objects.filter(participant=sides["visit"].seat).count)
    await asyncio.sleep(1)
    assert await _do(QualitySample.objects.filter(participant=sides["visit"].seat).count) == before
    await _stands(sides, {("heartbeat_lost", "patient")})


async def test_when_both_are_gone_nothing_is_kept_of_them(sides, worker, monkeypatch):
    monkeypatch.setattr("signaling.watch_rules.FORGET", 1.0)
    for role in ("clinician", "patient"):
        sides[role].task.cancel()

    async def forgotten():
        return not worker.watch._consults and not worker.watch._told

    await _until(forgotten)
