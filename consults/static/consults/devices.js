// The person's own camera, microphone and speaker: opened once, kept over all steps, remembered for this tab.

import { keep, recall } from "./keeping.js";

const KEPT = "devices";

/** @type {Record<string, string>} */
const TROUBLE = {
  NotAllowedError:
    "This page may not use your camera and microphone. Press the sign beside the address above, allow both, then press “Try again”.",
  NotFoundError: "No camera or microphone was found. Plug one in or switch it on, then press “Try again”.",
  NotReadableError:
    "Another program is using your camera or microphone. Close other video programs, then press “Try again”.",
  AbortError: "The camera or microphone did not start. Press “Try again”; if that does not help, restart your device.",
  OverconstrainedError: "That camera or microphone is not there any more. Choose another one.",
  SecurityError: "This browser does not let pages use the camera. Open the link in another browser.",
  Unsupported: "This browser cannot make video calls. Open the link in a current Chrome, Edge, Firefox or Safari.",
};

/**
 * What the person wants to use. Device ids say nothing about a person; they end with the tab.
 * @typedef {{camera: boolean, microphone: boolean, cameraId: string, microphoneId: string, speakerId: string}} Choice
 */

/** Why a device could not be opened: `message` is for the person. */
export class DeviceTrouble extends Error {}

/** Events: "change" when tracks came or went; retake.js opens anew what stopped by itself. */
export class Devices extends EventTarget {
  constructor() {
    super();
    /** @type {MediaStreamTrack | null} */
    this.camera = null;
    /** @type {MediaStreamTrack | null} */
    this.microphone = null;
    this.choice = remembered();
  }

  /** A fresh stream of the tracks there are. */
  get stream() {
    return new MediaStream([this.camera, this.microphone].filter((track) => track !== null));
  }

  get cameraOn() {
    return this.camera !== null && this.camera.enabled;
  }

  get microphoneOn() {
    return this.microphone !== null && this.microphone.enabled;
  }

  /**
   * Open what is wanted; throws DeviceTrouble.
   * @param {Partial<Choice>} [choice]
   */
  async open(choice = {}) {
    this.choice = { ...this.choice, ...choice };
    const { camera, microphone } = this.choice;
    const tracks = camera || microphone ? await capture(this.#wanted(camera, microphone)) : [];
    this.#drop("camera");
    this.#drop("microphone");
    for (const track of tracks) this.#take(track);
    this.#changed();
  }

  /**
   * Open what can be opened: both, else sound alone, else nothing. Gives the sentence to show, or "".
   * @param {Partial<Choice>} [choice]
   */
  async openAny(choice = {}) {
    try {
      await this.open(choice);
      return "";
    } catch (error) {
      const sentence = error instanceof Error ? error.message : "";
      if (this.choice.camera && this.choice.microphone) {
        await this.open({ camera: false }).catch(() => undefined);
      }
      return sentence;
    }
  }

  /**
   * Change to another device; throws DeviceTrouble and keeps the present one.
   * @param {"camera" | "microphone"} kind
   * @param {string} id
   */
  async pick(kind, id) {
    const next = { ...this.choice, [kind]: true, [`${kind}Id`]: id };
    const before = this.choice;
    this.choice = next;
    try {
      const [track] = await capture(this.#wanted(kind === "camera", kind === "microphone"));
      if (!track) throw new DeviceTrouble(trouble("NotFoundError"));
      this.#drop(kind);
      this.#take(track);
    } catch (error) {
      this.choice = before;
      throw error;
    }
    this.#changed();
  }

  /** @param {string} id */
  speaker(id) {
    this.choice.speakerId = id;
    this.#changed();
  }

  /**
   * Open anew what was taken away: the person's choice, and whether she is muted, stay as they are. Throws DeviceTrouble.
   * @param {"camera" | "microphone"} kind
   */
  async retake(kind) {
    const [track] = await capture(this.#wanted(kind === "camera", kind === "microphone"));
    if (!track) return;
    this.#drop(kind);
    this.#take(track);
    this.#changed();
  }

  /** @param {boolean} on */
  async setMicrophone(on) {
    if (on && !this.microphone) await this.pick("microphone", this.choice.microphoneId);
    if (this.microphone) this.microphone.enabled = on;
    // Whoever is muted stays so when the page is loaded again.
    this.choice.microphone = on;
    this.#changed();
  }

  /**
   * Off really lets the camera go, so that its light goes out.
   * @param {boolean} on
   */
  async setCamera(on) {
    if (on && !this.camera) return this.pick("camera", this.choice.cameraId);
    if (!on) {
      this.#drop("camera");
      this.choice.camera = false;
      this.#changed();
    }
  }

  close() {
    this.#drop("camera");
    this.#drop("microphone");
    this.dispatchEvent(new CustomEvent("change"));
  }

  /** The devices there are, by kind, with names where the browser tells them. */
  async list() {
    const found = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
    return found.filter((device) => device.deviceId !== "");
  }

  /**
   * @param {boolean} camera
   * @param {boolean} microphone
   * @returns {MediaStreamConstraints}
   */
  #wanted(camera, microphone) {
    const { cameraId, microphoneId } = this.choice;
    // "ideal": a device that was unplugged is replaced by another instead of failing.
    const video = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { max: 30 }, ...named(cameraId) };
    const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, ...named(microphoneId) };
    return { video: camera && video, audio: microphone && audio };
  }

  /** @param {MediaStreamTrack} track */
  #take(track) {
    const kind = track.kind === "video" ? "camera" : "microphone";
    this[kind] = track;
    track.addEventListener("ended", () => {
      if (this[kind] !== track) return;
      this[kind] = null;
      this.#changed();
    });
  }

  /** @param {"camera" | "microphone"} kind */
  #drop(kind) {
    const track = this[kind];
    this[kind] = null;
    track?.stop();
  }

  #changed() {
    keep("sessionStorage", KEPT, JSON.stringify(this.choice));
    this.dispatchEvent(new CustomEvent("change"));
  }
}

/** Whether the browser lets this page have camera and microphone without asking. */
export async function permitted() {
  try {
    const names = /** @type {PermissionName[]} */ (["camera", "microphone"]);
    const answers = await Promise.all(names.map((name) => navigator.permissions.query({ name })));
    return answers.every((answer) => answer.state === "granted");
  } catch {
    return false; // Firefox before 131 does not know these names
  }
}

/** @param {string} id */
function named(id) {
  return id ? { deviceId: { ideal: id } } : {};
}

/**
 * @param {MediaStreamConstraints} wanted
 * @returns {Promise<MediaStreamTrack[]>}
 */
async function capture(wanted) {
  if (!navigator.mediaDevices?.getUserMedia) throw new DeviceTrouble(trouble("Unsupported"));
  try {
    return (await navigator.mediaDevices.getUserMedia(wanted)).getTracks();
  } catch (error) {
    throw new DeviceTrouble(trouble(error instanceof Error ? error.name : ""));
  }
}

/** @param {string} name */
function trouble(name) {
  return TROUBLE[name] ?? "The camera or microphone did not start. Press “Try again”.";
}

/** @returns {Choice} */
function remembered() {
  const fresh = { camera: true, microphone: true, cameraId: "", microphoneId: "", speakerId: "" };
  try {
    return { ...fresh, ...JSON.parse(recall("sessionStorage", KEPT) ?? "{}") };
  } catch {
    return fresh;
  }
}
