// When a page is drawn anew for the call: after it has given the other side what that waits for.

import { hear } from "./dom.js";

/** drawn after this also where the other side says nothing */
const AT_MOST_MS = 250;

/**
 * Follow what the server says, in order. Where it opens the call the page is drawn a moment later: on an old phone that
 * takes longer than to answer, and the person at the other end would wait for it.
 * @param {import("../signaling/wire.js").Wire} wire
 * @param {import("../signaling/call.js").Call} call
 * @param {(state: any) => boolean} opens
 * @param {(state: any) => void} follow
 */
export function unhurried(wire, call, opens, follow) {
  /** @type {number | undefined} */
  let timer;
  const now = () => {
    window.clearTimeout(timer);
    timer = undefined;
    follow(wire.state);
  };
  hear(wire, "state", (state) => {
    if (!opens(state)) now();
    else timer ??= window.setTimeout(now, AT_MOST_MS);
  });
  hear(call, "given", () => {
    if (timer !== undefined) now();
  });
}
