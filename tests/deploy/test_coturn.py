"""coturn with the recipe's file: who gets a relay, and where it may not lead."""

import asyncio
import contextlib
import shutil
import signal
import socket
import ssl
import subprocess
import time
from unittest import mock

import pytest
from aioice import stun, turn

from signaling.ice import credentials
from telehealth import certificate
from tests.deploy.recipe import HOST, Box, until

pytestmark = pytest.mark.engines

#: One of each range that must stay closed.
DENIED = (
    "0.0.0.1", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.9.9.9", "169.254.169.254", "172.16.0.1", "172.31.255.254",
    "192.0.0.1", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1",
    "255.255.255.255",
)  # fmt: skip


#: Neighbours of those ranges, in the public internet. Asking for a channel sends nothing there.
OPEN = (
    "1.0.0.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "128.0.0.1", "169.253.255.255",
    "172.32.0.1", "192.169.0.1", "198.20.0.1", "223.255.255.254",
)  # fmt: skip


@pytest.fixture(scope="module")
def box(folder):
    """The recipe as it is."""
    with coturn(folder / "relay") as box:
        yield box


@contextlib.contextmanager
def coturn(folder, more="", address="127.0.0.1"):
    box = Box(folder)
    box.script("make-secrets")
    shutil.copytree(box.path("etc/telehealth/secrets"), box.path("etc/telehealth/turn"))
    renew(box, "first")
    conf = box.path("etc/turnserver.conf")
    text = box.path("opt/telehealth/deploy/coturn/turnserver.conf").read_text()
    for name, value in {"PUBLIC_IPV4": address, "TURN_SECRET": secret(box)}.items():
        text = text.replace(f"@{name}@", value)
    conf.write_text(text.replace("telehealth.example", HOST).replace("\nsyslog\n", "\nlog-file=stdout\n") + more)
    box.start_program("coturn", "turnserver", "-c", str(conf), "--pidfile=")
    try:
        until(lambda: is_open(box.ports["turns"], address), said=lambda: box.log("coturn"))
        yield box
    finally:
        box.stop_all()


def secret(box) -> str:
    return box.path("etc/telehealth/secrets/turn_secret").read_text().strip()


def renew(box, name) -> bytes:
    """What certbot's hook does: a new certificate in coturn's folder."""
    key, crt = certificate.ensure(box.path(name), HOST)
    shutil.copy(key, box.path("etc/telehealth/turn/privkey.pem"))
    shutil.copy(crt, box.path("etc/telehealth/turn/fullchain.pem"))
    return ssl.PEM_cert_to_DER_cert(crt.read_text())


def is_open(port, address="127.0.0.1") -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1):
        return True
    return False


def lasting(box, *, name="someone", seconds=600) -> tuple[str, str]:
    return credentials(name, secret(box), expires_at=int(time.time()) + seconds)


async def relay(box, given, protocol=asyncio.DatagramProtocol, **options):
    """An allocation; fails with the server's answer.

    Seen once in thousands: coturn challenges a request and never answers the signed one from the same port. Like a
    browser, which asks from several, a second port is tried; a refusal is an answer and ends it.
    """
    port = box.ports["turns" if options.get("ssl") else "turn"]
    username, password = given

    async def asked():
        endpoint = turn.create_turn_endpoint(
            protocol, ("127.0.0.1", port), username=username, password=password, **options
        )
        return await asyncio.wait_for(endpoint, 5)

    try:
        return await asked()
    except TimeoutError:
        return await asked()


async def ended(transport) -> None:
    transport.close()
    await asyncio.sleep(0.05)


def error_of(caught) -> int:
    return caught.value.response.attributes["ERROR-CODE"][0]


async def test_the_products_credentials_get_a_relay_in_the_recipes_ports(box):
    transport, _ = await relay(box, lasting(box))
    host, port = transport.get_extra_info("sockname")
    assert host == "127.0.0.1"
    assert 61000 <= port <= 64999
    await ended(transport)


async def test_tcp_and_tls_lead_to_a_relay_too(box):
    trusting = ssl.create_default_context(cafile=str(box.path("etc/telehealth/turn/fullchain.pem")))
    trusting.check_hostname = False  # the address is loopback here
    for options in ({"transport": "tcp"}, {"transport": "tcp", "ssl": trusting}):
        transport, _ = await relay(box, lasting(box), **options)
        await ended(transport)


