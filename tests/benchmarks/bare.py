"""The least a video call can be: one page, one relay, no sign-in, no TLS, no checks. The yardstick for `join`."""

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from tests.browser.product import ROOT
from tests.engines import free_port

PAGE = b"""<!doctype html><meta charset=utf-8><title>bare</title><video autoplay muted playsinline></video>
<a href="?patient">join</a><script>
const patient = location.search === "?patient", video = document.querySelector("video");
const now = () => performance.timeOrigin + performance.now();
document.querySelector("a").onclick = () => sessionStorage.setItem("clicked", now());
async function start() {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 640, height: 480 } });
  const pc = new RTCPeerConnection(), ws = new WebSocket(`ws://${location.host}/`);
  const say = (message) => ws.send(JSON.stringify(message));
  pc.onicecandidate = (event) => event.candidate && say({ ice: event.candidate });
  pc.ontrack = (event) => {
    if (event.track.kind !== "video") return;
    video.srcObject = event.streams[0];
    video.requestVideoFrameCallback(() => { window.firstFrame = now(); });
  };
  for (const track of stream.getTracks()) pc.addTrack(track, stream);
  let queue = Promise.resolve();
  ws.onmessage = (event) => { queue = queue.then(async () => {
    const message = JSON.parse(event.data);
    if (message.ready || message.sdp?.type === "offer") {
      if (message.sdp) await pc.setRemoteDescription(message.sdp);
      await pc.setLocalDescription();
      say({ sdp: pc.localDescription });
    } else if (message.sdp) await pc.setRemoteDescription(message.sdp);
    else await pc.addIceCandidate(message.ice);
  }); };
  ws.onopen = () => { if (patient) say({ ready: true }); window.waiting = true; };
}
if (location.search) start();
</script>"""


async def application(scope, receive, send):
    """An ASGI application: the page, and a relay that passes every text on to everybody else."""
    if scope["type"] == "http":
        headers = [(b"content-type", b"text/html"), (b"content-length", str(len(PAGE)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": PAGE})
        return
    sockets = application.__dict__.setdefault("sockets", set())
    while True:
        event = await receive()
        if event["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
            sockets.add(send)
        elif event["type"] == "websocket.receive":
            for other in sockets - {send}:
                await other({"type": "websocket.send", "text": event["text"]})
        else:
            sockets.discard(send)
            return


@contextmanager
def serving() -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "daphne", "-p", str(port), "tests.benchmarks.bare:application"]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://localhost:{port}/"
        for _ in range(100):
            try:
                urllib.request.urlopen(address, timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=10)
