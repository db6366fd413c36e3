"""The worker's UDP ports are deaf to strangers: before the handshake, during it and in a running session."""

import asyncio
import contextlib
import os
import socket

import aioice.ice
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription

from signaling.guard import WAITING
from signaling.legs import NO_SERVERS, Leg, MonitorLeg
from signaling.protocol import MAX_CANDIDATES


def _record(kind: int, body: bytes) -> bytes:
    """A DTLS record in clear."""
    return bytes([kind, 254, 253]) + bytes(8) + len(body).to_bytes(2, "big") + body


#: nothing; bytes in each of the ranges that a demultiplexer knows (RFC 7983); too long; an alert; half a greeting
NOISE = [b"", os.urandom(1), bytes([0]) + os.urandom(40), bytes([1]), bytes([21]) + os.urandom(14)]
NOISE += [bytes([22]) + os.urandom(80), bytes([128]) + os.urandom(60), bytes([22]) * 4000]
NOISE += [_record(21, b"\x02\x28"), _record(22, b"\x01" + bytes(11) + os.urandom(60))]


def ports_of(answer: str) -> list[tuple[str, int]]:
    words = [line.split() for line in answer.splitlines() if line.startswith("a=candidate:")]
    ports = [(w[4], int(w[5])) for w in words if ":" not in w[4]]
    assert ports
    return ports


