"""What one browser can make the worker do: little, and nothing for others to feel."""

import asyncio
import json
from unittest.mock import Mock

import pytest
from aiortc import RTCPeerConnection
from aiortc.rtcsctptransport import DataChunk
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import DataError
from django.utils import timezone
from msgspec import structs
from redis import asyncio as redis

from accounts.models import User
from consults import visit
from consults.hints import consult_group
from consults.models import Consult
from consults.quality_models import QualitySample
from signaling import leases, protocol
from signaling.consumers import WORKERS
from signaling.legs import NO_SERVERS, MonitorLeg
from signaling.sctp import PIECES, STREAMS, GuardedSctp
from signaling.sdp import BadDescription, candidate_allowed, check_description
from signaling.worker import OFFERS_AT_ONCE
from tests.cast import BY, bring_to
from tests.signaling.browser_end import QUALITY, monitored
from tests.signaling.sockets import description, offer
from vault.models import AuditEntry

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(("leg", "line"), [("monitor", "application"), ("voice", "audio")])
def test_a_leg_to_the_worker_has_one_line(leg, line):
    """Of further tracks nobody reads; what is decoded from them would wait in memory."""
    check_description(description(line), leg)
    with pytest.raises(BadDescription):
        check_description(description(line, line), leg)


@pytest.mark.parametrize(
    "where",
    ["10.0.0.7 0", "10.0.0.7 65536", "10.0.0.7 99999", "255.255.255.255 9", "240.0.0.1 9", "0.0.0.9 9"],
)
@pytest.mark.parametrize("leg", ["call", "monitor"])
def test_addresses_and_ports_that_are_nobodys_are_dropped(leg, where):
    assert not candidate_allowed(f"candidate:1 1 udp 1 {where} typ host", leg)


async def test_offers_to_the_worker_are_few(sockets):
    socket = await (await sockets.patient(await sockets.visit("waiting"))).hello()
    for _ in range(30):
        await socket.send(offer("monitor", 0))
    await socket.until("fault", code="too_often")
    await socket.send({"kind": "ping"})
    await socket.until("pong")


async def test_whoever_is_no_clinician_any_more_is_shut_out_of_the_room(sockets):
    socket = await (await sockets.staff(await sockets.visit("admitted"))).hello()
    await database_sync_to_async(User.objects.update)(role=User.Role.OPERATOR)
    assert await socket.closed_with() == 4401


async def test_offers_are_counted_over_all_sockets_of_one_seat(sockets, worker):
    now = await sockets.visit("waiting")
    for _ in range(8):
        socket = await (await sockets.patient(now)).hello()
        for _ in range(4):
            await socket.send(offer("monitor", 0))
        await socket.send({"kind": "ping"})
        await socket.until("pong")
        await socket.close()
    await asyncio.sleep(0.5)
    entries = AuditEntry.objects.filter(action="worker.monitor").count
    assert OFFERS_AT_ONCE <= await database_sync_to_async(entries)() <= OFFERS_AT_ONCE + 4


async def test_an_offer_of_somebody_else_played_again_gives_nothing_and_takes_nothing(sockets, worker, monkeypatch):
    """Whoever got hold of another patient's offer has no key to its certificate, and does not disturb her leg."""
    monkeypatch.setattr("signaling.legs.TO_OPEN", 2.0)
    hers, theirs = await sockets.visit("admitted"), await sockets.visit("admitted", of="colleague")
    peer = RTCPeerConnection(NO_SERVERS)
    channel, _ = await monitored(await (await sockets.patient(hers)).hello(), peer)
    thief = await (await sockets.patient(theirs)).hello()
    for _ in range(2):
        await thief.send(offer("monitor", 0, peer.localDescription.sdp))
        await thief.until("description")
    await asyncio.sleep(3)
    (leg,) = worker.legs
    assert leg == (str(hers.seat.pk), "monitor")
    channel.send(QUALITY)
    for _ in range(100):
        if await database_sync_to_async(QualitySample.objects.count)():
            break
        await asyncio.sleep(0.05)
    assert await database_sync_to_async(lambda: QualitySample.objects.get().consult_id)() == hers.consult.pk
    await peer.close()


@pytest.mark.skipif(not settings.REDIS_URL, reason="needs Redis: runs in the suite on engines")
async def test_what_somebody_writes_into_redis_stops_no_worker_and_no_socket(sockets, worker):
    layer, now = get_channel_layer(), await sockets.visit("admitted")
    socket = await (await sockets.patient(now)).hello()
    async with redis.Redis.from_url(settings.REDIS_URL) as intruder:
        for group in (WORKERS, consult_group(now.consult.pk)):
            for rubbish in (b"", b"\x00" * 200, b"\x81\xa4type\xa4junk"):
                assert await intruder.publish(layer._get_group_channel_name(group), rubbish)
    for unknown in ({}, {"type": "junk"}):
        await layer.group_send(WORKERS, unknown)
        await layer.group_send(consult_group(now.consult.pk), unknown)
    await asyncio.sleep(0.3)
    peer = RTCPeerConnection(NO_SERVERS)
    await monitored(socket, peer)
    assert len(worker.legs) == 1
    await peer.close()


