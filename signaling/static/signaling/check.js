/**
 * Checks who is at the other end of a call, again at every change below it (PROTOCOL.md, "The proof"). No DOM.
 *
 * Works on the other side's certificate as its description names it, while the path is still looked for, and holds what
 * is really at the other end of every transport against it before anything is shown. Nothing here says yes by itself.
 *
 * Event "proof" with a `Told` whenever it changed; event "compared" with a certificate's fingerprint once words were
 * compared with whoever has it. Of what is told, `due`: a proof is awaited; `stuck`: for too long; `hears`: this side's
 * person asked to be heard before it; `seed`: which words these are.
 */

import * as proof from "./proof.js";
import { UNWRITTEN_FOR } from "./wire.js";

/**
 * @typedef {import("./wire.js").Wire} Wire
 * @typedef {import("./call.js").Call} Call
 * @typedef {import("./proof.js").Facts} Facts
 * @typedef {import("./proof.js").LinkKey} LinkKey
 * @typedef {import("./proof.js").Role} Role
 * @typedef {"none" | "link" | "comparison" | "failed"} ProofState
 * @typedef {{state: ProofState, why: string, held: boolean, due: boolean, stuck: boolean, hears: boolean, seed: string,
 *   words: number[], pictures: number[], mine: boolean, theirs: boolean}} Told
 * @typedef {{name: string, facts: Facts, nonces: {clinician: string, patient: string}, commit: string, seed: string,
 *   words: number[], pictures: number[], mine: boolean, theirs: boolean, said: Record<string, number>, key: LinkKey | null,
 *   confirmed: boolean, required: boolean, comparing: boolean, since: number}} Run
 */

const AGAIN_EVERY = 1000;
/** what was said so lately is on its way: two pages must not answer each other without end */
const SAID_LATELY = 500;
const REPORT_NONE_AFTER = 3000;
/** the other page should have answered by the link's secret long before this; and before that, have described itself */
const STUCK_AFTER = 4000;
const UNDESCRIBED_AFTER = 8000;
const EARLY_FRAMES = 16;
/** steps that wait for their turn; what is beyond is said again, and what else waits does not wait for long */
const MOST_WAITING = 64;
/** new words this often on one page are not people who reload: whoever is in between may be waiting for luck */
const MOST_RUNS = 64;

export class Check extends EventTarget {
  /**
   * @param {Wire} wire
   * @param {Call} call
   * @param {{role: Role, consult: string, certificate: RTCCertificate, keys: LinkKey[], required: boolean,
   *   compared: string[]}} own
   *   `required`: the link was handed over with a secret in it, so nothing flows before that is proved.
   *   `compared`: fingerprints with whose owners words were compared before this page was loaded
   */
  constructor(wire, call, { role, consult, certificate, keys, required, compared }) {
    super();
    this.wire = wire;
    this.call = call;
    this.role = role;
    this.consult = consult;
    this.own = proof.ownFingerprint(certificate);
    this.keys = keys;
    this.required = required;
    /** @type {ProofState} */
    this.state = "none";
    this.why = "";
    /** @type {Run | null} */
    this.run = null;
    this.runs = 0;
    /** the call that should run by the clinic's word, and since when */
    this.due = "";
    this.dueSince = 0;
    /** this side's person wants to compare, and there is nothing yet to make words of */
    this.wantsWords = false;
    /** the other side's certificate, by its page's name: a page keeps its own as long as it lives */
    this.seen = new Map();
    /** certificates whose owners' words were compared with ours */
    this.compared = new Set(compared);
    /** the connection whose transports were last found to end at that certificate @type {RTCPeerConnection | null} */
    this.looked = null;
    /** the last look broke off: nothing is known of who is there, and nothing flows until one comes through */
    this.blind = false;
    /** @type {{peer: string, frame: any}[]} */
    this.early = [];
    this.reported = "";
    this.told = "";
    /** @type {Promise<void>} */
    this.queue = Promise.resolve();
    /** steps of the other side in it */
    this.waiting = 0;
    call.addEventListener("transport", () => this.changed());
    call.addEventListener("foreign", () => this.failNow("certificate"));
    wire.addEventListener("proof", (event) => {
      const frame = /** @type {CustomEvent} */ (event).detail;
      const peer = String(wire.state?.peer ?? "");
      if (this.waiting >= MOST_WAITING) return;
      this.waiting += 1;
      this.enqueue(async () => {
        this.waiting -= 1;
        await this.heard(frame, peer);
      });
    });
    wire.addEventListener("fault", (event) => {
      if (/** @type {CustomEvent} */ (event).detail.code === "unwritten") setTimeout(() => (this.reported = ""), UNWRITTEN_FOR);
    });
    this.timer = setInterval(() => this.enqueue(() => this.tick()), AGAIN_EVERY);
  }

