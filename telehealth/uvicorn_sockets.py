"""WebSockets under uvicorn, the short way for what a page sends nearly always: one whole text frame.

uvicorn's own (websockets' Sans-I/O layer) takes most of the time that such a frame needs from one page to the other.
Everything else (the handshake, pings, closing, fragments, whatever is wrong) stays with it: it is given whole frames.
`uvicorn --ws telehealth.uvicorn_sockets:Sockets --ws-per-message-deflate false`
"""

import asyncio
import logging
from collections import deque
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from signaling.protocol import MAX_WAITING, Rate

try:
    from websockets.speedups import apply_mask
except ImportError:  # a machine that websockets has no compiled part for
    from websockets.utils import apply_mask

logger = logging.getLogger(__name__)

#: frames that may wait for the application before its page is not read on for the moment
ENOUGH_WAITING = 16
#: bytes that may wait for a page that does not read; who does not take so much is gone
MOST_UNREAD = 1024 * 1024
#: what goes the long way, a second and at once: frames or kilobytes. Of pings the application sees nothing to limit
LONG_PER_SECOND, LONG_AT_ONCE = 200, 400
#: seconds until a socket is let in, and until one that is closed is gone
OPEN_WITHIN, GONE_WITHIN = 20.0, 5.0
_NOT_UNDERSTOOD = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
#: RFC 6455, section 5.2: the last frame of a text; a mask follows; the length stands in two, or in eight more bytes
_WHOLE_TEXT, _LAST, _MASKED, _LONG, _LONGER = 0x81, 0x80, 0x80, 126, 127

#: sockets of this process that have something to send once everything at hand has been done
_full: list["Sockets"] = []


class Waiting:
    """Events for the one task that reads them: what asyncio's queue does for several is a tenth of a frame's time."""

    def __init__(self) -> None:
        self._events: deque[Any] = deque()
        self._reader: asyncio.Future[None] | None = None

    def qsize(self) -> int:
        return len(self._events)

    def empty(self) -> bool:
        return not self._events

    def put_nowait(self, event: Any) -> None:
        self._events.append(event)
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_result(None)

    async def get(self) -> Any:
        while not self._events:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        return self._events.popleft()


