// The invite panel: a fresh link to copy or scan, an e-mail, or taking it back.

import { all, dialogOpens, fact, find, fragment, say } from "./dom.js";
import { post } from "./server.js";

/** @param {() => Promise<void>} changed */
export function bindInvite(changed) {
  const panel = find("[data-invite-panel]", HTMLElement);
  const fresh = find("[data-invite-fresh]", HTMLElement, panel);
  const error = find("[data-invite-error]", HTMLElement, panel);
  const word = find("[data-invite-word]", HTMLElement, panel);
  const revoke = find("[data-revoke]", HTMLButtonElement, panel);

  const make = find("[data-invite]", HTMLButtonElement, panel);
  make.addEventListener("click", async () => {
    const answer = await ask(make, fact(make, "invite"));
    if (!answer) return;
    fresh.replaceChildren(fragment(answer.html));
    revoke.hidden = false;
    // From here on copying is what comes next.
    make.classList.remove("button-primary");
    say(find("[data-word]", HTMLElement, make), "Make a new link");
    bindCopy(fresh, word);
    await changed();
  });

  for (const send of all("[data-invite-mail]", HTMLButtonElement, panel)) {
    send.addEventListener("click", async () => {
      const answer = await ask(send, fact(send, "inviteMail"));
      if (!answer) return;
      fresh.replaceChildren();
      revoke.hidden = false;
      say(word, `An e-mail with a new link goes to ${String(answer.data.sent_to ?? "the patient")}.`);
      await changed();
    });
  }

  dialogOpens(
    find("[data-revoke-dialog]", HTMLDialogElement, panel),
    [revoke],
    find("[data-revoke-cancel]", HTMLButtonElement, panel),
  );

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

/**
 * @param {HTMLElement} root
 * @param {HTMLElement} word
 */
function bindCopy(root, word) {
  const link = find("[data-link]", HTMLInputElement, root);
  const button = find("[data-copy]", HTMLButtonElement, root);
  link.addEventListener("focus", () => link.select());
  button.focus();
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(link.value);
      say(find("[data-copy-word]", HTMLElement, root), "Copied");
      say(word, "The link is copied. Paste it into a message to the patient.");
    } catch {
      link.focus();
      say(word, "The link is selected. Copy it with your keyboard.");
    }
  });
}
