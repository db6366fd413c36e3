"""Hints that something changed. The database holds what; whoever gets a hint looks there, so a lost one only delays."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction
from redis.exceptions import RedisError

from consults.models import Consult

logger = logging.getLogger(__name__)

#: that anybody waits for a channel layer that does not answer
PATIENCE = 1.0


def consult_group(consult_id: object) -> str:
    return f"consult.{consult_id}"


def clinician_group(user_id: object) -> str:
    return f"clinician.{user_id}"


def board_group(clinic_id: object) -> str:
    return f"board.{clinic_id}"


def consult_changed(consult: Consult) -> None:
    """Tell, once the transaction is committed, everybody in the consult, the clinician's day, the clinic's board."""
    groups = (consult_group(consult.id), clinician_group(consult.clinician_id), board_group(consult.clinic_id))

    transaction.on_commit(lambda: async_to_sync(_send)(groups))


async def _send(groups: Iterable[str]) -> None:
    """The consult's own sockets first: people wait there. Where one is lost, sockets look at the database anyway."""
    for group in groups:
        if not await tell(group, {"type": "consult.changed"}):
            return


async def tell(group: str, message: dict[str, Any]) -> bool:
    """Say something to whoever is in a group. False where the channel layer is away: then nobody waits for it."""
    try:
        async with asyncio.timeout(PATIENCE):
            await get_channel_layer().group_send(group, message)
    except (OSError, RedisError) as error:  # also that it did not answer in time
        logger.warning("nothing could be said to others: %s", type(error).__name__)
        return False
    return True
