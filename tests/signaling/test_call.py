"""The connection's own rules, asked in node as the pages ask it, over a connection that does as it is told."""

from tests.signaling import node

PAGE = """
const { Call } = await import("%(call)s");

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const DOCTOR = "aa".repeat(32), MAN = "ee".repeat(32), NEXT = "dd".repeat(32), LAST = "cc".repeat(32);
const TAB = { doctor: "1".repeat(16), next: "3".repeat(16), last: "4".repeat(16) };
const sdp = (print) => `v=0\\r\\na=fingerprint:sha-256 ${print.match(/../g).join(":").toUpperCase()}\\r\\n`;
const made = [];
class Connection extends EventTarget {
  constructor() {
    super();
    Object.assign(this, { remoteDescription: null, localDescription: null, signalingState: "stable", taken: [] });
    this.connectionState = "new";
    made.push(this);
  }
  getTransceivers() { return []; }
  getReceivers() { return []; }
  getConfiguration() { return {}; }
  setConfiguration() {}
  async setRemoteDescription(description) {
    await sleep(20); // what a page sees of it changes when it is done
    this.remoteDescription = description;
    this.taken.push(description.sdp);
  }
  async createAnswer() { return { type: "answer", sdp: "" }; }
  async setLocalDescription(description) { this.localDescription = description; }
  close() { this.connectionState = "closed"; }
}
Object.assign(globalThis, {
  window: globalThis,
  addEventListener: () => {},
  removeEventListener: () => {},
  MediaStream: class { getAudioTracks() { return []; } },
  RTCPeerConnection: Connection,
});
const wire = Object.assign(new EventTarget(), { tab: "2".repeat(16), state: null, said: [] });
Object.assign(wire, { send: (frame) => wire.said.push(frame), renew() {}, probe() {}, rename() {} });
const hears = (frame) => {
  if (frame.kind === "state") wire.state = frame;
  wire.dispatchEvent(new CustomEvent(frame.kind, { detail: frame }));
};
const OPEN = { kind: "state", gate: true, negotiation: 1, ice: [], relay_only: false };
const state = (peer, more = {}) => hears({ ...OPEN, peer, ...more });
const offer = (print) => hears({ kind: "description", leg: "call", negotiation: 1, type: "offer", sdp: sdp(print) });
const call = new Call(wire, "patient");
let foreign = 0;
call.addEventListener("foreign", () => (foreign += 1));
const settled = async () => {
  await sleep(150);
  await call.queue;
};
let told;
%(script)s
console.log(JSON.stringify(told));
process.exit(0);
"""
#: a call that is there, and takes a description at this moment
BUSY = """
      state(TAB.doctor);
      offer(DOCTOR);
      await settled();
      offer(DOCTOR); // busy with that"""


def ask(script: str):
    return node.ask(PAGE % {"call": (node.STATIC / "call.js").as_uri(), "script": script})


def test_a_connection_takes_the_certificate_of_its_first_description_and_no_other():
    """Also before anybody has looked at the first, which a server can put off."""
    assert ask("""
      state(TAB.doctor);
      offer(DOCTOR);
      offer(MAN);
      await settled();
      told = [made.at(-1).taken.map((one) => one === sdp(DOCTOR)), foreign];
    """) == [[True], 1]


def test_a_page_at_the_other_end_that_was_loaded_anew_is_another_one():
    """What came between two words of the server is not taken for the page's before, busy as this one was meanwhile."""
    assert ask(f"""{BUSY}
      state(TAB.next);
      offer(NEXT);
      state(TAB.next, {{ place: 1 }});
      await settled();
      told = [made.at(-1).taken.map((one) => one === sdp(NEXT)), foreign];
    """) == [[True], 0]


def test_what_a_page_said_that_has_gone_is_not_taken_for_the_next_ones():
    assert ask(f"""{BUSY}
      state(TAB.next);
      offer(NEXT);
      state(TAB.last);
      offer(LAST);
      await settled();
      told = [made.at(-1).taken.map((one) => one === sdp(LAST)), foreign];
    """) == [[True], 0]


def test_what_a_page_said_that_went_at_once_is_not_taken_for_the_next_ones():
    assert ask("""
      call.enqueue(() => sleep(50)); // busy
      state(TAB.next);
      offer(NEXT);
      state("");
      await settled();
      state(TAB.last);
      offer(LAST);
      await settled();
      told = [made.at(-1).taken.map((one) => one === sdp(LAST)), foreign];
    """) == [[True], 0]
