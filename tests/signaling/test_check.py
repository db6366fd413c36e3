"""The check's own rules, asked in node as the pages ask it: what a man in between may not do, each by itself."""

import json

import pytest

from tests.middle.odd import ODD
from tests.signaling import node

COLONS = ":".join(["AB"] * 32)
#: two ends of one call, each with its own check; what one says is handed on by hand
ENDS = """
import { Check } from "%(check)s";
import * as proof from "%(proof)s";

const PRINT = { clinician: "aa".repeat(32), patient: "bb".repeat(32) };
const TAB = { clinician: "1".repeat(16), patient: "2".repeat(16) };
const OTHER = { clinician: "patient", patient: "clinician" };
const named = (print) => `v=0\\r\\na=fingerprint:sha-256 ${print.match(/../g).join(":")}\\r\\n`;
export const key = await proof.linkKey(await proof.secretKey(proof.newSecret()));

class Wire extends EventTarget {
  constructor(role) {
    super();
    Object.assign(this, { tab: TAB[role], state: { gate: true, peer: TAB[OTHER[role]], negotiation: 1 }, said: [] });
  }
  send(frame) {
    this.said.push(frame);
    return true;
  }
}

class Call extends EventTarget {
  constructor(role) {
    super();
    const remote = { sdp: named(PRINT[OTHER[role]]) };
    this.pc = { getTransceivers: () => [], sctp: null, connectionState: "connecting", remoteDescription: remote };
    Object.assign(this, { negotiation: 1, peer: TAB[OTHER[role]], closed: false, shows: "none", expected: "" });
  }
  allow(sends, shows) {
    Object.assign(this, { sends, shows });
  }
  close() {
    this.closed = true;
  }
}

export async function end(role, own = {}) {
  const certificate = { getFingerprints: () => [{ algorithm: "sha-256", value: PRINT[role].match(/../g).join(":") }] };
  const consult = "c0ffee";
  const [wire, call] = [new Wire(role), new Call(role)];
  const check = new Check(wire, call, { role, consult, certificate, keys: [], required: false, compared: [], ...own });
  check.close();  // by hand, not by the clock
  const made = {
    check, wire, call,
    settled: async () => {
      for (let i = 0; i < 50; i += 1) {
        await check.queue;
        await new Promise(setImmediate);
      }
    },
    hears: async (step, value, more = {}) => {
      const about = { from: OTHER[role], peer: TAB[role], negotiation: 1 };
      const frame = { kind: "proof", ...about, step, value, key: "", ...more };
      wire.dispatchEvent(new CustomEvent("proof", { detail: frame }));
      await made.settled();
    },
    said: (step) => wire.said.findLast((frame) => frame.step === step),
    /** what the page says, from now on */
    told: () => {
      check.addEventListener("proof", ({ detail }) => (made.says = detail));
      check.told = "";
      check.tell();
      return made;
    },
    outcome: () => ({ state: check.state, why: check.why, closed: call.closed }),
  };
  check.changed();
  await made.settled();
  return made;
}

/** Hand on all that two ends have said, and what they say to that, but what the man keeps. */
export async function exchange(one, other, kept = []) {
  for (let round = 0; round < 8; round += 1) {
    for (const [from, to] of [[one, other], [other, one]]) {
      for (const frame of from.wire.said.splice(0)) {
        const goes = frame.kind === "proof" && !kept.includes(frame.step);
        if (goes) await to.hears(frame.step, frame.value, { key: frame.key });
      }
    }
  }
}
const some = "cd".repeat(32);
let told;
%(script)s
console.log(JSON.stringify(told));
process.exit(0);
"""
FAILED = {"state": "failed", "closed": True}


def ask(script: str):
    words = {name: (node.STATIC / f"{name}.js").as_uri() for name in ("check", "proof")}
    return node.ask(ENDS % {**words, "script": script})


