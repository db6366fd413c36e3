"""Hints that something changed. The database holds what; whoever gets a hint looks there, so a lost one only delays."""

import logging

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

    def send() -> None:
        for group in groups:
            _send(group, {"type": "consult.changed"})

    transaction.on_commit(send)


def _send(group: str, message: dict[str, str]) -> None:
    try:
        async_to_sync(get_channel_layer().group_send)(group, message)
    except (OSError, RedisError):  # Redis is away: sockets look at the database every few seconds anyway
        logger.warning("a hint could not be sent: the channel layer is away")
