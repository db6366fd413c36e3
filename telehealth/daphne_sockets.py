"""WebSockets under Daphne: the short way past autobahn for whole text frames, and bounds on what may wait.

Without the bounds, a client that sends faster than its frames are read fills the memory and takes the loop from
everybody else before the consumer can say that it is too much; so does one that does not read what it is sent.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from daphne.server import Server
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol

from signaling.protocol import MAX_FRAME, MAX_UNREAD, MAX_WAITING
from signaling.short_way import EXTENSION, REST, Rest, heard
from telehealth import text_frames

logger = logging.getLogger(__name__)


class BoundedProtocol(WebSocketProtocol):
    """Drops the connection, without a word and at once, when its frames pile up. Offers its consumer a `ShortWay`."""

    hears: Callable[[str], Rest] | None = None
    #: bytes written since its page stopped taking them; None while it takes them
    unread: int | None = None
    is_dropped = False

    def onOpen(self) -> None:
        # Whoever is registered is told when the page does not read. So far that was the HTTP channel, which is done.
        self.unregisterProducer()
        self.registerProducer(self, True)
        super().onOpen()

    def pauseProducing(self) -> None:
        # Over TCP alone Twisted says it again at every write.
        if self.unread is None:
            self.unread = 0

    def resumeProducing(self) -> None:
        self.unread = None

    def stopProducing(self) -> None:
        """It is gone."""

    def dataReceived(self, data: bytes) -> None:
        """Whole text frames past the library, which takes most of the time that one needs from page to page."""
        at = 0
        while at < len(data) and self._may_be_short:
            size = text_frames.size(data, at, MAX_FRAME)
            if size <= 0 or at + size > len(data) or (text := text_frames.text(data[at : at + size])) is None:
                break
            self._heard(text)
            at += size
        if at < len(data):
            super().dataReceived(data[at:])

    @property
    def _may_be_short(self) -> bool:
        if not self._is_awaited or self.autoPingTimeoutCall:
            return False
        return not (self.data or self.current_frame or self.inside_message)

    @property
    def _is_awaited(self) -> bool:
        return self.state == self.STATE_OPEN and self.hears is not None and self.application_queue.empty()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if self._is_awaited and not isBinary:
            self._heard(payload.decode())
        elif self.application_queue.qsize() >= MAX_WAITING:
            logger.warning("a socket was dropped: it sent faster than it was read")
            self.dropConnection(abort=True)
        else:
            super().onMessage(payload, isBinary)

    def _heard(self, text: str) -> None:
        self.last_ping = time.time()
        if self.hears and (rest := heard(self.hears, text)) is not None:
            self.application_queue.put_nowait({"type": REST, "rest": rest})

    def say(self, text: str) -> None:
        if self.state == self.STATE_OPEN:
            body = text.encode()
            self._write(text_frames.head(len(body)) + body)

    def serverSend(self, content: Any, binary: bool = False) -> None:
        if self.state == self.STATE_OPEN:  # else the event that says that it is gone is on its way
            super().serverSend(content, binary)

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        if self.unread is None:
            super().sendData(data, sync, chopsize)
        else:
            self._write(data)

    def _write(self, data: bytes) -> None:
        """What a page does not read is kept up to a limit, and beyond it the page is dropped."""
        if self.unread is not None:
            self.unread += len(data)
        if self.unread is None or self.unread <= MAX_UNREAD:
            self.transport.write(data)
        elif not self.is_dropped:
            # Not by `dropConnection`: autobahn may be in the middle of its own last word.
            self.is_dropped = True
            logger.warning("a socket was dropped: it did not read")
            self.transport.abortConnection()

    def serverClose(self, code: int | None = None) -> None:
        # Autobahn's own way takes no 1013, "try again later", which was registered after it was written.
        self.sendCloseFrame(code=code or 1000)


_create_application = Server.create_application


def _with_the_short_way(server: Server, protocol: Any, scope: dict[str, Any]) -> Any:
    if isinstance(protocol, BoundedProtocol):
        scope["extensions"] = {EXTENSION: protocol}
    return _create_application(server, protocol, scope)


def install() -> None:
    WebSocketFactory.protocol = BoundedProtocol
    Server.create_application = _with_the_short_way
