"""Between the worker and the rules: what the browsers measured goes in, what is wrong gets into the database."""

import time
from collections.abc import Iterable
from uuid import UUID

from channels.db import database_sync_to_async
from django.conf import settings

from consults import alerts, tasks
from consults.models import Participant
from signaling import emodel
from signaling.protocol import Heartbeat, MonitorMessage, Quality
from signaling.watch_rules import KINDS, Finding, Limits, Watch

#: each consult is looked at in every so manieth round
PART = 3


def watch() -> Watch:
    return Watch(Limits(**settings.WATCH_SECONDS, mos=settings.WATCH_POOR_MOS))


def mos_of(message: Quality) -> float | None:
    """What this side hears; None where no sound was to come, so that a muted microphone is not a bad line."""
    if not message.audio_packets:
        return None
    return emodel.heard(message.rtt_ms, message.jitter_ms, message.buffer_ms, message.loss, message.audio_codec)


def heard(watched: Watch, consult: UUID, who: UUID, message: MonitorMessage, mos: float | None) -> None:
    figures = None if isinstance(message, Heartbeat) else message
    watched.heard(consult, who, figures, mos, time.monotonic())


async def look(watched: Watch) -> None:
    """Write down what changed. When the database is away the next round says it again."""
    for consult, findings in watched.changed(time.monotonic(), part=PART):
        await _settle_async(consult, findings)
        watched.told(consult, findings)


def settle(consult: UUID, findings: Iterable[Finding]) -> None:
    seats = Participant.objects.filter(consult=consult).values_list("pk", "role")
    roles: dict[UUID, str] = dict(seats)
    stands = {(f.kind, _about(roles, f)) for f in findings if f.about in roles}
    tasks.raised(alerts.settle(consult, stands, KINDS))


def _about(roles: dict[UUID, str], finding: Finding) -> str:
    role = roles[finding.about]
    if not finding.other:
        return role
    return Participant.Role.PATIENT if role == Participant.Role.CLINICIAN else Participant.Role.CLINICIAN


_settle_async = database_sync_to_async(settle)
