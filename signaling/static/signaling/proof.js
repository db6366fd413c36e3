/**
 * The proof that nobody is in between (PROTOCOL.md, "The proof"): fingerprints, tags by the link's secret, words to
 * compare. Pure: no DOM, no wire, no clock.
 */

/**
 * What both ends must agree on. Fingerprints are SHA-256 of the certificates themselves, in hex.
 * @typedef {{consult: string, negotiation: number, tabs: {clinician: string, patient: string},
 *   fingerprints: {clinician: string, patient: string}}} Facts
 * @typedef {"clinician" | "patient"} Role
 * @typedef {{id: string, mac: CryptoKey}} LinkKey
 */

const SECRET_BYTES = 32;
const SECRET = /^[A-Za-z0-9_-]{43}$/;
export const WORDS_SHOWN = 4;
export const WORDS = 128;
export const PICTURES = 32;

/** @param {ArrayBuffer | Uint8Array} bytes */
export function hex(bytes) {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Parts that cannot run into each other: each is preceded by its length.
 * @param {string[]} parts
 */
function encode(parts) {
  const encoder = new TextEncoder();
  const pieces = parts.map((part) => encoder.encode(part));
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + 4 + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    new DataView(whole.buffer).setUint32(at, piece.length);
    whole.set(piece, at + 4);
    at += 4 + piece.length;
  }
  return whole;
}

/** @param {string[]} parts */
async function digest(parts) {
  return hex(await crypto.subtle.digest("SHA-256", encode(parts)));
}

/** @param {Facts} facts */
function listed({ consult, negotiation, tabs, fingerprints }) {
  return [consult, String(negotiation), tabs.clinician, tabs.patient, fingerprints.clinician, fingerprints.patient];
}

// -- certificates -------------------------------------------------------------------------------------------------

/** This page's own certificate, made once: the other end can hold it fixed for as long as the page lives. */
export function makeCertificate() {
  return RTCPeerConnection.generateCertificate(/** @type {any} */ ({ name: "ECDSA", namedCurve: "P-256" }));
}

/** @param {RTCCertificate} certificate */
export function ownFingerprint(certificate) {
  const found = certificate.getFingerprints().find(({ algorithm }) => algorithm?.toLowerCase() === "sha-256");
  if (!found?.value) throw new Error("this browser does not tell its certificate's fingerprint");
  return found.value.replaceAll(":", "").toLowerCase();
}

// Firefox's parser reads a name in any case and passes over blanks, tabs and colons before it; other parsers end a line
// or a text elsewhere. What is not a line of this form might name a certificate that nobody here has looked at.
const PLAIN = /^(?:[b-z]=[ -~]*|a=[a-z][a-z0-9-]*(?::[ -~]*)?)$/;
const NAMING = /fingerprint|^a=(?:crypto|identity|remote-candidates)/i;
const FINGERPRINT = /^a=fingerprint:sha-256 ((?:[0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2})$/;

/**
 * The fingerprint that a description names, "" when it names none, null when it names several or in another way: a
 * browser might read a line that is skipped here.
 * @param {string} sdp
 */
export function namedFingerprint(sdp) {
  if (sdp === "") return "";
  const lines = sdp.replace(/\r\n$/, "").split("\r\n");
  if (!lines.every((line) => PLAIN.test(line))) return null;
  const naming = lines.filter((line) => NAMING.test(line));
  if (naming.length === 0) return "";
  const [value, ...others] = new Set(naming.map((line) => FINGERPRINT.exec(line)?.[1].toLowerCase()));
  return value && others.length === 0 ? value.replaceAll(":", "") : null;
}

/**
 * The fingerprint of what is really at the other end of every transport, "" while one is not connected, null when two
 * transports end at different certificates.
 * @param {RTCPeerConnection} pc
 */
export async function remoteFingerprint(pc) {
  const used = transports(pc);
  const up = used.every((one) => one.state === "connected");
  const leaves = up ? used.map((one) => one.getRemoteCertificates()[0]) : await leavesByStats(pc, used);
  const found = new Set();
  for (const leaf of leaves) {
    if (!leaf) return "";
    found.add(hex(await crypto.subtle.digest("SHA-256", leaf)));
  }
  if (found.size === 0) return "";
  return found.size === 1 ? String([...found][0]) : null;
}

/**
 * Chromium may miss the moment a transport connects while it makes the object that shows it, which then says
 * "connecting" for ever. What the connection itself reports of the same transports is up to date (webrtc-stats,
 * RTCTransportStats and RTCCertificateStats). Empty unless all of them are connected.
 * @param {RTCPeerConnection} pc
 * @param {RTCDtlsTransport[]} used
 * @returns {Promise<(Uint8Array<ArrayBuffer> | undefined)[]>}
 */
async function leavesByStats(pc, used) {
  if (pc.connectionState !== "connected" || used.some(({ state }) => state === "closed" || state === "failed")) return [];
  const report = await pc.getStats();
  const reported = [...report.values()].filter(({ type }) => type === "transport");
  if (reported.some(({ dtlsState }) => dtlsState !== "connected")) return [];
  return reported.map(({ remoteCertificateId }) => {
    const text = report.get(remoteCertificateId)?.base64Certificate;
    return text ? Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)) : undefined;
  });
}

