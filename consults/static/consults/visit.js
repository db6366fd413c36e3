// The patient's visit: one page from the device test to the end, so that the camera stays on over all steps.

import { Call } from "../signaling/call.js";
import { Monitor } from "../signaling/monitor.js";
import { Uplink } from "../signaling/uplink.js";
import { Wire } from "../signaling/wire.js";
import { bindBar } from "./callbar.js";
import { bindHint } from "./callhint.js";
import { CallView } from "./callview.js";
import { localise } from "./clock.js";
import { bindConsentStep } from "./consent_step.js";
import { bindReceiptLinks } from "./copying.js";
import { bindDeviceStep } from "./device_step.js";
import { Devices, permitted } from "./devices.js";
import { all, dialogOpens, fact, find, hear, holdClicks, say } from "./dom.js";
import { watch } from "./lifeline.js";
import { unhurried } from "./opening.js";
import { OwnMedia } from "./ownmedia.js";
import { bindPeople } from "./people.js";
import { bindPickers } from "./pickers.js";
import { bindPreviews } from "./preview.js";
import { bindProof, ownProof } from "./proofview.js";
import { showStep } from "./steps.js";
import { bindWithdrawal } from "./withdrawal.js";

/** @typedef {import("./callview.js").State} State */

const page = find("[data-visit]", HTMLElement);
const clinician = fact(page, "clinician");
const devices = new Devices();
const consult = fact(page, "consult");
const release = holdClicks();
// Certificate and keys are made while one waits, so that the check takes no time at admission.
const own = await ownProof(consult);
const wire = new Wire(fact(page, "socket"));
// Made now, so that nothing has to be prepared at the moment of admission.
const call = new Call(wire, "patient", own.certificate);
const monitor = new Monitor(wire, call);
const uplink = new Uplink(wire, call);
const media = new OwnMedia(wire, call, devices, uplink);
const view = new CallView("patient", wire, call, media, uplink);
const check = bindProof("patient", consult, wire, call, own);

let stage = fact(document.body, "stage");
let over = false;

const deviceStep = bindDeviceStep(devices, fact(page, "devicesUrl"), () => go(following("devices", "consent")));
bindConsentStep(wire, devices, fact(page, "consentUrl"), (record) => {
  withdrawnNote(false);
  showRecord(record);
  go(following("consent", "waiting"));
});
hear(check, "proof", (/** @type {import("../signaling/check.js").Told} */ told) => view.checked(told));
uplink.heed(check);
bindBar(media, devices);
bindPickers(devices);
bindPreviews(devices);
bindHint(monitor, call, clinician);
bindPeople(wire, monitor);
bindReceiptLinks();
bindWithdrawal(fact(page, "withdrawUrl"), consult, () => {
  withdrawnNote(true);
  go("consent");
});
bindLeaving();
watch(wire, { onFinal: finish, inCall: () => stage === "call" });
unhurried(wire, call, (/** @type {State} */ { stage: next }) => stage === "waiting" && next === "call", follow);
localise();
release();
void begin();

/** The camera comes on by itself where the patient has allowed it before. */
async function begin() {
  if (stage === "devices") {
    if (await permitted()) await deviceStep.start();
    return;
  }
  say(find("[data-reopen-error]", HTMLElement), await devices.openAny());
}

/** @param {State} state */
function follow(state) {
  if (over) return;
  view.update(state);
  showPlace(state);
  go(state.stage);
}

/**
 * The server's word where it is already further than the answer to a post.
 * @param {string} from
 * @param {string} usual
 */
function following(from, usual) {
  const told = wire.state?.stage;
  return typeof told === "string" && told !== from ? told : usual;
}

/** @param {string} next */
function go(next) {
  if (next === "ended" || next === "identity" || next === "invited") {
    finish();
    location.reload();
    return;
  }
  if (next !== "devices") deviceStep.stop();
  stage = next;
  document.body.dataset.stage = next;
  document.body.dataset.mode = next === "call" ? "call" : "page";
  page.hidden = next === "call";
  view.open(next === "call");
  if (next !== "call") showStep(next);
}

/** @param {State} state */
function showPlace(state) {
  const ahead = state.place - 1;
  const place = ahead > 1 ? `${ahead} people are before you.` : ahead === 1 ? "One person is before you." : "You are next.";
  say(find("[data-place]", HTMLElement), place);
  const here = state.clinician_here ? `${clinician} is there and sees that you are here.` : `${clinician} can see that you are here.`;
  say(find("[data-clinician-here]", HTMLElement), here);
}

/** Nothing runs on: not the call, not the camera. */
function finish() {
  over = true;
  media.end();
  check.close();
  call.close();
  monitor.close();
  wire.close();
  devices.close();
}

/**
 * What the clinic says it has: shown only after it said so.
 * @param {{at: string, digest: string}} record
 */
function showRecord({ at, digest }) {
  const note = find("[data-record]", HTMLElement);
  note.hidden = false;
  say(find("[data-record-at]", HTMLElement, note), new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  say(find("[data-record-digest]", HTMLElement, note), digest);
}

/** @param {boolean} shown */
function withdrawnNote(shown) {
  find("[data-withdrawn]", HTMLElement).hidden = !shown;
}

function bindLeaving() {
  const dialog = find("[data-leave-dialog]", HTMLDialogElement);
  const openers = [...all("[data-leave]", HTMLButtonElement), ...all("[data-end]", HTMLButtonElement)];
  dialogOpens(dialog, openers, find("[data-leave-cancel]", HTMLButtonElement));
  find("[data-leave-yes]", HTMLButtonElement).addEventListener("click", () => {
    dialog.close();
    finish();
    go("left");
  });
}
