"""That people were told to go on by telephone: said until the server has it, asked in node as the pages ask it."""

from tests.signaling import node

#: a page whose call was closed by its check, at each of these moments; how often it has said "phone" by then
PLAY = """
import { Uplink } from "%s";
const later = globalThis.setTimeout;
globalThis.setTimeout = (work, ms) => later(work, ms / 1000);
const wire = Object.assign(new EventTarget(), { state: null, closed: false, up: true, said: 0 });
wire.send = ({ kind }) => {
  wire.said += wire.up && kind === "phone" ? 1 : 0;
  return wire.up;
};
const check = Object.assign(new EventTarget(), { state: "none" });
const call = { state: "closed" };
const uplink = new Uplink(wire, call);
const happen = {
  heed: () => uplink.heed(check),
  alarm: () => {
    check.state = "failed";
    check.dispatchEvent(new CustomEvent("proof"));
  },
  checked: () => {
    check.state = "link";
    check.dispatchEvent(new CustomEvent("proof"));
  },
  unwritten: async () => {
    wire.dispatchEvent(new CustomEvent("fault", { detail: { code: "unwritten" } }));
    await new Promise((done) => later(done, 50));
  },
  other: async () => {
    wire.dispatchEvent(new CustomEvent("fault", { detail: { code: "stale" } }));
    await new Promise((done) => later(done, 50));
  },
  lost: () => (wire.up = false),
  back: () => {
    wire.up = true;
    wire.dispatchEvent(new CustomEvent("up"));
  },
};
const said = [];
for (const moment of JSON.parse(process.argv[1])) {
  if (typeof moment === "string") await happen[moment]();
  else {
    wire.state = moment;
    wire.dispatchEvent(new CustomEvent("state"));
  }
  await uplink.look();
  said.push(wire.said);
}
console.log(JSON.stringify([said, uplink.clock._destroyed]));
process.exit(0);
"""
SHUT, OPEN = {"gate": False, "phoned": False}, {"gate": True, "phoned": False}
KNOWN = {"gate": True, "phoned": True}


def play(*moments):
    """How often it was said after each moment, and whether the page has stopped looking."""
    said, stopped = node.ask(PLAY % (node.STATIC / "uplink.js").as_uri(), moments)
    return said, stopped


def test_a_check_that_ends_the_call_is_said_once_and_until_the_server_has_it():
    said, stopped = play(OPEN, "heed", "alarm", OPEN, KNOWN)
    assert said == [0, 0, 1, 1, 1]
    assert stopped


def test_a_socket_that_came_back_says_it_again():
    said, stopped = play(OPEN, "heed", "lost", "alarm", "back", "lost", "back", KNOWN, "back")
    assert said == [0, 0, 0, 0, 1, 1, 2, 2, 2]
    assert stopped


def test_what_the_server_could_not_write_down_is_said_again():
    said, stopped = play(OPEN, "heed", "alarm", "other", "unwritten", OPEN, "unwritten", KNOWN)
    assert said == [0, 0, 1, 1, 2, 2, 3, 3]
    assert stopped


def test_it_waits_for_the_gate_which_hears_nothing_while_it_is_shut():
    said, _ = play("alarm", "heed", SHUT, OPEN, OPEN, SHUT, OPEN, KNOWN)
    assert said == [0, 0, 0, 1, 1, 1, 2, 2]


def test_a_check_that_holds_sends_nobody_to_the_telephone():
    assert play(OPEN, "heed", "checked", OPEN)[0] == [0, 0, 0, 0]
