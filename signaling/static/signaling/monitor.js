/**
 * The legs to the worker: the monitor (a data channel with heartbeats and quality figures, never sound or picture), and
 * the voice recorder (the patient's microphone, only while she speaks her consent). No DOM.
 */

import { pairInUse } from "./quality.js";

/** @typedef {import("./wire.js").Wire} Wire */
/** @typedef {import("./call.js").Call} Call */

const HEARTBEAT_EVERY = 2000;
const ANSWER_WITHIN = 6000;
const AGAIN_AFTER = [1000, 3000, 8000, 15_000];
const GONE_AFTER = 500;

/** One peer connection to the worker. The worker cannot restart ICE, so whoever loses the leg builds a new one. */
class WorkerLeg {
  /**
   * @param {Wire} wire
   * @param {"monitor" | "voice"} name
   */
  constructor(wire, name) {
    this.wire = wire;
    this.name = name;
    this.pc = new RTCPeerConnection({ iceServers: [] });
    this.listener = (/** @type {Event} */ event) => void this.heard(/** @type {CustomEvent} */ (event).detail);
    wire.addEventListener("description", this.listener);
    this.pc.onicecandidate = ({ candidate }) => {
      if (candidate) this.send({ kind: "candidate", candidate: candidate.candidate, mid: candidate.sdpMid ?? "" });
    };
  }

  /** @param {{kind: string, [member: string]: any}} frame */
  send(frame) {
    return this.wire.send({ ...frame, leg: this.name, negotiation: 0 });
  }

  async offer() {
    await this.pc.setLocalDescription();
    const sdp = this.pc.localDescription?.sdp ?? "";
    return this.send({ kind: "description", type: "offer", sdp });
  }

  /** @param {any} frame */
  async heard(frame) {
    if (frame.leg === this.name && frame.from === "worker" && this.pc.signalingState === "have-local-offer") {
      await this.pc.setRemoteDescription({ type: "answer", sdp: frame.sdp });
    }
  }

  close() {
    this.wire.removeEventListener("description", this.listener);
    this.pc.close();
  }
}

/** Keeps a leg to the worker as long as the wire lives. Events: "connected" {connected}, "measured" {word, rtt_ms, ...}. */
export class Monitor extends EventTarget {
  /**
   * @param {Wire} wire
   * @param {Call | null} call whose quality is reported
   */
  constructor(wire, call = null) {
    super();
    this.wire = wire;
    /** @type {boolean | null} null until it is known */
    this.connected = null;
    this.tries = 0;
    this.closed = false;
    /** @type {WorkerLeg | null} */
    this.leg = null;
    /** @type {RTCDataChannel | null} */
    this.channel = null;
    /** @type {number | undefined} */
    this.timer = undefined;
    wire.addEventListener("state", () => {
      if (!this.leg && !this.timer) void this.build();
    });
    // A worker that was killed closes nothing; another one says so.
    wire.addEventListener("worker", () => this.again(this.leg, GONE_AFTER * Math.random()));
    call?.addEventListener("quality", (event) => void this.report(/** @type {CustomEvent} */ (event).detail));
    this.beat = setInterval(() => this.say({ kind: "heartbeat" }), HEARTBEAT_EVERY);
    if (wire.state) void this.build();
  }

  async build() {
    if (this.closed || this.leg) return;
    this.timer = undefined;
    const leg = new WorkerLeg(this.wire, "monitor");
    this.leg = leg;
    const channel = leg.pc.createDataChannel("monitor", { ordered: true });
    this.channel = channel;
    channel.onopen = () => {
      this.tries = 0;
      this.become(true);
    };
    channel.onclose = () => this.again(leg);
    leg.pc.onconnectionstatechange = () => {
      const { connectionState } = leg.pc;
      if (connectionState === "failed") this.again(leg);
      // Nobody answers on it for the moment: said at once, also where another worker soon builds it anew.
      else if (leg === this.leg && channel.readyState === "open") this.become(connectionState === "connected");
    };
    setTimeout(() => {
      if (channel.readyState !== "open") this.again(leg);
    }, ANSWER_WITHIN);
    if (!(await leg.offer())) this.again(leg);
  }

  /**
   * @param {WorkerLeg | null} leg
   * @param {number | null} soon how long to wait, where it is known that another worker is there
   */
  again(leg, soon = null) {
    if (!leg || leg !== this.leg) return;
    leg.close();
    this.leg = null;
    this.channel = null;
    this.become(false);
    if (this.closed) return;
    const wait = soon ?? AGAIN_AFTER[Math.min(this.tries, AGAIN_AFTER.length - 1)];
    this.tries += 1;
    this.timer = setTimeout(() => void this.build(), wait);
  }

