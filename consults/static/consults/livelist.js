// A list that the server shows and the page keeps up to date: fetched again at every hint, and by the clock.

import { localise, tell } from "./clock.js";
import { fact, find, fragment, refill, say } from "./dom.js";
import { part } from "./server.js";

const TELL_MS = 15000;
const SIGNED_OUT = 4401;
const LONGEST_WAIT_MS = 8000;

/**
 * @param {{poll: number, always: boolean, look?: (lists: HTMLElement) => void}} how `poll` in ms; `always`, or only
 *   while hints are away; `look` is called after every change
 */
export function keepUpToDate({ poll, always, look = () => undefined }) {
  const lists = find("[data-lists]", HTMLElement);
  const offline = find("[data-offline]", HTMLElement);
  const offlineText = find("[data-offline-text]", HTMLElement);
  let connected = false;
  let signedOut = false;
  let wait = 500;
  let asked = 0;

  localise();
  look(lists);
  connect();
  window.setInterval(() => {
    const wanted = always ? document.visibilityState === "visible" : !connected;
    if (wanted && !signedOut) void refresh();
  }, poll);
  window.setInterval(() => tell(lists), TELL_MS);

  function connect() {
    const socket = new WebSocket(`wss://${location.host}${fact(lists, "socket")}`);
    socket.addEventListener("open", () => {
      connected = true;
      wait = 500;
      // Hints that came while the socket was away are lost: look once.
      void refresh();
    });
    socket.addEventListener("message", () => void refresh());
    socket.addEventListener("close", (event) => {
      connected = false;
      // A second factor confirmed elsewhere gives the session a new id: asking for the lists shows whether it goes on.
      if (event.code === SIGNED_OUT) void refresh();
      if (signedOut) return;
      window.setTimeout(connect, wait);
      wait = Math.min(LONGEST_WAIT_MS, wait * 2);
    });
  }

  async function refresh() {
    asked += 1;
    const mine = asked;
    const answer = await part(fact(lists, "lists"));
    if (mine !== asked) return;
    if (answer.status === 401) {
      goneAway();
      return;
    }
    offline.hidden = answer.ok;
    if (!answer.ok) {
      say(offlineText, "The clinic's server cannot be reached. This list is not up to date; it comes back by itself.");
      return;
    }
    const fresh = fragment(answer.html);
    localise(fresh);
    refill(lists, fresh);
    look(lists);
  }

  function goneAway() {
    signedOut = true;
    offline.hidden = false;
    const link = document.createElement("a");
    link.href = location.href;
    link.textContent = "Sign in again";
    offlineText.replaceChildren("You were signed out, and this list stands still. ", link, ".");
  }
}
