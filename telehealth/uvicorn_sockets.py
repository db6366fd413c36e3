"""WebSockets under uvicorn: the short way past its own layer for what a page sends nearly always, one whole text frame.

uvicorn's own (websockets' Sans-I/O layer) takes most of the time that such a frame needs from one page to the other.
Everything else (the handshake, pings, closing, fragments, whatever is wrong) stays with it: it is given whole frames.
`uvicorn --ws telehealth.uvicorn_sockets:Sockets --ws-per-message-deflate false`
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from signaling.protocol import MAX_UNREAD, MAX_WAITING, Rate
from signaling.short_way import EXTENSION, REST, Rest, heard
from telehealth import text_frames

logger = logging.getLogger(__name__)

#: frames that may wait for the application before its page is not read on for the moment
ENOUGH_WAITING = 16
#: what goes the long way, a second and at once: frames or kilobytes. Of pings the application sees nothing to limit
LONG_PER_SECOND, LONG_AT_ONCE = 200, 400
#: seconds until a socket is let in, and until one that is closed is gone
OPEN_WITHIN, GONE_WITHIN = 20.0, 5.0
_NOT_UNDERSTOOD = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

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
    """Offers its consumer `signaling.short_way.ShortWay`."""

    hears: Callable[[str], Rest] | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.queue = Waiting()  # type: ignore[assignment]
        #: of a frame whose end has not come yet; the last of what came before the socket was open
        self._begun, self._before = b"", b""
        #: something came that is not for the short way: all that follows goes the long one
        self._long_way = False
        self._long = Rate(LONG_PER_SECOND, LONG_AT_ONCE, self.loop.time())
        self._unsent: list[bytes] = []
        #: what was written waits for its page
        self._is_slow = False
        self._late: asyncio.TimerHandle | None = None
        self._application, self.app = self.app, self._to_its_end

    async def _to_its_end(self, scope: Any, *given: Any) -> None:
        scope["extensions"][EXTENSION] = self
        try:
            await self._application(scope, *given)
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
        while at < len(data) and self._may_be_short:
            size = text_frames.size(data, at, self.config.ws_max_size or 0)
            if size == text_frames.NOT_SHORT:
                self._long_way = True
                break
            if size == text_frames.MORE or at + size > len(data):
                self._begun = data[at:]
                return
            self._whole(data[at : at + size])
            at += size
        if at < len(data) and not self.transport.is_closing():
            self._by_the_library(data[at:])

    @property
    def _may_be_short(self) -> bool:
        return self.handshake_complete and not self._long_way and not self._is_over

    def _whole(self, frame: bytes) -> None:
        if (text := text_frames.text(frame)) is None:
            self._by_the_library(frame)
        elif self.hears is not None and self.queue.empty():
            if (rest := heard(self.hears, text)) is not None:
                self.queue.put_nowait({"type": REST, "rest": rest})  # type: ignore[arg-type]
        elif self.queue.qsize() >= MAX_WAITING:
            self._drop()
        else:
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
        if not self.handshake_complete:
            # Nobody may say anything before he is let in. Who does has perhaps begun a frame there, and to the library.
            self._long_way |= self.handshake_initiated or (self._before + data).partition(b"\r\n\r\n")[2] != b""
            self._before = (self._before + data)[-3:]
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
        if self.handshake_complete and (text := message.get("text")) is not None:
            self.say(text)
        elif self._is_over or (self.handshake_complete and self.conn.state is not State.OPEN):
            return  # as with Daphne: the event that says so is on its way
        else:
            self._send_now()
            if self._is_deaf or (message["type"] == "websocket.close" and self._is_slow):
                self.transport.abort()
            else:
                await super().send(message)

    def say(self, text: str) -> None:
        if self._is_over or not self.handshake_complete:
            return
        if self._is_deaf:
            self.transport.abort()
            return
        if not self._unsent:
            # Together, when everything at hand has been done: a write wakes whoever sleeps at the other end.
            if not _full:
                self.loop.call_soon(_send_all)
            _full.append(self)
        body = text.encode()
        self._unsent += (text_frames.head(len(body)), body)

    @property
    def _is_over(self) -> bool:
        return self.close_sent or self.disconnected or self.transport.is_closing()

    @property
    def _is_deaf(self) -> bool:
        return self._is_slow and self.transport.get_write_buffer_size() > MAX_UNREAD

    def pause_writing(self) -> None:
        super().pause_writing()
        self._is_slow = True

    def resume_writing(self) -> None:
        super().resume_writing()
        self._is_slow = False

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
