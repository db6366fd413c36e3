// The socket to the clinic, as the person sees it: a calm banner while it is away, a plain word when it is over.

import { find, hear } from "./dom.js";

const PATIENCE_MS = 900;

/** @type {Record<number, {text: string, action: string}>} */
const FINAL = {
  4400: { text: "This page and the clinic's server do not understand each other.", action: "Load the page again" },
  4401: { text: "You were signed out. Sign in again: the patient stays in the visit.", action: "Sign in" },
  4403: { text: "This browser is not in the visit any more. Ask your clinic for a new link.", action: "" },
  4409: { text: "This visit is open in another tab. Go on there, or take it back here.", action: "Use this tab" },
};

const BACK = "It comes back by itself; stay on this page.";
const BACK_IN_CALL = "It comes back by itself; the call goes on.";
/** What of the clinic may be away while the socket stands: the first that is, is said. The last is a clinician's to know. */
const MISSING = [
  { part: "records", text: "The clinic cannot read or write its records for the moment.", todo: "" },
  { part: "messages", text: "What the other page says may come late for the moment.", todo: "" },
  { part: "tasks", text: "Warnings about privacy and consent do not come, and mails may wait.", todo: "Tell your clinic's operator." },
];

/**
 * @param {EventTarget} wire
 * @param {{onFinal: (code: number) => void, inCall: () => boolean}} page
 */
export function watch(wire, page) {
  const banner = find("[data-banner]", HTMLElement);
  const text = find("[data-banner-text]", HTMLElement);
  const action = find("[data-banner-action]", HTMLAnchorElement);
  let timer = 0;

  hear(wire, "up", () => {
    window.clearTimeout(timer);
    tell("");
  });

  hear(wire, "missing", (/** @type {{parts: string[]}} */ { parts }) => {
    const word = MISSING.find(({ part }) => parts.includes(part));
    const back = page.inCall() ? BACK_IN_CALL : BACK;
    const todo = word?.todo && page.inCall() ? `${word.todo} The call goes on.` : word?.todo;
    tell(word ? `${word.text} ${todo || back}` : "");
  });

  hear(wire, "down", (/** @type {{code: number, final: boolean}} */ { code, final }) => {
    window.clearTimeout(timer);
    if (final) {
      end(code);
      return;
    }
    timer = window.setTimeout(() => tell(`Connection to the clinic lost. ${page.inCall() ? BACK_IN_CALL : BACK}`), PATIENCE_MS);
  });

  /** @param {string} sentence */
  function tell(sentence) {
    if (sentence) text.textContent = sentence;
    action.hidden = true;
    banner.hidden = sentence === "";
  }

  /** @param {number} code */
  function end(code) {
    page.onFinal(code);
    if (code === 4410) {
      location.reload();
      return;
    }
    const word = FINAL[code] ?? { text: "The connection to the clinic has ended.", action: "Load the page again" };
    text.textContent = word.text;
    action.textContent = word.action;
    action.href = location.href;
    action.hidden = word.action === "";
    banner.hidden = false;
  }
}
