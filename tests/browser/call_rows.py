"""A clinic's calls as they are after half a year, and three that go on: put into a demo's database for its pages.

Run inside the product (`Product.ask`); imports stand at the top as the product's own shell has them.
"""

import math
from datetime import timedelta

from django.utils import timezone

from accounts.models import User
from consults import adequacy
from consults.models import Consult, Participant
from consults.quality_models import Alert, CallSummary, QualitySample
from tests.cast import bring_to
from vault.models import Patient

MARIA = {"name": "Maria Gonzalez", "birth_date": "1984-03-17"}
GOOD = {
    **{"mos": 4.3, "rtt_ms": 38.0, "jitter_ms": 4.0, "loss": 0.2, "loss_up": 0.1, "frames_per_second": 24.0},
    **{"width": 1280, "height": 720, "freezes": 0, "frozen_seconds": 0.0, "kbit_in": 1180.0, "kbit_out": 1240.0},
    **{"level_in": 0.04, "level_out": 0.05, "audio_codec": "opus", "video_codec": "vp8", "local": "host"},
    **{"remote": "srflx", "microphone": True, "camera": True, "server_rtt_ms": 21.0},
}


def fill() -> str:
    """Gives the id of the call that goes badly."""
    clinician = User.objects.get(email="garcia@riverside.example")
    maria = next(p for p in Patient.objects.filter(clinic_id=clinician.clinic_id) if p.masks["name"] == "M. G.")
    _weeks(clinician, maria)
    bad = _call(clinician, maria, minutes=14, spoilt=True)
    _call(clinician, maria, minutes=6, spoilt=False)
    bring_to("waiting", clinician, maria, MARIA)
    return str(bad.pk)


def _call(clinician: User, patient: Patient, *, minutes: int, spoilt: bool) -> Consult:
    now = timezone.now()
    consult = bring_to("admitted", clinician, patient, MARIA).consult
    begun = now - timedelta(minutes=minutes)
    Consult.objects.filter(pk=consult.pk).update(admitted_at=begun, created_at=begun - timedelta(minutes=3))
    Participant.objects.filter(consult=consult).update(connection="here", seen_at=now + timedelta(minutes=5))
    # Some minutes ahead, so that there are figures of now for as long as pages are looked at.
    QualitySample.objects.bulk_create(
        QualitySample(
            **{"consult": consult, "participant": seat, "at": begun + timedelta(seconds=at)},
            **(GOOD | (_spoilt(at, seat.role) if spoilt else {})),
        )
        for at in range(4, minutes * 60 + 240, 2)
        for seat in consult.participants.all()
    )
    if spoilt:
        for kind, about, after, lasted in (
            ("one_way_audio", "patient", 95, 41),
            ("poor_quality", "clinician", 520, None),
        ):
            raised = begun + timedelta(seconds=after)
            cleared = raised + timedelta(seconds=lasted) if lasted else None
            Alert.objects.create(consult=consult, kind=kind, about=about, raised_at=raised, cleared_at=cleared)
    consult.refresh_from_db()
    return consult


def _spoilt(at: int, role: str) -> dict[str, object]:
    wave = 0.5 + 0.5 * math.sin(at / 37)
    bad = at > 500
    if 240 < at < 300:
        return {"mos": None, "loss": None, "rtt_ms": None}
    patient = role == "patient"
    return {
        "mos": (3.6 if patient else 2.7) + 0.5 * wave if bad else 4.3 - 0.3 * wave,
        "rtt_ms": 320 + 300 * wave if bad else 60 + 40 * wave,
        "loss": 4 + 9 * wave if bad else 0.3 * wave,
        "frozen_seconds": 1.2 if bad and wave > 0.9 else 0.0,
        "freezes": 1 if bad and wave > 0.9 else 0,
        "relayed": True,
        "local": "relay",
    }


def _weeks(clinician: User, patient: Patient) -> None:
    """Some calls a week, fewer failures as time goes on, and a week without any."""
    now, made = timezone.now(), []
    for week in range(1, 24):
        for n in range(0 if week == 9 else 4 + week % 3):
            verdict = (
                "inadequate" if n < (week > 12) + (week % 5 == 2) else "unknown" if n == 3 and week == 4 else "adequate"
            )
            made.append((now - timedelta(weeks=week, hours=n), verdict, verdict == "inadequate" and n == 0))
    for at, verdict, phoned in made:
        rows = {"created_at": at, "admitted_at": at, "ended_at": at + timedelta(minutes=9)}
        consult = Consult.objects.create(clinic=clinician.clinic, clinician=clinician, patient=patient, **rows)
        heard = verdict == "adequate" or phoned
        facts = adequacy.facts_of([], seconds=540, monitored=verdict != "unknown", phoned=phoned)
        CallSummary.objects.create(
            **{"consult": consult, "clinic": clinician.clinic, "admitted_at": at, "seconds": 540, "verdict": verdict},
            **{"reasons": [], "measured": verdict != "unknown", "two_way": heard, "phoned": phoned},
            **{"figures": facts.plain(), "timeline": []},
        )
