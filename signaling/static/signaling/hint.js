/** One sentence about a weak connection: on whose side it is, and what to do. Pure: samples come in, a word goes out. */

/**
 * @typedef {"" | "own" | "theirs" | "path" | "device"} Hint where it is weak; "" is nowhere
 * @typedef {{hint: Hint, weak: number, fine: number}} Calm
 * @typedef {{word: string, rtt_ms: number | null, limited?: string | null, server_rtt_ms?: number | null}} Sample
 */

/** samples in a row until it is said, and until it is taken back: people should not see it come and go */
const SAY_AFTER = 3;
const UNSAY_AFTER = 6;
/** milliseconds to the clinic's own server: above this the way out of one's house is slow, below that it is not */
const SLOW = 250;
const QUICK = 100;

/** @returns {Calm} */
export function calm() {
  return { hint: "", weak: 0, fine: 0 };
}

/**
 * @param {Calm} before
 * @param {Sample} sample
 * @returns {Calm}
 */
export function next(before, sample) {
  const found = where(sample);
  const weak = found ? before.weak + 1 : 0;
  const fine = found ? 0 : before.fine + 1;
  // Once said it stays as it was said: a sentence that changes its mind helps nobody.
  if (before.hint) return { hint: fine >= UNSAY_AFTER ? "" : before.hint, weak, fine };
  return { hint: weak >= SAY_AFTER ? found : "", weak, fine };
}

/**
 * @param {Sample} sample
 * @returns {Hint}
 */
export function where({ word, rtt_ms, limited, server_rtt_ms }) {
  if (word !== "poor") return word === "fair" && limited === "cpu" ? "device" : "";
  if (server_rtt_ms === null || server_rtt_ms === undefined) return "path";
  if (server_rtt_ms > SLOW) return "own";
  return server_rtt_ms < QUICK && (rtt_ms ?? 0) > SLOW + server_rtt_ms ? "theirs" : "path";
}

/**
 * @param {Hint} hint
 * @param {string} other whom one talks with
 */
export function sentence(hint, other) {
  return {
    "": "",
    own: "Your connection is weak: move closer to the router, or stop other downloads.",
    theirs: `The connection of ${other} is weak. Yours is fine: speak a little slower, and wait for answers.`,
    path: "The connection is weak: speak a little slower. If it stays so, turn your camera off.",
    device: "Your device is busy: close other programs, or turn your camera off.",
  }[hint];
}