  /** @param {() => Promise<void>} step */
  enqueue(step) {
    this.queue = this.queue.then(step).catch(warn);
  }

  /** @returns {Role} */
  get other() {
    return this.role === "clinician" ? "patient" : "clinician";
  }

  /** Nothing is shown of anybody unproved: there is a secret to prove, or somebody whom this one is not. */
  get mustProve() {
    return this.required || this.compared.size > 0;
  }

  get verified() {
    return this.state === "link" || this.state === "comparison";
  }

  /**
   * The secrets that this page knows from now on. A connection that stands is judged by those of before.
   * @param {LinkKey[]} keys
   * @param {boolean} required
   */
  setKeys(keys, required) {
    this.keys = keys;
    this.required = required;
    if (this.run) this.run.key = null;
    this.enqueue(() => this.sayAgain());
  }

  /** Something below the media changed: what is not connected shows nothing from this moment; the rest is looked at. */
  changed() {
    const { pc } = this.call;
    for (const transport of proof.transports(pc)) transport.onstatechange = () => this.changed();
    if (this.looked !== pc || pc.connectionState === "closed") this.settle();
    this.enqueue(() => this.look());
  }

  /** What could not be looked at is not shown until it can be. */
  async look() {
    const { pc } = this.call;
    try {
      await this.lookAt(pc);
    } catch (error) {
      if (pc === this.call.pc) {
        this.looked = null;
        this.blind = true;
        this.settle();
      }
      throw error;
    }
  }

  /** @param {RTCPeerConnection} pc */
  async lookAt(pc) {
    const { call } = this;
    const { negotiation, peer } = call;
    if (this.state === "failed" || call.closed || negotiation < 0 || !peer) return this.settle();
    const named = proof.namedFingerprint(pc.remoteDescription?.sdp ?? "");
    if (named === "") return this.settle();
    if (named === null) return this.fail("transports");
    if ((this.seen.get(peer) ?? named) !== named) return this.fail("certificate");
    this.seen.set(peer, named);
    call.expected = named;
    const facts = this.facts(negotiation, peer, named);
    if (JSON.stringify(facts) !== this.run?.name) await this.begin(facts);
    const actual = await proof.remoteFingerprint(pc);
    if (pc !== call.pc || peer !== call.peer) return;
    if (actual === null) return this.fail("transports");
    if (actual !== "" && actual !== named) return this.fail("certificate");
    this.blind = false;
    this.looked = actual === "" ? null : pc;
    if (this.looked && this.verified) this.runs = 0; // nobody is trying his luck
    this.settle();
  }

  /** The run that belongs to what is called now. */
  get current() {
    const { run, call } = this;
    if (run?.facts.negotiation !== call.negotiation || run.facts.tabs[this.other] !== call.peer) return null;
    return run;
  }

  /** What may flow now, by what is known now. */
  settle() {
    const { current: run, call } = this;
    /** @type {import("./call.js").Extent} */
    let extent = "none";
    if (run && !this.blind && call.expected === run.facts.fingerprints[this.other] && this.state !== "failed") {
      if (this.verified || (run.confirmed && !run.required)) extent = "all";
      else if (run.confirmed && run.comparing) extent = "sound";
    }
    call.allow(extent, this.looked === call.pc ? extent : "none");
    this.tell();
  }