async def test_wrong_and_expired_credentials_get_none(box):
    username, password = lasting(box)
    wrong = (
        (username, password[::-1]),
        (username + "x", password),
        credentials("someone", "another secret", expires_at=int(time.time()) + 600),
        lasting(box, seconds=-1),
        ("someone", password),
    )
    for given in wrong:
        with pytest.raises(stun.TransactionFailed) as caught:
            await relay(box, given)
        assert error_of(caught) == 401


async def test_a_relay_outlives_the_credentials_that_it_was_got_by(folder):
    """Who is in a call need not have moved to new ones in the very second; coturn knows its key as long as it lasts."""
    with coturn(folder / "outlived", more="\nstale-nonce=3\n") as box:
        given = lasting(box, seconds=8)  # longer than one try of `relay`
        transport, _ = await relay(box, given)
        inner = transport._TurnTransport__inner_protocol
        await asyncio.sleep(int(given[0].partition(":")[0]) + 2 - time.time())
        with pytest.raises(stun.TransactionFailed) as caught:
            await relay(box, given)
        assert error_of(caught) == 401
        nonce, more = inner.nonce, stun.Message(stun.Method.REFRESH, stun.Class.REQUEST)
        more.attributes["LIFETIME"] = 600
        answer, _ = await inner.request_with_retry(more)
        assert answer.attributes["LIFETIME"] == 600
        assert inner.nonce != nonce  # signed anew, by a nonce that is younger than the credentials' end
        await ended(transport)


@pytest.mark.parametrize("peer", DENIED)
async def test_a_relay_leads_to_no_special_address(box, peer):
    transport, _ = await relay(box, lasting(box, name=f"to-{peer}"))
    inner = transport._TurnTransport__inner_protocol
    with pytest.raises(stun.TransactionFailed) as caught:
        await inner.channel_bind(0x4000, (peer, 9))
    assert error_of(caught) == 403
    await ended(transport)


@pytest.mark.parametrize("peer", OPEN)
async def test_a_relay_leads_to_ordinary_addresses(box, peer):
    transport, _ = await relay(box, lasting(box, name=f"to-{peer}"))
    await transport._TurnTransport__inner_protocol.channel_bind(0x4000, (peer, 9))
    await ended(transport)


class Inbox(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.got: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, _from: object) -> None:
        self.got.put_nowait(data)


async def test_two_people_reach_each_other_by_their_relays(folder):
    """As in a network that lets nothing else through; only here loopback may be a peer."""
    with coturn(folder / "pair", more="\nallow-loopback-peers\nallowed-peer-ip=127.0.0.1\n") as box:
        sides = [await relay(box, lasting(box, name=name), protocol=Inbox) for name in ("patient", "clinician")]
        addresses = [transport.get_extra_info("sockname") for transport, _ in sides]
        for (transport, _), other in zip(sides, reversed(addresses), strict=True):
            transport.sendto(b"here", other)  # the first one asks for the channel
        await asyncio.sleep(0.3)
        for number, ((transport, _), other) in enumerate(zip(sides, reversed(addresses), strict=True)):
            transport.sendto(b"hello %d" % number, other)
        for number, (_, inbox) in enumerate(reversed(sides)):
            while await asyncio.wait_for(inbox.got.get(), 5) != b"hello %d" % number:
                pass
        for transport, _ in sides:
            await ended(transport)


async def test_ipv6_is_not_relayed_so_mapped_addresses_have_no_way_in(box):
    transport, _ = await relay(box, lasting(box, name="six"))
    inner = transport._TurnTransport__inner_protocol
    for peer in ("::1", "::ffff:127.0.0.1", "fd00::1", "fe80::1"):
        with pytest.raises(stun.TransactionFailed) as caught:
            await inner.channel_bind(0x4001, (peer, 9))
        assert error_of(caught) in (403, 443), peer
    await ended(transport)


#: what IPv4's special addresses are called in IPv6, and what is special there
DENIED_SIX = (
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1",
    "64:ff9b:1::a9fe:a9fe", "2001::1", "2002:7f00:1::1", "2001:db8::1", "::1", "fc00::1", "fd00::1", "fe80::1",
    "febf::1", "ff02::1",
)  # fmt: skip
#: neighbours of those
OPEN_SIX = ("::fffe:7f00:1", "::1:0:0:1", "64:ff9a::1", "64:ff9b:2::1", "2001:1::1", "2003::1", "2001:db9::1")


FAMILY = (0x0017, "REQUESTED-ADDRESS-FAMILY", stun.pack_unsigned, stun.unpack_unsigned)


