"""What each alert means, in a sentence with what to do: for the clinician in the visit, and for the operator."""

from dataclasses import dataclass
from uuid import UUID

from consults.quality_models import Alert


@dataclass(frozen=True, slots=True)
class Words:
    """`what` happened, `todo` for the clinician, `operator` for whoever runs the server; {who} is the person meant."""

    label: str
    what: str
    todo: str
    operator: str
    icon: str = "exclamation-triangle"


WORDS = {
    "heartbeat_lost": Words(
        "Page not answering",
        "Nothing has come from the page of {who} for a while.",
        "Wait a moment: the page comes back by itself. If it does not, call by telephone.",
        "Look whether the worker and the network at the clinic are up.",
        "signal-slash",
    ),
    "one_way_audio": Words(
        "One-way sound",
        "What {who} says does not arrive on the other side.",
        "Say so in writing or by sign, and have the page loaded again; if that does not help, go on by telephone.",
        "If it happens often, look at the relay and the firewall.",
        "speaker-x-mark",
    ),
    "silent": Words(
        "Not a sound",
        "The microphone of {who} is on, and there is not a sound in it.",
        "Have the mute switch of the headset looked at, or choose another microphone under “Devices”.",
        "Nothing to do on the server.",
        "microphone",
    ),
    "frozen_video": Words(
        "Picture stands still",
        "The picture of {who} stands still on the other side.",
        "Go on by sound, and have the camera turned off and on again.",
        "If it happens often, look at the clinic's bandwidth.",
        "video-camera-slash",
    ),
    "poor_quality": Words(
        "Hard to follow",
        "What {who} hears is hard to follow.",
        "Speak slowly, and turn the cameras off; if it stays so, go on by telephone.",
        "If it happens often, look at the clinic's bandwidth and the relay's load.",
        "signal",
    ),
    "fingerprints_differ": Words(
        "Not private",
        "The two pages see different certificates: somebody may be in between.",
        "Say nothing confidential, end the visit, and call by telephone.",
        "Treat the server as broken into: keep its logs, and tell the privacy officer.",
        "shield-exclamation",
    ),
    "uninvited": Words(
        "Uninvited participant",
        "Somebody is in this visit by no invite that was used, or without having confirmed name and date of birth.",
        "End the visit, and start a new one with a new link.",
        "Treat the database as written to by somebody else: keep its logs, and tell the privacy officer.",
        "user-minus",
    ),
    "consent_missing": Words(
        "Consent missing",
        "The patient was admitted, and there is no consent now.",
        "Ask the patient to agree on the visit's page, or end the visit: until then the call stays closed.",
        "Nothing to do on the server.",
        "hand-raised",
    ),
    "left_open": Words(
        "Left open",
        "Nobody is in this visit, and it was not ended.",
        "End it, so that its link stops working.",
        "Ask the clinician to end it.",
        "clock",
    ),
}


@dataclass(frozen=True, slots=True)
class Said:
    alert: Alert
    label: str
    what: str
    todo: str
    icon: str


def said(alert: Alert, *, reader: str) -> Said:
    """As the clinician reads it in her room, or an operator anywhere."""
    words = WORDS[alert.kind]
    clinician = "your side" if reader == "clinician" else "the clinician"
    who = {"clinician": clinician, "patient": "the patient"}.get(alert.about, "one side")
    todo = words.todo if reader == "clinician" else words.operator
    what = words.what.format(who=who)
    if who == "your side":
        what = what.replace("What your side says", "What you say").replace("What your side hears", "What you hear")
        what = what.replace("of your side", "on your side")
    return Said(alert, words.label, what, todo, words.icon)


def short(consult_id: UUID) -> str:
    """How a visit is called where no patient may be named."""
    return consult_id.hex[:8]
