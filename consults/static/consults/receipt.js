// Behind a receipt's link. The token is taken from the address at once and lives in this page's memory only.

import { fact, find } from "./dom.js";
import { post } from "./server.js";

let token = "";
const open = find("[data-open]", HTMLElement);
const form = find("[data-open-form]", HTMLFormElement);
const error = find("[data-open-error]", HTMLElement);
const noToken = find("[data-no-token]", HTMLElement);

// A second link opened in this tab changes only the fragment: the browser loads nothing by itself.
window.addEventListener("hashchange", take);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  void show();
});
take();

function take() {
  token = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  noToken.hidden = token !== "";
  open.hidden = token === "";
}

async function show() {
  const button = find("button[type=submit]", HTMLButtonElement, form);
  button.disabled = true;
  error.textContent = "";
  const fields = new FormData(form);
  fields.set("token", token);
  const answer = await post(fact(form, "openUrl"), fields);
  button.disabled = false;
  if (answer.ok) location.assign(String(answer.data.url));
  else error.textContent = answer.error;
}
