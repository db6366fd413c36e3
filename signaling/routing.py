from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import URLRouter
from django.urls import path, re_path, register_converter
from django.urls.converters import StringConverter

from signaling.consumers import VisitConsumer
from signaling.dashboard import BoardConsumer, DashboardConsumer


class RoleConverter(StringConverter):
    regex = "clinician|patient"


class NowhereConsumer(AsyncWebsocketConsumer):
    """Unknown addresses are refused at the handshake; the router alone would raise, and log a trace."""

    async def connect(self) -> None:
        await self.close()


register_converter(RoleConverter, "role")

routes: list[Any] = [
    path("ws/visit/<uuid:consult_id>/<role:role>/", VisitConsumer.as_asgi()),
    path("ws/dashboard/", DashboardConsumer.as_asgi()),
    path("ws/board/", BoardConsumer.as_asgi()),
    re_path(r"", NowhereConsumer.as_asgi()),
]
router = URLRouter(routes)
