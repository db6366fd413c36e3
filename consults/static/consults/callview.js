// The call as one sees it: the other person, oneself, the time, the connection in a word, and what to do when it is not there.

import { stopwatch } from "./clock.js";
import { fact, find, hear, say } from "./dom.js";

/**
 * The state frame of signaling/PROTOCOL.md.
 * @typedef {{stage: string, gate: boolean, negotiation: number, peer: string, clinician_here: boolean,
 *   patient_here: boolean, place: number, phoned: boolean}} State
 * @typedef {import("../signaling/call.js").Call} Call
 * @typedef {import("../signaling/wire.js").Wire} Wire
 * @typedef {import("../signaling/uplink.js").Uplink} Uplink
 * @typedef {import("./ownmedia.js").OwnMedia} OwnMedia
 */

/** @type {Record<string, string>} */
const CONNECTION = {
  waiting: "Waiting",
  connecting: "Connecting",
  connected: "Connected",
  interrupted: "Interrupted, reconnecting",
  failed: "No connection, trying again",
  closed: "Call closed",
};
/** @type {Record<string, string>} */
const QUALITY = { good: "good quality", fair: "fair quality", poor: "poor quality" };
/** what follows "Encrypted": only a call that was checked is known to be so from browser to browser */
const CHECKED = { direct: " from browser to browser", relayed: " from browser to browser, over the clinic's relay, which cannot look inside" };
const UNCHECKED = { direct: "", relayed: ", over the clinic's relay" };
/** @type {Record<string, string>} */
const LADDER = {
  low: "Your picture is sent smaller: the connection is weak",
  audio: "Sound only: the connection is too weak for your picture",
};
/** at most this part of a picture is cut off so that it fills the page */
const MAY_CUT = 0.4;

