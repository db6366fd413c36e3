// What this browser keeps of a visit to prove itself again after a refresh: the secrets of invite links and its own
// certificate, as keys that no script can read out, and whose words were compared. Erased at the visit's end.
// What got lost of it is not taken for what was never there: then nothing flows before words were compared.

import { drop, keep, names, recall } from "./keeping.js";
import { linkKey, secretKey } from "../signaling/proof.js";

/** @typedef {import("../signaling/proof.js").LinkKey} LinkKey */
/**
 * `required`: the newest link was handed over with a secret in it; of what is known, that nobody is shown unproved.
 * `compared`: fingerprints of certificates. `failures`: calls that the check ended.
 * @typedef {{keys: CryptoKey[], required: boolean, compared: string[], failures: number, at: number,
 *   certificate?: RTCCertificate}} Kept
 * @typedef {{keys: LinkKey[], required: boolean, compared: string[], failures: number}} Known
 */

const BASE = "telehealth-visits";
const STORE = "links";
/** both with the consult after them: a tab may open the links of two visits */
const CARRIED = "telehealth-link-secret.";
const TO_PROVE = "telehealth-to-prove.";
/**
 * Beside the store, which may fail or lose what it had. `byLink`: for no other reason than a link's secret.
 * @typedef {{at: number, byLink: boolean, failures: number}} Mark
 */
/** an invite lives two days and a visit ends; what a closed browser left behind goes after this */
const KEPT_FOR = 7 * 24 * 3600_000;
/** a certificate that ends in a call would end the call */
const CERTIFICATE_LASTS = 24 * 3600_000;
const MOST_COMPARED = 8;

/**
 * Between the link's page and the visit's, in this tab alone.
 * @param {string} consult
 * @param {string} secret as the link has it, also when a messenger has cut it
 */
export function carry(consult, secret) {
  keep("sessionStorage", CARRIED + consult, secret);
}

/**
 * Take over what the link's page carried here. Of a secret that is none this remains: there was one.
 * @param {string} consult
 */
export async function claim(consult) {
  const secret = recall("sessionStorage", CARRIED + consult);
  if (secret === null) return;
  mark(consult, { byLink: true });
  const key = await secretKey(secret);
  await change(consult, (kept) => ({ ...kept, keys: key ? [key] : kept.keys, required: true }));
  drop("sessionStorage", CARRIED + consult);
}

/**
 * The same where the store fails: a secret holds as long as the tab, and that something was to be proved as long as the
 * mark of it. A browser that keeps nothing even for a tab has lost it with the link's page.
 * @param {string} consult
 * @returns {Promise<Known>}
 */
export async function carried(consult) {
  const secret = recall("sessionStorage", CARRIED + consult);
  const key = await secretKey(secret ?? "");
  const keys = key ? [await linkKey(key)] : [];
  const before = marked(consult);
  return { keys, required: secret !== null || before !== null, compared: [], failures: before?.failures ?? 0 };
}

/**
 * A link with this secret was made here. Whoever opened an earlier one still has hers.
 * @param {string} consult
 * @param {string} secret
 */
export async function made(consult, secret) {
  const key = await secretKey(secret);
  if (key) await change(consult, (kept) => ({ ...kept, keys: [...kept.keys, key].slice(-8), required: true }));
}

/** The server mails a link: it knows all that is in it. @param {string} consult */
export async function mailed(consult) {
  const kept = await change(consult, (before) => ({ ...before, required: false }));
  if (!mustProve(kept) && marked(consult)?.byLink) drop("localStorage", TO_PROVE + consult);
}

/**
 * The words of whoever has this certificate were compared.
 * @param {string} consult
 * @param {string} fingerprint
 */
export async function compared(consult, fingerprint) {
  mark(consult, { byLink: false });
  const among = (/** @type {string[]} */ before) => [...new Set([...before, fingerprint])].slice(-MOST_COMPARED);
  await change(consult, (kept) => ({ ...kept, compared: among(kept.compared) }));
}

/**
 * The certificate that this browser has in the visit: what the other side has proved of it holds after a refresh too.
 * @param {string} consult
 * @param {RTCCertificate} fresh becomes it where there is none
 * @returns {Promise<RTCCertificate>}
 */
