"""Which pages may open sockets: those of our own origin, compared letter by letter."""

from collections.abc import Iterable
from typing import Any

from channels.security.websocket import WebsocketDenier


class ExactOrigin:
    """Refuses a handshake whose `Origin` is not one of `allowed` (RFC 6455, 10.2).

    Nothing is parsed: an odd port or bracket in the header is just another origin, and no error.
    """

    def __init__(self, application: Any, allowed: Iterable[str]) -> None:
        self.application = application
        # Browsers leave the default port out (RFC 6454, 6.1).
        self.allowed = {origin.lower().removesuffix(":443").encode() for origin in allowed}

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        if len(origins) == 1 and origins[0] in self.allowed:
            return await self.application(scope, receive, send)
        return await WebsocketDenier()(scope, receive, send)
