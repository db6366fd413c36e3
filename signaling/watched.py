"""A socket that is looked at again and again: whoever may no longer be here is shut out within seconds."""

import asyncio
import contextlib
import logging

from channels.generic.websocket import AsyncWebsocketConsumer

logger = logging.getLogger(__name__)

LOOK_EVERY = 2.0
#: close codes (PROTOCOL.md)
BAD_FRAME, SIGNED_OUT, NOT_ALLOWED, REPLACED, OVER, TOO_FAST = 4400, 4401, 4403, 4409, 4410, 4429


class Watched(AsyncWebsocketConsumer):
    """A socket that is looked at again every two seconds, and at every hint."""

    ticker: asyncio.Task[None] | None = None

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self.look_again()
            except asyncio.CancelledError:
                raise
            except Exception:  # the database is away: the call goes on, the next look tries again
                logger.exception("a socket could not be looked at")

    async def look_again(self) -> None:
        raise NotImplementedError

    async def stop_watching(self) -> None:
        if self.ticker:
            self.ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.ticker
