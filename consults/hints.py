"""Hints that something changed. The database holds what; whoever gets a hint looks there, so a lost one only delays."""

import logging
from collections.abc import Iterable

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction
from redis.exceptions import RedisError

from consults.models import Consult

logger = logging.getLogger(__name__)


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
    """The consult's own sockets first: people wait there."""
    for group in groups:
        try:
            await get_channel_layer().group_send(group, {"type": "consult.changed"})
        except (OSError, RedisError):  # Redis is away: sockets look at the database every few seconds anyway
            logger.warning("a hint could not be sent: the channel layer is away")