export class CallView {
  /**
   * @param {"clinician" | "patient"} role
   * @param {Wire} wire
   * @param {Call} call
   * @param {OwnMedia} media
   * @param {Uplink} uplink
   */
  constructor(role, wire, call, media, uplink) {
    this.role = role;
    this.media = media;
    this.uplink = uplink;
    this.root = find("[data-call]", HTMLElement);
    this.other = fact(this.root, "other");
    this.remote = find("video[data-remote]", HTMLVideoElement);
    this.self = find("video[data-self]", HTMLVideoElement);
    this.hearButton = find("[data-hear]", HTMLButtonElement);
    this.connection = "waiting";
    /** nothing is shown before the check allows it */
    this.held = true;
    this.verified = false;
    this.relayed = false;
    this.since = this.root.dataset.since ? Date.parse(this.root.dataset.since) : 0;
    /** @type {State | null} */
    this.state = null;
    this.theirs = { camera: true, microphone: true, screen: false };
    this.#listen(wire, call);
    window.setInterval(() => this.#tick(), 500);
    this.#showSelf();
    this.#show();
  }

  /** @param {State} state */
  update(state) {
    if (state.peer !== this.state?.peer) this.theirs = { camera: true, microphone: true, screen: false };
    this.state = state;
    if (state.stage === "call" && !this.since) this.since = Date.now();
    this.media.setGate(state.gate);
    this.#show();
  }

  /** @param {import("../signaling/check.js").Told} told */
  checked({ state, held, stuck }) {
    this.held = held;
    this.verified = state === "link" || state === "comparison";
    find("[data-proof-stuck]", HTMLElement, this.root).hidden = !stuck;
    this.#show();
  }

  /**
   * Show or hide the call; the focus goes to its title when it opens.
   * @param {boolean} wanted
   */
  open(wanted) {
    const opens = wanted && this.root.hidden;
    this.root.hidden = !wanted;
    // After the page was drawn: to focus is to lay it out, and the other side's answer would wait for that.
    if (opens) requestAnimationFrame(() => setTimeout(() => find("h1", HTMLElement, this.root).focus()));
    if (wanted) this.#play();
  }

  /**
   * @param {Wire} wire
   * @param {Call} call
   */
  #listen(wire, call) {
    hear(call, "remote", (/** @type {{stream: MediaStream}} */ { stream }) => {
      if (this.remote.srcObject !== stream) this.remote.srcObject = stream;
      this.#play();
    });
    hear(call, "connection", (/** @type {{state: string}} */ { state }) => {
      this.connection = state;
      if (state === "connected") this.media.tell();
      this.#show();
    });
    hear(call, "quality", (/** @type {{word: string, relayed: boolean}} */ { word, relayed }) => {
      say(find("[data-quality-word]", HTMLElement, this.root), QUALITY[word] ?? "");
      this.relayed = relayed;
      this.#showPrivacy();
    });
    hear(wire, "media", (/** @type {{camera: boolean, microphone: boolean, screen: boolean, from: string}} */ frame) => {
      if (frame.from !== this.role) this.theirs = frame;
      this.#show();
    });
    hear(this.uplink, "step", () => this.#show());
    this.media.addEventListener("change", () => this.#showSelf());
    this.hearButton.addEventListener("click", () => this.#play());
    this.remote.addEventListener("resize", () => this.#fit());
    window.addEventListener("resize", () => this.#fit());
  }

  #play() {
    if (this.media.devices.choice.speakerId && "setSinkId" in this.remote) {
      void this.remote.setSinkId(this.media.devices.choice.speakerId).catch(() => undefined);
    }
    if (!this.remote.srcObject) return;
    this.remote.play().then(
      () => {
        this.hearButton.hidden = true;
      },
      (error) => {
        // Without a press on the page some browsers play nothing with sound.
        if (error instanceof Error && error.name === "NotAllowedError") this.hearButton.hidden = false;
      },
    );
  }

  #show() {
    this.root.dataset.connection = this.connection;
    const connected = this.connection === "connected";
    say(find("[data-connection-word]", HTMLElement, this.root), CONNECTION[this.connection] ?? "");
    find("[data-privacy]", HTMLElement, this.root).hidden = !connected;
    this.#showPrivacy();
    if (!connected) say(find("[data-quality-word]", HTMLElement, this.root), "");
    this.#showStep();
    const message = this.#message();
    find("[data-call-message]", HTMLElement, this.root).hidden = message === "";
    if (message) say(find("[data-call-message-text]", HTMLElement, this.root), message);
    find("[data-remote-muted]", HTMLElement, this.root).hidden = !connected || this.theirs.microphone;
    this.#fit();
  }

  #showPrivacy() {
    const known = this.verified ? CHECKED : UNCHECKED;
    find("[data-privacy-more]", HTMLElement, this.root).textContent = this.relayed ? known.relayed : known.direct;
  }

  /** The step of the ladder in words, and what to do on the lowest. */
  #showStep() {
    const { step } = this.uplink;
    this.root.dataset.step = step;
    const word = LADDER[step] ?? "";
    const line = find("[data-ladder]", HTMLElement, this.root);
    line.hidden = word === "";
    if (word) say(find("[data-ladder-word]", HTMLElement, line), word);
    const clinician = this.role === "clinician";
    const told = step === "phone" || (clinician && this.state?.phoned === true && this.connection !== "connected");
    find("[data-phone]", HTMLElement, this.root).hidden = !told || this.connection === "closed";
  }

  /** What stands in place of the picture, or "" when there is one. */
  #message() {
    const { state, other } = this;
    if (this.connection === "closed") return "The call is closed on this page.";
    const clinician = this.role === "clinician";
    if (state && !state.gate) {
      return clinician
        ? "There is no consent now, so the call is closed. It opens again as soon as the patient agrees on the visit's page."
        : "The call is closed.";
    }
    const here = !state || (clinician ? state.patient_here : state.clinician_here);
    if (this.connection === "connected" && this.held) return "Checking that nobody is in between.";
    if (this.connection === "connected" || (this.connection === "interrupted" && here)) {
      if (this.theirs.camera || this.theirs.screen) return "";
      return this.theirs.microphone ? `${other} has the camera off. You can talk.` : `${other} has camera and microphone off.`;
    }
    if (!here) {
      return clinician
        ? `${other} is not connected now. The call opens by itself when the patient is back. If that takes long, call by telephone.`
        : `${other} is not connected now. Stay here: the call opens by itself.`;
    }
    if (this.connection === "failed") {
      return "The call could not connect. It is tried again by itself. If it does not help, try another network.";
    }
    return `Connecting you with ${other}.`;
  }

  #showSelf() {
    const track = this.media.picture;
    const shown = this.self.srcObject instanceof MediaStream ? (this.self.srcObject.getVideoTracks()[0] ?? null) : null;
    this.self.dataset.shows = this.media.screen ? "screen" : "camera";
    if (track === shown) return;
    this.self.srcObject = track ? new MediaStream([track]) : null;
    this.self.hidden = track === null;
    if (track) void this.self.play().catch(() => undefined);
  }

  /** Fill the page with the picture unless too much of it would be cut off; a screen is always shown whole. */
  #fit() {
    const { videoWidth, videoHeight } = this.remote;
    if (!videoWidth) return; // before the page's own sizes are asked for: that costs a layout while the call comes up
    const { clientWidth, clientHeight } = this.remote;
    if (!clientWidth) return;
    const ratio = (videoWidth * clientHeight) / (videoHeight * clientWidth);
    const cut = 1 - Math.min(ratio, 1 / ratio);
    this.remote.dataset.fit = !this.theirs.screen && cut <= MAY_CUT ? "fill" : "whole";
  }

  #tick() {
    if (this.root.hidden || !this.since) return;
    say(find("[data-call-time]", HTMLElement, this.root), stopwatch((Date.now() - this.since) / 1000));
  }
}
