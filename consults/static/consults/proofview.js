// Whether anybody is in between, as one sees it: a word that is always there, words to compare, and what to do on alarm.

import { makeCertificate } from "../signaling/proof.js";
import { Check } from "../signaling/check.js";
import { WORD_LIST } from "../signaling/words.js";
import { all, fact, find, hear, say } from "./dom.js";
import * as linksecret from "./linksecret.js";

/** @typedef {import("../signaling/call.js").Call} Call */
/** @typedef {import("../signaling/check.js").Told} Told */
/** @typedef {import("../signaling/wire.js").Wire} Wire */
/** @typedef {import("../signaling/proof.js").Role} Role */

const MOST_FAILURES = 3;
/** nobody has read new words sooner: a click that comes before was meant for those that stood there */
const READ_FOR_MS = 2000;
/** @type {Record<string, string>} */
const WORD = {
  none: "Not checked yet",
  link: "Private: checked by the link",
  comparison: "Private: checked by comparing",
  failed: "Not private: stopped",
};

/** What this page can prove itself with: made before the call, so that nothing of it is waited for at admission. */
export async function ownProof(/** @type {string} */ consult) {
  const fresh = await makeCertificate();
  // A browser that does not keep it has another one after a refresh, of which nothing is proved yet.
  const certificate = await linksecret.certificate(consult, fresh).catch(() => fresh);
  try {
    await linksecret.claim(consult);
    return { certificate, ...(await linksecret.known(consult)) };
  } catch {
    return { certificate, ...(await linksecret.carried(consult)) };
  }
}

/**
 * @param {Role} role
 * @param {string} consult
 * @param {Wire} wire
 * @param {Call} call
 * @param {Awaited<ReturnType<typeof ownProof>>} own
 */
export function bindProof(role, consult, wire, call, own) {
  const check = new Check(wire, call, { role, consult, ...own });
  const dialog = find("[data-proof-dialog]", HTMLDialogElement);
  const alarm = find("[data-proof-alarm]", HTMLDialogElement);
  for (const opener of all("[data-proof-open]", HTMLButtonElement)) {
    opener.addEventListener("click", () => {
      dialog.showModal();
    });
  }
  for (const asks of all("[data-proof-hear]", HTMLButtonElement)) asks.addEventListener("click", () => check.compare());
  find("[data-proof-close]", HTMLButtonElement, dialog).addEventListener("click", () => dialog.close());
  find("[data-proof-same]", HTMLButtonElement, dialog).addEventListener("click", () => {
    check.agree(fact(dialog, "seed"));
  });
  find("[data-proof-differ]", HTMLButtonElement, dialog).addEventListener("click", () => check.disagree());
  find("[data-alarm-again]", HTMLButtonElement, alarm).addEventListener("click", () => location.reload());
  find("[data-alarm-close]", HTMLButtonElement, alarm).addEventListener("click", () => alarm.close());
  hear(check, "proof", (/** @type {Told} */ told) => {
    show(dialog, told);
    if (told.state !== "failed" || alarm.open) return;
    dialog.close();
    sound(alarm, own.failures + 1);
    void linksecret.failed(consult).catch(() => undefined); // not kept: the log has it
  });
  hear(check, "compared", (/** @type {string} */ fingerprint) => {
    void linksecret.compared(consult, fingerprint).catch(() => undefined); // then it is compared again after a refresh
  });
  if (own.failures >= MOST_FAILURES) {
    // Too many calls were ended by the check: this device does not try again by itself.
    sound(alarm, own.failures);
    check.giveUp();
  }
  return check;
}

/**
 * @param {HTMLDialogElement} alarm
 * @param {number} failures
 */
function sound(alarm, failures) {
  find("[data-alarm-again]", HTMLButtonElement, alarm).hidden = failures >= MOST_FAILURES;
  alarm.showModal();
  find("h2", HTMLElement, alarm).focus();
}

/**
 * @param {HTMLDialogElement} dialog
 * @param {Told} told
 */
function show(dialog, told) {
  for (const chip of all("[data-proof-chip]", HTMLElement)) {
    chip.dataset.state = told.state;
    say(find("[data-proof-word]", HTMLElement, chip), told.due && !told.stuck ? "Checking who is there" : WORD[told.state] ?? "");
  }
  for (const text of all("[data-proof-text]", HTMLElement, dialog)) text.hidden = text.dataset.proofText !== told.state;
  const compares = told.state === "none";
  const ready = compares && told.words.length > 0;
  find("[data-proof-compare]", HTMLElement, dialog).hidden = !ready;
  find("[data-proof-wait]", HTMLElement, dialog).hidden = !compares || ready;
  find("[data-proof-ask]", HTMLElement, dialog).hidden = !told.stuck || told.hears;
  if (ready) fill(dialog, told);
  const other = fact(dialog, "other");
  const mine = find("[data-proof-same]", HTMLButtonElement, dialog);
  mine.disabled = told.mine || isFresh(dialog);
  // That the other page says so proves nothing: whoever is in between can say it too.
  const waiting = told.mine ? `Now ${other} has to press the same button.` : told.theirs ? `${other} has pressed it. Press it too only when you have heard the same words.` : "";
  say(find("[data-proof-status]", HTMLElement, dialog), waiting);
}

/** Whether these words have only just come. @param {HTMLDialogElement} dialog */
function isFresh(dialog) {
  return dialog.dataset.read !== dialog.dataset.seed;
}

/**
 * @param {HTMLDialogElement} dialog
 * @param {Told} told
 */
function fill(dialog, { seed, words, pictures }) {
  if (dialog.dataset.seed === seed) return;
  dialog.dataset.seed = seed;
  const same = find("[data-proof-same]", HTMLButtonElement, dialog);
  setTimeout(() => {
    if (dialog.dataset.seed !== seed) return;
    dialog.dataset.read = seed;
    same.disabled = false;
  }, READ_FOR_MS);
  const list = find("[data-proof-words]", HTMLElement, dialog);
  list.replaceChildren(...words.map((number) => item(document.createTextNode(WORD_LIST[number] ?? ""))));
  const drawn = find("template[data-proof-glyphs]", HTMLTemplateElement, dialog).content.children;
  find("[data-proof-pictures]", HTMLElement, dialog).replaceChildren(
    ...pictures.map((number) => item(.../** @type {Element} */ (drawn[number]?.cloneNode(true)).childNodes)),
  );
}

/** @param {Node[]} content */
function item(...content) {
  const made = document.createElement("li");
  made.append(...content);
  return made;
}