def test_two_honest_ends_find_the_same_words_and_agree():
    one, other = ask("""
      const [doctor, patient] = [await end("clinician"), await end("patient")];
      await exchange(doctor, patient);
      const words = [doctor, patient].map(({ check }) => [...check.run.words, ...check.run.pictures]);
      const before = [doctor, patient].map(({ check }) => check.state);
      doctor.check.agree(doctor.check.run.seed);
      await doctor.settled();
      await exchange(doctor, patient);
      const half = [doctor, patient].map(({ check }) => check.state);
      patient.check.agree(patient.check.run.seed);
      await patient.settled();
      await exchange(doctor, patient);
      told = [doctor, patient].map(({ check }, i) => ({ words: words[i], states: [before[i], half[i], check.state] }));
    """)
    assert one["words"] == other["words"]
    assert len(one["words"]) == 8
    assert one["states"] == other["states"] == ["none", "none", "comparison"]


def test_two_honest_ends_prove_themselves_by_the_link():
    assert ask("""
      const [doctor, patient] = [
        await end("clinician", { keys: [key], required: true }), await end("patient", { keys: [key], required: true }),
      ];
      const held = [doctor, patient].map(({ check }) => check.state);
      await exchange(doctor, patient);
      told = [...held, doctor.check.state, patient.check.state];
    """) == ["none", "none", "link", "link"]


@pytest.mark.parametrize(
    ("who", "steps"),
    [
        ("patient", 'await me.hears("commit", some); await me.hears("commit", some.replace("cd", "ef"));'),
        ("patient", 'await me.hears("commit", some); await me.hears("reveal", some);'),
        ("patient", 'await me.hears("reveal", some);'),
        ("patient", 'await me.hears("nonce", some);'),
        ("clinician", 'await me.hears("nonce", some); await me.hears("nonce", some.replace("cd", "ef"));'),
        ("clinician", 'await me.hears("commit", some);'),
        ("clinician", 'await me.hears("reveal", some);'),
    ],
    ids=["another commitment", "does not fit", "nothing committed", "not hers", "another number", "his", "not his"],
)
def test_who_is_in_between_has_one_try(who, steps):
    found = ask(f'const me = await end("{who}"); {steps} told = me.outcome();')
    assert found == {**FAILED, "why": "commitment"}


def test_the_same_said_twice_is_no_second_try():
    assert ask("""
      const me = await end("patient");
      for (let i = 0; i < 3; i += 1) await me.hears("commit", some);
      told = me.outcome();
    """) == {"state": "none", "why": "", "closed": False}


@pytest.mark.parametrize(
    "facts",
    [
        '"patient", me.check.run.facts',
        '"clinician", { ...me.check.run.facts, negotiation: 2 }',
        '"clinician", { ...me.check.run.facts, consult: "decaf" }',
        '"clinician", { ...me.check.run.facts, tabs: { clinician: TAB.patient, patient: TAB.clinician } }',
        '"clinician", { ...me.check.run.facts, fingerprints: { ...PRINT, patient: some } }',
    ],
    ids=["one's own sent back", "another negotiation", "another consult", "other tabs", "another certificate"],
)
def test_a_tag_holds_for_one_end_of_one_call(facts):
    script = f"""
      const me = await end("patient", {{ keys: [key], required: true }});
      await me.hears("link", await proof.linkTag(key, {facts}), {{ key: key.id }});
      told = me.outcome();
    """
    assert ask(script) == {**FAILED, "why": "link"}


def test_words_that_were_agreed_to_are_the_same_words():
    """Who is in between cannot say of the words of one side that the other has agreed to hers."""
    assert ask("""
      const [doctor, patient] = [await end("clinician"), await end("patient")];
      await exchange(doctor, patient);
      await doctor.hears("agreed", await proof.agreement("clinician", doctor.check.run.seed));
      told = doctor.outcome();
    """) == {**FAILED, "why": "differ"}


def test_whoever_says_that_they_see_other_certificates_is_believed():
    assert ask("""
      const me = await end("patient");
      await me.hears("seen", some);
      told = me.outcome();
    """) == {**FAILED, "why": "certificate"}


