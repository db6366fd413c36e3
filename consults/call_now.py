"""What both pages of a visit measure right now, in words, for whoever looks closer while it goes on."""

from collections.abc import Callable
from dataclasses import dataclass

from django.utils import timezone

from consults import adequacy
from consults.board import LATELY
from consults.models import Consult, Participant
from consults.quality_models import QualitySample

#: what a page says of the two candidates in use
DIRECT, RELAYED = "direct", "over the relay"


@dataclass(frozen=True, slots=True)
class Figure:
    label: str
    clinician: str
    patient: str


def figures(consult: Consult) -> list[Figure]:
    """None of them where neither page measured anything of late."""
    sides = [_last(consult, role) for role in (Participant.Role.CLINICIAN, Participant.Role.PATIENT)]
    if not any(sides):
        return []
    return [Figure(label, *((say(side) if side else "") or "–" for side in sides)) for label, say in _SAID.items()]


def _last(consult: Consult, role: str) -> QualitySample | None:
    lately = QualitySample.objects.filter(consult=consult, participant__role=role, participant__left_at=None)
    return lately.filter(at__gt=timezone.now() - LATELY).order_by("-at").first()


def _heard(s: QualitySample) -> str:
    return f"{s.mos:.1f} (R {adequacy.rating(s.mos):.0f})" if s.mos is not None else ""


def _picture(s: QualitySample) -> str:
    size = f"{s.width} × {s.height}" if s.width and s.height else ""
    rate = f"{s.frames_per_second:.0f} a second" if s.frames_per_second is not None else ""
    return ", ".join(filter(None, (size, rate)))


def _still(s: QualitySample) -> str:
    if s.frozen_seconds is None:
        return ""
    return f"{s.frozen_seconds:.1f} s of the last 2 s" if s.frozen_seconds else "no"


def _codecs(s: QualitySample) -> str:
    return ", ".join(filter(None, (s.audio_codec, s.video_codec)))


def _route(s: QualitySample) -> str:
    ends = f" ({s.local} to {s.remote})" if s.local and s.remote else ""
    return (RELAYED if s.relayed else DIRECT) + ends


def _sent(s: QualitySample) -> str:
    on = [name for name, sent in (("sound", s.microphone), ("picture", s.camera)) if sent]
    return " and ".join(on) or "nothing"


def _unit(value: float | None, unit: str, places: int = 0) -> str:
    return "" if value is None else f"{value:.{places}f} {unit}"


_SAID: dict[str, Callable[[QualitySample], str]] = {
    "Sound heard, 1 to 4.5": _heard,
    "Delay, there and back": lambda s: _unit(s.rtt_ms, "ms"),
    "Jitter": lambda s: _unit(s.jitter_ms, "ms"),
    "Lost of what is received": lambda s: _unit(s.loss, "%", 1),
    "Lost of what is sent": lambda s: _unit(s.loss_up, "%", 1),
    "Picture received": _picture,
    "Picture frozen": _still,
    "Data received": lambda s: _unit(s.kbit_in, "kbit/s"),
    "Data sent": lambda s: _unit(s.kbit_out, "kbit/s"),
    "Sends": _sent,
    "Codecs": _codecs,
    "Route": _route,
    "Delay to this server": lambda s: _unit(s.server_rtt_ms, "ms"),
}
