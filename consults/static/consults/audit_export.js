// An officer's exports: while one is under way, what the server says of it is fetched again every two seconds.

import { fact, find, fragment, refill } from "./dom.js";
import { part } from "./server.js";

const EVERY_MS = 2000;
/** after a click on "Export" the first line takes a moment */
const SOON_MS = 30000;

const list = find("[data-exports]", HTMLElement);
let until = 0;

find("form.log-form", HTMLFormElement).addEventListener("submit", () => {
  until = Date.now() + SOON_MS;
});
window.setInterval(() => {
  if (Date.now() < until || list.querySelector("[data-under-way]")) void refresh();
}, EVERY_MS);

async function refresh() {
  const answer = await part(fact(list, "exports"));
  if (answer.ok) refill(list, fragment(answer.html));
}
