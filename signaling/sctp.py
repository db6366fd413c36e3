"""A guard before a leg's data channels: what a browser sends is looked at before aiortc takes it apart.

aiortc believes lengths and ranges that a packet names: a parameter of length 0 is read for ever, and one SACK can name
twenty million numbers. The packet comes over an authenticated leg, but any patient's page can send it, and the worker
has one loop for all.
"""

import logging
import struct
from collections.abc import Callable

from aiortc.rtcsctptransport import DataChunk, RTCSctpTransport

logger = logging.getLogger(__name__)

#: pieces that may wait for an unfinished message or an earlier piece; a whole message of ours is one piece
PIECES = 256
#: streams of one association; the monitor uses one
STREAMS = 16
#: bytes of a whole message; ours have at most 1 KiB
LARGEST_MESSAGE = 4096
#: numbers that one SACK may name: the worker never has more than a few pieces under way
ACKNOWLEDGED = 1024
_HEADER, _CHUNK, _INIT = 12, 4, 16


def harmless(packet: bytes) -> bool:
    """Whether each length in an SCTP packet holds and each range is short (RFC 9260, 3; RFC 3758, 3.2; RFC 6525, 4)."""
    at = _HEADER
    while at <= len(packet) - _CHUNK:
        kind, length = packet[at], int.from_bytes(packet[at + 2 : at + 4], "big")
        if length < _CHUNK or at + length > len(packet):
            return False
        look = _LOOKS.get(kind)
        if look and not look(packet[at + _CHUNK : at + length]):
            return False
        at += length + -length % 4
    return True


def _data(body: bytes) -> bool:
    return len(body) > 12


def _parameters(body: bytes) -> bool:
    at = 0
    while at <= len(body) - 4:
        length = int.from_bytes(body[at + 2 : at + 4], "big")
        if length < 4 or at + length > len(body):
            return False
        at += length + -length % 4
    return True


def _init(body: bytes) -> bool:
    return len(body) >= _INIT and _parameters(body[_INIT:])


def _sack(body: bytes) -> bool:
    if len(body) < 12:
        return False
    gaps, duplicates = struct.unpack_from("!HH", body, 8)
    if len(body) < 12 + 4 * (gaps + duplicates):
        return False
    ranges = [struct.unpack_from("!HH", body, 12 + 4 * number) for number in range(gaps)]
    named: int = sum(max(0, last - first + 1) for first, last in ranges)
    return named <= ACKNOWLEDGED


def _forward(body: bytes) -> bool:
    return (
        len(body) >= 4
        and len(body) % 4 == 0
        and all(int.from_bytes(body[at : at + 2], "big") < STREAMS for at in range(4, len(body), 4))
    )


#: DATA, INIT, INIT ACK, SACK; HEARTBEAT and its ACK, ABORT, ERROR, RE-CONFIG; FORWARD TSN
_LOOKS: dict[int, Callable[[bytes], bool]] = {
    **{0: _data, 1: _init, 2: _init, 3: _sack, 192: _forward},
    **dict.fromkeys((4, 5, 6, 9, 130), _parameters),
}


class GuardedSctp(RTCSctpTransport):
    """Data channels whose packets are looked at and whose unfinished messages are bounded.

    What is too much is not acknowledged: RFC 9260, 6.2.
    """

    async def _handle_data(self, data: bytes) -> None:
        if not harmless(data):
            return
        try:
            await super()._handle_data(data)
        except ConnectionError:
            raise
        except Exception as error:
            # It ends the leg, as it would without this; only then what the page sent would be printed into the log.
            logger.warning("a leg's data could not be read: %s", type(error).__name__)
            raise ConnectionError from None

    async def _receive_data_chunk(self, chunk: DataChunk) -> None:
        waiting = sum(len(stream.reassembly) for stream in self._inbound_streams.values())
        # Whole messages behind a piece that never comes wait nowhere, but their numbers do.
        if chunk.stream_id < STREAMS and max(waiting, len(self._sack_misordered)) < PIECES:
            await super()._receive_data_chunk(chunk)

    async def _receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        if len(data) <= LARGEST_MESSAGE:
            await super()._receive(stream_id, pp_id, data)
