// Behind every invite link. The token is taken from the address at once and lives in this page's memory only; the secret
// after it, which the server never gets, goes on to the visit's page in this tab.

import { localise } from "./clock.js";
import { fact, find, fragment } from "./dom.js";
import { carry } from "./linksecret.js";
import { post } from "./server.js";

let token = "";
const form = find("#redeem", HTMLFormElement);
const invited = find("[data-invited]", HTMLElement);
const noToken = find("[data-no-token]", HTMLElement);
const noServer = find("[data-no-server]", HTMLElement);

form.addEventListener("submit", () => {
  const field = form.elements.namedItem("token");
  if (field instanceof HTMLInputElement) field.value = token;
});
find("[data-again]", HTMLButtonElement).addEventListener("click", () => void look());
// A second link opened in this tab changes only the fragment: the browser loads nothing by itself.
window.addEventListener("hashchange", take);
take();

function take() {
  const [first = "", secret = ""] = location.hash.slice(1).split(".");
  token = first;
  history.replaceState(null, "", location.pathname);
  noToken.hidden = token !== "";
  if (!token) return;
  carry(secret);
  void look();
}

async function look() {
  noServer.hidden = true;
  invited.hidden = false;
  const answer = await post(fact(form, "look"), { token });
  if (answer.status === 0 || answer.status >= 500) {
    invited.hidden = true;
    noServer.hidden = false;
    focusHeading(noServer);
    return;
  }
  invited.replaceChildren(answer.ok ? fragment(answer.html) : mainOf(answer.html));
  localise(invited);
  focusHeading(invited);
}

/** @param {string} page */
function mainOf(page) {
  const main = new DOMParser().parseFromString(page, "text/html").querySelector("main");
  const content = document.createDocumentFragment();
  content.append(...(main?.childNodes ?? []));
  return content;
}

/** @param {HTMLElement} root */
function focusHeading(root) {
  const heading = root.querySelector("h1");
  if (heading instanceof HTMLElement) heading.focus();
}