  /**
   * @param {number} negotiation
   * @param {string} peer
   * @param {string} remote
   * @returns {Facts}
   */
  facts(negotiation, peer, remote) {
    const own = this.role === "clinician";
    const pair = (/** @type {string} */ mine, /** @type {string} */ theirs) =>
      own ? { clinician: mine, patient: theirs } : { clinician: theirs, patient: mine };
    return { consult: this.consult, negotiation, tabs: pair(this.wire.tab, peer), fingerprints: pair(this.own, remote) };
  }

  /** @param {Facts} facts */
  async begin(facts) {
    if (++this.runs > MOST_RUNS) return this.fail("tries");
    const nonces = { clinician: "", patient: "" };
    nonces[this.role] = proof.newNonce();
    this.run = {
      name: JSON.stringify(facts),
      facts,
      nonces,
      commit: "",
      seed: "",
      words: [],
      pictures: [],
      mine: false,
      theirs: false,
      said: {},
      key: null,
      confirmed: false,
      required: this.mustProve,
      comparing: this.wantsWords,
      since: performance.now(),
    };
    this.wantsWords = false;
    // Words were compared for this very certificate: whoever has its key is whom they were compared with.
    this.become(this.compared.has(facts.fingerprints[this.other]) ? "comparison" : "none");
    await this.saySeen();
    await this.sayLink();
    if (this.role === "clinician") this.run.commit = await proof.commitment(nonces.clinician, facts);
    await this.sayAgain();
    const waiting = this.early;
    this.early = [];
    for (const { peer, frame } of waiting) await this.heard(frame, peer);
  }

  /** What the other side has not answered yet: frames get lost with sockets. */
  async sayAgain() {
    const { run } = this;
    if (!run) return;
    if (!run.confirmed) await this.saySeen();
    if (this.state === "none") await this.sayLink();
    if (this.role === "clinician" && run.commit && !run.nonces.patient) this.say("commit", run.commit);
    if (this.role === "patient" && run.commit && !run.seed) this.say("nonce", run.nonces.patient);
    if (run.mine && !run.theirs) await this.sayAgreed();
  }

  async saySeen() {
    const { run } = this;
    if (run && mayBeSaid(run, "seen")) this.say("seen", await proof.seenWord(this.role, run.facts));
  }

  /** Of several secrets the clinician's page uses the one that the patient's names. */
  async sayLink() {
    const { run, keys } = this;
    const key = run?.key ?? (keys.length === 1 ? keys[0] : null);
    if (run && key && mayBeSaid(run, "link")) this.say("link", await proof.linkTag(key, this.role, run.facts), key.id);
  }

  /**
   * @param {string} step
   * @param {string} value
   */
  say(step, value, key = "") {
    const { negotiation, tabs } = this.run?.facts ?? { negotiation: this.call.negotiation, tabs: { [this.other]: this.call.peer } };
    this.wire.send({ kind: "proof", negotiation, peer: tabs[this.other], step, value, key });
  }

  /**
   * @param {any} frame
   * @param {string} peer the other page when the frame came
   */
  async heard(frame, peer) {
    if (frame.from !== this.other || frame.peer !== this.wire.tab || this.state === "failed") return;
    const { run } = this;
    if (frame.step === "differ") return frame.negotiation === this.call.negotiation ? this.fail("differ") : undefined;
    if (!run || run.facts.negotiation !== frame.negotiation || run.facts.tabs[this.other] !== peer) {
      // The other side knew this side's certificate a moment sooner.
      if (this.early.length < EARLY_FRAMES) this.early.push({ peer, frame });
      return;
    }
    if (frame.step === "seen") await this.heardSeen(run, frame.value);
    else if (frame.step === "link") await this.heardLink(run, frame);
    else if (frame.step === "commit") await this.heardCommit(run, frame.value);
    else if (frame.step === "nonce") await this.heardNonce(run, frame.value);
    else if (frame.step === "reveal") await this.heardReveal(run, frame.value);
    else if (frame.step === "agreed") await this.heardAgreed(run, frame.value);
  }