def test_a_page_that_takes_another_certificate_is_stopped():
    assert ask("""
      const me = await end("patient");
      me.call.pc.remoteDescription.sdp = named(some);
      me.check.changed();
      await me.settled();
      told = me.outcome();
    """) == {**FAILED, "why": "certificate"}


def test_new_words_again_and_again_are_not_people_who_reload():
    assert ask("""
      const me = await end("patient");
      const states = [];
      for (let i = 3; i < 70; i += 1) {
        me.call.peer = me.wire.state.peer = String(i).padStart(16, "0");
        me.check.changed();
        await me.check.queue;
        states.push(me.check.state);
      }
      told = [states.indexOf("failed"), me.outcome()];
    """) == [63, {**FAILED, "why": "tries"}]


def test_once_words_were_compared_nobody_else_is_shown_unproved():
    assert ask("""
      const known = await end("patient", { compared: [PRINT.clinician] });
      const stranger = await end("patient", { compared: [some] });
      const fresh = await end("patient");
      const extents = [];
      for (const one of [known, stranger, fresh]) {
        await one.hears("seen", await proof.seenWord("clinician", one.check.run.facts));
        extents.push([one.check.state, one.call.sends]);
      }
      told = extents;
    """) == [["comparison", "all"], ["none", "none"], ["none", "all"]]


@pytest.mark.parametrize("secret", ["{ keys: [key], required: true }", "{ compared: [some] }"])
def test_sound_before_the_proof_is_for_who_was_told_that_it_does_not_come_and_asked(secret):
    assert ask(f"""
      const me = await end("patient", {secret});
      await me.hears("seen", await proof.seenWord("clinician", me.check.run.facts));
      me.told().check.compare();
      const sends = [me.call.sends];
      me.check.run.since -= 4500;
      me.check.changed();
      await me.settled();
      sends.push(me.call.sends, me.says.hears);
      me.check.compare();
      told = [...sends, me.call.sends, me.says.hears];
    """) == ["none", "none", False, "sound", True]


def test_who_agrees_agrees_to_the_words_that_were_read():
    """Whoever is in between may bring others in the moment between two people's clicks."""
    assert ask("""
      const [doctor, patient] = [await end("clinician"), await end("patient")];
      await exchange(doctor, patient);
      const read = patient.told().says.seed;
      patient.check.run.seed = some;
      patient.check.agree(read);
      await patient.settled();
      const before = patient.check.run.mine;
      patient.check.agree(some);
      await patient.settled();
      told = [before, patient.check.run.mine, patient.check.state];
    """) == [False, True, "none"]


PROVED = """
      const [doctor, patient] = [
        await end("clinician", { keys: [key], required: true }), await end("patient", { keys: [key], required: true }),
      ];
      await exchange(doctor, patient);
      const leaf = new Uint8Array([1, 2, 3]);
      PRINT.patient = Buffer.from(await crypto.subtle.digest("SHA-256", leaf)).toString("hex");
      const me = await end("clinician", { keys: [key], required: true });
      const transport = { state: "connected", getRemoteCertificates: () => [leaf] };
      me.call.pc.getTransceivers = () => [{ sender: { transport }, receiver: { transport } }];
      const hears = async () => {
        await me.hears("seen", await proof.seenWord("patient", me.check.run.facts));
        await me.hears("link", await proof.linkTag(key, "patient", me.check.run.facts), { key: key.id });
      };
      const shown = () => [me.says.state, me.says.due, me.call.sends, me.call.shows];
      const now = async () => {
        me.check.changed();
        await me.settled();
        return shown();
      };
      await hears();
      me.told();
"""


def test_the_word_of_trust_is_for_what_can_be_seen_now():
    """Not for what was there before: another page came, or the certificates were not looked at yet."""
    assert ask(f"""{PROVED}
      const states = [await now()];
      me.call.peer = me.wire.state.peer = "9".repeat(16);
      me.call.pc = {{ ...me.call.pc, remoteDescription: null }};
      states.push(await now());
      me.call.pc.remoteDescription = {{ sdp: named(PRINT.patient) }};
      transport.state = "connecting";
      states.push(await now());
      await hears();
      states.push(await now());
      transport.state = "connected";
      states.push(await now());
      told = states;
    """) == [
        ["link", False, "all", "all"],
        ["none", True, "none", "none"],
        ["none", True, "none", "none"],
        ["none", True, "all", "none"],
        ["link", False, "all", "all"],
    ]


