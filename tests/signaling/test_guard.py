"""The worker's UDP ports are deaf to strangers: before the handshake and in a running session."""

import asyncio
import os
import socket

import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription

from signaling.legs import NO_SERVERS, MonitorLeg

#: nothing; bytes in each of the ranges that a demultiplexer knows (RFC 7983); too long
NOISE = [b"", os.urandom(1), bytes([0]) + os.urandom(40), bytes([1]), bytes([21]) + os.urandom(14)]
NOISE += [bytes([22]) + os.urandom(80), bytes([128]) + os.urandom(60), bytes([22]) * 4000]


def make_noise(answer: str, rounds: int) -> None:
    words = [line.split() for line in answer.splitlines() if line.startswith("a=candidate:")]
    ports = [(w[4], int(w[5])) for w in words if ":" not in w[4]]
    assert ports
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for _ in range(rounds):
            for port in ports:
                for datagram in NOISE:
                    stranger.sendto(datagram, port)


@pytest.mark.parametrize("number", range(5))
async def test_noise_from_a_stranger_ends_nothing(number: int) -> None:
    heard: list[str] = []
    leg = MonitorLeg(lambda _leg: None, heard.append)
    browser = RTCPeerConnection(NO_SERVERS)
    channel = browser.createDataChannel("monitor")
    opened = asyncio.Event()
    channel.on("open", opened.set)
    await browser.setLocalDescription(await browser.createOffer())
    answer = await leg.answer(browser.localDescription.sdp)
    make_noise(answer, 100)
    await browser.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    await asyncio.wait_for(opened.wait(), 10)
    make_noise(answer, 50)
    await asyncio.sleep(0.1)
    channel.send("still here")
    for _ in range(100):
        if heard:
            break
        await asyncio.sleep(0.02)
    assert heard == ["still here"]
    await browser.close()
    await leg.close("left")