  /**
   * Both ends name the same certificates. Whoever rewrites descriptions can rewrite this too: it is no proof.
   * @param {Run} run
   * @param {string} value
   */
  async heardSeen(run, value) {
    if (value !== (await proof.seenWord(this.other, run.facts))) return this.fail("certificate");
    if (run.confirmed) await this.saySeen(); // asked again, the other side has not heard ours
    run.confirmed = true;
    this.settle();
  }

  /**
   * @param {Run} run
   * @param {any} frame
   */
  async heardLink(run, frame) {
    const key = this.keys.find((one) => one.id === frame.key);
    if (!key) return;
    if (!(await proof.tagHolds(key, this.other, run.facts, frame.value))) return this.fail("link");
    const first = run.key !== key;
    run.key = key;
    if (this.state === "none") this.become("link");
    this.settle();
    if (!first || this.keys.length > 1) await this.sayLink(); // asked again, the other side has not heard ours
  }

  /**
   * @param {Run} run
   * @param {string} value
   */
  async heardCommit(run, value) {
    if (this.role !== "patient") return this.fail("commitment");
    if (run.commit && run.commit !== value) return this.fail("commitment");
    run.commit = value;
    this.say("nonce", run.nonces.patient);
  }

  /**
   * @param {Run} run
   * @param {string} value
   */
  async heardNonce(run, value) {
    if (this.role !== "clinician") return this.fail("commitment");
    if (run.nonces.patient && run.nonces.patient !== value) return this.fail("commitment");
    run.nonces.patient = value;
    this.say("reveal", run.nonces.clinician);
    await this.findWords(run);
  }

  /**
   * @param {Run} run
   * @param {string} value
   */
  async heardReveal(run, value) {
    if (this.role !== "patient" || !run.commit) return this.fail("commitment");
    if ((await proof.commitment(value, run.facts)) !== run.commit) return this.fail("commitment");
    run.nonces.clinician = value;
    await this.findWords(run);
  }

  /** @param {Run} run */
  async findWords(run) {
    if (run.seed) return;
    Object.assign(run, await proof.wordsFor(run.facts, run.nonces));
    this.tell();
  }

  /**
   * @param {Run} run
   * @param {string} value
   */
  async heardAgreed(run, value) {
    if (!run.seed) return; // it is said again
    if (value !== (await proof.agreement(this.other, run.seed))) return this.fail("differ");
    const news = !run.theirs;
    run.theirs = true;
    if (run.mine) await this.sayAgreed();
    if (news) this.agreed(run);
  }

  async sayAgreed() {
    const { run } = this;
    if (run && mayBeSaid(run, "agreed")) this.say("agreed", await proof.agreement(this.role, run.seed));
  }

  /**
   * This side's person wants to compare where the proof does not come. Sound is needed for that; only who was told that
   * the proof does not come asked to be heard before it.
   */
  compare() {
    const run = this.current;
    if (run) run.comparing ||= this.stuck;
    else this.wantsWords = this.stuck;
    this.settle();
  }

  /**
   * This side's person has compared: words and pictures are the same.
   * @param {string} seed of the words that were read: others may have come meanwhile
   */
  agree(seed) {
    this.enqueue(async () => {
      const { run } = this;
      if (!run?.seed || run.seed !== seed || this.state === "failed") return;
      run.mine = true;
      await this.sayAgreed();
      this.agreed(run);
    });
  }

  /** @param {Run} run */
  agreed(run) {
    if (run.mine && run.theirs && this.state === "none") {
      const fingerprint = run.facts.fingerprints[this.other];
      this.compared.add(fingerprint);
      this.dispatchEvent(new CustomEvent("compared", { detail: fingerprint }));
      this.become("comparison");
    }
    this.settle();
  }

  /** This side's person has compared, and they differ. */
  disagree() {
    this.failNow("differ");
  }

