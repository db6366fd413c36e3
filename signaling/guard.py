"""A guard before the worker's UDP ports: only addresses that passed ICE's own authentication get past it.

A browser's addresses are known before its first DTLS packet: they stand in the check list, which only authenticated
checks (RFC 8445, 7.3) or signalled candidates can extend. Whatever else arrives is dropped at the socket (OWASP ASVS
5.0, 17.2.4 to 17.2.7), and what may wait is bounded.
"""

import struct
from typing import Any

import aioice.ice
import aiortc.rtcpeerconnection
from aioice import stun
from aiortc.rtcsctptransport import DataChunk, RTCSctpTransport

#: more than a path's MTU is not ours
LARGEST = 2048
#: packets that may wait for DTLS; a handshake has a dozen
WAITING = 256
#: pieces of unfinished data-channel messages that may wait; a whole message of ours is one piece
PIECES = 256
#: streams of one association; the monitor uses one
STREAMS = 16
_ABOVE_STUN = 4  # RFC 7983: a first byte of 0 to 3 is STUN, DTLS and SRTP start higher


class GuardedProtocol(aioice.ice.StunProtocol):
    """An ICE socket that is deaf to strangers."""

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        if not isinstance(data, bytes) or not 0 < len(data) <= LARGEST:
            return
        if data[0] < _ABOVE_STUN:
            try:
                stun.parse_message(data)
            except (ValueError, KeyError, struct.error, IndexError):
                return
        elif not self._known((addr[0], addr[1])) or self.receiver._queue.qsize() > WAITING:
            return
        super().datagram_received(data, addr)

    def _known(self, addr: tuple[str, int]) -> bool:
        return any(pair.remote_addr == addr and pair.protocol is self for pair in self.receiver._check_list)


class GuardedSctp(RTCSctpTransport):
    """Data channels whose unfinished messages are bounded. What is too much is not acknowledged: RFC 9260, 6.2."""

    async def _receive_data_chunk(self, chunk: DataChunk) -> None:
        waiting = sum(len(stream.reassembly) for stream in self._inbound_streams.values())
        if chunk.stream_id < STREAMS and waiting < PIECES:
            await super()._receive_data_chunk(chunk)


def install() -> None:
    """Make every peer connection of this process use the guards."""
    aioice.ice.StunProtocol = GuardedProtocol
    aiortc.rtcpeerconnection.RTCSctpTransport = GuardedSctp
