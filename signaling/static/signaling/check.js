/**
 * Checks who is at the other end of a call, again at every change below it (PROTOCOL.md, "The proof"). No DOM.
 *
 * Event "proof" {state, held, why, words, pictures, mine, theirs, otherKey} whenever one of them changed. Nothing here
 * says yes by itself: without a proof the state is "none", and media wait where this page knows a secret of the link.
 */

import * as proof from "./proof.js";

/**
 * @typedef {import("./wire.js").Wire} Wire
 * @typedef {import("./call.js").Call} Call
 * @typedef {import("./proof.js").Facts} Facts
 * @typedef {import("./proof.js").LinkKey} LinkKey
 * @typedef {import("./proof.js").Role} Role
 * @typedef {"none" | "link" | "comparison" | "failed"} ProofState
 * @typedef {{name: string, facts: Facts, nonces: {clinician: string, patient: string}, commit: string, seed: string,
 *   words: number[], pictures: number[], mine: boolean, theirs: boolean, answered: number, key: LinkKey | null,
 *   otherKey: boolean, since: number}} Run
 */

const AGAIN_EVERY = 1000;
const REPORT_NONE_AFTER = 3000;
const ANSWERS = 8;
const EARLY_FRAMES = 16;

export class Check extends EventTarget {
  /**
   * @param {Wire} wire
   * @param {Call} call
   * @param {{role: Role, consult: string, certificate: RTCCertificate, keys: LinkKey[]}} own
   */
  constructor(wire, call, { role, consult, certificate, keys }) {
    super();
    this.wire = wire;
    this.call = call;
    this.role = role;
    this.consult = consult;
    this.own = proof.ownFingerprint(certificate);
    /** @type {LinkKey[]} */
    this.keys = keys;
    /** @type {ProofState} */
    this.state = "none";
    this.why = "";
    /** @type {Run | null} */
    this.run = null;
    /** the other side's certificate, by its page: a page keeps its own as long as it lives */
    this.seen = new Map();
    /** @type {{peer: string, frame: any}[]} */
    this.early = [];
    this.reported = "";
    /** @type {RTCPeerConnection | null} */
    this.watched = null;
    /** @type {Promise<void>} */
    this.queue = Promise.resolve();
    this.hold();
    call.addEventListener("transport", () => this.changed());
    call.addEventListener("foreign", () => this.enqueue(() => this.fail("certificate")));
    wire.addEventListener("proof", (event) => {
      const frame = /** @type {CustomEvent} */ (event).detail;
      const peer = String(wire.state?.peer ?? "");
      this.enqueue(() => this.heard(frame, peer));
    });
    wire.addEventListener("fault", (event) => {
      if (/** @type {CustomEvent} */ (event).detail.code === "unwritten") setTimeout(() => (this.reported = ""), 5000);
    });
    this.timer = setInterval(() => this.enqueue(() => this.tick()), AGAIN_EVERY);
  }

  /** @param {() => Promise<void>} step */
  enqueue(step) {
    this.queue = this.queue.then(step).catch((error) => {
      console.warn("check:", error instanceof Error ? error.name : "error");
    });
  }

  get other() {
    return this.role === "clinician" ? "patient" : "clinician";
  }

  get verified() {
    return this.state === "link" || this.state === "comparison";
  }

  /**
   * The secrets that this page knows now: it made a link, or had one mailed, which ends what it knew.
   * @param {LinkKey[]} keys
   */
  setKeys(keys) {
    this.keys = keys;
    this.hold();
    if (this.run) this.run.key = null;
    this.changed();
  }

  /** Media wait for the proof where there is a secret to prove it by. Released only by `look`. */
  hold() {
    const held = this.state === "failed" || (this.keys.length > 0 && !this.verified);
    if (held) this.call.hold(true);
    return held;
  }

  /** Something below the media changed. What is not connected is held at once; the rest is looked at in order. */
  changed() {
    const { pc } = this.call;
    if (pc !== this.watched) {
      this.watched = pc;
      if (this.keys.length) this.call.hold(true);
    }
    for (const transport of proof.transports(pc)) {
      transport.onstatechange = () => this.changed();
      if (this.keys.length && transport.state !== "connected") this.call.hold(true);
    }
    this.enqueue(() => this.look());
  }

