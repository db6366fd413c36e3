"""What one browser can make the worker do: little, and nothing for others to feel."""

import asyncio
from unittest.mock import Mock

import pytest
from aiortc.rtcsctptransport import DataChunk
from channels.db import database_sync_to_async

from accounts.models import User
from signaling.guard import PIECES, STREAMS, GuardedSctp
from signaling.legs import MonitorLeg
from signaling.sdp import BadDescription, candidate_allowed, check_description
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
