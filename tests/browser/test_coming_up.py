"""A call comes up although something went wrong on the way there."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.browser import product as products
from tests.browser.people import sign_in, until, visitor
from tests.middle import runs
from tests.middle.server import CHEATING

pytestmark = pytest.mark.browser

#: the page's own Call on a wire of the test's: the gate opens while the state of before still waits its turn
OPENS_WHILE_BUSY = """
async () => {
  const loaded = performance.getEntriesByType("resource").map(({ name }) => name);
  const { Call } = await import(loaded.find((name) => /signaling\\/call[^/]*\\.js/.test(name)));
  const real = RTCPeerConnection.prototype.setLocalDescription;
  RTCPeerConnection.prototype.setLocalDescription = async function (...given) {
    await real.apply(this, given);
    await new Promise((done) => setTimeout(done, 400));
  };
  const sent = [];
  const wire = Object.assign(new EventTarget(), { state: null, send: (frame) => sent.push(frame), probe() {} });
  const say = (more) => {
    const ice = [{ urls: "turn:127.0.0.1:9", username: "a", credential: "b" }];
    wire.state = { kind: "state", gate: false, negotiation: 0, peer: "", relay_only: false, ice, ...more };
    wire.dispatchEvent(new CustomEvent("state", { detail: wire.state }));
  };
  const call = new Call(wire, "clinician");
  await call.queue;
  say({});
  while (call.pc.signalingState !== "have-local-offer") await new Promise((done) => setTimeout(done, 5));
  say({});
  say({ gate: true, negotiation: 1, peer: "theirs" });
  await call.queue;
  const name = (sdp) => /a=ice-ufrag:(.*)/.exec(sdp)[1];
  const offered = sent.filter(({ kind }) => kind === "description").map(({ sdp }) => name(sdp));
  const told = { offered, stands: name(call.pc.localDescription.sdp) };
  call.close();
  RTCPeerConnection.prototype.setLocalDescription = real;
  return told;
}
"""
#: the first answer that this page applies is not the one that the other page stands by
WRONG_ANSWER = """
const real = RTCPeerConnection.prototype.setRemoteDescription;
RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
  const first = type === "answer" && sdp.includes("m=video") && !window.misled;
  if (first) window.misled = true;
  return real.call(this, { type, sdp: first ? sdp.replace(/(a=ice-pwd:).*/g, "$1" + "x".repeat(24)) : sdp });
};
"""
COUNTS_STEPS = """
const send = WebSocket.prototype.send;
window.steps = {};
WebSocket.prototype.send = function (data) {
  const { kind, step } = JSON.parse(data);
  if (kind === "proof") window.steps[step] = (window.steps[step] ?? 0) + 1;
  return send.call(this, data);
};
"""
UP_WITHIN = 14.0


@pytest.fixture(scope="module")
def running() -> Iterator[products.Product]:
    with products.running(program=CHEATING) as started:
        yield started


@pytest.fixture
def desk(browser: Browser, running: products.Product) -> BrowserContext:
    context = visitor(browser)
    sign_in(context, running).close()
    return context


def test_the_offer_that_leaves_when_the_gate_opens_is_that_of_the_connection_that_stands(
    running: products.Product, browser: Browser, desk: BrowserContext
) -> None:
    [visit] = runs.prepare(running, ["honest"])
    page = desk.new_page()
    page.goto(f"{running.origin}/consults/{visit[0]}/")
    page.locator("[data-admit]:not([disabled])").wait_for()
    told = page.evaluate(OPENS_WHILE_BUSY)
    assert told["offered"]
    assert set(told["offered"]) == {told["stands"]}


@pytest.fixture
def come_up(running: products.Product, browser: Browser, desk: BrowserContext) -> Iterator[Callable[[str], runs.Call]]:
    """An honest call that is up on both pages, each with a script of its own; its pages are left at the end."""
    made: list[runs.Call] = []

    def one(browsers_own: str) -> runs.Call:
        [visit] = runs.prepare(running, ["honest"])
        made.append(runs.call(browser, desk, running, visit, "honest", runs.new_secret(), browsers_own))
        for page in (made[-1].room, made[-1].patient):
            until(page, f"window.shown > 3 && ({runs.STATE})().state === 'link'", seconds=UP_WITHIN)
        return made[-1]

    yield one
    for each in made:
        runs.leave(each)


def test_descriptions_that_do_not_belong_together_are_exchanged_anew(come_up: Callable[[str], runs.Call]) -> None:
    assert come_up(WRONG_ANSWER).room.evaluate("window.misled")


def test_two_pages_that_have_heard_each_other_do_not_answer_without_end(come_up: Callable[[str], runs.Call]) -> None:
    call = come_up(COUNTS_STEPS)
    for page in (call.room, call.patient):
        steps = page.evaluate("window.steps")
        assert 1 <= steps["seen"] <= 4, steps
        assert 1 <= steps["link"] <= 4, steps
