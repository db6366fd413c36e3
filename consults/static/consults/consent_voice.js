// The spoken sentence at the consent step: recorded by the worker, played back, said again as often as she likes.

import { VoiceRecorder } from "../signaling/monitor.js";
import { find, say } from "./dom.js";
import { post } from "./server.js";
import { sha256 } from "./signing.js";

/** @typedef {import("../signaling/wire.js").Wire} Wire */
/** @typedef {import("./devices.js").Devices} Devices */
/** @typedef {{sha256: string, seconds: number, worker: string[]}} Recorded */

/** the sentence takes three seconds; the worker stops at thirty */
const LONGEST_MS = 20000;

export class ConsentVoice {
  /**
   * @param {HTMLElement} root
   * @param {Wire} wire
   * @param {Devices} devices
   * @param {string} url
   * @param {Record<string, string>} phrases
   */
  constructor(root, wire, devices, url, phrases) {
    this.root = root;
    this.wire = wire;
    this.devices = devices;
    this.url = url;
    this.phrases = phrases;
    /** @type {Recorded | null} */
    this.recorded = null;
    /** @type {VoiceRecorder | null} */
    this.recorder = null;
    this.timer = 0;
    this.start = find("[data-voice-start]", HTMLButtonElement, root);
    this.stop = find("[data-voice-stop]", HTMLButtonElement, root);
    this.player = find("[data-voice-player]", HTMLAudioElement, root);
    this.start.addEventListener("click", () => void this.begin());
    this.stop.addEventListener("click", () => void this.end());
    root.addEventListener("change", () => void this.chosen());
    this.offer = () => this.offered();
    devices.addEventListener("change", this.offer);
    this.offered();
  }

  /** Whether she chose to say it. */
  get wanted() {
    return find("input[name=aloud][value='1']", HTMLInputElement, this.root).checked;
  }

  offered() {
    const none = this.devices.microphone === null;
    find("input[name=aloud][value='1']", HTMLInputElement, this.root).disabled = none;
    find("[data-voice-none]", HTMLElement, this.root).hidden = !none;
    if (none && this.wanted) find("input[name=aloud][value='']", HTMLInputElement, this.root).click();
  }

  /** The clinic records only after this yes, and erases what it has at a no. */
  async chosen() {
    find("[data-voice-recorder]", HTMLElement, this.root).hidden = !this.wanted;
    if (!this.wanted) {
      this.forget();
      this.recorder?.abandon();
      this.recorder = null;
      this.show("idle", "");
    }
    await post(this.url, { yes: this.wanted ? "1" : "0" });
  }

  forget() {
    this.recorded = null;
    this.player.pause();
    if (this.player.src) URL.revokeObjectURL(this.player.src);
    this.player.removeAttribute("src");
    find("[data-voice-listen]", HTMLElement, this.root).hidden = true;
  }

  /**
   * @param {"idle" | "starting" | "recording" | "kept"} now
   * @param {string} text
   */
  show(now, text) {
    this.start.hidden = now === "recording";
    this.start.disabled = now === "starting";
    this.stop.hidden = now !== "recording";
    find("[data-voice-dot]", HTMLElement, this.root).hidden = now !== "recording";
    find("[data-voice-listen]", HTMLElement, this.root).hidden = now !== "kept";
    say(find("[data-voice-start-word]", HTMLElement, this.start), now === "kept" ? this.phrases.again : this.phrases.record);
    say(find("[data-voice-word]", HTMLElement, this.root), text);
  }

  async begin() {
    const track = this.devices.microphone;
    if (!track) {
      this.show("idle", this.phrases.no_microphone);
      return;
    }
    this.forget();
    this.show("starting", this.phrases.moment);
    const fresh = new VoiceRecorder(this.wire);
    try {
      // Said again at each recording: it stands in the database before the worker is asked.
      const allowed = await post(this.url, { yes: "1" });
      if (!allowed.ok) throw new Error(allowed.error);
      await fresh.start(track);
    } catch {
      this.show("idle", this.phrases.no_recorder);
      return;
    }
    this.recorder = fresh;
    this.show("recording", this.phrases.speak);
    this.stop.focus();
    this.timer = window.setTimeout(() => void this.end(), LONGEST_MS);
  }

  async end() {
    window.clearTimeout(this.timer);
    const running = this.recorder;
    this.recorder = null;
    if (!running) return;
    this.show("starting", this.phrases.moment);
    try {
      const worker = await running.fingerprints();
      await running.stop();
      await this.fetch(worker);
      this.show("kept", this.phrases.kept);
    } catch {
      this.show("idle", this.phrases.not_heard);
    }
    if (document.activeElement === document.body) this.start.focus();
  }

  /**
   * What the clinic has kept, to be heard; its digest is taken here, of these bytes.
   * @param {string[]} worker
   */
  async fetch(worker) {
    const answer = await fetch(this.url, { credentials: "same-origin", headers: { "X-Requested-With": "fetch" } });
    if (!answer.ok) throw new Error("no recording");
    const sound = await answer.arrayBuffer();
    this.player.src = URL.createObjectURL(new Blob([sound], { type: "audio/ogg" }));
    this.recorded = { sha256: await sha256(sound), seconds: Number(answer.headers.get("X-Recording-Seconds")), worker };
  }

  close() {
    this.devices.removeEventListener("change", this.offer);
    this.recorder?.abandon();
    this.forget();
  }
}
