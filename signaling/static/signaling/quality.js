/** How a connection goes, from getStats (W3C webrtc-stats). What a browser does not offer is null. No DOM. */

import { loudness } from "./loudness.js";

/**
 * What counts up over the life of a connection.
 * @typedef {{at: number, received: number, lost: number, audioReceived: number, audioLost: number, bytesIn: number,
 *   bytesOut: number, frames: number, freezes: number | null, frozen: number | null, energyIn: number | null,
 *   durationIn: number | null, energyOut: number | null, durationOut: number | null, held: number | null,
 *   emitted: number | null}} Totals
 */
/**
 * What is so now.
 * @typedef {{rtt: number | null, jitter: number | null, relayed: boolean, lossUp: number | null, width: number | null,
 *   height: number | null, audioCodec: string | null, videoCodec: string | null, local: string | null,
 *   remote: string | null, levelIn: number | null, levelOut: number | null, limited: string | null,
 *   audio: boolean}} Now
 */

const CANDIDATES = ["host", "srflx", "prflx", "relay"];
const LIMITS = ["none", "cpu", "bandwidth", "other"];

/**
 * The figures since the last measurement; null the first time, when there is nothing to compare with.
 * @param {RTCPeerConnection} pc
 * @param {Totals | null} before
 */
export async function measure(pc, before) {
  const report = await pc.getStats();
  const totals = noTotals();
  const now = nothing();
  report.forEach((entry) => READERS[entry.type]?.(entry, totals, now, report));
  readPair(pairInUse(report), now, report);
  // Firefox does not say how loud the own microphone is.
  now.levelOut ??= loudness(pc);
  if (!before) return { totals, sample: null };
  const figures = { ...since(before, totals, now), ...sending(pc) };
  return { totals, sample: { ...figures, word: wordFor(figures) } };
}

/** @returns {Totals} */
function noTotals() {
  const none = { freezes: null, frozen: null, energyIn: null, durationIn: null, energyOut: null, durationOut: null };
  const zero = { received: 0, lost: 0, audioReceived: 0, audioLost: 0, bytesIn: 0, bytesOut: 0, frames: 0 };
  return { at: performance.now(), ...zero, ...none, held: null, emitted: null };
}

/** @returns {Now} */
function nothing() {
  const none = { rtt: null, jitter: null, lossUp: null, width: null, height: null, audioCodec: null, videoCodec: null };
  return { ...none, local: null, remote: null, levelIn: null, levelOut: null, limited: null, relayed: false, audio: false };
}

/** @type {Record<string, (entry: any, totals: Totals, now: Now, report: RTCStatsReport) => void>} */
const READERS = {
  "inbound-rtp": (entry, totals, now, report) => {
    totals.received += entry.packetsReceived ?? 0;
    totals.lost += entry.packetsLost ?? 0;
    totals.bytesIn += entry.bytesReceived ?? 0;
    if (entry.kind === "audio") readSound(entry, totals, now, report);
    else readPicture(entry, totals, now, report);
  },
  "outbound-rtp": (entry, totals, now) => {
    totals.bytesOut += entry.bytesSent ?? 0;
    if (entry.kind === "video" && LIMITS.includes(entry.qualityLimitationReason)) now.limited = entry.qualityLimitationReason;
  },
  "remote-inbound-rtp": (entry, _totals, now) => {
    if (typeof entry.fractionLost === "number") now.lossUp = Math.max(now.lossUp ?? 0, entry.fractionLost);
    now.rtt = entry.roundTripTime ?? now.rtt;
  },
  "media-source": (entry, totals, now) => {
    if (entry.kind !== "audio") return;
    totals.energyOut = entry.totalAudioEnergy ?? null;
    totals.durationOut = entry.totalSamplesDuration ?? null;
    now.levelOut = entry.audioLevel ?? null;
  },
};

/**
 * The two candidates that packets go between now. Several may be nominated one after the other, and reports come in no
 * order, so the transport's word counts where a browser has one.
 * @param {RTCStatsReport | undefined} report
 * @returns {any} undefined where none is
 */
export function pairInUse(report) {
  /** @type {any} */
  let said;
  /** @type {any} */
  let seen;
  report?.forEach((entry) => {
    if (entry.type === "transport") said = report.get(entry.selectedCandidatePairId) ?? said;
    else if (entry.type === "candidate-pair" && (entry.selected ?? entry.nominated)) seen = entry;
  });
  const pair = said ?? seen;
  return pair?.state === "succeeded" ? pair : undefined;
}

/**
 * @param {any} pair
 * @param {Now} now
 * @param {RTCStatsReport} report
 */
function readPair(pair, now, report) {
  now.rtt = pair?.currentRoundTripTime ?? now.rtt;
  now.local = candidate(report, pair?.localCandidateId);
  now.remote = candidate(report, pair?.remoteCandidateId);
  now.relayed = now.local === "relay" || now.remote === "relay";
}

/**
 * @param {any} entry
 * @param {Totals} totals
 * @param {Now} now
 * @param {RTCStatsReport} report
 */