class Six(turn.TurnClientUdpProtocol):
    """Asks for a relay of IPv6 (RFC 8656, 18.8), which aioice does not."""

    async def request(self, request):
        if request.message_method == stun.Method.ALLOCATE:
            request.attributes["REQUESTED-ADDRESS-FAMILY"] = 2 << 24
        return await super().request(request)


@pytest.fixture(scope="module")
def six(folder):
    """The recipe with a relay of IPv6, as an operator may want one; loopback is left to the ranges alone."""
    with (
        mock.patch.dict(stun.ATTRIBUTES_BY_NAME, {FAMILY[1]: FAMILY}),
        coturn(folder / "six", more="\nrelay-ip=::1\nallow-loopback-peers\n") as box,
    ):
        yield box


@contextlib.asynccontextmanager
async def relay_of_six(box, name):
    username, password = lasting(box, name=name)
    address = ("127.0.0.1", box.ports["turn"])
    options = {"username": username, "password": password, "lifetime": 600, "channel_refresh_time": 500}
    loop = asyncio.get_running_loop()
    transport, inner = await loop.create_datagram_endpoint(lambda: Six(address, **options), remote_addr=address)
    try:
        host, _ = await inner.connect()
        assert host == "::1"
        yield inner
        await inner.delete()
    finally:
        transport.close()


@pytest.mark.parametrize("peer", DENIED_SIX)
async def test_a_relay_of_ipv6_leads_to_no_special_address_by_another_name(six, peer):
    async with relay_of_six(six, f"to-{peer.replace(':', '-')}") as inner:
        with pytest.raises(stun.TransactionFailed) as caught:
            await inner.channel_bind(0x4000, (peer, 9))
        assert error_of(caught) == 403


@pytest.mark.parametrize("peer", OPEN_SIX)
async def test_a_relay_of_ipv6_leads_to_ordinary_addresses(six, peer):
    async with relay_of_six(six, f"to-{peer.replace(':', '-')}") as inner:
        await inner.channel_bind(0x4000, (peer, 9))


async def test_one_person_has_a_quota(box):
    kept = []
    try:
        for _ in range(12):
            kept.append((await relay(box, lasting(box, name="greedy")))[0])
        with pytest.raises(stun.TransactionFailed) as caught:
            await relay(box, lasting(box, name="greedy"))
        assert error_of(caught) == 486
        transport, _ = await relay(box, lasting(box, name="modest"))
        await ended(transport)
    finally:
        for transport in kept:
            transport.close()
        await asyncio.sleep(0.2)


async def test_answers_do_not_name_the_software(box):
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
        raw.setblocking(False)
        raw.connect(("127.0.0.1", box.ports["turn"]))
        question = bytes(stun.Message(stun.Method.BINDING, stun.Class.REQUEST))
        await loop.sock_sendall(raw, question)
        answer = await asyncio.wait_for(loop.sock_recv(raw, 2000), 5)
    attributes = stun.parse_message(answer).attributes
    assert "XOR-MAPPED-ADDRESS" in attributes
    assert "SOFTWARE" not in attributes
    assert len(answer) <= 4 * len(question)


def test_coturns_own_client_is_denied_its_peer_on_loopback(box):
    """The package's client allocates, and then may not send to the peer on this machine."""
    username, password = lasting(box, name="uclient")
    command = ["turnutils_uclient", "-y", "-c", "-n", "1", "-m", "1", "-p", str(box.ports["turn"])]
    command += ["-u", username, "-w", password, "127.0.0.1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    said = done.stdout + done.stderr
    assert "403 (Forbidden" in said, said[-1500:]


def test_old_tls_is_refused(box):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    # It says nothing to a version it does not speak.
    refused = pytest.raises((ssl.SSLError, ConnectionResetError, TimeoutError))
    with socket.create_connection(("127.0.0.1", box.ports["turns"]), timeout=1) as raw, refused:
        context.wrap_socket(raw)


def test_a_renewed_certificate_is_taken_up_while_calls_go_on(box):
    expected = renew(box, "second")
    box.running["coturn"].send_signal(signal.SIGUSR2)

    def shown() -> bool:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        raw = socket.create_connection(("127.0.0.1", box.ports["turns"]), timeout=5)
        with context.wrap_socket(raw) as secure:
            return secure.getpeercert(binary_form=True) == expected

    until(shown, within=10)
    assert box.running["coturn"].poll() is None


def test_the_administrators_port_is_closed(box):
    assert not is_open(5766)
