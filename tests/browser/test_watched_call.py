"""A call that goes wrong in real browsers: both people, the live board and the operators hear of it."""

import hmac
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import postbox
from tests.browser import product as products
from tests.browser import visit as course
from tests.browser.people import sign_in, visitor
from tests.browser.product import OPERATOR, Product

pytestmark = pytest.mark.browser

SECRET = "a secret that only the two of us know, and long"
SOON = {
    "WATCH_HEARTBEAT_SECONDS": "6",
    "WATCH_ONE_WAY_SECONDS": "6",
    "WATCH_FROZEN_SECONDS": "6",
    "WATCH_LEFT_OPEN_MINUTES": "0.35",
}
#: the track stays live, and nothing of it is sent: as where a firewall or a broken encoder eats it
SEND = """
async ([kind, active]) => {
  for (const connection of window.connections) {
    for (const sender of connection.getSenders()) {
      if (sender.track?.kind !== kind) continue;
      const parameters = sender.getParameters();
      for (const encoding of parameters.encodings) encoding.active = active;
      await sender.setParameters(parameters);
    }
  }
}
"""
#: what a page measures gets worse when it is told so: half of the packets of sound are lost from then on; and, on the
#: phone, a browser that does not say how loud its own microphone is, as Firefox
WORSE = """
(() => {
  const native = RTCPeerConnection.prototype.getStats;
  let lost = 0;
  RTCPeerConnection.prototype.getStats = async function (...given) {
    const report = await native.apply(this, given);
    const found = new Map();
    report.forEach((entry, id) => {
      if (entry.type === "media-source" && window.reticent) return found;
      if (entry.type !== "inbound-rtp" || !window.worse) return found.set(id, entry);
      lost += 50;
      return found.set(id, { ...entry, packetsLost: (entry.packetsLost ?? 0) + lost });
    });
    return found;
  };
})();
"""


@contextmanager
def webhook() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    got: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802
            got.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def wait_for(question: Any, *, seconds: float = 40) -> Any:
    until = time.monotonic() + seconds
    while not (found := question()):
        assert time.monotonic() < until, "still not so"
        time.sleep(0.2)
    return found


def in_a_call(running: Product, browser: Browser) -> tuple[course.Visit, Page]:
    desk, phone = visitor(browser), visitor(browser, width=390, height=800)
    for context in (desk, phone):
        context.add_init_script(WORSE)
    phone.add_init_script("window.reticent = true")
    visit = course.start(running, sign_in(desk, running))
    course.make_link(visit)
    page = course.arrive(visit, phone)
    course.admit(visit, page)
    course.sees_and_hears(page)
    return visit, page


def test_a_call_that_goes_wrong(browser: Browser) -> None:
    with postbox.listening() as letters, webhook() as (address, posted):
        hooks = {"WATCH_WEBHOOK": address, "WATCH_WEBHOOK_SECRET": SECRET}
        with products.running(EMAIL_URL=f"smtp://127.0.0.1:{letters.port}", **hooks, **SOON) as running:
            visit, page = in_a_call(running, browser)
            board = sign_in(visitor(browser), running, OPERATOR)
            board.goto(f"{running.origin}/board/")
            session = board.locator(f"[data-session='{visit.consult}']")
            expect(session.locator("[data-connection]")).to_have_text(re.compile("Good|Fair"), timeout=30_000)
            assert "Gonzalez" not in board.content()
            both_say_everything(visit)
            one_way(visit, page, session)
            the_operators_are_told(visit, letters.letters, posted)
            frozen(visit, page, session)
            weak(page, visit.room)
            gone(visit, page, session)
            left_open(visit, session)


def both_say_everything(visit: course.Visit) -> None:
    """Every figure of both sides is there, also of the one whose browser leaves one out."""
    wanted = (
        *("mos", "rtt_ms", "jitter_ms", "loss", "loss_up", "frames_per_second", "width", "height", "freezes"),
        *("frozen_seconds", "kbit_in", "kbit_out", "level_in", "level_out", "audio_codec", "video_codec"),
        *("local", "remote", "server_rtt_ms"),
    )
    question = (
        "from consults.quality_models import QualitySample\n"
        f"rows = QualitySample.objects.filter(consult='{visit.consult}', microphone=True, camera=True)\n"
        f"full = rows.filter(**{{name + '__isnull': False for name in {wanted}}}, level_out__gt=0.001)\n"
        "answer = sorted(set(full.values_list('participant__role', flat=True)))"
    )
    wait_for(lambda: visit.product.ask(question) == ["clinician", "patient"])


def one_way(visit: course.Visit, page: Page, session: Any) -> None:
    page.evaluate(SEND, ["audio", False])
    said = visit.room.locator("[data-call] [data-warning=one_way_audio]")
    expect(said).to_contain_text("What the patient says does not arrive", timeout=40_000)
    expect(said).to_contain_text("go on by telephone")
    expect(session.locator("[data-warning=one_way_audio]")).to_be_visible(timeout=10_000)
    page.evaluate(SEND, ["audio", True])
    expect(said).to_have_count(0, timeout=40_000)
    expect(session.locator("[data-warning=one_way_audio]")).to_have_count(0, timeout=10_000)


def the_operators_are_told(visit: course.Visit, letters: list[Any], posted: list[tuple[dict[str, str], bytes]]) -> None:
    (letter,) = wait_for(lambda: [one for one in letters if "One-way sound" in str(one["Subject"])])
    ((headers, body),) = wait_for(lambda: [one for one in posted if b"one_way_audio" in one[1]])
    moment, _, mark = headers["Telehealth-Signature"].partition(",")
    signed = moment.removeprefix("t=").encode() + b"." + body
    assert mark == "v1=" + hmac.new(SECRET.encode(), signed, "sha256").hexdigest()
    assert json.loads(body)["consult"] == visit.consult
    for text in (letter.as_string(), body.decode()):
        assert "Gonzalez" not in text
        assert "Maria" not in text


def frozen(visit: course.Visit, page: Page, session: Any) -> None:
    page.evaluate(SEND, ["video", False])
    said = visit.room.locator("[data-call] [data-warning=frozen_video]")
    expect(said).to_contain_text("The picture of the patient stands still", timeout=40_000)
    expect(session.locator("[data-warning=frozen_video]")).to_be_visible(timeout=10_000)
    page.evaluate(SEND, ["video", True])
    expect(said).to_have_count(0, timeout=40_000)


def weak(*pages: Page) -> None:
    """Each of the two is told on her own page."""
    for page in pages:
        expect(page.locator("[data-hint]")).to_be_hidden()
        page.evaluate("window.worse = true")
    for page in pages:
        expect(page.locator("[data-hint]")).to_contain_text("weak", timeout=20_000)
        page.evaluate("window.worse = false")
    for page in pages:
        expect(page.locator("[data-hint]")).to_be_hidden(timeout=30_000)


def gone(visit: course.Visit, page: Page, session: Any) -> None:
    page.context.close()
    expect(session.locator("[data-connection]")).to_have_text("One side only connected", timeout=40_000)
    assert visit.room.locator("[data-call]").is_visible()


def left_open(visit: course.Visit, session: Any) -> None:
    visit.room.context.close()
    expect(session.locator("[data-warning=left_open]")).to_contain_text(
        "Nobody is in this visit, and it was not ended", timeout=90_000
    )
