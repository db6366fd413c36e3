// The patient's own page: withdraw, and close the page for good.

import { localise } from "./clock.js";
import { all, dialogOpens, fact, find } from "./dom.js";
import { post } from "./server.js";
import { withdraw } from "./withdrawal.js";

const page = find("[data-yours]", HTMLElement);
const dialog = find("[data-withdraw-dialog]", HTMLDialogElement);
const yes = find("[data-withdraw-yes]", HTMLButtonElement);
const error = find("[data-withdraw-error]", HTMLElement);
const close = find("[data-close]", HTMLButtonElement);

localise();
dialogOpens(dialog, all("[data-withdraw]", HTMLButtonElement), find("[data-withdraw-cancel]", HTMLButtonElement), () => {
  error.textContent = "";
});
yes.addEventListener("click", async () => {
  yes.disabled = true;
  error.textContent = await withdraw(fact(page, "withdrawUrl"), fact(page, "consult"));
  yes.disabled = false;
  if (!error.textContent) location.reload();
});
close.addEventListener("click", async () => {
  close.disabled = true;
  const answer = await post(fact(page, "closeUrl"));
  close.disabled = false;
  if (answer.ok) location.reload();
  else find("[data-close-error]", HTMLElement).textContent = answer.error;
});
