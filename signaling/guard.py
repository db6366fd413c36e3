"""A guard before the worker's UDP ports: only addresses that passed ICE's own authentication get past it.

A browser's addresses are known before its first DTLS packet: they stand in the check list, which only authenticated
checks (RFC 8445, 7.3) or signalled candidates can extend. Whatever else arrives is dropped at the socket (OWASP ASVS
5.0, 17.2.4 to 17.2.7), and what may wait is bounded. What comes past it is counted by kind, before anything reads it.
"""

import struct
import time
from typing import Any

import aioice.ice
import aiortc.rtcicetransport
import aiortc.rtcpeerconnection
from aioice import Candidate, stun

from signaling.protocol import MAX_CANDIDATES, Rate
from signaling.sctp import GuardedSctp
from signaling.sdp import address_allowed

#: more than a path's MTU is not ours
LARGEST = 2048
#: packets that may wait for DTLS; a handshake has a dozen
WAITING = 256
#: datagrams that a browser may send on one leg, ICE's and others counted apart: a voice has a hundred a second
A_SECOND, AT_ONCE = 400, 1000
#: seconds after which this machine's addresses are asked for again
ADDRESSES_HOLD = 3.0
#: RFC 7983: a first byte of 0 to 3 is STUN, 20 to 63 DTLS, 128 to 191 SRTP and SRTCP
_ABOVE_STUN, _DTLS, _MEDIA = 4, range(20, 64), range(128, 192)
_COOKIE = b"\x21\x12\xa4\x42"


class Arrivals:
    """What came to a leg's sockets: datagrams of its browser by kind, when the last one came, strangers' by number."""

    __slots__ = ("dropped", "dtls", "last", "media", "stun")

    def __init__(self) -> None:
        self.stun = self.dtls = self.media = self.dropped = 0
        self.last: float | None = None


class GuardedConnection(aioice.ice.Connection):
    """An ICE connection that counts, takes few candidates, resolves no names, and is sent nowhere special."""

    def __init__(self, *words: Any, **more: Any) -> None:
        super().__init__(*words, **more)
        self.arrivals = Arrivals()
        self.rates = [Rate(A_SECOND, AT_ONCE, time.monotonic()) for _ in range(2)]
        #: how each check of our browser begins to name its user (RFC 8445, 7.2.2); a stranger never saw it
        self.called = f"{self.local_username}:".encode()

    async def add_remote_candidate(self, remote_candidate: Candidate | None) -> None:
        if remote_candidate is not None and (
            len(self._remote_candidates) >= MAX_CANDIDATES
            or not address_allowed(remote_candidate.host, host_names=False)
        ):
            return
        await super().add_remote_candidate(remote_candidate)

    def request_received(self, message: stun.Message, addr: tuple[str, int], protocol: aioice.ice.StunProtocol) -> None:
        # Whoever knows the leg's password may still not make it send to ever more addresses.
        known = any(c._network_host == addr[0] and c.port == addr[1] for c in self._remote_candidates)
        if known or len(self._remote_candidates) < MAX_CANDIDATES:
            super().request_received(message, addr, protocol)

    def respond_error(self, request: stun.Message, addr: Any, protocol: Any, error_code: tuple[int, str]) -> None:
        # Whoever could not say who she is gets no answer: these ports reflect nothing.
        if error_code[0] not in (400, 401):
            super().respond_error(request, addr, protocol, error_code)


class GuardedProtocol(aioice.ice.StunProtocol):
    """An ICE socket that is deaf to strangers."""

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        arrivals = self.receiver.arrivals
        if not isinstance(data, bytes) or not 0 < len(data) <= LARGEST:
            arrivals.dropped += 1
            return
        first, source = data[0], (addr[0], addr[1])
        known, ice = self._known(source), first < _ABOVE_STUN
        if known and not self.receiver.rates[ice].take(time.monotonic()):
            arrivals.dropped += 1
            return
        if ice:
            # Looked at before it is taken apart: no flood has the cookie and the name that only our browser was told.
            ours = data[4:8] == _COOKIE and (known or self.receiver.called in data)
            if len(data) % 4 or not ours or not _is_stun(data):
                arrivals.dropped += 1
                return
            arrivals.stun += known
        elif not known or self.receiver._queue.qsize() > WAITING:
            arrivals.dropped += 1
            return
        else:
            arrivals.dtls += first in _DTLS
            arrivals.media += first in _MEDIA
        if known:
            arrivals.last = time.time()
        super().datagram_received(data, addr)

    def _known(self, addr: tuple[str, int]) -> bool:
        return any(pair.remote_addr == addr and pair.protocol is self for pair in self.receiver._check_list)


def _is_stun(data: bytes) -> bool:
    try:
        stun.parse_message(data)
    except (ValueError, KeyError, struct.error, IndexError):
        return False
    return True


class OwnAddresses:
    """This machine's addresses, asked of the kernel every few seconds and not for every leg."""

    def __init__(self) -> None:
        self._found: dict[tuple[bool, bool], tuple[float, list[str]]] = {}
        self._ask = aioice.ice.get_host_addresses

    def __call__(self, use_ipv4: bool, use_ipv6: bool) -> list[str]:
        now, key = time.monotonic(), (use_ipv4, use_ipv6)
        if key not in self._found or now - self._found[key][0] > ADDRESSES_HOLD:
            self._found[key] = (now, self._ask(use_ipv4, use_ipv6))
        return list(self._found[key][1])


def install() -> None:
    """Make every peer connection of this process use the guards."""
    aioice.ice.StunProtocol = GuardedProtocol
    aioice.ice.get_host_addresses = OwnAddresses()
    aiortc.rtcicetransport.Connection = GuardedConnection
    aiortc.rtcpeerconnection.RTCSctpTransport = GuardedSctp
