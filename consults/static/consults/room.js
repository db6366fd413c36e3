// The clinician's room: before admission what the patient is doing, then the call.

import { Call } from "../signaling/call.js";
import { Monitor } from "../signaling/monitor.js";
import { Uplink } from "../signaling/uplink.js";
import { Wire } from "../signaling/wire.js";
import { bindBar } from "./callbar.js";
import { bindHint } from "./callhint.js";
import { CallView } from "./callview.js";
import { localise } from "./clock.js";
import { Devices } from "./devices.js";
import { all, dialogOpens, fact, find, fragment, hear, holdClicks, refill, say } from "./dom.js";
import { bindInvite, forgetLink } from "./invite.js";
import { draw, Level } from "./level.js";
import { watch } from "./lifeline.js";
import { bindNote } from "./note.js";
import { unhurried } from "./opening.js";
import { OwnMedia } from "./ownmedia.js";
import { bindPeople } from "./people.js";
import { bindPickers } from "./pickers.js";
import { bindPreviews } from "./preview.js";
import { bindProof, ownProof } from "./proofview.js";
import { bindRecord } from "./reveal.js";
import { part, post } from "./server.js";

/** @typedef {import("./callview.js").State} State */

const STATUS_EVERY_MS = 10000;
/** a call that comes up needs all that clinic and device can do */
const STATUS_IN_CALL_MS = 2000;
const TITLE = document.title;

const page = find("[data-room]", HTMLElement);
const admit = find("[data-admit]", HTMLButtonElement, page);
const admitWord = find("[data-admit-word]", HTMLElement);
const devices = new Devices();
const consult = fact(page, "consult");
const release = holdClicks();
// Certificate and keys are made while one waits, so that the check takes no time at admission.
const own = await ownProof(consult);
const wire = new Wire(fact(page, "socket"));
const call = new Call(wire, "clinician", own.certificate);
const monitor = new Monitor(wire, call);
const uplink = new Uplink(wire, call);
const media = new OwnMedia(wire, call, devices, uplink);
const view = new CallView("clinician", wire, call, media, uplink);
const check = bindProof("clinician", consult, wire, call, own);

let live = "live" in page.dataset;
let inCall = document.body.dataset.mode === "call";
let asked = 0;
/** @type {number | undefined} */
let soon;

admit.addEventListener("click", () => void letIn());
hear(check, "proof", (/** @type {import("../signaling/check.js").Told} */ told) => view.checked(told));
uplink.heed(check);
bindBar(media, devices);
bindPickers(devices);
bindPreviews(devices);
bindHint(monitor, call, fact(find("[data-call]", HTMLElement), "other"));
bindPeople(wire, monitor);
bindInvite(consult, check, refreshStatus);
bindRecord();
const note = bindNote(fact(page, "noteUrl"));
bindEnd();
const hearOwn = bindOwn();
watch(wire, { onFinal: finish, inCall: () => inCall });
unhurried(wire, call, (/** @type {State} */ { stage }) => stage === "call" && !inCall, follow);
window.setInterval(refreshStatus, STATUS_EVERY_MS);
localise();
release();

/** Sent at once: everything else can wait for the patient's sake. */
async function letIn() {
  const answering = post(fact(page, "admitUrl"));
  admit.disabled = true;
  say(admitWord, "Opening the call.");
  const answer = await answering;
  if (answer.ok) return;
  admit.disabled = false;
  say(admitWord, answer.error);
}

/** @param {State} state */
function follow(state) {
  view.update(state);
  go(state);
  hearOwn();
  window.clearTimeout(soon);
  soon = window.setTimeout(refreshStatus, inCall ? STATUS_IN_CALL_MS : 0);
}

/** @param {State} state */
function go(state) {
  if (state.stage === "ended") {
    leave();
    return;
  }
  live ||= state.stage === "call";
  // After a withdrawal the call view stays, with the note in it, and says what to do.
  inCall = state.stage === "call" || (live && inCall && state.stage === "consent");
  document.body.dataset.stage = state.stage;
  document.body.dataset.mode = inCall ? "call" : "page";
  const returns = page.hidden && !inCall;
  page.hidden = inCall;
  view.open(inCall);
  if (returns) find("[data-title]", HTMLElement).focus();
  admit.disabled = state.stage !== "waiting";
  say(admitWord, admission(state));
  document.title = state.stage === "waiting" ? `Ready: ${TITLE}` : TITLE;
}

/** @param {State} state */
function admission(state) {
  if (state.stage === "invited") return "You can admit the patient from the waiting room.";
  if (state.stage !== "waiting") return "The patient is getting ready. You can admit from the waiting room.";
  if (!state.patient_here) return "The patient waits, but the page is not connected now. The call opens when it is back.";
  return "The patient is ready and waits for you.";
}

async function refreshStatus() {
  asked += 1;
  const mine = asked;
  const answer = await part(fact(page, "statusUrl"));
  if (!answer.ok || mine !== asked) return;
  const parts = fragment(answer.html);
  for (const slot of all("[data-slot]", HTMLElement)) {
    const fresh = parts.querySelector(`[data-part="${slot.dataset.slot}"]`);
    if (!fresh) continue;
    localise(fresh);
    // Text that is the same is left alone: a reader's place in it is kept.
    if (fresh.innerHTML === slot.innerHTML) continue;
    const content = document.createDocumentFragment();
    content.append(...fresh.childNodes);
    refill(slot, content);
  }
  forgetLink();
}

function bindOwn() {
  const trouble = find("[data-own-trouble]", HTMLElement);
  const again = find("[data-turn-on]", HTMLButtonElement);
  const bar = find("[data-level]", HTMLElement);
  const level = new Level((loudness) => draw(bar, loudness));
  /** @type {MediaStreamTrack | null} */
  let heard = null;
  const listen = () => {
    const track = inCall ? null : devices.microphone;
    if (track !== heard) level.listen(track);
    heard = track;
  };
  devices.addEventListener("change", listen);
  const open = async (/** @type {{camera?: boolean, microphone?: boolean}} */ wanted) => {
    const sentence = await devices.openAny(wanted);
    trouble.hidden = sentence === "";
    again.hidden = sentence === "";
    say(find("[data-own-trouble-text]", HTMLElement), sentence);
  };
  again.addEventListener("click", () => void open({ camera: true, microphone: true }));
  void open({});
  return listen;
}

function bindEnd() {
  const dialog = find("[data-end-dialog]", HTMLDialogElement);
  const yes = find("[data-end-yes]", HTMLButtonElement);
  const error = find("[data-end-error]", HTMLElement);
  dialogOpens(dialog, all("[data-end]", HTMLButtonElement), find("[data-end-cancel]", HTMLButtonElement), () => {
    error.textContent = "";
    find("[data-end-note]", HTMLElement).hidden = !note.unsaved();
  });
  yes.addEventListener("click", async () => {
    yes.disabled = true;
    error.textContent = note.unsaved() ? await note.save() : "";
    if (!error.textContent) {
      const answer = await post(fact(page, "endUrl"));
      if (answer.ok) leave();
      else error.textContent = answer.error;
    }
    yes.disabled = false;
  });
}

/** Nothing runs on: not the call, not the camera. */
function finish() {
  media.end();
  check.close();
  call.close();
  monitor.close();
  wire.close();
  devices.close();
}

function leave() {
  finish();
  note.forget();
  location.reload();
}
