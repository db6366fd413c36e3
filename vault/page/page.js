// The page's own part: takes a file, shows what was found. Nothing of it leaves the device: the policy allows no request.

import { moment, verify } from "./check.js";

/** @typedef {import("./check.js").Report} Report */

const input = find("[data-file]", HTMLInputElement);
const key = find("[data-key]", HTMLInputElement);
const answer = find("[data-answer]", HTMLElement);
/** @type {File | null} */
let chosen = null;

input.addEventListener("change", () => check(input.files?.[0] ?? null));
key.addEventListener("change", () => check(chosen));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  void check(event.dataTransfer?.files[0] ?? null);
});

/** @param {File | null} file */
async function check(file) {
  if (!file) return;
  chosen = file;
  answer.replaceChildren();
  const given = key.value.trim();
  try {
    if (!(await canCheck())) throw new Error("This browser cannot check such signatures. Use a newer one, and open this page again.");
    show(await verify(new Uint8Array(await file.arrayBuffer()), given), given !== "");
  } catch (error) {
    answer.append(card("The receipt could not be checked", make("p", "", error instanceof Error ? error.message : "")));
  }
  answer.focus();
}

/** Ed25519 is young in browsers. A signature that cannot be checked must not look like a wrong one. */
async function canCheck() {
  try {
    await crypto.subtle.generateKey("Ed25519", false, ["sign", "verify"]);
    return true;
  } catch {
    return false;
  }
}

/**
 * @param {Report} report
 * @param {boolean} keyGiven
 */
function show(report, keyGiven) {
  if (!report.holds) {
    const wrong = report.findings.filter((one) => !one.holds);
    const verdict = card("This receipt does not hold", make("p", "", "Something in it was changed or does not belong to it. Nothing in it should be relied on."));
    verdict.classList.add("verdict", "verdict-wrong");
    verdict.append(bullets(wrong.map((one) => `${capital(one.part)}: ${one.says}`)));
    answer.append(verdict, parts(report));
    return;
  }
  const state = report.withdrawn ? "consent was given, and withdrawn later" : "consent was given";
  const verdict = card(`This receipt holds: ${state}`, make("p", "", "Every part was checked on this device, byte by byte."));
  verdict.classList.add("verdict");
  answer.append(verdict, agreed(report));
  answer.append(card("What is proven", bullets(proven(report, keyGiven))));
  answer.append(card("What is not proven", bullets(notProven(report, keyGiven))), parts(report));
}

/** @param {Report} report */
function agreed(report) {
  const [given] = report.acts;
  const facts = make("dl", "facts");
  fact(facts, "Clinic", given.clinic.name);
  fact(facts, "Signed as", given.name);
  fact(facts, "By", person(given.by) || "the patient");
  if (given.witness) fact(facts, "Witness", person(given.witness));
  fact(facts, "When", `${moment(new Date(given.time))} UTC`);
  if (given.expires) fact(facts, "Until", `${moment(new Date(given.expires))} UTC`);
  if (report.withdrawn) fact(facts, "Withdrawn", `${moment(report.logged[1])} UTC`);
  const found = card("What was agreed", facts);
  for (const [at, words] of report.statements.entries()) {
    const yes = given.statements[at].agreed;
    const one = make("section", "words");
    one.append(make("h3", "", words.title));
    one.append(make("p", `answer${yes ? " answer-yes" : ""}`, yes ? "Agreed" : "Not agreed"));
    const wording = make("p", "wording", words.text);
    wording.lang = words.locale;
    wording.dir = "auto";
    one.append(wording, make("p", "quiet small", `Version ${words.version}, language ${words.locale}`));
    found.append(one);
  }
  if (report.recording) found.append(voice(report.recording));
  return found;
}

/** @param {Uint8Array<ArrayBuffer>} sound */
function voice(sound) {
  const section = make("section", "words");
  const player = document.createElement("audio");
  player.controls = true;
  player.src = URL.createObjectURL(new Blob([sound], { type: "audio/ogg" }));
  player.setAttribute("aria-label", "The recording");
  section.append(make("h3", "", "What was said"), player);
  return section;
}

/**
 * @param {Report} report
 * @param {boolean} keyGiven
 */
function proven(report, keyGiven) {
  const log = keyGiven ? "your clinic’s log" : `the log ${report.log?.name}`;
  return [
    "Whoever held the patient’s key signed exactly these words, choices, name and time.",
    `The act stands in ${log}, and cannot be taken out or changed there without this receipt showing it.`,
    ...Array.from(report.witnessed, ([name, at]) => `The witness ${name} saw that log by ${moment(at)} UTC.`),
  ];
}

/**
 * @param {Report} report
 * @param {boolean} keyGiven
 */
function notProven(report, keyGiven) {
  const said = [
    "Who sat at the keyboard: the name was typed, and the key was made, by whoever had the link to the visit.",
    "That consent was not withdrawn after this receipt was made: ask for a new one.",
  ];
  if (!keyGiven) said.push(`That the log is your clinic’s: compare its key with the one the clinic gives: ${report.log?.vkey}`);
  if (report.witnessed.size === 0) said.push("The time: it is that of the clinic’s own clock, and no witness confirms it.");
  else said.push(`That a witness is who its name says: ${[...report.witnessed.keys()].join(", ")}. Compare the keys of the witnesses.`);
  if (report.erased) said.push("What was said aloud: the clinic erased the recording, and only its digest was signed.");
  if (report.withdrawn && report.acts.length < 2) {
    said.push("Who withdrew: nobody signed the withdrawal, and only the clinic’s log says that it took place.");
  } else if (report.withdrawn && report.acts[0].key !== report.acts[1].key) {
    said.push("That the same browser withdrew: another key signed the withdrawal than the consent.");
  }
  return said;
}

/** @param {Report} report */
function parts(report) {
  const all = make("details", "card");
  const found = make("ul", "parts");
  for (const one of report.findings) {
    const line = make("li", one.holds ? "" : "part-wrong");
    line.append(make("span", "part-name", `${one.holds ? "Holds" : "Wrong"}: ${one.part}. `), one.says);
    found.append(line);
  }
  all.append(make("summary", "", "Every part, one by one"), found);
  return all;
}

// -- making elements: what is in a receipt only ever becomes text ------------------------------------

/**
 * @template {Element} T
 * @param {string} selector
 * @param {new () => T} type
 */
function find(selector, type) {
  const found = document.querySelector(selector);
  if (!(found instanceof type)) throw new Error(selector);
  return found;
}

/**
 * @param {string} tag
 * @param {string} [look]
 * @param {string} [said]
 */
function make(tag, look = "", said = "") {
  const element = document.createElement(tag);
  if (look) element.className = look;
  element.textContent = said;
  return element;
}

/**
 * @param {string} title
 * @param {HTMLElement} content
 */
function card(title, content) {
  const section = make("section", "card");
  section.append(make("h2", "", title), content);
  return section;
}

/** @param {string[]} said */
function bullets(said) {
  const points = make("ul", "points");
  points.append(...said.map((one) => make("li", "", one)));
  return points;
}

/**
 * @param {HTMLElement} facts
 * @param {string} name
 * @param {string} said
 */
function fact(facts, name, said) {
  const pair = make("div");
  const value = make("dd", "", said);
  value.dir = "auto";
  pair.append(make("dt", "", name), value);
  facts.append(pair);
}

/** @param {{role: string, name: string, relation: string}} who */
function person(who) {
  return who.role === "patient" ? "" : [who.role, who.name, who.relation].filter(Boolean).join(", ");
}

/** @param {string} text */
function capital(text) {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