  /** @param {any} sample */
  async report(sample) {
    const { word: _word, ...figures } = sample;
    sample.server_rtt_ms = await this.distance();
    this.tell("measured", sample);
    this.say({ kind: "quality", ...figures, server_rtt_ms: sample.server_rtt_ms });
  }

  /** Milliseconds to the clinic's own server and back: tells a slow way out of this house from a slow one elsewhere. */
  async distance() {
    const rtt = pairInUse(await this.leg?.pc.getStats())?.currentRoundTripTime;
    return typeof rtt === "number" ? Math.round(1000 * rtt) : null;
  }

  /** @param {object} message */
  say(message) {
    if (this.channel?.readyState === "open") this.channel.send(JSON.stringify(message));
  }

  /** @param {boolean} connected */
  become(connected) {
    if (this.connected === connected) return;
    this.connected = connected;
    this.tell("connected", { connected });
  }

  /**
   * @param {string} name
   * @param {object} detail
   */
  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  close() {
    this.closed = true;
    clearInterval(this.beat);
    clearTimeout(this.timer);
    this.leg?.close();
    this.leg = null;
  }
}

/** Records the spoken consent with the worker. */
export class VoiceRecorder {
  /** @param {Wire} wire */
  constructor(wire) {
    this.wire = wire;
    /** @type {WorkerLeg | null} */
    this.leg = null;
  }

  /**
   * Resolves when the worker is recording.
   * @param {MediaStreamTrack} track
   */
  async start(track) {
    this.abandon();
    const leg = new WorkerLeg(this.wire, "voice");
    this.leg = leg;
    leg.pc.addTransceiver(track, { direction: "sendonly" });
    const connected = new Promise((resolve) => {
      leg.pc.onconnectionstatechange = () => {
        if (leg.pc.connectionState === "connected") resolve(undefined);
      };
    });
    await leg.offer();
    try {
      await inTime(Promise.all([connected, this.voice("recording")]));
    } catch {
      this.abandon();
      throw new Error("The recorder does not answer. Try again in a moment, or go on without a recording.");
    }
  }

  /** End of speech. Resolves with the sealed recording's number and length. */
  async stop() {
    const kept = this.voice("kept");
    this.wire.send({ kind: "voice_stop" });
    try {
      const { recording, seconds } = await inTime(kept);
      return { recording: Number(recording), seconds: Number(seconds) };
    } catch {
      throw new Error("We could not hear you. Speak a little louder and record again, or go on without a recording.");
    } finally {
      this.abandon();
    }
  }

  /** The worker's certificates as this browser saw them in its DTLS handshake, `sha-256 AA:BB…`. */
  async fingerprints() {
    const transport = this.leg?.pc.getSenders()[0]?.transport;
    /** @type {ArrayBuffer[]} */
    const certificates = transport && "getRemoteCertificates" in transport ? transport.getRemoteCertificates() : [];
    const seen = await Promise.all(certificates.map((one) => crypto.subtle.digest("SHA-256", one)));
    if (seen.length) return seen.map((one) => `sha-256 ${colons(new Uint8Array(one))}`);
    // Without that call: what the answer promised, which the handshake was held against (RFC 8122).
    const sdp = this.leg?.pc.remoteDescription?.sdp ?? "";
    const promised = [...sdp.matchAll(/^a=fingerprint:sha-256 ([0-9A-Fa-f:]{95})/gm)].map(([, print]) => print.toUpperCase());
    return [...new Set(promised)].map((print) => `sha-256 ${print}`);
  }

  abandon() {
    this.leg?.close();
    this.leg = null;
  }

  /**
   * @param {"recording" | "kept"} status
   * @returns {Promise<any>}
   */
  voice(status) {
    return new Promise((resolve, reject) => {
      const listener = (/** @type {Event} */ event) => {
        const { detail } = /** @type {CustomEvent} */ (event);
        if (detail.status !== status && detail.status !== "failed") return;
        this.wire.removeEventListener("voice", listener);
        if (detail.status === status) resolve(detail);
        else reject(new Error("failed"));
      };
      this.wire.addEventListener("voice", listener);
    });
  }
}

/** @param {Uint8Array} bytes */
function colons(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0").toUpperCase()).join(":");
}

/**
 * @template T
 * @param {Promise<T>} promise
 * @returns {Promise<T>}
 */
function inTime(promise) {
  const late = new Promise((_resolve, reject) => {
    setTimeout(() => reject(new Error("late")), ANSWER_WITHIN);
  });
  return /** @type {Promise<T>} */ (Promise.race([promise, late]));
}