def make_noise(answer: str, rounds: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for _ in range(rounds):
            for port in ports_of(answer):
                for datagram in NOISE:
                    stranger.sendto(datagram, port)


async def _go_on(answer: str) -> None:
    while True:
        make_noise(answer, 2)
        await asyncio.sleep(0.002)


class Session:
    """A leg and a browser's end of it. `role`: which of DTLS the worker plays."""

    def __init__(self, role: str = "client", *, private: bool = False) -> None:
        self.role = role
        self.heard: list[str] = []
        self.leg = MonitorLeg(lambda _leg: None, self.heard.append, private=private)
        self.browser = RTCPeerConnection(NO_SERVERS)
        self.channel = self.browser.createDataChannel("monitor")
        self.opened = asyncio.Event()
        self.channel.on("open", self.opened.set)

    async def answer(self) -> str:
        await self.browser.setLocalDescription(await self.browser.createOffer())
        # As a browser does, which goes on telling addresses after its offer.
        offer = self.browser.localDescription.sdp.replace("a=end-of-candidates\r\n", "")
        assert "a=setup:actpass" in offer
        if self.role == "server":
            offer = offer.replace("a=setup:actpass", "a=setup:active")
        return await self.leg.answer(offer)

    async def accept(self, answer: str) -> None:
        assert f"a=setup:{'passive' if self.role == 'server' else 'active'}" in answer
        await self.browser.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await asyncio.wait_for(self.opened.wait(), 10)

    async def works(self) -> bool:
        """A message arrives; on a machine that is busy its datagram may be lost in the noise, and come again later."""
        self.channel.send("still here")
        for _ in range(600):
            if self.heard:
                return self.heard == ["still here"]
            await asyncio.sleep(0.02)
        return False

    @property
    def ice(self):
        return self.leg.pc.sctp.transport.transport._connection

    async def close(self) -> None:
        await self.browser.close()
        await self.leg.close("left")


@contextlib.asynccontextmanager
async def session(role: str = "client", *, private: bool = False):
    made = Session(role, private=private)
    try:
        yield made
    finally:
        await made.close()


async def _undisturbed(role: str) -> bool:
    async with session(role) as one:
        answer = await one.answer()
        make_noise(answer, 40)
        sprayer = asyncio.create_task(_go_on(answer))
        try:
            await one.accept(answer)
            make_noise(answer, 20)
            return await one.works() and one.ice.arrivals.dropped > 100
        finally:
            sprayer.cancel()
            await asyncio.wait({sprayer})


@pytest.mark.parametrize("batch", range(5))
@pytest.mark.parametrize("role", ["client", "server"])
async def test_noise_from_a_stranger_ends_nothing(role: str, batch: int) -> None:
    """Ten batches of five sessions: fifty of fifty, in both roles of DTLS."""
    assert await asyncio.gather(*(_undisturbed(role) for _ in range(5))) == [True] * 5


async def test_a_flood_before_the_answer_waits_nowhere() -> None:
    async with session() as one:
        answer = await one.answer()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for number in range(40_000):
                stranger.sendto(bytes([22]) + bytes(1199), ports_of(answer)[0])
                if number % 4 == 0:
                    await asyncio.sleep(0)
                    assert one.ice._queue.qsize() == 0
        assert one.ice.arrivals.dropped > 1000
        await one.accept(answer)
        assert await one.works()


async def test_what_an_address_of_the_browser_sends_waits_within_bounds() -> None:
    async with session() as one:
        await one.accept(await one.answer())
        pair = one.ice._nominated[1]
        for _ in range(WAITING * 4):
            pair.protocol.datagram_received(bytes([22]) * 100, pair.remote_addr)
        assert one.ice._queue.qsize() <= WAITING + 1
        await asyncio.sleep(0.2)
        assert await one.works()


async def test_what_came_is_counted_by_kind_and_no_stranger_is() -> None:
    async with session() as one:
        answer = await one.answer()
        make_noise(answer, 5)
        await asyncio.sleep(0.05)
        before = one.ice.arrivals
        assert (before.dtls, before.media) == (0, 0)  # its browser's first checks may have come
        assert before.dropped >= 5 * len(NOISE)
        await one.accept(answer)
        pair = one.ice._nominated[1]
        pair.protocol.datagram_received(bytes([128]) + bytes(60), pair.remote_addr)
        await one.leg.close("left")
        ended = one.leg.ended
        assert ended
        assert (ended.why, ended.media) == ("left", 1)
        assert min(ended.stun, ended.dtls, ended.dropped) > 0
        assert ended.last


def _check(called: str, password: str) -> bytes:
    message = aioice.stun.Message(aioice.stun.Method.BINDING, aioice.stun.Class.REQUEST)
    message.attributes.update(USERNAME=f"{called}:abcd", PRIORITY=1)
    message.attributes["ICE-CONTROLLING"] = 1
    message.add_message_integrity(password.encode())
    return bytes(message)


async def test_a_stranger_gets_no_answer_and_costs_no_look(monkeypatch) -> None:
    """Neither to a check of nobody's, nor to one that names the right user and cannot sign, nor to a bare request."""
    taken_apart, parse = [], aioice.stun.parse_message
    async with session() as one:
        answer = await one.answer()
        (name,) = {line[12:] for line in answer.splitlines() if line.startswith("a=ice-ufrag:")}
        monkeypatch.setattr(aioice.stun, "parse_message", lambda *w, **m: taken_apart.append(w[0]) or parse(*w, **m))
        nobody, forged = _check("nobody", "x" * 22), _check(name, "x" * 22)
        bare = bytes(aioice.stun.Message(aioice.stun.Method.BINDING, aioice.stun.Class.REQUEST))
        with _listener(ports_of(answer)[0][0]) as stranger:
            for datagram in (nobody, forged, bare):
                stranger.sendto(datagram, ports_of(answer)[0])
            await asyncio.sleep(0.3)
            assert not _heard(stranger)
        assert forged in taken_apart
        assert not {nobody, bare} & set(taken_apart)
        await one.accept(answer)
        assert await one.works()


# -- what is agreed on ----------------------------------------------------------------------------------------


async def test_the_handshake_is_of_today_and_each_leg_has_a_certificate_of_its_own() -> None:
    seen = set()
    for _ in range(20):
        async with session() as one:
            await one.accept(await one.answer())
            tls = one.leg.pc.sctp.transport._ssl
            assert tls.get_protocol_version_name() in ("DTLSv1.2", "DTLSv1.3")
            assert "GCM" in tls.get_cipher_name() or "CHACHA20" in tls.get_cipher_name()
            seen.add(next(f for f in one.leg.fingerprints if f.startswith("sha-256")))
    assert len(seen) == 20


# -- where the worker sends to --------------------------------------------------------------------------------


def _candidate(number: int, address: str, port: int) -> str:
    return f"candidate:{number} 1 udp {2_000_000 - number} {address} {port} typ host"


def _listener(address: str) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind((address, 0))
    listener.setblocking(False)
    return listener


def _heard(listener: socket.socket) -> bool:
    try:
        return bool(listener.recv(2048))
    except BlockingIOError:
        return False


async def test_nothing_is_sent_to_special_addresses() -> None:
    own = next(a for a in aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=False))
    with _listener("127.0.0.1") as special, _listener(own) as plain:
        async with session(private=True) as one:
            await one.browser.setLocalDescription(await one.browser.createOffer())
            sdp = "\r\n".join(
                line
                for line in one.browser.localDescription.sdp.split("\r\n")
                if not line.startswith(("a=candidate", "a=end-of"))
            )
            in_sdp = f"a={_candidate(1, '127.0.0.1', special.getsockname()[1])}"
            await one.leg.answer(sdp.replace("a=setup", f"{in_sdp}\r\na=setup", 1))
            await one.leg.add_candidate(_candidate(2, "127.0.0.1", special.getsockname()[1]), "0")
            await one.leg.add_candidate(_candidate(3, own, plain.getsockname()[1]), "0")
            for _ in range(100):
                if _heard(plain):
                    break
                await asyncio.sleep(0.02)
            else:
                pytest.fail("nothing was sent where it may be")
            await asyncio.sleep(0.3)
            assert not _heard(special)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "::1",
        "fe80::1",
        "::ffff:127.0.0.1",
        "::",
    ],
)
async def test_special_addresses_are_no_candidates(address: str) -> None:
    async with session(private=True) as one:
        await one.answer()
        known = len(one.ice.remote_candidates)
        await one.leg.add_candidate(_candidate(9, address, 9999), "0")
        assert len(one.ice.remote_candidates) == known