async def test_a_leg_whose_browser_vanished_while_it_offered_is_closed(sockets, worker, monkeypatch):
    """Its addresses are known in part and answer nothing; whether more come nobody will say."""
    monkeypatch.setattr("signaling.legs.TO_OPEN", 1.5)
    now = await sockets.visit("waiting")
    socket = await (await sockets.patient(now)).hello()
    peer = RTCPeerConnection(NO_SERVERS)
    peer.createDataChannel("monitor")
    await peer.setLocalDescription(await peer.createOffer())
    sdp = peer.localDescription.sdp.replace("a=end-of-candidates\r\n", "")
    await peer.close()
    await socket.send(offer("monitor", 0, sdp))
    await socket.until("description")
    await asyncio.sleep(0.5)
    assert len(worker.legs) == 1
    for _ in range(100):
        if not worker.legs:
            break
        await asyncio.sleep(0.05)
    assert not worker.legs
    await asyncio.sleep(0.4)
    free = Consult.objects.filter(pk=now.consult.pk, worker="").exists
    assert await database_sync_to_async(free)()


def _piece(number: int, stream: int = 1) -> DataChunk:
    """One of a message that never ends."""
    piece = DataChunk(flags=2 if number == 1 else 0)
    piece.tsn, piece.stream_id, piece.stream_seq, piece.protocol, piece.user_data = number, stream, 0, 51, b"x" * 1000
    return piece


@pytest.fixture
async def association():
    leg = MonitorLeg(lambda _leg: None, Mock())
    leg.pc.createDataChannel("x")
    yield leg.pc.sctp
    await leg.close("left")


async def test_an_endless_message_does_not_fill_the_memory(association):
    assert isinstance(association, GuardedSctp)
    association._last_received_tsn = 0
    for number in range(1, PIECES * 4):
        await association._receive_data_chunk(_piece(number))
    assert sum(len(s.reassembly) for s in association._inbound_streams.values()) == PIECES


async def test_streams_are_few(association):
    association._last_received_tsn = 0
    for number in range(1, 200):
        await association._receive_data_chunk(_piece(number, stream=number))
    assert len(association._inbound_streams) < STREAMS


async def test_an_offer_beyond_the_limit_leaves_no_entry(sockets, worker):
    socket = await (await sockets.patient(await sockets.visit("waiting"))).hello()
    for _ in range(30):
        await socket.send(offer("monitor", 0))
    await socket.until("fault", code="too_often")
    await asyncio.sleep(0.5)
    entries = AuditEntry.objects.filter(action="worker.monitor").count
    assert await database_sync_to_async(entries)() <= 8


@pytest.mark.parametrize("how", ["hangs", "fails"])
async def test_a_leg_that_cannot_be_closed_holds_nothing_up(sockets, worker, monkeypatch, how):
    monkeypatch.setattr("signaling.legs.TO_CLOSE", 0.3)
    now, peer = await sockets.visit("admitted"), RTCPeerConnection(NO_SERVERS)
    await monitored(await (await sockets.patient(now)).hello(), peer)
    ((_, leg),) = worker.legs.values()
    close = leg.pc.close

    async def odd():
        if how == "fails":
            raise RuntimeError
        await asyncio.sleep(60)

    leg.pc.close = odd
    await database_sync_to_async(visit.end)(now.consult, BY)
    ended = AuditEntry.objects.filter(action="worker.close", detail__why="over").exists
    async with asyncio.timeout(4):
        while not await database_sync_to_async(ended)():
            await asyncio.sleep(0.05)
    assert not worker.legs
    await asyncio.gather(close(), peer.close())


# -- figures that the database cannot keep -------------------------------------------------------------------


async def _stored(count):
    async with asyncio.timeout(5):
        while await database_sync_to_async(QualitySample.objects.count)() != count:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("value", [5e-324, 1e-300, 1e-46, 1e-40])
async def test_a_figure_too_small_for_four_bytes_keeps_no_others_back(sockets, worker, value):
    socket, peer = await (await sockets.patient(await sockets.visit("admitted"))).hello(), RTCPeerConnection(NO_SERVERS)
    channel, _ = await monitored(socket, peer)
    for text in (json.dumps(json.loads(QUALITY) | {"level_in": value}), QUALITY):
        channel.send(text)
    await _stored(2)
    await peer.close()


@pytest.mark.skipif(not settings.REDIS_URL, reason="only Postgres refuses: runs in the suite on engines")
def test_a_sample_that_the_database_refuses_keeps_no_others_back(cast):
    now = bring_to("admitted", cast.clinician, cast.patient)
    good = protocol.parse_monitor(QUALITY)
    wide = structs.replace(good, width=70_000)
    samples = [(now.consult.pk, now.seat.pk, timezone.now(), figures, None) for figures in (good, good, wide, good)]
    leases.store(samples)
    assert QualitySample.objects.count() == 3


async def test_where_samples_cannot_be_stored_leases_are_renewed_all_the_same(sockets, worker, monkeypatch):
    now, peer = await sockets.visit("admitted"), RTCPeerConnection(NO_SERVERS)
    channel, _ = await monitored(await (await sockets.patient(now)).hello(), peer)

    async def refused(_samples):
        raise DataError

    until = database_sync_to_async(lambda: Consult.objects.get(pk=now.consult.pk).worker_until)
    with monkeypatch.context() as broken:
        broken.setattr(leases, "store_async", refused)
        channel.send(QUALITY)
        await asyncio.sleep(0.5)
        before = await until()
        await asyncio.sleep(0.5)
        assert await until() > before
    await _stored(1)
    await peer.close()
