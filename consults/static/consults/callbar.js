// The bar under the call: microphone, camera, screen, devices, panel.

import { all, dialogOpens, find, say } from "./dom.js";
import { retake } from "./retake.js";

/** @typedef {import("./devices.js").Devices} Devices */
/** @typedef {import("./ownmedia.js").OwnMedia} OwnMedia */

const NOTICE_MS = 8000;

/**
 * @param {OwnMedia} media
 * @param {Devices} devices
 */
export function bindBar(media, devices) {
  const notice = find("[data-call-notice]", HTMLElement);
  let timer = 0;
  const tell = (/** @type {string} */ text) => {
    notice.textContent = text;
    notice.hidden = false;
    window.clearTimeout(timer);
    timer = window.setTimeout(() => {
      notice.hidden = true;
    }, NOTICE_MS);
  };
  bindToggle("microphone", () => devices.microphoneOn, (on) => devices.setMicrophone(on), { media, tell });
  bindToggle("camera", () => devices.cameraOn, (on) => devices.setCamera(on), { media, tell });
  bindShare(media, tell);
  bindDialog();
  retake(devices, tell);
  bindPanel();
}

/**
 * @param {string} name
 * @param {() => boolean} isOn
 * @param {(on: boolean) => Promise<void>} set
 * @param {{media: OwnMedia, tell: (text: string) => void}} page
 */
function bindToggle(name, isOn, set, { media, tell }) {
  const button = find(`[data-toggle="${name}"]`, HTMLButtonElement);
  const show = () => button.setAttribute("aria-pressed", String(isOn()));
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await set(!isOn());
    } catch (error) {
      tell(error instanceof Error ? error.message : "That did not work. Try again.");
    }
    button.disabled = false;
    button.focus();
    show();
  });
  media.addEventListener("change", show);
  show();
}

/**
 * @param {OwnMedia} media
 * @param {(text: string) => void} tell
 */
function bindShare(media, tell) {
  const buttons = all("[data-share]", HTMLButtonElement);
  const show = () => {
    for (const button of buttons) {
      button.hidden = !media.canShare;
      button.setAttribute("aria-pressed", String(media.screen !== null));
      say(find("[data-share-word]", HTMLElement, button), media.screen ? "Stop sharing" : "Share screen");
    }
  };
  for (const button of buttons) {
    button.addEventListener("click", async () => {
      if (media.screen) {
        media.stopScreen();
        return;
      }
      try {
        await media.shareScreen();
      } catch {
        tell("Nothing is shared. Press “Share screen” again and choose a window.");
      }
    });
  }
  media.addEventListener("change", show);
  show();
}

function bindDialog() {
  const dialog = find("[data-devices-dialog]", HTMLDialogElement);
  dialogOpens(dialog, all("[data-devices]", HTMLButtonElement), find("[data-devices-close]", HTMLButtonElement));
}

function bindPanel() {
  const panel = find("[data-panel]", HTMLElement);
  const toggle = find("[data-panel-toggle]", HTMLButtonElement);
  const close = find("[data-panel-close]", HTMLButtonElement);
  const open = (/** @type {boolean} */ wanted) => {
    panel.hidden = !wanted;
    toggle.setAttribute("aria-expanded", String(wanted));
  };
  toggle.addEventListener("click", () => {
    open(panel.hidden);
    if (!panel.hidden) find("h2", HTMLElement, panel).focus();
  });
  close.addEventListener("click", () => {
    open(false);
    toggle.focus();
  });
  // What opens something else must not stay behind the panel.
  panel.addEventListener("click", (event) => {
    if (event.target instanceof Element && event.target.closest("[data-closes-panel]")) open(false);
  });
  panel.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close.click();
  });
  open("open" in panel.dataset && window.matchMedia("(min-width: 64rem)").matches);
}
