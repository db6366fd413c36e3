"""What a page shows, watched frame by frame: when each remote picture was decoded, and what comes in."""

import time
from typing import Any

from playwright.sync_api import Page

#: Notes the clock at every look at which more pictures were decoded than before, thirty times a second.
WATCH = """
() => {
  if (window.seen) return;
  const video = document.querySelector("video[data-remote]");
  let before = -1;
  window.seen = [];
  setInterval(() => {
    const frames = video.getVideoPlaybackQuality().totalVideoFrames;
    if (frames !== before) window.seen.push(Date.now());
    before = frames;
  }, 16);
}
"""
#: Samples played say nothing of what came: a browser plays on when nothing comes, soon silence, and counts that in
#: `totalSamplesReceived` and in `concealedSamples` alike. What came are the packets.
SOUND = """
async () => {
  const sum = { packets: 0, played: 0, concealed: 0 };
  for (const pc of window.connections) {
    if (pc.connectionState === "closed") continue;
    for (const entry of (await pc.getStats()).values()) {
      if (entry.type !== "inbound-rtp" || entry.kind !== "audio") continue;
      sum.packets += entry.packetsReceived ?? 0;
      sum.played += entry.totalSamplesReceived ?? 0;
      sum.concealed += entry.concealedSamples ?? 0;
    }
  }
  return sum;
}
"""
#: packets of sound a second that are sent: Opus in packets of 20 ms, as browsers send it
SENT = 50


def watch(page: Page) -> None:
    page.evaluate(WATCH)


def pictures(page: Page) -> list[float]:
    """Seconds since the epoch at which there was a new picture."""
    return [at / 1000 for at in page.evaluate("window.seen")]


def longest_freeze(page: Page, since: float, until: float) -> float:
    """The longest time without a new picture, in seconds."""
    seen = [since, *(at for at in pictures(page) if since < at < until), until]
    return max(b - a for a, b in zip(seen, seen[1:], strict=False))


def back_after(page: Page, at: float, *, gap: float = 0.25) -> float:
    """Seconds from `at` to the picture from which on they came without a gap; those under way at `at` do not count."""
    seen = [at, *(t for t in pictures(page) if t > at)]
    if time.time() - seen[-1] > gap:
        return float("inf")
    resumed = at
    for before, after in zip(seen, seen[1:], strict=False):
        if after - before > gap:
            resumed = after
    return resumed - at


def sound(page: Page) -> dict[str, Any]:
    return page.evaluate(SOUND)
