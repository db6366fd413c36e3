"""One call after the other through a server that may cheat, each in browsers of its own, and what came of it."""

import json
import re
import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser import firefox, visit
from tests.browser.people import until, visitor
from tests.browser.product import CLINICIAN, Product
from tests.middle.man import begin_file

#: the slowest word is that the check does not get through, after four seconds; the rest is a busy machine
WORD_WITHIN = 25.0
WATCHED_ON_MS = 1000
#: what begins after an honest call was seen to be one
LATER = ("restart", "replay", "bridge_later", "restarted", "reloaded")

#: counts the frames of the other side that this page shows; of those that count, see `begin_again`
NOTE_FRAMES = """
(() => {
  Object.assign(window, { shown: 0, before: 0, fromAlarm: false });
  const counts = () => window.fromAlarm
    ? document.querySelector("[data-proof-alarm]").open
    : window.connections.length > window.before;
  const look = () => {
    const video = document.querySelector("video[data-remote]");
    if (!video) return requestAnimationFrame(look);
    const note = () => { if (counts()) window.shown += 1; video.requestVideoFrameCallback(note); };
    video.requestVideoFrameCallback(note);
  };
  addEventListener("DOMContentLoaded", look);
})();
"""
STATE = """
() => ({
  state: document.querySelector("[data-proof-chip]").dataset.state,
  alarm: document.querySelector("[data-proof-alarm]").open,
  stuck: !document.querySelector("[data-proof-stuck]").hidden,
  shown: window.shown,
  tracks: document.querySelector("video[data-remote]").srcObject?.getTracks().length ?? 0,
})
"""
CALL = 'window.connections.findLast((one) => one.getReceivers().some(({ track }) => track.kind === "video"))'
#: of a call that does not come up, where each connection of a page stands; no addresses
HOW_FAR = """
async () => {
  const video = document.querySelector("video[data-remote]");
  const told = [["video", video.paused, video.readyState, video.videoWidth, video.currentTime]];
  for (const pc of window.connections ?? []) {
    if (pc.signalingState === "closed") {
      told.push(["closed"]); // of which Firefox says no more
      continue;
    }
    const rows = [...(await pc.getStats()).values()].filter((row) => row.kind === "video" && /rtp$/.test(row.type));
    told.push([
      pc.connectionState, pc.iceConnectionState, pc.iceGatheringState, pc.signalingState,
      pc.localDescription?.type, pc.remoteDescription?.type, pc.getReceivers().map(({ transport }) => transport?.state),
      pc.getSenders().map(({ track }) => track && [track.kind, track.readyState, track.muted]),
      rows.map((row) => [row.type, row.framesSent, row.framesDecoded, row.packetsReceived]),
    ]);
  }
  return told;
}
"""
WORDS_AND_PICTURES = 8
PRESSABLE = "!document.querySelector('[data-proof-same]').disabled"
HEARD = re.compile(r"heard (\d+) of (\w+)")
PRESS = "document.querySelector('[data-proof-{}]').click()"
REMOTE = f"({CALL}).currentRemoteDescription?.sdp.match(/a=ice-ufrag:.*/)?.[0]"


@dataclass
class Came:
    """What one page showed in the end. `shown`: frames that may not be seen of a man, and must be of a person."""

    state: str
    alarm: bool
    stuck: bool
    shown: int
    tracks: int


@dataclass
class Call:
    """One call: whose page is whose, and the man's attack."""

    attack: str
    consult: str
    room: Page | firefox.Page
    patient: Page | firefox.Page
    begin: Path
    #: what proves who is there: "link", or without a secret "comparison" by the two people
    proof: str
    over: bool = False

    @property
    def pages(self) -> tuple[Page | firefox.Page, Page | firefox.Page]:
        return self.room, self.patient


def plan(product: Product, visits: list[list[str]], attacks: list[str]) -> None:
    """Tell the cheating server what to do with which consult."""
    told = {visit[0]: attack for visit, attack in zip(visits, attacks, strict=True)}
    path = product.data / "middle.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**before, **told}))


def prepare(product: Product, attacks: list[str]) -> list[list[str]]:
    visits = visit.waiting(product, len(attacks))
    plan(product, visits, attacks)
    return visits


def call(
    browser: Browser | firefox.Firefox,
    desk: BrowserContext | firefox.Firefox,
    product: Product,
    visit: list[str],
    attack: str,
    secret: str,
    browsers_own: str = "",
) -> Call:
    """Both people come, with the link's secret in both browsers, and she is admitted.

    `browser`: the patient's. `desk`: the clinician's, who has signed in.
    `browsers_own`: a script that stands for what a browser does of itself.
    """
    consult, cookie, seat = visit
    name = f"telehealth-link-secret.{consult}"
    carried = f"{browsers_own}; {NOTE_FRAMES}; if ('{secret}') sessionStorage.setItem('{name}', '{secret}');"
    place = {"domain": "localhost", "path": "/", "secure": True, "httpOnly": True}
    patient = person(browser, {"name": cookie, "value": seat, **place}, carried)
    patient.goto(f"{product.origin}/visit/{consult}/")
    until(patient, "document.querySelector('[data-step=waiting] video')?.readyState >= 2")
    room = office(desk, product, carried)
    room.goto(f"{product.origin}/consults/{consult}/")
    room.click("[data-admit]:not([disabled])")
    proof = "link" if secret else "comparison"
    return Call(attack, consult, room, patient, begin_file(product.data, consult), proof)


