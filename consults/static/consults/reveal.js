// Protected values: asked for with a purpose and a fresh second factor, shown for a short time, masked again.

import { all, dialogOpens, fact, find, say } from "./dom.js";
import { post } from "./server.js";

/** Every record on the page that may be revealed. */
export function bindRecord() {
  for (const root of all("[data-record]", HTMLElement)) {
    if (root.querySelector("[data-reveal-open]")) bind(root);
  }
}

/** @param {HTMLElement} root */
function bind(root) {
  const dialog = find("[data-reveal-dialog]", HTMLDialogElement, root);
  const form = find("[data-reveal-form]", HTMLFormElement, root);
  const error = find("[data-reveal-error]", HTMLElement, root);
  const codeField = find("[data-reveal-code]", HTMLElement, root);
  const code = find("input[name=code]", HTMLInputElement, root);
  const opener = find("[data-reveal-open]", HTMLButtonElement, root);
  const shown = new Shown(root);

  dialogOpens(dialog, [opener], find("[data-reveal-cancel]", HTMLButtonElement, root), () => {
    error.textContent = "";
  });
  find("[data-reveal-hide]", HTMLButtonElement, root).addEventListener("click", () => {
    shown.hide();
    opener.focus();
  });

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const asked = new FormData(form);
    error.textContent = incomplete(asked);
    if (error.textContent) return;
    const answer = await post(fact(root, "reveal"), asked);
    code.value = "";
    if (!answer.ok) {
      error.textContent = answer.error;
      if (answer.data.code !== true) return;
      codeField.hidden = false;
      code.focus();
      return;
    }
    codeField.hidden = true;
    dialog.close();
    form.reset();
    shown.show(/** @type {Record<string, string>} */ (answer.data.values), Number(answer.data.seconds));
  });
}

/** @param {FormData} asked */
function incomplete(asked) {
  if (!asked.has("fields")) return "Choose at least one field.";
  if (!asked.has("purpose")) return "Choose what you need the values for.";
  return "";
}

class Shown {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.places = all("[data-field]", HTMLElement, root);
    this.masks = new Map(this.places.map((place) => [place, place.textContent ?? ""]));
    this.hideButton = find("[data-reveal-hide]", HTMLButtonElement, root);
    this.left = find("[data-reveal-left]", HTMLElement, root);
    this.until = 0;
    this.timer = 0;
    // A page kept by the browser for the back button must not keep values.
    window.addEventListener("pagehide", () => this.hide());
    // Nor must a screen that somebody left show them.
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.hide();
    });
  }

  /**
   * @param {Record<string, string>} values
   * @param {number} seconds
   */
  show(values, seconds) {
    this.hide();
    for (const place of this.places) {
      const value = values[place.dataset.field ?? ""];
      if (value === undefined) continue;
      place.textContent = value;
      place.classList.add("revealed");
    }
    this.until = Date.now() + seconds * 1000;
    this.hideButton.hidden = false;
    this.hideButton.focus();
    this.timer = window.setInterval(() => this.#tick(), 500);
    this.#tick();
  }

  hide() {
    window.clearInterval(this.timer);
    for (const [place, mask] of this.masks) {
      place.textContent = mask;
      place.classList.remove("revealed");
    }
    this.hideButton.hidden = true;
    this.left.textContent = "";
  }

  #tick() {
    const left = Math.ceil((this.until - Date.now()) / 1000);
    if (left <= 0) this.hide();
    else say(this.left, `Masked again in ${left} s`);
  }
}
