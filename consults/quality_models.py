"""How calls went: samples while they run, one summary each for good, and what was found wrong."""

import uuid
from typing import Any

from django.db import models

from accounts.models import Clinic


class RealField(models.FloatField):  # type: ignore[type-arg]
    """Four bytes instead of eight on Postgres: samples are many, and nobody measures to sixteen digits."""

    def db_type(self, connection: Any) -> str | None:
        return "real" if connection.vendor == "postgresql" else super().db_type(connection)


class QualitySample(models.Model):
    """How the call went for one participant over two seconds, as her browser measured it (W3C webrtc-stats).

    Null where her browser does not say. Removed some weeks after the visit; `CallSummary` stays.
    """

    consult = models.ForeignKey("consults.Consult", on_delete=models.CASCADE, related_name="quality")
    participant = models.ForeignKey("consults.Participant", on_delete=models.CASCADE)
    at = models.DateTimeField()
    #: of what she hears, worked out by the worker (signaling/emodel.py)
    mos = RealField(null=True)
    rtt_ms = RealField(null=True)
    jitter_ms = RealField(null=True)
    #: received packets lost, in percent, and sent ones that the other side missed
    loss = RealField(null=True)
    loss_up = RealField(null=True)
    frames_per_second = RealField(null=True)
    width = models.PositiveSmallIntegerField(null=True)
    height = models.PositiveSmallIntegerField(null=True)
    freezes = models.PositiveSmallIntegerField(null=True)
    frozen_seconds = RealField(null=True)
    kbit_in = RealField(null=True)
    kbit_out = RealField(null=True)
    #: loudness, 0 to 1 of full scale
    level_in = RealField(null=True)
    level_out = RealField(null=True)
    audio_codec = models.CharField(max_length=12, null=True)  # noqa: DJ001  (null: the browser did not say)
    video_codec = models.CharField(max_length=12, null=True)  # noqa: DJ001
    #: kinds of the two candidates in use: host, srflx, prflx, relay
    local = models.CharField(max_length=5, null=True)  # noqa: DJ001
    remote = models.CharField(max_length=5, null=True)  # noqa: DJ001
    relayed = models.BooleanField(default=False)
    microphone = models.BooleanField(default=False)
    camera = models.BooleanField(default=False)
    #: round trip to the clinic's own server
    server_rtt_ms = RealField(null=True)

    class Meta:
        indexes = [models.Index(fields=["consult", "at"], name="quality_in_order")]

    def __str__(self) -> str:
        return f"sample of {self.at:%H:%M:%S}"


class CallSummary(models.Model):
    """How one call went, in one row that stays. The rules are in `consults/adequacy.py`."""

    class Verdict(models.TextChoices):
        ADEQUATE = "adequate", "Adequate"
        LIMITED = "limited", "Limited"
        INADEQUATE = "inadequate", "Not adequate"
        UNKNOWN = "unknown", "Not measured"

    consult = models.OneToOneField(
        "consults.Consult", on_delete=models.CASCADE, primary_key=True, related_name="call_summary"
    )
    clinic = models.ForeignKey(Clinic, on_delete=models.PROTECT)
    admitted_at = models.DateTimeField()
    seconds = models.PositiveIntegerField()
    verdict = models.CharField(max_length=10, choices=Verdict.choices)
    #: codes of `consults/adequacy.py`
    reasons = models.JSONField()
    measured = models.BooleanField()
    two_way = models.BooleanField()
    phoned = models.BooleanField()
    #: figures of `consults.adequacy.Facts`, and the timeline: [second, MOS heard by the clinician, by the patient, ...]
    figures = models.JSONField()
    timeline = models.JSONField()

    class Meta:
        indexes = [models.Index(fields=["clinic", "admitted_at"], name="calls_by_time")]

    def __str__(self) -> str:
        return f"{self.get_verdict_display()}, {self.admitted_at:%Y-%m-%d %H:%M}"


class WatchRound(models.Model):
    """One row: when all open visits were last looked through for what only rows show."""

    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"looked through at {self.at:%Y-%m-%d %H:%M:%S}"


class Alert(models.Model):
    """Something wrong with a running visit: raised once, cleared by itself. Nothing about the patient is in it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    consult = models.ForeignKey("consults.Consult", on_delete=models.CASCADE, related_name="alerts")
    kind = models.CharField(max_length=20)
    #: clinician or patient, where it is about one of them
    about = models.CharField(max_length=10, blank=True)
    raised_at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True)
    #: when the operators were told, by each way that is set up
    mailed_at = models.DateTimeField(null=True)
    hooked_at = models.DateTimeField(null=True)
    failures = models.PositiveSmallIntegerField(default=0)
    #: somebody is at telling them
    trying_since = models.DateTimeField(null=True)
    #: how often it came, where it came back soon after it was over
    times = models.PositiveSmallIntegerField(default=1)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["consult", "kind", "about"], condition=models.Q(cleared_at=None), name="alert_stands_once"
            )
        ]
        indexes = [models.Index(fields=["raised_at"], name="alerts_by_time")]

    def __str__(self) -> str:
        return f"{self.kind} {self.raised_at:%Y-%m-%d %H:%M}"
