// Behind every invite link. The token is taken from the address at once and lives in this page's memory only; the secret
// after it, which the server never gets, goes on to the page of the visit that this link opens, in this tab.

import { localise } from "./clock.js";
import { fact, find, fragment } from "./dom.js";
import { carry } from "./linksecret.js";
import { post } from "./server.js";

/**
 * `secret`: null where the link has none; one that was cut, even to nothing, is still carried on.
 * @typedef {{token: string, secret: string | null}} Link
 */

/** @type {Link} */
let link = { token: "", secret: null };
/** the link whose invitation is on the page, while another one is looked at too */
let shown = link;
const form = find("#redeem", HTMLFormElement);
const invited = find("[data-invited]", HTMLElement);
const noToken = find("[data-no-token]", HTMLElement);
const noServer = find("[data-no-server]", HTMLElement);

form.addEventListener("submit", () => {
  const field = form.elements.namedItem("token");
  if (field instanceof HTMLInputElement) field.value = shown.token;
  // Bound to its visit, so that the secret of one link is never taken for another's.
  if (shown.secret !== null) carry(fact(find("[data-consult]", HTMLElement, invited), "consult"), shown.secret);
});
find("[data-again]", HTMLButtonElement).addEventListener("click", () => void look());
// A second link opened in this tab changes only the fragment: the browser loads nothing by itself.
window.addEventListener("hashchange", take);
take();

function take() {
  const [token = "", secret = null] = location.hash.slice(1).split(".");
  link = { token, secret };
  history.replaceState(null, "", location.pathname);
  noToken.hidden = token !== "";
  if (!token) return;
  void look();
}

async function look() {
  const asked = link;
  noServer.hidden = true;
  invited.hidden = false;
  const answer = await post(fact(form, "look"), { token: asked.token });
  if (asked !== link) return;
  if (answer.status === 0 || answer.status >= 500) {
    invited.hidden = true;
    noServer.hidden = false;
    focusHeading(noServer);
    return;
  }
  shown = asked;
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
