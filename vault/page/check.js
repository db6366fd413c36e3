/**
 * Checks a receipt of consent: each part, in words (vault/core/receipt.py does the same). No DOM, no network.
 */

import {
  Wrong,
  bytes,
  canonical,
  decoded,
  entryOf,
  fromBase64,
  hex,
  isIncluded,
  isLogKey,
  joined,
  openNote,
  parse,
  parseCheckpoint,
  parseKey,
  sha256,
} from "./parts.js";

/**
 * @typedef {{part: string, holds: boolean, says: string}} Finding
 * @typedef {{
 *   findings: Finding[],
 *   holds: boolean,
 *   acts: Record<string, any>[],
 *   statements: Record<string, any>[],
 *   recording: Uint8Array<ArrayBuffer> | null,
 *   log: import("./parts.js").Key | null,
 *   checkpoint: ReturnType<typeof parseCheckpoint> | null,
 *   logged: Date[],
 *   witnessed: Map<string, Date>,
 *   withdrawn: boolean,
 *   erased: Date | null,
 * }} Report
 */

const MEMBERS = "acts checkpoint format log recording statements witnesses";
const ACT_MEMBERS = "evidence index leaf proof signature";
const PLACE_MEMBERS = "index leaf proof";
const WORDS = "locale scope text title version";
const MOST_BYTES = 16 << 20;
const NAME_MOST = 120;
/** a log's clock and an act's may differ by this much before it is remarked on */
const CLOCKS = 600_000;

/**
 * @param {Uint8Array<ArrayBuffer>} data
 * @param {string} [log] the log's key, where it is known from elsewhere
 * @returns {Promise<Report>}
 */
export async function verify(data, log = "") {
  /** @type {Report} */
  const report = {
    findings: [],
    holds: false,
    acts: [],
    statements: [],
    recording: null,
    log: null,
    checkpoint: null,
    logged: [],
    witnessed: new Map(),
    withdrawn: false,
    erased: null,
  };
  /** @type {Record<string, any>} */
  let receipt = {};
  await look(report, "the file", () => {
    receipt = readFile(data);
    return "It is written in the one form there is.";
  });
  if (!report.findings[0].holds) return report;
  await look(report, "the log's key", () => logKey(report, receipt, log));
  await look(report, "the log's checkpoint", () => checkpoint(report, receipt));
  report.withdrawn = receipt.acts.length > 1;
  for (const [number, act] of receipt.acts.entries()) {
    const which = number ? "the withdrawal" : "the consent";
    const signed = !number || act.evidence !== "";
    if (signed) await look(report, which, () => evidence(report, act));
    const entry = signed ? () => logged(report, act, number) : () => unsigned(report, receipt, act);
    await look(report, `the log's entry of ${which}`, entry);
  }
  const signed = receipt.acts.filter((/** @type {any} */ act) => act.evidence !== "").length;
  if (report.acts.length > 0 && report.acts.length === signed) {
    await look(report, "which act belongs to which", () => belong(report, receipt));
    await look(report, "the words", () => words(report, receipt));
    await look(report, "the recording", () => recording(report, receipt));
  }
  report.holds = report.findings.every((one) => one.holds);
  return report;
}

/**
 * @param {Report} report
 * @param {string} part
 * @param {() => string | Promise<string>} check
 */
async function look(report, part, check) {
  try {
    report.findings.push({ part, holds: true, says: await check() });
  } catch (error) {
    if (!(error instanceof Wrong)) throw error;
    report.findings.push({ part, holds: false, says: error.message });
  }
}

// -- the file ---------------------------------------------------------------------------------------

/**
 * @param {Uint8Array<ArrayBuffer>} data
 * @returns {Record<string, any>}
 */
function readFile(data) {
  if (data.length > MOST_BYTES) throw new Wrong("A receipt this long is not read.");
  let receipt;
  try {
    receipt = parse(decoded(data));
  } catch {
    throw new Wrong("It was changed: it is not in the one form that a receipt has.");
  }
  if (!isObject(receipt) || receipt.format !== "telehealth/1/receipt") {
    throw new Wrong("This is not a receipt of the kind that is known here.");
  }
  const { erased: _, ...always } = receipt;
  if (!hasMembers(always, MEMBERS)) throw new Wrong("A member of it was renamed, added or taken away.");
  if (!hasShape(receipt)) throw new Wrong("A member of it is not of the kind that belongs there.");
  return receipt;
}

