"""Work outside requests. Tasks carry row ids, never anything about a patient, and are safe to run twice."""

import logging
from typing import Any
from uuid import UUID

from celery import shared_task
from django.core.management import call_command
from django.utils import timezone
from kombu.exceptions import OperationalError

from consults import alert_telling, alerts, audit_activity, audit_check, call_summary, concerns, mail, retention

logger = logging.getLogger(__name__)


def enqueue(task: Any, row_id: int | str) -> None:
    """Hand a row to Celery. When the broker is away the row waits for `sweep`; the person who asked does not."""
    try:
        task.delay(row_id)
    except OperationalError:
        logger.warning("the task queue is away; the sweep will take the work up")


@shared_task
def send_invitation(mail_id: int) -> None:
    mail.send(mail_id)


@shared_task
def tell_officers(concern_id: str) -> None:
    concerns.tell(UUID(concern_id))


@shared_task
def tell_operators(alert_id: str) -> None:
    alert_telling.tell(UUID(alert_id))


@shared_task
def watch_visits() -> None:
    """What only the database shows of open visits; the rest their workers see."""
    now = timezone.now()
    raised(alerts.look(now))
    alerts.note_round(now)


def raised(alert_ids: list[UUID]) -> None:
    """Tell the operators of what was raised just now."""
    for alert_id in alert_ids:
        enqueue(tell_operators, str(alert_id))


@shared_task
def sum_up_calls() -> None:
    call_summary.sum_up_ended()
    call_summary.drop_old_samples()


@shared_task
def sweep() -> None:
    """Take up what got lost: a broker that died has no memory, the database has."""
    for mail_id in mail.unsent():
        try:
            mail.send(mail_id)
        except Exception as error:  # one letter that cannot be made must not hold up all others
            logger.error("an invite could not be sent: %s", type(error).__name__)
    for concern_id in concerns.untold():
        try:
            concerns.tell(concern_id)
        except Exception as error:
            logger.error("a privacy officer could not be told: %s", type(error).__name__)
    for alert_id in alert_telling.untold(timezone.now()):
        try:
            alert_telling.tell(alert_id)
        except Exception as error:
            logger.error("the operators could not be told: %s", type(error).__name__)


@shared_task
def clear_sessions() -> None:
    call_command("clearsessions")


@shared_task
def check_log(check_id: str) -> None:
    audit_check.run(UUID(check_id))


@shared_task
def count_activity() -> None:
    audit_activity.keep_up()


@shared_task
def erase_due() -> None:
    retention.erase_due()