def person(browser: Browser | firefox.Firefox, cookie: Any, script: str) -> Page | firefox.Page:
    if isinstance(browser, firefox.Firefox):
        return browser.person([cookie], script)
    phone = visitor(browser, width=390, height=800)
    phone.add_init_script(script)
    phone.add_cookies([cookie])
    return phone.new_page()


def office(desk: BrowserContext | firefox.Firefox, product: Product, script: str) -> Page | firefox.Page:
    if isinstance(desk, firefox.Firefox):
        return desk.person(product.sessions[CLINICIAN], script)
    room = desk.new_page()
    room.add_init_script(script)
    return room


def settle(running: Call) -> tuple[Came, Came]:
    """Until both pages have come to a word, and a little longer: what is shown late counts too."""
    if running.proof == "comparison":
        compare(running)
    if running.attack in LATER:
        for page in running.pages:
            try:
                until(page, f"window.shown > 3 && ({STATE})().state === '{running.proof}'", seconds=WORD_WITHIN)
            except AssertionError:
                far = [one.evaluate(HOW_FAR) for one in running.pages]
                raise AssertionError(f"An honest call did not come up: {told(look(running))}, {far}") from None
        begin_again(running)
    ends = time.monotonic() + WORD_WITHIN
    while True:
        came = look(running)
        if undisturbed(came, running.proof):
            return came
        if caught(came) or time.monotonic() > ends:
            running.room.wait_for_timeout(WATCHED_ON_MS)
            return _with_what_was_said(came, look(running))
        running.room.wait_for_timeout(100)


def compare(running: Call) -> None:
    """What two people do whose link has no secret: both read aloud, and say whether it is the same.

    Until then they see each other under "not checked yet"; of one who is in between, what is shown after counts.
    """
    ends = time.monotonic() + WORD_WITHIN
    while True:
        if all(one.alarm for one in look(running)):
            return
        read = [page.evaluate(visit.READ) for page in running.pages]
        pressable = all(page.evaluate(PRESSABLE) for page in running.pages)
        if pressable and all(len(one) == WORDS_AND_PICTURES for one in read):
            break
        if time.monotonic() > ends:
            return
        running.room.wait_for_timeout(100)
    came = look(running)
    assert all(one.state in ("none", "failed") for one in came), told(came)
    same = read[0] == read[1]
    if not same:
        for page in running.pages:
            page.evaluate("void Object.assign(window, { fromAlarm: true, shown: 0 })")
    for page in running.pages:
        page.evaluate(PRESS.format("same" if same else "differ"))


def _with_what_was_said(came: tuple[Came, Came], late: tuple[Came, Came]) -> tuple[Came, Came]:
    """What a page has said it has said, also where it begins the check anew meanwhile."""
    room, patient = (
        replace(after, alarm=after.alarm or before.alarm, stuck=after.stuck or before.stuck)
        for before, after in zip(came, late, strict=True)
    )
    return room, patient


def look(running: Call) -> tuple[Came, Came]:
    room, patient = (Came(**page.evaluate(STATE)) for page in running.pages)
    return room, patient


def begin_again(running: Call) -> None:
    """What gives a man his second chance: another negotiation of the same page, or another page.

    What was shown before was honest. Of a new connection every frame counts; where the old one goes on, those after the
    alarm count, or all where there is no man.
    """
    running.begin.touch()
    if "restart" in running.attack:
        for page in running.pages:
            page.evaluate(
                "(fromAlarm) => void Object.assign(window, { fromAlarm, shown: 0 })", running.attack == "restart"
            )
        known = running.patient.evaluate(REMOTE)
        running.patient.evaluate(f"{CALL}.restartIce()")
        if running.attack == "restarted":
            until(running.patient, f"({REMOTE} ?? {json.dumps(known)}) !== {json.dumps(known)}", seconds=WORD_WITHIN)
    else:
        running.room.evaluate("Object.assign(window, { before: window.connections.length, shown: 0 })")
        running.patient.reload()


def leave(running: Call) -> None:
    """Once: a test may need both to have left before its end."""
    if running.over:
        return
    running.over = True
    running.room.close()
    if isinstance(running.patient, firefox.Page):
        running.patient.close()
    else:
        running.patient.context.close()


def new_secret() -> str:
    return secrets.token_urlsafe(32)


def did(product: Product) -> dict[str, list[str]]:
    """What the man noted that he did, by consult."""
    done: dict[str, list[str]] = {}
    path = product.data / "middle.log"
    for line in path.read_text().splitlines() if path.exists() else []:
        consult, _, what = line.partition(" ")
        done.setdefault(consult, []).append(what)
    return done


def heard(product: Product, running: Call) -> dict[str, int]:
    """Packets of sound and picture that the man between two connections got of each page. Ends the call."""
    leave(running)
    ends = time.monotonic() + WORD_WITHIN
    while True:
        noted = [HEARD.fullmatch(what) for what in did(product).get(running.consult, [])]
        found = [(one[2], int(one[1])) for one in noted if one]
        of = {role: sum(number for who, number in found if who == role) for role, _ in found}
        if len(of) == len(running.pages):
            return of
        assert time.monotonic() < ends, f"the man did not note what he heard: {did(product).get(running.consult)}"
        time.sleep(0.1)


def caught(came: tuple[Came, Came]) -> bool:
    """Nothing of the other side is shown, and both pages say so: an alarm, or that the check does not get through."""
    return all(not one.shown and not one.tracks and (one.alarm or one.stuck) for one in came)


def undisturbed(came: tuple[Came, Came], proof: str = "link") -> bool:
    return all(one.state == proof and one.shown and not one.alarm for one in came)


def told(came: tuple[Came, Came]) -> Any:
    return [one.__dict__ for one in came]
