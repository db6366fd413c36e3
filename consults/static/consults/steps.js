// The patient's way as she sees it: which step is shown, and the marks above it.

import { all, find } from "./dom.js";

/** @type {Record<string, number>} */
const NUMBER = { devices: 3, consent: 4, waiting: 5 };

/**
 * Show one step. The focus goes to its title, so that a screen reader reads on from there.
 * @param {string} name
 */
export function showStep(name) {
  for (const section of all("[data-step]", HTMLElement)) {
    const opens = section.dataset.step === name && section.hidden;
    section.hidden = section.dataset.step !== name;
    if (!opens) continue;
    window.scrollTo(0, 0);
    find("h1", HTMLElement, section).focus({ preventScroll: true });
  }
  const marks = find("[data-steps]", HTMLElement);
  const at = NUMBER[name] ?? 0;
  marks.hidden = at === 0;
  if (at === 0) return;
  all("li", HTMLElement, marks).forEach((mark, index) => {
    mark.toggleAttribute("data-done", index + 1 < at);
    if (index + 1 === at) mark.setAttribute("aria-current", "step");
    else mark.removeAttribute("aria-current");
  });
  find("[data-step-number]", HTMLElement, marks).textContent = String(at);
}