  /**
   * Not behind what waits its turn: the server says how much that is.
   * @param {string} why
   */
  failNow(why) {
    this.fail(why).catch(warn);
  }

  /**
   * Somebody may be in between: the media stop now at both ends, and this page does not call again by itself.
   * @param {string} why
   */
  async fail(why) {
    if (this.state === "failed") return;
    this.why = why;
    this.become("failed");
    this.settle();
    this.call.close();
    if (this.call.negotiation >= 0 && this.call.peer) this.say("differ", await proof.agreement(this.role, this.run?.seed ?? ""));
    await this.report();
  }

  /** Before any call: this device has failed too often. */
  giveUp() {
    this.why = "tries";
    this.become("failed");
    this.call.close();
  }

  async tick() {
    if (this.state === "failed") return this.report();
    this.noteDue();
    await this.look();
    const run = this.current;
    if (!run) return;
    await this.sayAgain();
    if (this.verified || performance.now() - run.since > REPORT_NONE_AFTER) await this.report();
  }

  noteDue() {
    const { state } = this.wire;
    const due = state?.gate && state.peer ? JSON.stringify([state.negotiation, state.peer]) : "";
    if (due !== this.due) this.dueSince = performance.now();
    this.due = due;
  }

  /** It should have been proved long ago who is there. A description that never came is kept back as well. */
  get stuck() {
    const run = this.current;
    const now = performance.now();
    if (this.state === "failed" || (run && this.verified)) return false;
    if (run) return run.required && now - run.since > STUCK_AFTER;
    return this.mustProve && this.due !== "" && now - this.dueSince > UNDESCRIBED_AFTER;
  }

  /** To the log, once for each state: the digest is the same at both ends, or somebody is in between. */
  async report() {
    const { run, state } = this;
    const failed = state === "failed";
    if (!failed && this.looked !== this.call.pc) return;
    // What failed before there was a call is said of the one that would be made now.
    const would = failed && this.call.negotiation < 0 ? this.wire.state : null;
    const peer = run?.facts.tabs[this.other] ?? String(would?.peer ?? this.call.peer);
    const negotiation = run?.facts.negotiation ?? Number(would?.negotiation ?? this.call.negotiation);
    if (negotiation < 0 || !peer) return;
    const digest = run ? await proof.factsDigest(run.facts) : "";
    const word = JSON.stringify([state, negotiation, peer, digest]);
    if (word === this.reported) return;
    const why = failed ? this.why : "";
    if (this.wire.send({ kind: "checked", negotiation, peer, state, digest, why })) this.reported = word;
  }

  /** @param {ProofState} state */
  become(state) {
    this.state = state;
    this.tell();
  }

  tell() {
    const { seed = "", words = [], pictures = [], mine = false, theirs = false } = this.run ?? {};
    const held = this.call.shows !== "all";
    const { current, stuck } = this;
    // A word of trust is for what can be seen now, never for what was there before.
    const proved = this.state === "failed" || (current !== null && this.looked === this.call.pc);
    const state = proved ? this.state : "none";
    const due = state === "none" && this.mustProve && this.call.peer !== "";
    const hears = current?.comparing ?? this.wantsWords;
    /** @type {Told} */
    const detail = { state, why: this.why, held, due, stuck, hears, seed, words, pictures, mine, theirs };
    const word = JSON.stringify(detail);
    if (word === this.told) return;
    this.told = word;
    this.dispatchEvent(new CustomEvent("proof", { detail }));
  }

  close() {
    clearInterval(this.timer);
  }
}

/**
 * Says that a step failed, never what was in it. What was not found out stays shut.
 * @param {unknown} error
 */
function warn(error) {
  console.warn("check:", error instanceof Error ? error.name : "error");
}

/**
 * @param {Run} run
 * @param {string} step
 */
function mayBeSaid({ said }, step) {
  const now = performance.now();
  if (now - (said[step] ?? -Infinity) < SAID_LATELY) return false;
  said[step] = now;
  return true;
}