def test_what_cannot_be_looked_at_is_shut_until_it_can():
    assert ask(f"""{PROVED}
      const states = [await now()];
      transport.getRemoteCertificates = () => {{ throw new TypeError("gone"); }};
      states.push(await now());
      await hears();
      states.push(shown());
      transport.getRemoteCertificates = () => [leaf];
      states.push(await now());
      told = states;
    """) == [
        ["link", False, "all", "all"],
        ["none", True, "none", "none"],
        ["none", True, "none", "none"],
        ["link", False, "all", "all"],
    ]


def test_what_a_person_says_does_not_wait_behind_what_the_server_says():
    """Nor does a look: steps beyond what two pages ever say are dropped, and said again by whoever meant them."""
    assert ask(f"""{PROVED}
      const states = [await now()];
      const about = {{ from: "patient", peer: TAB.clinician, negotiation: 1, step: "seen", key: "" }};
      const value = await proof.seenWord("patient", me.check.run.facts);
      const detail = {{ kind: "proof", ...about, value }};
      for (let i = 0; i < 5000; i += 1) me.wire.dispatchEvent(new CustomEvent("proof", {{ detail }}));
      const waiting = me.check.waiting;
      me.check.disagree();
      states.push(shown());
      await me.settled();
      told = [states, waiting, me.check.waiting, me.outcome()];
    """) == [
        [["link", False, "all", "all"], ["failed", False, "none", "none"]],
        64,
        0,
        {**FAILED, "why": "differ"},
    ]


def test_a_call_that_is_proved_each_time_may_come_up_as_often_as_it_likes():
    assert ask(f"""{PROVED}
      const states = new Set();
      for (let i = 3; i < 80; i += 1) {{
        me.call.peer = me.wire.state.peer = String(i).padStart(16, "0");
        await now();
        await hears();
        states.add((await now())[0]);
      }}
      told = [...states];
    """) == ["link"]


def named(*more: str) -> list[str | None]:
    """What the page says that descriptions name: one certificate as a browser writes it, and each of these after it."""
    plain = f"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\na=msid-semantic: WMS *\r\na=fingerprint:sha-256 {COLONS}\r\n"
    texts = [f"{plain}m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n{line}\r\na=setup:actpass\r\n" for line in more]
    return ask(f"told = {json.dumps(texts)}.map(proof.namedFingerprint)")


def test_a_description_names_one_certificate_in_each_part_that_names_one():
    assert (
        named("a=mid:0", f"a=fingerprint:sha-256 {COLONS}", f"a=fingerprint:sha-256 {COLONS.lower()}")
        == ["ab" * 32] * 3
    )
    assert ask("told = ['', 'v=0\\r\\n'].map(proof.namedFingerprint)") == ["", ""]


@pytest.mark.parametrize("print_", [COLONS, ":".join(["CD"] * 32)], ids=["the same", "another"])
def test_a_line_that_names_a_certificate_in_another_form_is_a_failure(print_):
    """Also where it is the same: a page that reads it is not sure that the browser does."""
    assert {line: got for line, got in zip(ODD, named(*(odd.format(print_) for odd in ODD)), strict=True) if got} == {}


@pytest.mark.parametrize(
    "line",
    [
        f"a=fingerprint:sha-256 {':'.join(['CD'] * 32)}",
        "a=fingerprint:sha-256 AB:CD",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x",
        "a= crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x",
        "a=CRYPTO:1 AES_CM_128_HMAC_SHA1_80 inline:x",
        "a=identity:eyJ9",
        "a=remote-candidates:1 192.0.2.9 9",
        "",
    ],
)
def test_what_no_browser_of_a_call_writes_is_a_failure(line):
    assert named(line) == [None]