/** @param {RTCPeerConnection} pc */
export function transports(pc) {
  /** @type {Set<RTCDtlsTransport>} */
  const used = new Set();
  for (const { sender, receiver } of pc.getTransceivers()) {
    for (const transport of [sender.transport, receiver.transport]) if (transport) used.add(transport);
  }
  if (pc.sctp?.transport) used.add(pc.sctp.transport);
  return [...used];
}

/**
 * What the log keeps, and both ends must report alike.
 * @param {Facts} facts
 */
export function factsDigest({ fingerprints }) {
  return digest(["telehealth certificates v1", fingerprints.clinician, fingerprints.patient]);
}

/**
 * What one end says of both: it has these before its eyes.
 * @param {Role} role
 * @param {Facts} facts
 */
export function seenWord(role, facts) {
  return digest(["telehealth seen v1", role, ...listed(facts)]);
}

// -- the link's secret --------------------------------------------------------------------------------------------

/** 256 bits for the link's fragment, in base64url. */
export function newSecret() {
  const bytes = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/**
 * The secret as a key that cannot be read out again; null when it is none.
 * @param {string} secret
 */
export async function secretKey(secret) {
  if (!SECRET.test(secret)) return null;
  const text = atob(secret.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  return crypto.subtle.importKey("raw", bytes, "HKDF", false, ["deriveBits", "deriveKey"]);
}

/**
 * @param {CryptoKey} secret
 * @returns {Promise<LinkKey>}
 */
export async function linkKey(secret) {
  const derive = (/** @type {string} */ info) => ({
    name: "HKDF",
    hash: "SHA-256",
    salt: new Uint8Array(0),
    info: new TextEncoder().encode(info),
  });
  const id = await crypto.subtle.deriveBits(derive("telehealth link proof v1 name"), secret, 64);
  const kind = { name: "HMAC", hash: "SHA-256", length: 256 };
  const mac = await crypto.subtle.deriveKey(derive("telehealth link proof v1 tag"), secret, kind, false, ["sign", "verify"]);
  return { id: hex(id), mac };
}

/**
 * What is signed names who signs: a tag that is sent back proves nothing.
 * @param {Role} role
 * @param {Facts} facts
 */
function signed(role, facts) {
  return encode(["telehealth link proof v1", role, ...listed(facts)]);
}

/**
 * @param {LinkKey} key
 * @param {Role} role
 * @param {Facts} facts
 */
export async function linkTag(key, role, facts) {
  return hex(await crypto.subtle.sign("HMAC", key.mac, signed(role, facts)));
}

/**
 * @param {LinkKey} key
 * @param {Role} role who sent it
 * @param {Facts} facts
 * @param {string} tag
 */
export function tagHolds(key, role, facts, tag) {
  const bytes = Uint8Array.from(tag.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  return crypto.subtle.verify("HMAC", key.mac, bytes, signed(role, facts));
}

// -- words to compare ---------------------------------------------------------------------------------------------

export function newNonce() {
  return hex(crypto.getRandomValues(new Uint8Array(32)));
}

/**
 * The clinician's page binds itself to its number before it sees the patient's: whoever is in between has one try.
 * @param {string} nonce
 * @param {Facts} facts
 */
export function commitment(nonce, { consult, negotiation }) {
  return digest(["telehealth words commitment v1", consult, String(negotiation), nonce]);
}

/**
 * Four words and four pictures, by number; what one page says of them when its person agreed.
 * @param {Facts} facts
 * @param {{clinician: string, patient: string}} nonces
 */
export async function wordsFor(facts, nonces) {
  const seed = await digest(["telehealth words v1", ...listed(facts), nonces.clinician, nonces.patient]);
  const bytes = (seed.match(/../g) ?? []).map((pair) => parseInt(pair, 16));
  return {
    words: bytes.slice(0, WORDS_SHOWN).map((byte) => byte % WORDS),
    pictures: bytes.slice(WORDS_SHOWN, 2 * WORDS_SHOWN).map((byte) => byte % PICTURES),
    seed,
  };
}

/**
 * @param {Role} role
 * @param {string} seed
 */
export function agreement(role, seed) {
  return digest(["telehealth words agreed v1", role, seed]);
}
