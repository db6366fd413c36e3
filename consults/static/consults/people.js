// Who is here: the two people by the state frame, the worker by its own leg.

import { all, hear, say } from "./dom.js";

/** @typedef {import("./callview.js").State} State */

/**
 * @param {EventTarget} wire
 * @param {EventTarget} monitor
 */
export function bindPeople(wire, monitor) {
  hear(wire, "state", (/** @type {State} */ state) => {
    for (const element of all("[data-here]", HTMLElement)) {
      const clinician = element.dataset.here === "clinician";
      const here = clinician ? state.clinician_here : state.patient_here;
      say(element, `${clinician ? "Clinician" : "Patient"}, ${here ? "connected" : "not connected"}`);
    }
  });
  hear(monitor, "connected", (/** @type {{connected: boolean}} */ { connected }) => {
    for (const element of all("[data-monitor]", HTMLElement)) {
      say(element, connected ? "Connected" : "The session monitor is not connected; the call goes on.");
      element.dataset.monitor = connected ? "connected" : "away";
    }
  });
}
