// The clinician's day: what the server shows, fetched again at every hint and, while hints are away, every 15 s.

import { Arrivals } from "./arrivals.js";
import { localise, tell } from "./clock.js";
import { all, fact, find, fragment, refill, say } from "./dom.js";
import { bindSearch } from "./search.js";
import { part } from "./server.js";

const POLL_MS = 15000;
const TELL_MS = 15000;
const SIGNED_OUT = 4401;
const LONGEST_WAIT_MS = 8000;

const lists = find("[data-lists]", HTMLElement);
const offline = find("[data-offline]", HTMLElement);
const offlineText = find("[data-offline-text]", HTMLElement);
const arrivals = new Arrivals();
let connected = false;
let signedOut = false;
let wait = 500;
let asked = 0;

bindSearch();
localise();
look();
connect();
window.setInterval(() => {
  if (!connected && !signedOut) void refresh();
}, POLL_MS);
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
  look();
}

function look() {
  const seats = all("[data-seat]", HTMLElement, lists).map((card) => fact(card, "seat"));
  arrivals.update(seats);
}

function goneAway() {
  signedOut = true;
  offline.hidden = false;
  const link = document.createElement("a");
  link.href = location.href;
  link.textContent = "Sign in again";
  offlineText.replaceChildren("You were signed out, and this list stands still. ", link, ".");
}
