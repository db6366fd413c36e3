"""What the product's relay stands beside, and the product itself without its limit on one socket's frames."""

import os
from importlib import import_module
from typing import Any

WHICH = os.environ.get("RELAY_APP", "")

if WHICH == "bare":
    here: dict[str, Any] = {}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        """As little as ASGI allows: what comes in goes out at the other side."""
        own = scope["path"]
        other = own[:-1] + ("b" if own[-1] == "a" else "a")
        await receive()
        await send({"type": "websocket.accept"})
        here[own] = send
        while (message := await receive())["type"] == "websocket.receive":
            await here[other]({"type": "websocket.send", "text": message["text"]})

elif WHICH == "groups":
    from channels.generic.websocket import AsyncWebsocketConsumer
    from channels.routing import ProtocolTypeRouter
    from django.conf import settings

    layer = {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [os.environ["RELAY_REDIS"]]},
    }
    settings.configure(CHANNEL_LAYERS={"default": layer}, DATABASES={})

    class Group(AsyncWebsocketConsumer):
        """As the documentation of Channels does it: each side in a group, a message to the other's."""

        async def connect(self) -> None:
            own = self.scope["path"].strip("/").replace("/", ".")
            self.own, self.other = own, own[:-1] + ("b" if own[-1] == "a" else "a")
            await self.channel_layer.group_add(self.own, self.channel_name)
            await self.accept()

        async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            await self.channel_layer.group_send(self.other, {"type": "passed.on", "text": text_data})

        async def passed_on(self, event: dict[str, Any]) -> None:
            await self.send(text_data=event["text"])

    application = ProtocolTypeRouter({"websocket": Group.as_asgi()})  # type: ignore[assignment]

elif WHICH == "product":
    application = import_module("telehealth.asgi").application  # sets Django up, so it comes first
    consumers = import_module("signaling.consumers")
    # One client may send 40 frames a second; here it stands for as many as the server can take.
    consumers.FRAMES_PER_SECOND = consumers.FRAMES_AT_ONCE = consumers.ADDRESSES_PER_SECOND = 1_000_000
