/** What this side sends, fitted to its path: looks every two seconds, takes a step of the ladder, sets the sender. No DOM. */

import { next, top } from "./ladder.js";
import { UNWRITTEN_FOR } from "./wire.js";

/** @typedef {import("./call.js").Call} Call */
/** @typedef {import("./check.js").Check} Check */
/** @typedef {import("./wire.js").Wire} Wire */
/** @typedef {import("./ladder.js").Step} Step */

const LOOK_EVERY = 2000;

/** @type {Record<Step, {active: boolean, maxBitrate: number, scaleResolutionDownBy: number, maxFramerate: number}>} */
const SENT = {
  video: { active: true, maxBitrate: 2_500_000, scaleResolutionDownBy: 1, maxFramerate: 30 },
  low: { active: true, maxBitrate: 150_000, scaleResolutionDownBy: 2, maxFramerate: 15 },
  audio: { active: false, maxBitrate: 150_000, scaleResolutionDownBy: 2, maxFramerate: 15 },
  phone: { active: false, maxBitrate: 150_000, scaleResolutionDownBy: 2, maxFramerate: 15 },
};

/** Event "step" {step} when it changed. */
export class Uplink extends EventTarget {
  /**
   * @param {Wire} wire
   * @param {Call} call
   */
  constructor(wire, call) {
    super();
    this.wire = wire;
    this.call = call;
    this.rung = top();
    /** what was set last, and on which sender @type {{sender: RTCRtpSender | null, step: Step}} */
    this.set = { sender: null, step: "video" };
    /** whether people were told to go on by telephone, and whether this socket has carried that */
    this.phoned = false;
    this.told = false;
    /** @type {number | null} */
    this.loss = null;
    /** @type {{pc: RTCPeerConnection | null, sent: number, lost: number}} */
    this.before = { pc: null, sent: 0, lost: 0 };
    wire.addEventListener("up", () => {
      this.told = false;
    });
    wire.addEventListener("state", () => {
      if (!wire.state?.gate) this.told = false; // who speaks to a shut gate is not heard
    });
    wire.addEventListener("fault", (event) => {
      const { code } = /** @type {CustomEvent} */ (event).detail;
      if (code === "unwritten") setTimeout(() => (this.told = false), UNWRITTEN_FOR);
    });
    this.clock = setInterval(() => void this.look(), LOOK_EVERY);
  }

  get step() {
    return this.rung.step;
  }

  /** Whether the picture rests, because sound needs what the path carries. */
  get resting() {
    return this.step === "audio" || this.step === "phone";
  }

  async look() {
    const { call } = this;
    if (call.state === "closed") {
      this.sayPhone();
      if (!this.phoned || this.wire.state?.phoned || this.wire.closed) clearInterval(this.clock);
      return;
    }
    const { pc } = call;
    const figures = await this.measure(pc);
    if (pc !== call.pc) return;
    const state = this.wire.state;
    const here = Boolean(state?.gate && state.clinician_here && state.patient_here);
    const before = this.rung.step;
    const connected = call.state === "connected";
    this.rung = next(this.rung, { at: performance.now() / 1000, due: here, connected, ...figures });
    if (this.rung.step !== before) this.dispatchEvent(new CustomEvent("step", { detail: { step: this.rung.step } }));
    this.phoned ||= this.rung.step === "phone";
    this.sayPhone();
    await this.apply();
  }

  /** Said even where the call is back before the socket is: the clinic has to know that somebody may be on the telephone. */
  sayPhone() {
    const { state } = this.wire;
    if (this.phoned && state?.gate && !state.phoned && !this.told) this.told = this.wire.send({ kind: "phone" });
  }

  /**
   * A call that its check ends goes on by telephone too. It may have ended before this is asked.
   * @param {Check} check
   */
  heed(check) {
    const look = () => {
      this.phoned ||= check.state === "failed";
      this.sayPhone();
    };
    check.addEventListener("proof", look);
    look();
  }

  /**
   * The loss of the last looks together: over two seconds there are too few packets to tell six in a hundred from twelve.
   * @param {RTCPeerConnection} pc
   */
  async measure(pc) {
    const now = await totals(pc);
    const sent = now.sent - this.before.sent;
    const lost = now.lost - this.before.lost;
    const same = pc === this.before.pc && sent > 0;
    if (!same) this.loss = null;
    else this.loss = ((this.loss ?? Math.max(0, lost) / sent) + Math.min(1, Math.max(0, lost) / sent)) / 2;
    this.before = { ...now, pc };
    return { loss: this.loss, kbit: now.kbit };
  }

  async apply() {
    const sender = this.call.sender("video");
    const { step } = this;
    // Each connection begins with a small picture (call.js) and is set once it stands.
    if (!sender || this.call.state !== "connected" || (this.set.sender === sender && this.set.step === step)) return;
    const parameters = sender.getParameters();
    if (!parameters.encodings.length) return;
    const screen = sender.track?.contentHint === "detail";
    // A screen that shows less is no use; one that moves less is.
    const shape = screen ? { scaleResolutionDownBy: 1, maxFramerate: step === "video" ? 30 : 5 } : {};
    for (const encoding of parameters.encodings) Object.assign(encoding, SENT[step], shape);
    this.set = { sender, step };
    await sender.setParameters(parameters).catch(() => {
      this.set = { sender: null, step: "video" }; // it was renegotiated meanwhile: the next look sets it
    });
  }
}

/**
 * How many packets this side has sent and the other side reports lost, and what the path is estimated to carry.
 * @param {RTCPeerConnection} pc
 */
async function totals(pc) {
  /** @type {{sent: number, lost: number, kbit: number | null}} */
  const sum = { sent: 0, lost: 0, kbit: null };
  (await pc.getStats()).forEach((entry) => {
    if (entry.type === "outbound-rtp") sum.sent += entry.packetsSent ?? 0;
    else if (entry.type === "remote-inbound-rtp") sum.lost += entry.packetsLost ?? 0;
    else if (entry.type === "candidate-pair" && entry.nominated && entry.availableOutgoingBitrate) {
      sum.kbit = entry.availableOutgoingBitrate / 1000;
    }
  });
  return sum;
}
