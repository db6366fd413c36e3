// The one sentence about a weak connection, over the picture: said calmly, taken back calmly.

import { calm, next, sentence } from "../signaling/hint.js";
import { find, hear, say } from "./dom.js";

/**
 * @param {EventTarget} monitor
 * @param {EventTarget} call
 * @param {string} other whom one talks with
 */
export function bindHint(monitor, call, other) {
  const line = find("[data-hint]", HTMLElement);
  let state = calm();
  const show = () => {
    line.hidden = state.hint === "";
    if (state.hint) say(find("[data-hint-word]", HTMLElement, line), sentence(state.hint, other));
  };
  hear(monitor, "measured", (/** @type {import("../signaling/hint.js").Sample} */ sample) => {
    state = next(state, sample);
    show();
  });
  hear(call, "connection", (/** @type {{state: string}} */ { state: connection }) => {
    // What an interruption means is said elsewhere, and what was measured before it is over.
    if (connection === "connected" || connection === "connecting") return;
    state = calm();
    show();
  });
}
