// The invite panel: a fresh link to copy or scan, an e-mail, or taking it back.

import { bindCopy } from "./copying.js";
import { all, announce, dialogOpens, fact, find, fragment, say } from "./dom.js";
import * as linksecret from "./linksecret.js";
import { qr } from "./qr.js";
import { post } from "./server.js";
import { newSecret } from "../signaling/proof.js";

/** @typedef {import("../signaling/check.js").Check} Check */

/**
 * @param {string} consult
 * @param {Check} check
 * @param {() => Promise<void>} changed
 */
export function bindInvite(consult, check, changed) {
  const panel = find("[data-invite-panel]", HTMLElement);
  const fresh = find("[data-invite-fresh]", HTMLElement, panel);
  const error = find("[data-invite-error]", HTMLElement, panel);
  const word = find("[data-invite-word]", HTMLElement, panel);
  const revoke = find("[data-revoke]", HTMLButtonElement, panel);

  const make = find("[data-invite]", HTMLButtonElement, panel);
  make.addEventListener("click", async () => {
    const answer = await ask(make, fact(make, "invite"));
    if (!answer) return;
    const content = fragment(answer.html);
    await addSecret(content);
    fresh.replaceChildren(content);
    revoke.hidden = false;
    // From here on copying is what comes next.
    make.classList.remove("button-primary");
    say(find("[data-word]", HTMLElement, make), "Make a new link");
    bindCopy(fresh, word, "The link is copied. Paste it into a message to the patient.");
    find("[data-copy]", HTMLButtonElement, fresh).focus();
    await changed();
  });

  for (const send of all("[data-invite-mail]", HTMLButtonElement, panel)) {
    send.addEventListener("click", async () => {
      const answer = await ask(send, fact(send, "inviteMail"));
      if (!answer) return;
      fresh.replaceChildren();
      revoke.hidden = false;
      const to = String(answer.data.sent_to ?? "the patient");
      say(word, `An e-mail with a new link goes to ${to}.`);
      await linksecret.mailed(consult).catch(() => undefined);
      await tellCheck().catch(() => undefined); // what is not kept was not known either
      await changed();
      announce(panel.querySelector("[data-mailed]")?.textContent?.trim() ?? "");
    });
  }

  dialogOpens(
    find("[data-revoke-dialog]", HTMLDialogElement, panel),
    [revoke],
    find("[data-revoke-cancel]", HTMLButtonElement, panel),
  );

  /**
   * A secret that the server never sees goes into the link, and stays in this browser to prove the call by. Where the
   * browser keeps nothing the link goes without.
   * @param {DocumentFragment} content
   */
  async function addSecret(content) {
    const link = find("[data-link]", HTMLInputElement, content);
    const secret = newSecret();
    let kept = true;
    try {
      await linksecret.made(consult, secret);
      link.value += `.${secret}`;
      await tellCheck();
    } catch {
      kept = false;
    }
    find("[data-secret-in]", HTMLElement, content).hidden = !kept;
    find("[data-secret-out]", HTMLElement, content).hidden = kept;
    find("[data-qr]", HTMLElement, content).replaceChildren(qr(link.value));
  }

  async function tellCheck() {
    const { keys, required } = await linksecret.known(consult);
    check.setKeys(keys, required);
  }

  /**
   * @param {HTMLButtonElement} button
   * @param {string} url
   */
  async function ask(button, url) {
    button.disabled = true;
    error.textContent = "";
    word.textContent = "";
    const answer = await post(url);
    button.disabled = false;
    if (answer.ok) return answer;
    error.textContent = answer.error;
    return null;
  }
}

/** A link that was opened or taken back is of no more use to anybody: it goes from the page. */
export function forgetLink() {
  const panel = find("[data-invite-panel]", HTMLElement);
  if (!panel.querySelector("[data-link-out]")) find("[data-invite-fresh]", HTMLElement, panel).replaceChildren();
}
