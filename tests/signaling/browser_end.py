"""The browser's end of a leg to the worker, for tests: a real WebRTC peer (aiortc)."""

import asyncio
import json

from aiortc import RTCDataChannel, RTCPeerConnection, RTCSessionDescription

from signaling.protocol import Quality
from tests.signaling.sockets import Socket

FIGURES = dict.fromkeys(Quality.__struct_fields__) | {
    **{"rtt_ms": 23.5, "jitter_ms": 1, "kbit_in": 9, "relayed": False, "microphone": True, "camera": False},
}
QUALITY = json.dumps({"kind": "quality", **FIGURES}, separators=(",", ":"))


async def offer_to_worker(socket: Socket, browser: RTCPeerConnection, leg: str) -> None:
    await browser.setLocalDescription(await browser.createOffer())
    sdp = browser.localDescription.sdp
    await socket.send({"kind": "description", "leg": leg, "negotiation": 0, "type": "offer", "sdp": sdp})


async def answered(socket: Socket, browser: RTCPeerConnection, leg: str) -> str:
    frame = await socket.until("description", leg=leg)
    assert (frame["type"], frame["from"]) == ("answer", "worker")
    await browser.setRemoteDescription(RTCSessionDescription(frame["sdp"], "answer"))
    return str(frame["sdp"])


async def monitored(socket: Socket, browser: RTCPeerConnection) -> tuple[RTCDataChannel, str]:
    channel = browser.createDataChannel("monitor")
    opened = asyncio.Event()
    channel.on("open", opened.set)
    await offer_to_worker(socket, browser, "monitor")
    answer = await answered(socket, browser, "monitor")
    await asyncio.wait_for(opened.wait(), 10)
    return channel, answer
