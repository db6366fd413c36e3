// The lists from which camera, microphone and speaker are chosen.

import { all, find } from "./dom.js";

/** @typedef {import("./devices.js").Devices} Devices */

/** @type {Record<string, {kind: MediaDeviceKind, word: string}>} */
const LISTS = {
  camera: { kind: "videoinput", word: "Camera" },
  microphone: { kind: "audioinput", word: "Microphone" },
  speaker: { kind: "audiooutput", word: "Speaker" },
};

/**
 * Fill every picker of the page and keep them true.
 * @param {Devices} devices
 */
export function bindPickers(devices) {
  const pickers = all("[data-pickers]", HTMLElement);
  const refresh = async () => {
    const found = await devices.list();
    for (const picker of pickers) fill(picker, found, devices);
  };
  for (const picker of pickers) bind(picker, devices);
  devices.addEventListener("change", refresh);
  navigator.mediaDevices?.addEventListener("devicechange", refresh);
  void refresh();
}

/**
 * @param {HTMLElement} picker
 * @param {Devices} devices
 */
function bind(picker, devices) {
  const error = find("[data-pick-error]", HTMLElement, picker);
  for (const list of all("select", HTMLSelectElement, picker)) {
    list.addEventListener("change", async () => {
      error.textContent = "";
      const kind = list.dataset.pick;
      try {
        if (kind === "camera" || kind === "microphone") await devices.pick(kind, list.value);
        else devices.speaker(list.value);
      } catch (problem) {
        error.textContent = problem instanceof Error ? problem.message : "";
      }
    });
  }
}

/**
 * @param {HTMLElement} picker
 * @param {MediaDeviceInfo[]} found
 * @param {Devices} devices
 */
function fill(picker, found, devices) {
  for (const list of all("select", HTMLSelectElement, picker)) {
    const name = list.dataset.pick ?? "";
    const { kind, word } = LISTS[name] ?? { kind: "audiooutput", word: "Device" };
    const options = found.filter((device) => device.kind === kind);
    if (name === "speaker") find("[data-speaker-field]", HTMLElement, picker).hidden = options.length === 0;
    list.disabled = options.length === 0;
    list.replaceChildren(
      ...options.map((device, index) => new Option(device.label || `${word} ${index + 1}`, device.deviceId)),
    );
    if (!options.length) list.append(new Option(`No ${word.toLowerCase()} found`, ""));
    const used = inUse(name, devices);
    if (options.some((device) => device.deviceId === used)) list.value = used;
  }
}

/**
 * @param {string} name
 * @param {Devices} devices
 */
function inUse(name, devices) {
  if (name === "camera") return devices.camera?.getSettings().deviceId ?? devices.choice.cameraId;
  if (name === "microphone") return devices.microphone?.getSettings().deviceId ?? devices.choice.microphoneId;
  return devices.choice.speakerId;
}