/** @param {Record<string, any>} receipt */
function hasShape(receipt) {
  const { acts, statements, witnesses } = receipt;
  if (![acts, statements, witnesses].every(Array.isArray) || acts.length < 1 || acts.length > 2) return false;
  const erased = "erased" in receipt ? [receipt.erased] : [];
  const right = (/** @type {string} */ names) => (/** @type {any} */ one) =>
    hasMembers(one, names) && Array.isArray(one.proof) && Number.isInteger(one.index);
  if (!acts.every(right(ACT_MEMBERS)) || !erased.every(right(PLACE_MEMBERS))) return false;
  if (!statements.every((/** @type {any} */ one) => hasMembers(one, WORDS))) return false;
  const texts = [receipt.checkpoint, receipt.log, ...witnesses, receipt.recording ?? ""];
  for (const act of acts) texts.push(act.evidence, act.signature);
  for (const one of [...acts, ...erased]) texts.push(one.leaf, ...one.proof);
  return texts.every((text) => typeof text === "string");
}

/** @param {unknown} value */
function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/**
 * @param {any} value
 * @param {string} names sorted
 */
function hasMembers(value, names) {
  return isObject(value) && Object.keys(value).sort().join(" ") === names;
}

// -- the log ----------------------------------------------------------------------------------------

/**
 * @param {Report} report
 * @param {Record<string, any>} receipt
 * @param {string} known
 */
async function logKey(report, receipt, known) {
  report.log = await parseKey(receipt.log);
  if (!isLogKey(report.log)) throw new Wrong("This is not the key of a log.");
  if (known && known !== receipt.log) throw new Wrong("The receipt's log has another key than the one you gave.");
  return known ? "It is the key you gave." : "The key is the receipt's own: compare it with your clinic's.";
}

/**
 * @param {Report} report
 * @param {Record<string, any>} receipt
 */
async function checkpoint(report, receipt) {
  if (!report.log) throw new Wrong("Without the log's key, its signature cannot be checked.");
  /** @type {import("./parts.js").Key[]} */
  const witnesses = await Promise.all(receipt.witnesses.map(parseKey));
  if (witnesses.some(isLogKey) || new Set(receipt.witnesses).size !== witnesses.length) {
    throw new Wrong("The keys of the witnesses are not what they should be.");
  }
  const { text, times } = await openNote(receipt.checkpoint, [report.log, ...witnesses]);
  const found = parseCheckpoint(text);
  if (found.origin !== report.log.name || found.extensions.length > 0) {
    throw new Wrong("It is the checkpoint of another log.");
  }
  report.checkpoint = found;
  for (const [number, time] of times.entries()) {
    if (time >= 1n << 36n) throw new Wrong("A witness's time is none.");
    report.witnessed.set(witnesses[number].name, new Date(Number(time) * 1000));
  }
  const seen = witnesses.length ? `, and ${counted(witnesses.length, "witness", "witnesses")} saw it` : "; no witness saw it";
  return `The log signed that it had ${found.size} entries${seen}.`;
}

/**
 * @param {Report} report
 * @param {Record<string, any>} act
 * @param {number} number
 */
async function logged(report, act, number) {
  if (!report.checkpoint) throw new Wrong("Without a checkpoint, nothing shows that it is in the log.");
  const entry = await inLog(report.checkpoint, act);
  if (report.acts.length !== number + 1) throw new Wrong("The act that it is about does not hold.");
  const said = report.acts[number];
  if (entry.detail.evidence !== (await digest(act))) throw new Wrong("This entry of the log is about another act.");
  binds(entry, said.act === "give" ? "consent.give" : "consent.withdraw", said);
  const gap = Math.abs(entry.at.getTime() - Date.parse(said.time));
  const apart = gap <= CLOCKS ? "" : ` Its time and the one that was signed are ${Math.round(gap / 1000)} s apart.`;
  return stands(report, act, entry) + apart;
}

