"""Two real connections with the media handed across, and all of the proof that can be computed without a secret."""

import asyncio
import hashlib
import re
import secrets
from typing import TYPE_CHECKING, Any

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaRelay
from aiortc.sdp import candidate_from_sdp

from signaling import protocol

if TYPE_CHECKING:
    from tests.middle.man import Man

FINGERPRINT = re.compile(r"a=fingerprint:sha-256 ([0-9A-F:]+)", re.I)
OTHER = {"clinician": "patient", "patient": "clinician"}


def digest(*parts: str) -> str:
    return hashlib.sha256(b"".join(len(p.encode()).to_bytes(4, "big") + p.encode() for p in parts)).hexdigest()


def named(sdp: str) -> str:
    found = FINGERPRINT.search(sdp)
    return found[1].replace(":", "").lower() if found else ""


async def packets(leg: RTCPeerConnection) -> int:
    """Those of sound and picture that came over this connection."""
    reports = [await receiver.getStats() for receiver in leg.getReceivers()]
    rows = {key: row for report in reports for key, row in report.items() if row.type == "inbound-rtp"}
    return sum(row.packetsReceived for row in rows.values())


class Bridge:
    """`legs`: by whom they face. To each side its leg plays the other."""

    def __init__(self, man: "Man") -> None:
        self.man = man
        self.relay = MediaRelay()
        self.legs: dict[str, RTCPeerConnection] = {}
        #: all that ever were, by whom they face: a page that negotiates anew gets a new one
        self.made: list[tuple[str, RTCPeerConnection]] = []
        self.negotiation = 0
        #: real certificates of the pages, those of the legs that face them, numbers of both for the words
        self.theirs: dict[str, str] = {}
        self.ours: dict[str, str] = {}
        self.nonces: dict[str, str] = {}
        self.played: dict[str, str] = {}
        self.waiting: dict[str, list[Any]] = {"clinician": [], "patient": []}

    async def take(self, socket: Any, frame: Any) -> None:
        role: str = socket.role
        if isinstance(frame, protocol.Candidate):
            await self.add(role, frame)
        elif role == "clinician" and frame.type == "offer":
            self.theirs[role] = named(frame.sdp)
            self.negotiation = frame.negotiation
            await self.answer(frame)
            await self.offer()
        elif role == "patient" and frame.type == "answer" and self.legs["patient"].signalingState == "have-local-offer":
            self.theirs[role] = named(frame.sdp)
            await self.legs[role].setRemoteDescription(RTCSessionDescription(frame.sdp, "answer"))
            for early in self.waiting.pop(role, []):
                await self.add(role, early)

    async def add(self, role: str, frame: protocol.Candidate) -> None:
        leg = self.legs.get(role)
        if leg is None or leg.remoteDescription is None:
            self.waiting.setdefault(role, []).append(frame)
        elif frame.candidate:
            candidate = candidate_from_sdp(frame.candidate.removeprefix("candidate:"))
            candidate.sdpMid = frame.mid
            await leg.addIceCandidate(candidate)

    def leg(self, role: str) -> RTCPeerConnection:
        made = self.legs[role] = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.made.append((role, made))
        self.man.did(f"leg {role}")

        @made.on("track")
        def on_track(track: Any) -> None:
            for transceiver in self.legs.get(OTHER[role], made).getTransceivers():
                if transceiver.kind == track.kind:
                    transceiver.sender.replaceTrack(self.relay.subscribe(track))

        @made.on("connectionstatechange")
        def on_state() -> None:
            self.man.did(f"leg {role} {made.connectionState}")

        return made

    async def answer(self, offer: protocol.Description) -> None:
        """Towards the clinician, as the patient."""
        self.leg("patient")
        self.legs["patient"].addTransceiver("audio", "sendrecv")
        self.legs["patient"].addTransceiver("video", "sendrecv")
        near = self.leg("clinician")
        await near.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        for transceiver in near.getTransceivers():
            transceiver.direction = "sendrecv"
        await near.setLocalDescription(await near.createAnswer())
        await self.describe("clinician", near)

    async def offer(self) -> None:
        """Towards the patient, as the clinician."""
        far = self.legs["patient"]
        await far.setLocalDescription(await far.createOffer())
        await self.describe("patient", far)
        self.man.did("swapped")

    async def describe(self, role: str, leg: RTCPeerConnection) -> None:
        sdp = leg.localDescription.sdp
        # Only one kind of fingerprint, as browsers write it: more would be refused for that alone.
        sdp = re.sub(r"a=fingerprint:sha-(384|512) .*\r\n", "", sdp)
        self.ours[role] = named(sdp)
        await self.man.tell(
            role,
            {
                "kind": "description",
                "leg": "call",
                "negotiation": self.negotiation,
                "type": leg.localDescription.type,
                "sdp": sdp,
            },
        )
        if role == "clinician":
            for early in self.waiting.pop(role, []):
                await self.add(role, early)

    async def close(self) -> None:
        """Notes what came: who is sent nothing has nothing to hand across, and nothing to keep."""
        for role in OTHER:
            self.man.did(f"heard {sum([await packets(leg) for side, leg in self.made if side == role])} of {role}")
        await asyncio.gather(*(leg.close() for _, leg in self.made))

    # -- the proof, as far as one can forge it ---------------------------------------------------------

    def facts(self, role: str) -> list[str]:
        """What the page of this role believes: its own certificate, and the leg's for the other side's."""
        seen = {role: self.theirs.get(role, ""), OTHER[role]: self.ours.get(role, "")}
        tabs = {side: socket.tab for side, socket in self.man.sockets.items()}
        named_tabs = [tabs["clinician"], tabs["patient"]]
        return [self.man.consult, str(self.negotiation), *named_tabs, seen["clinician"], seen["patient"]]

    async def play(self, role: str, frame: protocol.Proof) -> None:
        """Answer a page's step as the other side would, with own numbers."""
        other = OTHER[role]
        if role not in self.theirs:
            return  # her answer is not here yet; she says it again
        mine = self.played.setdefault(role, secrets.token_hex(32))
        if frame.step == "seen":
            await self.say(role, "seen", digest("telehealth seen v1", other, *self.facts(role)))
            if other == "clinician":
                commit = digest("telehealth words commitment v1", self.man.consult, str(self.negotiation), mine)
                await self.say(role, "commit", commit)
        elif frame.step == "commit":
            await self.say(role, "nonce", mine)
        elif frame.step == "nonce":
            self.nonces[role] = frame.value
            await self.say(role, "reveal", mine)
        elif frame.step == "reveal":
            self.nonces[role] = frame.value
        elif frame.step == "agreed":
            numbers = {role: self.nonces[role], other: mine}
            seed = digest("telehealth words v1", *self.facts(role), numbers["clinician"], numbers["patient"])
            await self.say(role, "agreed", digest("telehealth words agreed v1", other, seed))

    async def say(self, role: str, step: str, value: str) -> None:
        frame = {"negotiation": self.negotiation, "peer": self.man.sockets[role].tab, "step": step, "value": value}
        await self.man.tell(role, {"kind": "proof", **frame, "key": ""})
