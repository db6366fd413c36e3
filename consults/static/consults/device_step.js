// The step "camera and sound": ask, show, let the patient hear and be heard, or go on with less.

import { find, say } from "./dom.js";
import { draw, Level } from "./level.js";
import { post } from "./server.js";
import { chime } from "./sound.js";

/** @typedef {import("./devices.js").Devices} Devices */

/**
 * @param {Devices} devices
 * @param {string} url where the result goes
 * @param {() => void} done
 * @returns {{start: () => Promise<void>, stop: () => void}}
 */
export function bindDeviceStep(devices, url, done) {
  const root = find('[data-step="devices"]', HTMLElement);
  const [ask, trouble, test, less] = ["ask", "trouble", "test", "less"].map((name) =>
    find(`[data-devices-${name}]`, HTMLElement, root),
  );
  const level = bindLevel(root, devices);
  const heard = bindTone(root, devices);
  const error = find("[data-devices-error]", HTMLElement, root);

  /** @param {"ask" | "trouble" | "test"} part */
  function show(part) {
    if (ask) ask.hidden = part !== "ask";
    if (trouble) trouble.hidden = part !== "trouble";
    if (test) test.hidden = part !== "test";
    if (less) less.hidden = part === "test";
  }

  /** @param {{camera: boolean, microphone: boolean}} wanted */
  async function open(wanted) {
    try {
      await devices.open(wanted);
      show("test");
      level.start();
    } catch (problem) {
      show("trouble");
      say(find("[data-trouble-text]", HTMLElement, root), problem instanceof Error ? problem.message : "");
    }
  }

  async function finish() {
    error.textContent = "";
    const { camera, microphone } = devices;
    const answer = await post(url, {
      camera: String(camera !== null),
      microphone: String(microphone !== null),
      speaker: String(heard()),
    });
    if (!answer.ok) {
      show("test");
      error.textContent = answer.error;
      return;
    }
    level.stop();
    done();
  }

  const both = { camera: true, microphone: true };
  on("[data-turn-on]", () => open(both));
  on("[data-try-again]", () => open(both));
  on("[data-sound-only]", () => open({ camera: false, microphone: true }));
  on("[data-without]", async () => {
    await devices.open({ camera: false, microphone: false });
    await finish();
  });
  on("[data-devices-done]", finish);

  /**
   * @param {string} selector
   * @param {() => Promise<void>} act
   */
  function on(selector, act) {
    const button = find(selector, HTMLButtonElement, root);
    button.addEventListener("click", async () => {
      button.disabled = true;
      await act();
      button.disabled = false;
    });
  }

  return { start: () => open(both), stop: () => level.stop() };
}

/**
 * @param {HTMLElement} root
 * @param {Devices} devices
 */
function bindLevel(root, devices) {
  const bar = find("[data-level]", HTMLElement, root);
  const word = find("[data-level-word]", HTMLElement, root);
  let voices = 0;
  let running = false;
  const level = new Level((loudness, voice) => {
    draw(bar, loudness);
    if (voice) voices += 1;
    // Half a second of sound, so that a click of the mouse does not count as a voice.
    if (voices === 5) say(word, "We can hear you.");
  });
  /** @type {MediaStreamTrack | null} */
  let heard = null;
  const follow = () => {
    if (!running || devices.microphone === heard) return;
    heard = devices.microphone;
    voices = 0;
    say(word, heard ? "Say a few words." : "No microphone is in use. You can go on and listen, or choose one below.");
    level.listen(heard);
  };
  devices.addEventListener("change", follow);
  return {
    start() {
      running = true;
      follow();
    },
    stop() {
      running = false;
      heard = null;
      level.stop();
    },
  };
}

/**
 * @param {HTMLElement} root
 * @param {Devices} devices
 */
function bindTone(root, devices) {
  const word = find("[data-tone-word]", HTMLElement, root);
  const yes = find("[data-heard]", HTMLButtonElement, root);
  let heard = false;
  find("[data-tone]", HTMLButtonElement, root).addEventListener("click", async () => {
    await chime(devices.choice.speakerId);
    yes.hidden = false;
    if (!heard) say(word, "Did you hear it? If not, turn the volume up or choose another speaker below.");
  });
  yes.addEventListener("click", () => {
    heard = true;
    yes.setAttribute("aria-pressed", "true");
    say(word, "Good: your speaker works.");
  });
  return () => heard;
}
