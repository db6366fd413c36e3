// A link in a field, and a button that copies it.

import { find, say } from "./dom.js";

/**
 * @param {HTMLElement} root holds [data-link] and [data-copy]
 * @param {HTMLElement} word where it is said how it went
 * @param {string} copied
 */
export function bindCopy(root, word, copied) {
  const link = find("[data-link]", HTMLInputElement, root);
  link.addEventListener("focus", () => link.select());
  find("[data-copy]", HTMLButtonElement, root).addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(link.value);
      say(find("[data-copy-word]", HTMLElement, root), "Copied");
      say(word, copied);
    } catch {
      link.focus();
      say(word, "The link is selected. Copy it with your keyboard.");
    }
  });
}

/** Every place of this page that shows the link to the patient's own page. */
export function bindReceiptLinks() {
  for (const root of document.querySelectorAll("[data-receipt-link]")) {
    if (!(root instanceof HTMLElement)) continue;
    bindCopy(root, find("[data-copy-said]", HTMLElement, root), "Copied. Paste it where you will find it again, and give it to nobody.");
  }
}
