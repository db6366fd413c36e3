"""What all sockets have in common: their loop, their close codes, and how often each is looked at, so that whoever may
no longer be here is shut out within seconds.
"""

import asyncio
import logging
from functools import partial
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import get_channel_layer
from django.db import DatabaseError

from signaling import entry
from signaling.ending import ended
from signaling.short_way import REST, Rest, ShortWay, offered

logger = logging.getLogger(__name__)

LOOK_EVERY = 2.0
#: close codes (PROTOCOL.md), the last one of RFC 6455's register
BAD_FRAME, SIGNED_OUT, NOT_ALLOWED, REPLACED, OVER, TOO_FAST, LATER = 4400, 4401, 4403, 4409, 4410, 4429, 1013


class Watched(AsyncWebsocketConsumer):
    """A socket that is looked at again every two seconds (`lookout`, `DashboardConsumer.watch`), and at every hint."""

    way: ShortWay | None = None
    #: nothing that comes is listened to any more
    closing = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """In place of Channels' loop, which takes a thread and two tasks a frame. What touches the database goes
        through `database_sync_to_async`, which closes old connections itself.
        """
        self.scope, self.base_send, self.way = scope, send, offered(scope)
        self.channel_layer = get_channel_layer()
        self.channel_name = await self.channel_layer.new_channel()
        # A task of its own: a frame then does not pass through every application around this one first.
        await asyncio.create_task(self._serve(receive))

    async def _serve(self, receive: Any) -> None:
        hints: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        # Two tasks: the layer lets go of a channel only where it is cancelled while it waits for that channel.
        tasks = [asyncio.create_task(work) for work in (self._hear(hints), self._follow(hints))]
        code = 1005
        try:
            while (message := await self._next(receive))["type"] != "websocket.disconnect":
                if message["type"] == "websocket.receive":
                    await self.receive(message.get("text"), message.get("bytes"))
                elif message["type"] == REST:
                    await message["rest"]()
                elif message["type"] == "websocket.connect":
                    await self.connect()
            code = message.get("code", code)
        finally:
            for task in tasks:
                task.cancel()
            await self.disconnect(code)  # also where a handler failed, and nobody was told of a disconnect
            await ended(*tasks)

    async def _next(self, receive: Any) -> Any:
        """The next event. Only while this waits, and nothing is under way, may frames come the short way."""
        if self.way is None or self.closing:
            return await receive()
        self.way.hears = self.hear
        try:
            return await receive()
        finally:
            self.way.hears = None

    def hear(self, text: str | None) -> Rest:
        """A frame, carried out but for what has to wait for something, which is given back. None: it was not text."""
        return partial(self.close, code=BAD_FRAME)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if (rest := self.hear(text_data)) is not None:
            await rest()

    async def send_text(self, text: str) -> None:
        if self.way is not None:
            self.way.say(text)
        else:
            await self.base_send({"type": "websocket.send", "text": text})

    async def _hear(self, hints: "asyncio.Queue[dict[str, Any]]") -> None:
        while True:
            try:
                hints.put_nowait(await self.channel_layer.receive(self.channel_name))
            except Exception as error:  # not sealed by this product; the next hint may be
                logger.error("a hint could not be read: %s", type(error).__name__)

    async def _follow(self, hints: "asyncio.Queue[dict[str, Any]]") -> None:
        handlers = {"consult.changed": "consult_changed", "worker.frame": "worker_frame"}
        while True:
            message = await hints.get()
            try:
                await getattr(self, handlers[message["type"]])(message)
            except Exception:
                # A hint that is lost only delays: the clock looks again.
                logger.exception("a hint could not be followed")

    async def refuse(self) -> None:
        """Shut before it opens; the page learns nothing, the log learns who asked."""
        try:
            await entry.refused_async(self.scope)
        except DatabaseError:
            logger.exception("a refused socket could not be written down")
        await self.close()
