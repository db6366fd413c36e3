// The step "consent": the words, the box, the name; and, if she likes, the sentence said aloud.

import { VoiceRecorder } from "../signaling/monitor.js";
import { find, say } from "./dom.js";
import { post } from "./server.js";

/** @typedef {import("../signaling/wire.js").Wire} Wire */
/** @typedef {import("./devices.js").Devices} Devices */

/** the sentence takes three seconds; the worker stops at thirty */
const LONGEST_MS = 20000;

/**
 * @param {Wire} wire
 * @param {Devices} devices
 * @param {string} url
 * @param {() => void} done
 */
export function bindConsentStep(wire, devices, url, done) {
  const form = find("[data-consent-form]", HTMLFormElement);
  const error = find("[data-consent-error]", HTMLElement, form);
  const submit = find("button[type=submit]", HTMLButtonElement, form);
  const voice = form.querySelector("[data-voice]");
  const stopVoice = voice instanceof HTMLElement ? bindVoice(voice, form, wire, devices) : async () => undefined;

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    error.textContent = "";
    await stopVoice();
    const answer = await post(url, new FormData(form));
    submit.disabled = false;
    if (!answer.ok) {
      error.textContent = answer.error;
      return;
    }
    form.reset();
    done();
  });
}

/**
 * The recording. Gives a function that ends a running one, so that nothing is cut off by sending the form.
 * @param {HTMLElement} root
 * @param {HTMLFormElement} form
 * @param {Wire} wire
 * @param {Devices} devices
 */
function bindVoice(root, form, wire, devices) {
  const start = find("[data-voice-start]", HTMLButtonElement, root);
  const stop = find("[data-voice-stop]", HTMLButtonElement, root);
  const drop = find("[data-voice-drop]", HTMLButtonElement, root);
  const dot = find("[data-voice-dot]", HTMLElement, root);
  const word = find("[data-voice-word]", HTMLElement, root);
  const kept = find("input[name=recording]", HTMLInputElement, form);
  /** @type {VoiceRecorder | null} */
  let recorder = null;
  let timer = 0;

  /**
   * @param {"idle" | "starting" | "recording" | "kept"} now
   * @param {string} text
   */
  function show(now, text) {
    start.hidden = now === "recording";
    start.disabled = now === "starting";
    stop.hidden = now !== "recording";
    dot.hidden = now !== "recording";
    drop.hidden = now !== "kept";
    say(find("[data-voice-start-word]", HTMLElement, start), now === "kept" ? "Record again" : "Record");
    say(word, text);
  }

  async function begin() {
    if (!devices.microphone) {
      show("idle", "No microphone is in use. Go on without a recording, or go back and choose one.");
      return;
    }
    kept.value = "";
    show("starting", "One moment.");
    const fresh = new VoiceRecorder(wire);
    try {
      await fresh.start(devices.microphone);
    } catch (problem) {
      show("idle", problem instanceof Error ? problem.message : "Try again, or go on without a recording.");
      return;
    }
    recorder = fresh;
    show("recording", "Recording. Say the sentence, then press Stop.");
    stop.focus();
    timer = window.setTimeout(() => void end(), LONGEST_MS);
  }

  async function end() {
    window.clearTimeout(timer);
    const running = recorder;
    recorder = null;
    if (!running) return;
    show("starting", "One moment.");
    try {
      const { recording, seconds } = await running.stop();
      kept.value = String(recording);
      show("kept", `Recorded: ${Math.round(seconds)} seconds. It is kept sealed when you agree below.`);
    } catch (problem) {
      show("idle", problem instanceof Error ? problem.message : "Record it again, or go on without a recording.");
    }
    if (document.activeElement === document.body) start.focus();
  }

  start.addEventListener("click", () => void begin());
  stop.addEventListener("click", () => void end());
  drop.addEventListener("click", () => {
    kept.value = "";
    show("idle", "You go on without a recording.");
  });
  const offer = () => {
    root.hidden = devices.microphone === null;
  };
  devices.addEventListener("change", offer);
  offer();
  // form.reset() leaves hidden fields as they are.
  form.addEventListener("reset", () => {
    kept.value = "";
    show("idle", "You can always go on without a recording.");
  });
  return end;
}