class Sockets(WebSocketsSansIOProtocol):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.queue = Waiting()  # type: ignore[assignment]
        #: of a frame whose end has not come yet
        self._begun = b""
        #: something came that is not for the short way: all that follows goes the long one
        self._long_way = False
        self._long = Rate(LONG_PER_SECOND, LONG_AT_ONCE, self.loop.time())
        self._unsent: list[bytes] = []
        self._late: asyncio.TimerHandle | None = None
        self._application, self.app = self.app, self._to_its_end

    async def _to_its_end(self, *given: Any) -> None:
        try:
            await self._application(*given)
        finally:
            self._send_now()  # the transport is closed next

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._late = self.loop.call_later(OPEN_WITHIN, self._give_up)

    def _give_up(self) -> None:
        if not self.handshake_complete:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unsent.clear()
        if self._late:
            self._late.cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Of one socket: what goes wrong with it may not keep the others from being told."""
        try:
            self._send_now()
            if self.handshake_initiated and self.conn.state in (State.CONNECTING, State.OPEN):
                super().shutdown()
            else:
                self.transport.close()
        except Exception:
            logger.exception("a socket could not be told that the server stops")
            self.transport.abort()
        self.loop.call_later(GONE_WITHIN, self.transport.abort)

    def keepalive_timeout(self) -> None:
        self.transport.abort()  # nobody is there to take a last word

    # -- from the page ---------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._begun:
            data, self._begun = self._begun + data, b""
        at = 0
        while at < len(data) and self._may_be_short and not self.transport.is_closing():
            end = self._end(data, at)
            if end > len(data):
                self._begun = data[at:]
                return
            if end > at:
                self._whole(data[at:end])
            at = end
        if at < len(data) and not self.transport.is_closing():
            self._by_the_library(data[at:])

    @property
    def _may_be_short(self) -> bool:
        is_open = self.handshake_complete and not self.close_sent and self.conn.state is State.OPEN
        return is_open and not self._long_way

    def _end(self, data: bytes, at: int) -> int:
        """Where the frame that begins here ends: beyond the data when more has to come, here when the way is long."""
        if len(data) < at + 2:
            return len(data) + 1
        length = data[at + 1] & ~_MASKED
        head = 6
        if length == _LONG:
            if len(data) < at + 4:
                return len(data) + 1
            head, length = 8, int.from_bytes(data[at + 2 : at + 4], "big")
        # Fragments, huge frames, such without a mask: the library puts them together or says what is wrong with them.
        self._long_way |= not data[at] & _LAST or not data[at + 1] & _MASKED or length == _LONGER
        self._long_way |= length > (self.config.ws_max_size or 0)
        return at if self._long_way else at + head + length

    def _whole(self, frame: bytes) -> None:
        if frame[0] != _WHOLE_TEXT:
            self._by_the_library(frame)
            return
        head = 8 if frame[1] & ~_MASKED == _LONG else 6
        try:
            text = apply_mask(frame[head:], frame[head - 4 : head]).decode()
        except UnicodeDecodeError:
            self._by_the_library(frame)
            return
        if self.queue.qsize() >= MAX_WAITING:
            self._drop()
            return
        self.queue.put_nowait({"type": "websocket.receive", "text": text})
        if self.queue.qsize() > ENOUGH_WAITING and not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def _drop(self) -> None:
        """At once and without a word."""
        if not self.transport.is_closing():
            logger.warning("a socket was dropped: it sent faster than it was read")
            self.transport.abort()

    def _by_the_library(self, data: bytes) -> None:
        self._send_now()  # its answer comes after what was said before
        if self._is_deaf or not all(self._long.take(self.loop.time()) for _ in range(1 + len(data) // 1024)):
            self._drop()
            return
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            # The library takes what is no handshake to it without a word, and would wait for ever.
            self.handshake_complete = self.close_sent = True
            self.transport.write(_NOT_UNDERSTOOD)
            self.transport.close()
        if len(self.frames) >= MAX_WAITING:
            self._drop()
        if self.transport.is_closing():
            self.loop.call_later(GONE_WITHIN, self.transport.abort)

    def send_receive_event_to_app(self) -> None:
        if self.queue.qsize() >= MAX_WAITING:
            self._drop()
        else:
            super().send_receive_event_to_app()

    # -- to the page -----------------------------------------------------------------------------------

    async def send(self, message: Any) -> None:
        """Waits for nobody: what a page does not read is kept up to a limit, and beyond it the page is dropped."""
        if self.disconnected or self.close_sent or (self.handshake_complete and self.conn.state is not State.OPEN):
            return  # as with Daphne: the event that says so is on its way
        if self._is_deaf or (message["type"] == "websocket.close" and not self.writable.is_set()):
            self.transport.abort()
        elif self.handshake_complete and (text := message.get("text")) is not None:
            self._put(text.encode())
        else:
            self._send_now()
            await super().send(message)

    @property
    def _is_deaf(self) -> bool:
        return not self.writable.is_set() and self.transport.get_write_buffer_size() > MOST_UNREAD

    def _put(self, body: bytes) -> None:
        if not self._unsent:
            # Together, when everything at hand has been done: a write wakes whoever sleeps at the other end.
            if not _full:
                self.loop.call_soon(_send_all)
            _full.append(self)
        self._unsent += (_head(len(body)), body)

    def _send_now(self) -> None:
        frames, self._unsent = self._unsent, []
        # uvloop raises where something is written to what is gone.
        if frames and not self.disconnected and not self.transport.is_closing():
            self.transport.write(b"".join(frames))


def _send_all() -> None:
    sockets = _full.copy()
    _full.clear()
    for one in sockets:
        one._send_now()


def _head(size: int) -> bytes:
    """Of a text frame from a server, which masks nothing."""
    if size < _LONG:
        return bytes((_WHOLE_TEXT, size))
    if size < 2**16:
        return bytes((_WHOLE_TEXT, _LONG)) + size.to_bytes(2, "big")
    return bytes((_WHOLE_TEXT, _LONGER)) + size.to_bytes(8, "big")
