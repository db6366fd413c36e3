"""A bound on what one socket may have waiting in Daphne. Without one, a client that sends faster than its frames are
read fills the memory and takes the loop from everybody else before the consumer can say that it is too much."""

import logging
from typing import Any

from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol

from signaling.protocol import MAX_WAITING

logger = logging.getLogger(__name__)


class BoundedProtocol(WebSocketProtocol):
    """Drops the connection, without a word and at once, when its frames pile up."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if self.application_queue.qsize() >= MAX_WAITING:
            logger.warning("a socket was dropped: it sent faster than it was read")
            self.dropConnection(abort=True)
            return
        super().onMessage(payload, isBinary)


def install(factory: Any = WebSocketFactory) -> None:
    factory.protocol = BoundedProtocol