/**
 * A withdrawal of which there is the log's entry only: nobody is kept from withdrawing by a lost key.
 * @param {Report} report
 * @param {Record<string, any>} receipt
 * @param {Record<string, any>} act
 */
async function unsigned(report, receipt, act) {
  if (!report.checkpoint) throw new Wrong("Without a checkpoint, nothing shows that it is in the log.");
  if (act.signature !== "") throw new Wrong("There is a signature, and nothing that it signs.");
  const entry = await inLog(report.checkpoint, act);
  if (report.acts.length !== 1) throw new Wrong("The act that it takes back does not hold.");
  if (entry.detail.evidence !== "" || entry.detail.withdraws !== (await digest(receipt.acts[0]))) {
    throw new Wrong("This entry of the log is about another act.");
  }
  binds(entry, "consent.withdraw", report.acts[0]);
  return `${stands(report, act, entry)} Nobody signed the withdrawal: the log alone says so.`;
}

/**
 * @param {NonNullable<Report["checkpoint"]>} log
 * @param {Record<string, any>} act
 */
async function inLog(log, act) {
  const leaf = plain(act.leaf);
  const proof = act.proof.map(plain);
  if (!(await isIncluded(leaf, act.index, log.size, proof, log.root))) {
    throw new Wrong("The proof does not show that this entry is in the log.");
  }
  return entryOf(leaf);
}

/**
 * @param {Record<string, any>} entry
 * @param {string} action
 * @param {Record<string, any>} said
 */
function binds(entry, action, said) {
  const about = {
    "something else": entry.action === action && entry.outcome === "done",
    "another patient": entry.patient === said.patient,
    "another visit": entry.consult === said.consult,
    "another clinic": entry.clinic_id === said.clinic.id,
  };
  for (const [what, right] of Object.entries(about)) {
    if (!right) throw new Wrong(`This entry of the log is about ${what}.`);
  }
}

/**
 * @param {Report} report
 * @param {Record<string, any>} act
 * @param {Record<string, any>} entry
 */
function stands(report, act, entry) {
  report.logged.push(entry.at);
  return `It is entry ${act.index + 1} of the log, written ${moment(entry.at)} UTC.`;
}

// -- the acts ---------------------------------------------------------------------------------------

/**
 * @param {Report} report
 * @param {Record<string, any>} act
 */
async function evidence(report, act) {
  const signature = plain(act.signature);
  if (bytes(act.evidence).length > 64 << 10) throw new Wrong("Evidence this long is not read.");
  const said = parse(act.evidence);
  checkEvidence(said);
  if (!(await isSigned(said.key, bytes(act.evidence), signature))) {
    throw new Wrong("The signature is not that of the key in the evidence.");
  }
  report.acts.push(said);
  return "The patient's key signed these words; nothing in them was changed.";
}

/** @typedef {(value: any) => boolean} Check */

/** @type {(least: number, most: number) => Check} */
const text = (least, most) => (value) => typeof value === "string" && [...value].length >= least && [...value].length <= most;
/** @type {(pattern: RegExp) => Check} */
const like = (pattern) => (value) => typeof value === "string" && pattern.test(value);
/** @type {(check: Check) => Check} */
const orNull = (check) => (value) => value === null || check(value);
/** @type {(least: number, most: number) => Check} */
const number = (least, most) => (value) => Number.isInteger(value) && value >= least && value <= most;
/** @type {(check: Check, least: number, most: number) => Check} */
const list = (check, least, most) => (value) =>
  Array.isArray(value) && value.length >= least && value.length <= most && value.every(check);
/** @type {(members: Record<string, Check>) => Check} */
const object = (members) => (value) =>
  hasMembers(value, Object.keys(members).sort().join(" ")) && Object.keys(members).every((name) => members[name](value[name]));
/** @type {Check} */
const truth = (value) => typeof value === "boolean";
/** @type {Check} */
const time = (value) => like(/^[2-9]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)(value) && momentText(value) === value;

