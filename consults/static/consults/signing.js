/**
 * The browser's own key, and what it signs with it (vault/FORMAT.md, "Evidence of consent"). No DOM.
 *
 * The key cannot be read out, not even by this script; it is kept for one seat in IndexedDB, with the last signed act,
 * so that an act whose answer got lost is sent again as it was and never signed twice.
 */

/**
 * @typedef {{evidence: string, signature: string, state: "sent" | "recorded"}} Act
 * @typedef {{keys: CryptoKeyPair, spki: string, act: Act | null}} Kept
 */

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256" };
const SIGN = { name: "ECDSA", hash: "SHA-256" };
const STORE = "seats";

/** Where IndexedDB is refused (some private windows) the key lives as long as the page. @type {Map<string, Kept>} */
const inMemory = new Map();

/**
 * JSON in its one form: keys sorted, no spaces. Texts are written by JSON.stringify, as the server's are.
 * @param {unknown} value
 * @returns {string}
 */
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, one]) => `${JSON.stringify(name)}:${canonical(one)}`).join(",")}}`;
}

/** @param {string | ArrayBuffer} data */
export async function sha256(data) {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}

/** @param {Uint8Array} bytes */
export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {ArrayBuffer} data */
function base64(data) {
  return btoa(String.fromCharCode(...new Uint8Array(data)));
}

/** The key of one seat, its acts, and what is kept of them. */
export class Signer {
  /** @param {string} seat the consult's id: this browser has one seat in it */
  constructor(seat) {
    this.seat = seat;
  }

  /**
   * The seat's key, made at the first time.
   * @returns {Promise<Kept>}
   */
  async kept() {
    const found = await read(this.seat);
    if (found) return found;
    const keys = await crypto.subtle.generateKey(ALGORITHM, false, ["sign", "verify"]);
    const spki = base64(await crypto.subtle.exportKey("spki", keys.publicKey));
    const made = { keys, spki, act: null };
    await write(this.seat, made);
    return made;
  }

  /**
   * Sign, and keep what was signed before anything is sent.
   * @param {object} evidence
   * @returns {Promise<Act>}
   */
  async sign(evidence) {
    const kept = await this.kept();
    const text = canonical(evidence);
    const signature = await crypto.subtle.sign(SIGN, kept.keys.privateKey, new TextEncoder().encode(text));
    /** @type {Act} */
    const act = { evidence: text, signature: base64(signature), state: "sent" };
    await write(this.seat, { ...kept, act });
    return act;
  }

  /** The act whose answer has not come yet, if there is one. */
  async unanswered() {
    const act = (await read(this.seat))?.act ?? null;
    return act?.state === "sent" ? act : null;
  }

  /** The last act that the clinic has recorded. */
  async recorded() {
    const act = (await read(this.seat))?.act ?? null;
    return act?.state === "recorded" ? act : null;
  }

  /** @param {Act | null} act as it stands now; null: the clinic would not have it */
  async settle(act) {
    const kept = await read(this.seat);
    if (kept) await write(this.seat, { ...kept, act: act && { ...act, state: "recorded" } });
  }

  /**
   * What withdrawing looks like when this browser agreed: the same words, nothing agreed to, and the act that it takes back.
   * @param {Record<string, any>} asked by the server
   * @returns {Promise<boolean>} whether it asks for that and nothing else
   */
  async isWithdrawal(asked) {
    const { spki } = await this.kept();
    const given = await this.recorded();
    const nothing = Array.isArray(asked.statements) && asked.statements.every((/** @type {any} */ one) => one.agreed === false);
    if (asked.act !== "withdraw" || asked.consult !== this.seat || asked.key !== spki || !nothing) return false;
    if (!given) return true; // she agreed on another device: what that was is not known here
    const before = JSON.parse(given.evidence);
    if (before.act !== "give") return true;
    const wanted = {
      ...before,
      act: "withdraw",
      statements: before.statements.map((/** @type {any} */ one) => ({ ...one, agreed: false })),
      name: "",
      witness: null,
      time: asked.time,
      expires: null,
      recording: null,
      worker: [],
      withdraws: await digest(given),
    };
    return canonical(wanted) === canonical(asked);
  }
}

/**
 * What the log names an act by: SHA-256 over its bytes and its signature.
 * @param {Act} act
 */
export async function digest(act) {
  const text = new TextEncoder().encode(act.evidence);
  const signature = Uint8Array.from(atob(act.signature), (letter) => letter.charCodeAt(0));
  const both = new Uint8Array(text.length + signature.length);
  both.set(text);
  both.set(signature, text.length);
  return sha256(both.buffer);
}

// -- IndexedDB --------------------------------------------------------------------------------------

/** @returns {Promise<IDBDatabase>} */
function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("telehealth-consent", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/**
 * @template T
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest<T>} ask
 * @returns {Promise<T>}
 */
async function stored(mode, ask) {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, mode, { durability: "strict" });
      const request = ask(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

/**
 * @param {string} seat
 * @returns {Promise<Kept | null>}
 */
async function read(seat) {
  const here = inMemory.get(seat);
  if (here) return here;
  try {
    return (await stored("readonly", (store) => store.get(seat))) ?? null;
  } catch {
    return null;
  }
}

/**
 * @param {string} seat
 * @param {Kept} kept
 */
async function write(seat, kept) {
  try {
    await stored("readwrite", (store) => store.put(kept, seat));
    inMemory.delete(seat);
  } catch {
    inMemory.set(seat, kept);
  }
}