  async look() {
    const { call } = this;
    const { pc, negotiation, peer } = call;
    if (this.state === "failed" || call.closed || negotiation < 0 || !peer) return;
    const remote = await proof.remoteFingerprint(pc);
    if (pc !== call.pc || peer !== call.peer || remote === "") return;
    if (remote === null) return this.fail("transports");
    const before = this.seen.get(peer);
    if (before && before !== remote) return this.fail("certificate");
    this.seen.set(peer, remote);
    const facts = this.facts(negotiation, peer, remote);
    if (JSON.stringify(facts) !== this.run?.name) await this.begin(facts);
    if (this.verified) this.call.expected = remote;
    if (!this.hold()) this.call.hold(false);
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
      answered: 0,
      key: null,
      otherKey: false,
      since: performance.now(),
    };
    if (this.role === "clinician") this.run.commit = await proof.commitment(nonces.clinician, facts);
    this.become("none");
    await this.sayAgain();
    const waiting = this.early;
    this.early = [];
    for (const { peer, frame } of waiting) {
      if (peer === facts.tabs[this.other] && frame.negotiation === facts.negotiation) await this.heard(frame, peer);
    }
  }

  /** What the other side has not answered yet: frames get lost with sockets. */
  async sayAgain() {
    const { run } = this;
    if (!run) return;
    if (this.state === "none") await this.sayLink();
    if (this.role === "clinician" && !run.nonces.patient) this.say("commit", run.commit);
    if (this.role === "patient" && run.commit && !run.seed) this.say("nonce", run.nonces.patient);
    if (run.mine && !run.theirs) await this.sayAgreed();
  }

  /** Of several secrets the clinician's page uses the one that the patient's names. */
  async sayLink() {
    const { run, keys } = this;
    const key = run?.key ?? (keys.length === 1 ? keys[0] : null);
    if (run && key) this.say("link", await proof.linkTag(key, this.role, run.facts), key.id);
  }

  /**
   * @param {string} step
   * @param {string} value
   */
  say(step, value, key = "") {
    this.wire.send({ kind: "proof", negotiation: this.run?.facts.negotiation ?? 0, step, value, key });
  }

  /**
   * @param {any} frame
   * @param {string} peer the other page when the frame came
   */
  async heard(frame, peer) {
    if (frame.from !== this.other || this.state === "failed") return;
    const { run } = this;
    const current = run && run.facts.negotiation === frame.negotiation && run.facts.tabs[this.other] === peer;
    if (!current || run.facts.negotiation !== this.call.negotiation) {
      // The other side was connected a moment sooner.
      if (this.early.length < EARLY_FRAMES) this.early.push({ peer, frame });
      return;
    }
    if (frame.step === "link") await this.heardLink(run, frame);
    else if (frame.step === "commit") await this.heardCommit(run, frame.value);
    else if (frame.step === "nonce") await this.heardNonce(run, frame.value);
    else if (frame.step === "reveal") await this.heardReveal(run, frame.value);
    else if (frame.step === "agreed") await this.heardAgreed(run, frame.value);
    else if (frame.step === "differ") await this.fail("differ");
  }

  /**
   * @param {Run} run
   * @param {any} frame
   */
  async heardLink(run, frame) {
    const key = this.keys.find((one) => one.id === frame.key);
    if (!key) {
      run.otherKey = true;
      this.tell();
      return;
    }
    if (!(await proof.tagHolds(key, this.other, run.facts, frame.value))) return this.fail("link");
    const first = run.key !== key;
    run.key = key;
    if (this.state === "none") {
      this.become("link");
      this.changed();
    }
    // Asked again, the other side has not heard ours; a few times, since two pages must not answer each other for ever.
    if ((first && this.keys.length > 1) || (!first && run.answered++ < ANSWERS)) await this.sayLink();
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
    if (value !== (await proof.agreement(/** @type {Role} */ (this.other), run.seed))) return this.fail("differ");
    const news = !run.theirs;
    run.theirs = true;
    if (run.mine && run.answered++ < ANSWERS) await this.sayAgreed();
    if (news) this.compared(run);
  }

  async sayAgreed() {
    if (this.run) this.say("agreed", await proof.agreement(this.role, this.run.seed));
  }

  /** This side's person has compared: words and pictures are the same. */
  agree() {
    this.enqueue(async () => {
      const { run } = this;
      if (!run?.seed || this.state === "failed") return;
      run.mine = true;
      await this.sayAgreed();
      this.compared(run);
    });
  }

  /** @param {Run} run */
  compared(run) {
    if (run.mine && run.theirs && this.state === "none") {
      this.become("comparison");
      this.changed();
    } else this.tell();
  }

  /** This side's person has compared, and they differ. */
  disagree() {
    this.enqueue(async () => {
      const { run } = this;
      if (run) this.say("differ", await proof.agreement(this.role, run.seed));
      await this.fail("differ");
    });
  }

  /**
   * Somebody may be in between: the media stop now, and this page does not call again by itself.
   * @param {string} why
   */
  async fail(why) {
    if (this.state === "failed") return;
    this.why = why;
    this.become("failed");
    this.call.hold(true);
    this.call.close();
    await this.report();
  }

  async tick() {
    if (this.state === "failed") return this.report();
    if (this.call.state === "connected") await this.look();
    const { run } = this;
    if (!run || run.facts.negotiation !== this.call.negotiation) return;
    await this.sayAgain();
    if (this.verified || performance.now() - run.since > REPORT_NONE_AFTER) await this.report();
  }

  /** To the log, once for each state: the digest is the same at both ends, or somebody is in between. */
  async report() {
    const { run, state } = this;
    const peer = run?.facts.tabs[this.other] ?? this.call.peer;
    const negotiation = run?.facts.negotiation ?? this.call.negotiation;
    if (negotiation < 0 || !peer) return;
    const digest = run ? await proof.factsDigest(run.facts) : "";
    const word = JSON.stringify([state, negotiation, peer, digest]);
    if (word === this.reported) return;
    const why = state === "failed" ? this.why : "";
    if (this.wire.send({ kind: "checked", negotiation, peer, state, digest, why })) this.reported = word;
  }

  /** @param {ProofState} state */
  become(state) {
    this.state = state;
    if (state === "link" || state === "comparison") this.enqueue(() => this.report());
    this.tell();
  }

  tell() {
    const { words = [], pictures = [], mine = false, theirs = false, otherKey = false } = this.run ?? {};
    const detail = { state: this.state, held: this.hold(), why: this.why, words, pictures, mine, theirs, otherKey };
    this.dispatchEvent(new CustomEvent("proof", { detail }));
  }

  close() {
    clearInterval(this.timer);
  }
}