const UUID = like(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
const DIGEST = like(/^[0-9a-f]{64}$/);
const PERSON = { name: text(0, NAME_MOST), relation: text(0, NAME_MOST) };
const STATEMENT = object({
  scope: like(/^[a-z][a-z0-9_]{0,23}$/),
  locale: like(/^[A-Za-z0-9-]{2,12}$/),
  version: number(1, 2 ** 31 - 1),
  digest: DIGEST,
  required: truth,
  agreed: truth,
});
/** @type {Record<string, Check>} */
const EVIDENCE = {
  format: like(/^telehealth\/1\/consent$/),
  act: like(/^(give|withdraw)$/),
  consult: UUID,
  clinic: object({ id: UUID, name: text(1, 200) }),
  patient: UUID,
  statements: list(STATEMENT, 1, 16),
  name: text(0, NAME_MOST),
  by: object({ role: like(/^(patient|guardian|interpreter)$/), ...PERSON }),
  witness: orNull(object({ role: like(/^(guardian|interpreter)$/), ...PERSON })),
  purpose: text(1, 200),
  time,
  expires: orNull(time),
  recording: orNull(object({ sha256: DIGEST, seconds: number(0, 3600) })),
  worker: list(like(/^sha-256 [0-9A-F]{2}(:[0-9A-F]{2}){31}$/), 0, 8),
  key: (value) => typeof value === "string" && point(value) !== null,
  withdraws: orNull(DIGEST),
};

/** @param {any} said */
function checkEvidence(said) {
  if (!isObject(said)) throw new Wrong("Evidence is one object.");
  if (!hasMembers(said, Object.keys(EVIDENCE).sort().join(" "))) throw new Wrong("Evidence has other members than these.");
  for (const [name, check] of Object.entries(EVIDENCE)) {
    if (!check(said[name])) throw new Wrong(`The evidence's member ${name} is not what it may be.`);
  }
  const given = said.act === "give";
  /** @type {{scope: string, agreed: boolean, required: boolean}[]} */
  const statements = said.statements;
  const rules = {
    "Each scope is named once.": new Set(statements.map((one) => one.scope)).size === statements.length,
    "What is required was agreed to.": !given || statements.every((one) => one.agreed || !one.required),
    "Nothing is agreed to by withdrawing.": given || !statements.some((one) => one.agreed),
    "Only a withdrawal withdraws.": given === (said.withdraws === null),
    "Who gives consent types a name.": !given || said.name !== "",
    "Who acts for the patient is named.": (said.by.role === "patient") === (said.by.name === ""),
    "A recording came by a leg with a fingerprint.": said.recording === null || said.worker.length > 0,
  };
  for (const [rule, holds] of Object.entries(rules)) if (!holds) throw new Wrong(rule);
}

/** SubjectPublicKeyInfo of a P-256 key up to its point. */
const SPKI = "3059301306072a8648ce3d020106082a8648ce3d030107034200";

/** @param {string} key */
function point(key) {
  const data = fromBase64(key);
  return data && data.length === 91 && hex(data.slice(0, 26)) === SPKI && data[26] === 4 ? data.slice(26) : null;
}

/**
 * @param {string} key
 * @param {Uint8Array<ArrayBuffer>} data
 * @param {Uint8Array<ArrayBuffer>} signature r | s
 */
async function isSigned(key, data, signature) {
  const found = point(key);
  if (!found || signature.length !== 64) return false;
  let publicKey;
  try {
    publicKey = await crypto.subtle.importKey("raw", found, { name: "ECDSA", namedCurve: "P-256" }, false, ["verify"]);
  } catch {
    throw new Wrong("The evidence's member key is not what it may be."); // no point of the curve
  }
  return crypto.subtle.verify({ name: "ECDSA", hash: "SHA-256" }, publicKey, signature, data);
}

/** @param {Record<string, any>} act */
async function digest(act) {
  return hex(await sha256(joined(bytes(act.evidence), plain(act.signature))));
}

/**
 * @param {Report} report
 * @param {Record<string, any>} receipt
 */
async function belong(report, receipt) {
  const [given, withdrawal] = report.acts;
  if (given.act !== "give") throw new Wrong("The first act is not one by which consent was given.");
  if (!report.withdrawn) return "There is one act: consent was given.";
  const [first, second] = receipt.acts;
  if (withdrawal) {
    if (withdrawal.withdraws !== (await digest(first))) throw new Wrong("The withdrawal is of another consent.");
    if (["patient", "consult", "clinic"].some((name) => canonical(withdrawal[name]) !== canonical(given[name]))) {
      throw new Wrong("The withdrawal is of another patient, visit or clinic.");
    }
  }
  if (second.index <= first.index) throw new Wrong("The withdrawal stands in the log before the consent.");
  return "Consent was given, and withdrawn later.";
}

/**
 * @param {Report} report
 * @param {Record<string, any>} receipt
 */
async function words(report, receipt) {
  const shown = report.acts[0].statements;
  if (receipt.statements.length !== shown.length) throw new Wrong("There are more or fewer texts than were agreed on.");
  for (const [at, one] of receipt.statements.entries()) {
    const named = shown[at];
    if (["scope", "locale", "version"].some((name) => one[name] !== named[name])) {
      throw new Wrong(`The text for ${named.scope} is another.`);
    }
    if (hex(await sha256(bytes(canonical(one)))) !== named.digest) {
      throw new Wrong(`The text for ${named.scope} is not the one that was signed.`);
    }
  }
  report.statements = receipt.statements;
  return "They are the exact words that were signed.";
}

/**
 * @param {Report} report
 * @param {Record<string, any>} receipt
 */
async function recording(report, receipt) {
  const named = report.acts[0].recording;
  if ("erased" in receipt && (named === null || receipt.recording !== null)) {
    throw new Wrong("An erased recording is spoken of, and there is none, or it is here.");
  }
  if (named === null) {
    if (receipt.recording !== null) throw new Wrong("There is a recording, and none was signed.");
    return "None was made.";
  }
  if ("erased" in receipt) return erasedOne(report, receipt, named);
  if (receipt.recording === null) throw new Wrong("A recording was signed, and it is not here.");
  const sound = plain(receipt.recording);
  if (hex(await sha256(sound)) !== named.sha256) throw new Wrong("This is not the recording that was signed.");
  report.recording = sound;
  return `It is the one that was signed, ${counted(named.seconds, "second", "seconds")} long.`;
}

/**
 * The recording was signed and is gone: the log has to say so, of this very act and this very sound.
 * @param {Report} report
 * @param {Record<string, any>} receipt
 * @param {Record<string, any>} named
 */
async function erasedOne(report, receipt, named) {
  if (!report.checkpoint) throw new Wrong("Without a checkpoint, nothing shows that it is in the log.");
  const [first] = receipt.acts;
  const { index } = receipt.erased;
  const entry = await inLog(report.checkpoint, receipt.erased);
  binds(entry, "consent.erase", report.acts[0]);
  if (entry.detail.evidence !== (await digest(first)) || entry.detail.sound !== named.sha256) {
    throw new Wrong("This entry of the log is about another recording.");
  }
  if (index <= first.index) throw new Wrong("It stands in the log before the consent.");
  report.erased = entry.at;
  const where = `entry ${index + 1} of the log, written ${moment(entry.at)} UTC`;
  return `The clinic erased the one that was signed, when its time was over: ${where}.`;
}

/** @param {string} encoded */
function plain(encoded) {
  const data = fromBase64(encoded);
  if (!data) throw new Wrong("It was changed: this is not base64.");
  return data;
}

/**
 * @param {number} count
 * @param {string} one
 * @param {string} many
 */
function counted(count, one, many) {
  return `${count} ${count === 1 ? one : many}`;
}

/** @param {Date} at */
export function moment(at) {
  return at.toISOString().slice(0, 19).replace("T", " ");
}

/** @param {string} value */
function momentText(value) {
  const at = Date.parse(value);
  return Number.isNaN(at) ? "" : `${new Date(at).toISOString().slice(0, 19)}Z`;
}
