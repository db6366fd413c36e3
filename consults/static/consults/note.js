// The note of a visit: saved when the clinician says so, never lost by accident.

import { find, say } from "./dom.js";
import { post } from "./server.js";

/** @param {string} url */
export function bindNote(url) {
  const form = find("[data-note-form]", HTMLFormElement);
  const text = find("textarea", HTMLTextAreaElement, form);
  const button = find("button[type=submit]", HTMLButtonElement, form);
  const word = find("[data-note-word]", HTMLElement, form);
  const unsaved = () => text.value.trim() !== "";

  /** Gives the sentence to show when it could not be saved. */
  async function save() {
    button.disabled = true;
    const answer = await post(url, new FormData(form));
    button.disabled = false;
    if (!answer.ok) {
      say(word, answer.error);
      return answer.error;
    }
    text.value = "";
    const at = new Date().toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
    say(word, `Saved at ${at}. You find it on this visit's page when it has ended.`);
    return "";
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (unsaved()) void save();
    else say(word, "Write something before you save the note.");
  });
  window.addEventListener("beforeunload", (event) => {
    if (unsaved()) event.preventDefault();
  });
  const forget = () => {
    text.value = "";
  };
  return { unsaved, save, forget };
}