function readSound(entry, totals, now, report) {
  now.audio = true;
  totals.audioReceived += entry.packetsReceived ?? 0;
  totals.audioLost += entry.packetsLost ?? 0;
  totals.energyIn = entry.totalAudioEnergy ?? null;
  totals.durationIn = entry.totalSamplesDuration ?? null;
  totals.held = entry.jitterBufferDelay ?? null;
  totals.emitted = entry.jitterBufferEmittedCount ?? null;
  now.jitter = entry.jitter ?? now.jitter;
  now.levelIn = entry.audioLevel ?? null;
  now.audioCodec = codec(report, entry.codecId);
}

/**
 * @param {any} entry
 * @param {Totals} totals
 * @param {Now} now
 * @param {RTCStatsReport} report
 */
function readPicture(entry, totals, now, report) {
  totals.frames += entry.framesDecoded ?? 0;
  totals.freezes = entry.freezeCount ?? null;
  totals.frozen = entry.totalFreezesDuration ?? null;
  now.width = entry.frameWidth ?? null;
  now.height = entry.frameHeight ?? null;
  now.videoCodec = codec(report, entry.codecId);
}

/**
 * @param {RTCStatsReport} report
 * @param {string} id
 */
function codec(report, id) {
  const name = report.get(id)?.mimeType?.split("/")[1]?.toLowerCase() ?? "";
  return /^[a-z0-9-]{1,12}$/.test(name) ? name : null;
}

/**
 * @param {RTCStatsReport} report
 * @param {string} id
 */
function candidate(report, id) {
  const kind = report.get(id)?.candidateType;
  return CANDIDATES.includes(kind) ? kind : null;
}

/**
 * @param {Totals} before
 * @param {Totals} totals
 * @param {Now} now
 */
function since(before, totals, now) {
  const seconds = Math.max(0.1, (totals.at - before.at) / 1000);
  const grown = (/** @type {keyof Totals} */ name) => difference(before[name], totals[name]);
  // Where there is sound its own loss counts: what is lost of a picture does not make speech harder to follow.
  const names = /** @type {(keyof Totals)[]} */ (now.audio ? ["audioReceived", "audioLost"] : ["received", "lost"]);
  const [received = 0, lost = 0] = names.map((name) => Math.max(0, grown(name) ?? 0));
  const emitted = grown("emitted");
  const held = grown("held");
  return {
    rtt_ms: rounded(now.rtt === null ? null : now.rtt * 1000),
    jitter_ms: rounded(now.jitter === null ? null : now.jitter * 1000),
    buffer_ms: rounded(held !== null && emitted ? (1000 * held) / emitted : null),
    loss: received + lost > 0 ? rounded((100 * lost) / (received + lost)) : null,
    loss_up: rounded(now.lossUp === null ? null : Math.min(100, 100 * now.lossUp)),
    audio_packets: now.audio ? received : null,
    frames_per_second: rounded((grown("frames") ?? 0) / seconds),
    width: now.width,
    height: now.height,
    freezes: grown("freezes"),
    frozen_seconds: rounded(grown("frozen")),
    kbit_in: rounded(((grown("bytesIn") ?? 0) * 8) / 1000 / seconds),
    kbit_out: rounded(((grown("bytesOut") ?? 0) * 8) / 1000 / seconds),
    level_in: level(grown("energyIn"), grown("durationIn"), now.levelIn),
    level_out: level(grown("energyOut"), grown("durationOut"), now.levelOut),
    audio_codec: now.audioCodec,
    video_codec: now.videoCodec,
    local: now.local,
    remote: now.remote,
    relayed: now.relayed,
    limited: now.limited,
  };
}

/**
 * @param {number | null} before
 * @param {number | null} after
 */
function difference(before, after) {
  return before === null || after === null ? null : Math.max(0, after - before);
}

/**
 * Loudness over the whole time, 0 to 1 of full scale; the loudness of this very moment where a browser has no more.
 * @param {number | null} energy
 * @param {number | null} duration
 * @param {number | null} moment
 */
function level(energy, duration, moment) {
  const found = energy !== null && duration ? Math.sqrt(energy / duration) : moment;
  return found === null || !Number.isFinite(found) ? null : Math.min(1, Math.round(found * 10_000) / 10_000);
}

/** @param {RTCPeerConnection} pc */
function sending(pc) {
  const tracks = pc.getSenders().map(({ track }) => track);
  const on = (/** @type {string} */ kind) =>
    tracks.some((track) => track?.kind === kind && track.enabled && track.readyState === "live");
  return { microphone: on("audio"), camera: on("video") };
}

/** @param {number | null} value */
function rounded(value) {
  return value === null || !Number.isFinite(value) ? null : Math.max(0, Math.round(value * 10) / 10);
}

/**
 * One word for people. The limits are those at which talk becomes an effort (ITU-T G.114: 150 ms and 400 ms one way).
 * @param {{rtt_ms: number | null, loss: number | null, frozen_seconds?: number | null}} figures
 * @returns {"good" | "fair" | "poor"}
 */
function wordFor({ rtt_ms, loss, frozen_seconds }) {
  const delay = rtt_ms ?? 0;
  const missing = loss ?? 0;
  const frozen = frozen_seconds ?? 0;
  if (delay > 800 || missing > 8 || frozen > 1.5) return "poor";
  return delay > 300 || missing > 2 || frozen > 0.5 ? "fair" : "good";
}
