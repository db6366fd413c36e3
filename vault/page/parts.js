/**
 * What a receipt is made of (vault/FORMAT.md): JSON in its one form, base64, keys, signed notes, trees, log entries. No DOM.
 * The same rules as vault/core/canonical.py, notes.py, tlog.py and entries.py, whose vectors it is held against.
 */

/** A part does not hold; the message is for the person who checks. */
export class Wrong extends Error {}

const LARGEST = 2 ** 53 - 1;
const MOST_DEPTH = 16;
const HASH_BYTES = 32;
const ED25519 = 1;
const COSIGNATURE = 4;
const UTF8 = new TextEncoder();

// -- bytes and texts --------------------------------------------------------------------------------

/** @param {string} value */
export function bytes(value) {
  return UTF8.encode(value);
}

/**
 * @param {BufferSource} data
 * @returns {string} throws where it is not UTF-8
 */
export function decoded(data) {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
}

/** @param {...Uint8Array<ArrayBuffer>} parts */
export function joined(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** @param {Uint8Array<ArrayBuffer>} data */
export async function sha256(data) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", data));
}

/** @param {Uint8Array} data */
export function hex(data) {
  return Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * @param {Uint8Array} one
 * @param {Uint8Array} other
 */
export function equal(one, other) {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

/**
 * @param {string} text
 * @returns {Uint8Array<ArrayBuffer> | null} null where it is not the one spelling
 */
export function fromBase64(text) {
  let data;
  try {
    data = atob(text);
  } catch {
    return null;
  }
  // atob forgives spaces, and letters whose last bits mean nothing.
  return btoa(data) === text ? Uint8Array.from(data, (letter) => letter.charCodeAt(0)) : null;
}

// -- JSON in its one form ---------------------------------------------------------------------------

/**
 * @param {unknown} value
 * @param {number} [depth]
 * @returns {string}
 */
export function canonical(value, depth = MOST_DEPTH) {
  if (depth === 0) throw new Wrong("This is nested too deep.");
  if (Array.isArray(value)) return `[${value.map((one) => canonical(one, depth - 1)).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const names = Object.keys(value).sort();
    if (!names.every((name) => /^[a-z][a-z0-9_]{0,31}$/.test(name))) {
      throw new Wrong("A member's name is small letters, digits and underscores.");
    }
    const members = /** @type {Record<string, unknown>} */ (value);
    return `{${names.map((name) => `"${name}":${canonical(members[name], depth - 1)}`).join(",")}}`;
  }
  if (typeof value === "number" && !(Number.isInteger(value) && Math.abs(value) <= LARGEST)) {
    throw new Wrong("A number is too large.");
  }
  if (typeof value === "string" && /\p{Surrogate}/u.test(value)) throw new Wrong("A text holds half a character.");
  return JSON.stringify(value);
}

/**
 * The value, where this is just what `canonical` writes.
 * @param {string} text
 */
export function parse(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Wrong("This is not JSON as it is written here.");
  }
  // A member named twice, a space, another spelling of a number or letter: none of them comes out the same.
  if (canonical(value) !== text) throw new Wrong("This is JSON in another spelling than the one there is.");
  return value;
}

// -- keys and signed notes --------------------------------------------------------------------------

/** @typedef {{name: string, kind: number, id: string, material: Uint8Array<ArrayBuffer>, vkey: string}} Key */

/** @param {string} text */
function isName(text) {
  const length = bytes(text).length;
  return length > 0 && length <= 255 && !/[+\u0000-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/.test(text);
}

/**
 * @param {string} text name+id+base64
 * @returns {Promise<Key>}
 */
export async function parseKey(text) {
  const [, name = "", id = "", material = ""] = /^([^+]*)\+([0-9a-f]{8})\+(.*)$/su.exec(text) ?? [];
  if (!id) throw new Wrong("A verifier key is written name+id+base64.");
  const data = fromBase64(material);
  if (!data) throw new Wrong("This is not base64.");
  if (data.length !== 33 || (data[0] !== ED25519 && data[0] !== COSIGNATURE)) {
    throw new Wrong("This kind of key is not known here.");
  }
  if (!isName(name)) throw new Wrong("A key's name has no spaces and no plus sign, and 255 bytes at most.");
  const found = await sha256(joined(bytes(`${name}\n`), data));
  if (hex(found.slice(0, 4)) !== id) {
    throw new Wrong("The key's id is not that of its name and bytes; it may have been copied badly.");
  }
  return { name, kind: data[0], id, material: data, vkey: text };
}

/** @param {Key} key */
export function isLogKey(key) {
  return key.kind === ED25519;
}

/**
 * A note of which each signature is by one of these keys, in their order, and none is missing.
 * @param {string} whole
 * @param {Key[]} keys
 * @returns {Promise<{text: string, times: bigint[]}>} its text, and of each cosignature its time in seconds since 1970
 */
export async function openNote(whole, keys) {
  const at = whole.lastIndexOf("\n\n");
  const lines = whole.slice(at + 2);
  if (bytes(whole).length > 128 << 10 || lines.split("\n").length > 65) throw new Wrong("A note this long is not read.");
  if (at < 0 || !lines.endsWith("\n") || /[\u0000-\u0009\u000b-\u001f]/.test(whole)) {
    throw new Wrong("A note is text, an empty line, and lines with signatures.");
  }
  const text = whole.slice(0, at + 1);
  const signatures = lines.slice(0, -1).split("\n").map(signatureLine);
  const named = signatures.map((one) => keys.findIndex((key) => key.name === one.name && key.id === one.id));
  if (named.every((found) => found < 0)) throw new Wrong("The note is signed by nobody who is known here.");
  const times = [];
  for (const [number, found] of named.entries()) {
    if (found < 0) continue;
    const time = await checkSignature(keys[found], signatures[number].value, text);
    if (time !== null) times.push(time);
  }
  // A line that nobody vouches for could be changed unseen.
  if (named.length !== keys.length || named.some((found, number) => found !== number)) {
    throw new Wrong("It has a signature too many, or lacks one.");
  }
  return { text, times };
}

/** @param {string} line */
function signatureLine(line) {
  const [dash, name, blob, ...more] = line.split(" ");
  const data = dash === "—" && blob !== undefined && more.length === 0 ? fromBase64(blob) : null;
  if (!data || data.length <= 4 || !isName(name)) throw new Wrong("This is not a signature line.");
  return { name, id: hex(data.slice(0, 4)), value: data.slice(4) };
}

/**
 * @param {Key} key
 * @param {Uint8Array<ArrayBuffer>} value
 * @param {string} text
 */
async function checkSignature(key, value, text) {
  let time = null;
  let signed = text;
  let signature = value;
  if (key.kind === COSIGNATURE) {
    if (value.length < 8) throw new Wrong("A cosignature has its time.");
    time = new DataView(value.buffer, value.byteOffset).getBigUint64(0);
    if (time <= 0n || time >= 1n << 63n) throw new Wrong("A cosignature has its time.");
    signed = `cosignature/v1\ntime ${time}\n${text}`;
    signature = value.slice(8);
  }
  const publicKey = await crypto.subtle.importKey("raw", key.material.slice(1), "Ed25519", false, ["verify"]);
  if (!(await crypto.subtle.verify("Ed25519", publicKey, signature, bytes(signed)))) {
    throw new Wrong("A signature is not that of the key it names.");
  }
  return time;
}

/**
 * @param {string} text of a note
 * @returns {{origin: string, size: number, root: Uint8Array<ArrayBuffer>, extensions: string[]}}
 */
export function parseCheckpoint(text) {
  const lines = text.split("\n");
  if (lines.length < 4 || lines.pop() !== "" || lines.some((line) => line === "")) {
    throw new Wrong("A checkpoint is a name, a size and a root, each on its line.");
  }
  const [origin, size, hash, ...extensions] = lines;
  if (!/^(0|[1-9][0-9]{0,18})$/.test(size) || Number(size) > LARGEST) throw new Wrong("This is not a size.");
  const root = fromBase64(hash);
  if (!root) throw new Wrong("This is not base64.");
  if (root.length !== HASH_BYTES || bytes(origin).length > 255) {
    throw new Wrong("A checkpoint's name has 255 bytes at most, and its root 32.");
  }
  return { origin, size: Number(size), root, extensions };
}

// -- the tree and its entries -----------------------------------------------------------------------

/**
 * RFC 9162, 2.1.3.2: whether the proof shows this leaf at this place of the tree.
 * @param {Uint8Array<ArrayBuffer>} leaf
 * @param {number} index
 * @param {number} size
 * @param {Uint8Array<ArrayBuffer>[]} proof
 * @param {Uint8Array<ArrayBuffer>} root
 */
export async function isIncluded(leaf, index, size, proof, root) {
  if (index < 0 || index >= size || proof.length > 63 || proof.some((line) => line.length !== HASH_BYTES)) return false;
  let found = await sha256(joined(Uint8Array.of(0), leaf));
  let node = BigInt(index);
  let last = BigInt(size - 1);
  for (const line of proof) {
    if (last === 0n) return false;
    if ((node & 1n) === 1n || node === last) {
      found = await sha256(joined(Uint8Array.of(1), line, found));
      while ((node & 1n) === 0n && node !== 0n) {
        node >>= 1n;
        last >>= 1n;
      }
    } else {
      found = await sha256(joined(Uint8Array.of(1), found, line));
    }
    node >>= 1n;
    last >>= 1n;
  }
  return last === 0n && equal(found, root);
}

const COLUMNS = [
  ...["id", "at", "action", "outcome", "clinic_id", "person", "person_name", "role"],
  ...["patient", "consult", "purpose", "source", "session", "detail"],
];
/** milliseconds from 1970 to 2000 */
const EPOCH = Date.UTC(2000, 0, 1);

/**
 * An entry of the log: a row as PostgreSQL's binary COPY writes it.
 * @param {Uint8Array<ArrayBuffer>} leaf
 * @returns {Record<string, any>}
 */
export function entryOf(leaf) {
  const view = new DataView(leaf.buffer, leaf.byteOffset, leaf.length);
  /** @type {Record<string, any>} */
  const entry = {};
  try {
    if (view.getInt16(0) !== COLUMNS.length) throw new RangeError();
    let at = 2;
    for (const name of COLUMNS) {
      const length = view.getInt32(at);
      at += 4;
      if (at + length > leaf.length) throw new RangeError();
      entry[name] = length < 0 ? null : value(name, leaf.slice(at, at + length));
      at += Math.max(length, 0);
    }
    if (at !== leaf.length || entry.at === null) throw new RangeError();
    if (entry.detail === null || typeof entry.detail !== "object" || Array.isArray(entry.detail)) throw new RangeError();
  } catch {
    throw new Wrong("This is no entry of a log.");
  }
  return entry;
}

/**
 * @param {string} name
 * @param {Uint8Array<ArrayBuffer>} data
 */
function value(name, data) {
  if (name === "id" || name === "at") {
    const number = new DataView(data.buffer).getBigInt64(0);
    if (name === "id") return number;
    const at = new Date(EPOCH + Math.floor(Number(number) / 1000));
    at.toISOString(); // PostgreSQL's times go further than ours: those are none
    return at;
  }
  if (name === "clinic_id") return hex(data).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  return name === "detail" ? JSON.parse(decoded(data.slice(1))) : decoded(data);
}
