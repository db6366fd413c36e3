"""Telling the operators of an alert, by e-mail and by a signed POST to an address of theirs: at least once by each."""

import hashlib
import hmac
import json
import logging
import ssl
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.core.cache import cache
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.models import User
from consults import alerts
from consults.alert_words import said, short
from consults.quality_models import Alert
from vault.exchange import NoAnswer, post
from vault.models import AuditEntry

logger = logging.getLogger(__name__)

GIVE_UP_AFTER = 10
#: to connect, and as long again for the whole answer
TIMEOUT_SECONDS = 5.0
#: after which what nobody was told of is taken up again; twice that after each failure
TAKE_UP_AFTER = timedelta(minutes=1)
#: a sender that has not come back after this is dead
CLAIM = timedelta(minutes=2)
#: seconds for which a way that failed is left alone, so that a dead place costs one try a minute and not one an alert
REST_SECONDS = 60


class Way(NamedTuple):
    field: str
    on: Callable[[], bool]
    #: whether there was anybody to tell
    send: Callable[[Alert], bool]


def tell(alert_id: UUID) -> None:
    """By each way until it went out once. Safe to run twice and side by side: whoever claims the row sends.

    No row is locked while the other side is waited for: a visit must be able to end meanwhile.
    """
    alert = _claim(alert_id, timezone.now())
    if alert is None:
        return
    try:
        for way in WAYS:
            if way.on() and getattr(alert, way.field) is None and not cache.get(_resting(way)):
                _try(alert, way)
    finally:
        Alert.objects.filter(pk=alert_id).update(trying_since=None)


def _claim(alert_id: UUID, now: datetime) -> Alert | None:
    free = Q(trying_since=None) | Q(trying_since__lt=now - CLAIM)
    if not Alert.objects.filter(_untold(), free, pk=alert_id).update(trying_since=now):
        return None
    alert = Alert.objects.select_related("consult__clinic").get(pk=alert_id)
    if _too_many(alert, now):
        Alert.objects.filter(pk=alert_id).update(trying_since=None)
        return None
    return alert


def _too_many(alert: Alert, now: datetime) -> bool:
    """What browsers measure could be made up: of that a clinic is told a bounded number an hour. The rest waits."""
    if alert.kind in alerts.BY_STATE:
        return False
    told = Q(mailed_at__gt=now - timedelta(hours=1)) | Q(hooked_at__gt=now - timedelta(hours=1))
    measured = Alert.objects.filter(told, consult__clinic=alert.consult.clinic_id).exclude(kind__in=alerts.BY_STATE)
    return bool(measured.exclude(pk=alert.pk).count() >= settings.WATCH_TELL_AN_HOUR)


def _try(alert: Alert, way: Way) -> None:
    name = way.field.removesuffix("ed_at")
    try:
        told = way.send(alert)
    except (
        OSError,
        NoAnswer,
    ) as error:  # every failure to reach or please the mail server (smtplib's too) or the webhook
        cache.set(_resting(way), True, REST_SECONDS)
        logger.warning("the operators could not be told by %s: %s", name, type(error).__name__)
        with transaction.atomic():
            alert.failures += 1
            alert.save(update_fields=["failures"])
            alerts.note("watch.told", alert.consult, alert, way=name, outcome=AuditEntry.Outcome.FAILED)
        return
    with transaction.atomic():
        setattr(alert, way.field, timezone.now())
        alert.save(update_fields=[way.field])
        if told:
            alerts.note("watch.told", alert.consult, alert, way=name)


def _resting(way: Way) -> str:
    return f"telling-rests:{way.field}"


# -- the two ways -------------------------------------------------------------------------------------------------


def _mail_on() -> bool:
    return bool(settings.MAIL_WORKS and settings.WATCH_MAIL)


def _mail(alert: Alert) -> bool:
    people = User.objects.filter(clinic=alert.consult.clinic_id, role=User.Role.OPERATOR, is_active=True)
    to = list(people.values_list("email", flat=True))
    if not to:
        return False
    words = said(alert, reader="operator")
    body = f"{words.what}\n\nWhat to do: {words.todo}\n\nThe visit, as the live board shows it:\n{_link(alert)}\n"
    EmailMessage(subject=f"Visit {short(alert.consult_id)}: {words.label}", body=body, to=to).send()
    return True


def _hook_on() -> bool:
    return bool(settings.WATCH_WEBHOOK)


def _hook(alert: Alert) -> bool:
    words = said(alert, reader="operator")
    content = {
        "alert": str(alert.pk),
        "kind": alert.kind,
        "about": alert.about,
        "consult": str(alert.consult_id),
        "clinic": str(alert.consult.clinic_id),
        "raised_at": alert.raised_at.isoformat(),
        "text": f"{words.label}. {words.what} {words.todo}",
        "link": _link(alert),
    }
    body = json.dumps(content).encode()
    headers = {"Content-Type": "application/json", "Telehealth-Signature": signature(body, timezone.now())}
    context = ssl.create_default_context(cafile=settings.WATCH_WEBHOOK_CA or None)
    post(settings.WATCH_WEBHOOK, body, timeout=TIMEOUT_SECONDS, headers=headers, context=context)
    return True


def signature(body: bytes, now: datetime) -> str:
    """`t=SECONDS,v1=HEX`: HMAC-SHA-256 under the shared secret over the time, a full stop and the body."""
    at = str(int(now.timestamp()))
    key = settings.WATCH_WEBHOOK_SECRET.encode()
    return f"t={at},v1={hmac.new(key, f'{at}.'.encode() + body, hashlib.sha256).hexdigest()}"


WAYS = (Way("mailed_at", _mail_on, _mail), Way("hooked_at", _hook_on, _hook))


def _link(alert: Alert) -> str:
    return f"{settings.PUBLIC_ORIGIN}/board/{alert.consult_id}/"


# -- what was lost on the way -------------------------------------------------------------------------------------


def _untold() -> Q:
    ways = Q(pk__in=[])
    for way in WAYS:
        if way.on():
            ways |= Q(**{way.field: None})
    return ways & Q(failures__lt=GIVE_UP_AFTER, kind__in=settings.WATCH_TELL)


def untold(now: datetime) -> list[UUID]:
    """Alerts of the last day whose task was lost, or whose letter did not go out; tried again more and more rarely."""
    rows = Alert.objects.filter(_untold(), raised_at__gt=now - timedelta(days=1)).order_by("raised_at")
    found = rows.values_list("pk", "raised_at", "failures")[:500]
    return [pk for pk, at, failures in found if at + TAKE_UP_AFTER * 2**failures <= now]