export async function certificate(consult, fresh) {
  const lasts = (/** @type {Kept} */ kept) => (kept.certificate?.expires ?? 0) > Date.now() + CERTIFICATE_LASTS;
  const kept = await change(consult, (before) => (lasts(before) ? before : { ...before, certificate: fresh }));
  return kept.certificate ?? fresh;
}

/** Somebody may have been in between: the next try shows nobody unproved. @param {string} consult */
export async function failed(consult) {
  mark(consult, { byLink: false, failures: (marked(consult)?.failures ?? 0) + 1 });
  await change(consult, (kept) => ({ ...kept, failures: kept.failures + 1 }));
}

/**
 * @param {string} consult
 * @returns {Promise<Known>}
 */
export async function known(consult) {
  const kept = await change(consult, (before) => before);
  const { keys, compared } = kept;
  const before = marked(consult);
  const failures = Math.max(kept.failures, before?.failures ?? 0);
  return { keys: await Promise.all(keys.map(linkKey)), required: mustProve(kept) || before !== null, compared, failures };
}

/** @param {string} consult */
export async function forget(consult) {
  drop("sessionStorage", CARRIED + consult);
  drop("localStorage", TO_PROVE + consult);
  await inStore(async (store) => void store.delete(consult));
}

/** @param {Kept} kept */
function mustProve({ required, compared, failures }) {
  return required || compared.length > 0 || failures > 0;
}

/**
 * @param {string} consult
 * @param {{byLink: boolean, failures?: number}} why
 */
function mark(consult, { byLink, failures = 0 }) {
  const before = marked(consult);
  const most = Math.max(failures, before?.failures ?? 0);
  const kept = { at: Date.now(), byLink: byLink && (before?.byLink ?? true), failures: most };
  keep("localStorage", TO_PROVE + consult, JSON.stringify(kept));
}

/**
 * @param {string} consult
 * @returns {Mark | null}
 */
function marked(consult) {
  return readMark(TO_PROVE + consult);
}

/**
 * @param {string} name
 * @returns {Mark | null}
 */
function readMark(name) {
  const text = recall("localStorage", name);
  if (text === null) return null;
  // Unreadable: there was something to prove, and that is all one knows.
  const unknown = { at: Date.now(), byLink: false, failures: 0 };
  try {
    const read = JSON.parse(text);
    return { ...unknown, ...(typeof read === "number" ? { at: read } : read) }; // once it was the time alone
  } catch {
    return unknown;
  }
}

function dropOldMarks() {
  for (const name of names("localStorage", TO_PROVE)) {
    if (Date.now() - (readMark(name)?.at ?? 0) > KEPT_FOR) drop("localStorage", name);
  }
}

/**
 * @param {string} consult
 * @param {(kept: Kept) => Kept} how
 * @returns {Promise<Kept>}
 */
async function change(consult, how) {
  dropOldMarks();
  const kept = await changeInStore(consult, how);
  const { compared, failures } = kept;
  if (mustProve(kept)) mark(consult, { byLink: compared.length === 0 && failures === 0, failures });
  return kept;
}

/**
 * @param {string} consult
 * @param {(kept: Kept) => Kept} how
 * @returns {Promise<Kept>}
 */
async function changeInStore(consult, how) {
  return inStore(async (store) => {
    for (const old of await answer(store.getAllKeys())) {
      const kept = old === consult ? null : /** @type {Kept} */ (await answer(store.get(old)));
      if (kept && Date.now() - kept.at > KEPT_FOR) store.delete(old);
    }
    const none = { keys: [], required: false, compared: [], failures: 0, at: 0 };
    const before = /** @type {Kept} */ ({ ...none, ...(await answer(store.get(consult))) });
    const after = how(before);
    if (after !== before) store.put({ ...after, at: Date.now() }, consult);
    return after;
  });
}

/**
 * @template T
 * @param {(store: IDBObjectStore) => Promise<T>} work
 */
async function inStore(work) {
  const opening = indexedDB.open(BASE, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  const base = await answer(opening);
  try {
    const transaction = base.transaction(STORE, "readwrite");
    const done = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
    });
    const result = await work(transaction.objectStore(STORE));
    await done;
    return result;
  } finally {
    base.close();
  }
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function answer(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
