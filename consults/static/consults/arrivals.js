// How the clinician learns of an arrival: the page's title, a soft sound, a notification. None names a patient.

import { announce, find, say } from "./dom.js";
import { keep, recall } from "./keeping.js";
import { chime } from "./sound.js";

const SOUND = "sound";
const TITLE = document.title;

export class Arrivals {
  constructor() {
    /** @type {Set<string> | null} */
    this.known = null;
    this.#bindSound();
    this.#bindNotification();
  }

  /** @param {string[]} seats who waits now */
  update(seats) {
    document.title = seats.length ? `(${seats.length}) Waiting – ${TITLE}` : TITLE;
    const { known } = this;
    const arrived = known !== null && seats.some((seat) => !known.has(seat));
    this.known = new Set(seats);
    if (!arrived) return;
    announce("A patient is waiting.");
    if (recall("localStorage", SOUND) === "on") void chime();
    if (document.hidden && "Notification" in window && Notification.permission === "granted") {
      const note = new Notification("A patient is waiting", { tag: "waiting" });
      note.addEventListener("click", () => window.focus());
    }
  }

  #bindSound() {
    const button = find("[data-sound]", HTMLButtonElement);
    const show = () => {
      const on = recall("localStorage", SOUND) === "on";
      button.setAttribute("aria-pressed", String(on));
      find("[data-when-on]", HTMLElement, button).hidden = !on;
      find("[data-when-off]", HTMLElement, button).hidden = on;
      say(find("[data-word]", HTMLElement, button), on ? "Sound is on" : "Sound is off");
    };
    button.addEventListener("click", () => {
      const on = recall("localStorage", SOUND) !== "on";
      keep("localStorage", SOUND, on ? "on" : "off");
      if (on) void chime();
      show();
    });
    show();
  }

  #bindNotification() {
    const button = find("[data-notify]", HTMLButtonElement);
    const show = () => {
      button.hidden = !("Notification" in window) || Notification.permission !== "default";
    };
    button.addEventListener("click", async () => {
      await Notification.requestPermission();
      show();
    });
    show();
  }
}
