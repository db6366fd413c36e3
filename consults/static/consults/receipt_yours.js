// The patient's own page: withdraw, and close the page for good.

import { localise } from "./clock.js";
import { fact, find } from "./dom.js";
import { post } from "./server.js";
import { bindWithdrawal } from "./withdrawal.js";

const page = find("[data-yours]", HTMLElement);
const close = find("[data-close]", HTMLButtonElement);

localise();
bindWithdrawal(fact(page, "withdrawUrl"), fact(page, "consult"), () => location.reload());
close.addEventListener("click", async () => {
  close.disabled = true;
  const answer = await post(fact(page, "closeUrl"));
  close.disabled = false;
  if (answer.ok) location.reload();
  else find("[data-close-error]", HTMLElement).textContent = answer.error;
});
