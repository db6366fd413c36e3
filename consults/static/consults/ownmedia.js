// What this side sends into the call: its tracks or its screen, and the word about them to the other side.

/** @typedef {import("../signaling/call.js").Call} Call */
/** @typedef {import("../signaling/wire.js").Wire} Wire */
/** @typedef {import("../signaling/uplink.js").Uplink} Uplink */
/** @typedef {import("./devices.js").Devices} Devices */

/** Events: "change" when something went on or off. */
export class OwnMedia extends EventTarget {
  /**
   * @param {Wire} wire
   * @param {Call} call
   * @param {Devices} devices
   * @param {Uplink} uplink
   */
  constructor(wire, call, devices, uplink) {
    super();
    this.wire = wire;
    this.call = call;
    this.devices = devices;
    this.uplink = uplink;
    /** @type {MediaStreamTrack | null} */
    this.screen = null;
    this.gate = false;
    this.ended = false;
    /** @type {(MediaStreamTrack | null)[]} */
    this.sent = [];
    /** @type {MediaStreamTrack | null} */
    this.sharpened = null;
    devices.addEventListener("change", () => this.#apply());
    call.addEventListener("quality", (event) => this.#sharpen(/** @type {CustomEvent} */ (event).detail.word));
    uplink.addEventListener("step", () => this.tell());
    this.#apply();
  }

  get canShare() {
    return typeof navigator.mediaDevices?.getDisplayMedia === "function";
  }

  /** The track whose picture is sent now. */
  get picture() {
    return this.screen ?? this.devices.camera;
  }

  /** @param {boolean} open */
  setGate(open) {
    this.gate = open;
    if (!open) this.stopScreen();
    this.tell();
  }

  /** The call is over: whatever happens to the devices now concerns nobody else. */
  end() {
    this.ended = true;
    this.gate = false;
    this.stopScreen();
  }

  /** Throws when the person chose nothing to share. */
  async shareScreen() {
    const stream = await navigator.mediaDevices.getDisplayMedia({ video: true, audio: false });
    const track = stream.getVideoTracks()[0] ?? null;
    if (!track) return;
    track.contentHint = "detail";
    track.addEventListener("ended", () => this.stopScreen());
    this.screen = track;
    this.#apply();
  }

  stopScreen() {
    if (!this.screen) return;
    const track = this.screen;
    this.screen = null;
    track.stop();
    this.#apply();
  }

  /** The server carries this to the other side while the gate is open. */
  tell() {
    if (!this.gate) return;
    this.wire.send({
      kind: "media",
      camera: this.devices.cameraOn && !this.uplink.resting,
      microphone: this.devices.microphoneOn,
      screen: this.screen !== null && !this.uplink.resting,
    });
  }

  /**
   * A call starts with a small picture, which is there sooner; a good path gets a sharper one.
   * @param {string} word
   */
  #sharpen(word) {
    const { camera } = this.devices;
    if (word !== "good" || !camera || camera === this.sharpened) return;
    this.sharpened = camera;
    // A camera that has no more to give keeps what it gives.
    camera.applyConstraints({ width: { ideal: 1280 }, height: { ideal: 720 } }).catch(() => undefined);
  }

  #apply() {
    const tracks = [this.picture, this.devices.microphone];
    const news = tracks.some((track, index) => track !== this.sent[index]) || this.sent.length === 0;
    if (news && !this.ended) {
      this.sent = tracks;
      this.call.setStream(new MediaStream(tracks.filter((track) => track !== null)));
    }
    this.tell();
    this.dispatchEvent(new CustomEvent("change"));
  }
}
