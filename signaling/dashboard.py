"""The sockets of staff's own pages: the clinician's day, and the live board."""

import asyncio
import logging
from typing import Any

from accounts.models import User
from consults.hints import board_group, clinician_group
from signaling import entry, protocol, watched
from signaling.ending import ended
from signaling.watched import SIGNED_OUT, Watched

logger = logging.getLogger(__name__)


class DashboardConsumer(Watched):
    """Tells a clinician's dashboard that something changed; the page fetches what it shows."""

    group = ""
    roles: tuple[str, ...] = (User.Role.CLINICIAN,)
    ticker: asyncio.Task[None] | None = None

    def group_of(self, user: User) -> str:
        return clinician_group(user.pk)

    async def connect(self) -> None:
        user = await entry.staff_async(self.scope)
        if user is None or user.role not in self.roles:
            await self.refuse()
            return
        self.group = self.group_of(user)
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()
        self.ticker = asyncio.create_task(self.watch())

    async def disconnect(self, code: int) -> None:
        if self.ticker:
            await ended(self.ticker)
        if self.group:
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(watched.LOOK_EVERY)
            try:
                await self.look_again()
            except Exception:  # the database is away: the next look tries again
                logger.exception("a socket could not be looked at")

    async def look_again(self) -> None:
        user = await entry.staff_async(self.scope)
        if user is None or user.role not in self.roles:
            await self.close(code=SIGNED_OUT)

    async def consult_changed(self, _event: dict[str, Any]) -> None:
        await self.send_text(protocol.encode({"kind": "changed"}))


class BoardConsumer(DashboardConsumer):
    """The same for the live board of a clinic."""

    roles = (User.Role.CLINICIAN, User.Role.OPERATOR)

    def group_of(self, user: User) -> str:
        return board_group(user.clinic_id)
