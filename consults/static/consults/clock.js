// Times as the person's own device writes them. The server writes the clinic's, for whoever has no script.

/** @type {Record<string, Intl.DateTimeFormatOptions>} */
const SHAPES = {
  clock: { hour: "2-digit", minute: "2-digit" },
  day: { day: "numeric", month: "long", hour: "2-digit", minute: "2-digit" },
};

/** @param {ParentNode} [root] */
export function localise(root = document) {
  for (const element of root.querySelectorAll("time[data-time]")) {
    if (!(element instanceof HTMLTimeElement)) continue;
    const at = new Date(element.dateTime);
    if (!Number.isNaN(at.getTime())) {
      element.textContent = at.toLocaleString("en-GB", SHAPES[element.dataset.time ?? "clock"]);
    }
  }
  tell(root);
}

/**
 * How long ago, in minutes, wherever a page wants it.
 * @param {ParentNode} [root]
 */
export function tell(root = document) {
  for (const element of root.querySelectorAll("[data-since]")) {
    if (!(element instanceof HTMLSpanElement)) continue;
    const minutes = Math.floor((Date.now() - Date.parse(element.dataset.since ?? "")) / 60000);
    if (!Number.isNaN(minutes)) element.textContent = minutes < 1 ? "just now" : `${minutes} min`;
  }
}

/**
 * Seconds as 0:07, 12:34 or 1:02:03.
 * @param {number} seconds
 */
export function stopwatch(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}