async def test_names_are_not_looked_up(monkeypatch) -> None:
    asked: list[str] = []

    async def resolver(_subscriber):
        asked.append("multicast")
        raise AssertionError

    monkeypatch.setattr(aioice.ice, "get_or_create_mdns_protocol", resolver)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *words, **_: asked.append(str(words)) or [])
    async with session(private=True) as one:
        await one.answer()
        known = len(one.ice.remote_candidates)
        for name in ("0b3f6e1c-7a0f-4d43-9c1f-1f1f1f1f1f1f.local", "metadata.internal", "localhost"):
            await one.leg.add_candidate(_candidate(9, name, 9999), "0")
        assert len(one.ice.remote_candidates) == known
    assert asked == []


INTERNAL = ["10.0.0.7", "172.16.0.9", "192.168.1.1", "100.64.0.1", "fc00::7", "64:ff9b::a00:7", "2002:a00:7::1"]


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("address", INTERNAL)
async def test_nobody_makes_the_worker_ask_inside_its_own_network(address: str, private: bool) -> None:
    async with session(private=private) as one:
        await one.answer()
        known = len(one.ice.remote_candidates)
        await one.leg.add_candidate(_candidate(9, address, 9999), "0")
        assert len(one.ice.remote_candidates) - known == private


async def test_a_browser_in_a_private_network_is_reached_by_its_own_checks() -> None:
    """All that it names is passed over, and it says that this was all."""
    async with session() as one:
        await one.browser.setLocalDescription(await one.browser.createOffer())
        offer = one.browser.localDescription.sdp
        assert "a=candidate:" in offer
        assert "a=end-of-candidates" in offer
        answer = await one.leg.answer(offer)
        assert one.ice.remote_candidates == []
        await one.accept(answer)
        assert await one.works()
        assert {c.type for c in one.ice.remote_candidates} == {"prflx"}


async def test_candidates_are_few_however_they_come() -> None:
    async with session(private=True) as one:
        await one.answer()
        for number in range(400):
            await one.leg.add_candidate(_candidate(number, f"198.51.100.{number % 250 + 1}", 2000 + number), "0")
        assert len(one.ice.remote_candidates) == MAX_CANDIDATES
        # Checks with the right password from ever more ports add none either.
        message = aioice.stun.Message(aioice.stun.Method.BINDING, aioice.stun.Class.REQUEST)
        message.attributes.update(USERNAME=f"{one.ice.local_username}:{one.ice.remote_username}", PRIORITY=1)
        message.attributes["ICE-CONTROLLING"] = 1
        message.add_message_integrity(one.ice.local_password.encode())
        for port in range(3000, 3200):
            one.ice._protocols[0].datagram_received(bytes(message), ("203.0.113.9", port))
        assert len(one.ice.remote_candidates) <= MAX_CANDIDATES


async def test_a_leg_that_never_connects_is_a_leg_too() -> None:
    leg = Leg(lambda _leg: None)
    await leg.close("failed")
    assert leg.ended
    assert (leg.ended.last, leg.ended.dtls) == (None, 0)
