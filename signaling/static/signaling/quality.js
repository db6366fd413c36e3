/** How a connection goes, from getStats (W3C webrtc-stats). No DOM. */

/** @typedef {{at: number, received: number, lost: number, bytesIn: number, bytesOut: number, frames: number}} Totals */

/**
 * The figures since the last measurement; null the first time, when there is nothing to compare with.
 * @param {RTCPeerConnection} pc
 * @param {Totals | null} before
 */
export async function measure(pc, before) {
  const report = await pc.getStats();
  /** @type {Totals} */
  const totals = { at: performance.now(), received: 0, lost: 0, bytesIn: 0, bytesOut: 0, frames: 0 };
  /** @type {{rtt: number | null, jitter: number | null, relayed: boolean}} */
  const path = { rtt: null, jitter: null, relayed: false };
  report.forEach((entry) => add(report, entry, totals, path));
  if (!before) return { totals, sample: null };
  const seconds = Math.max(0.1, (totals.at - before.at) / 1000);
  const received = totals.received - before.received;
  const lost = Math.max(0, totals.lost - before.lost);
  const figures = {
    rtt_ms: rounded(path.rtt === null ? null : path.rtt * 1000),
    jitter_ms: rounded(path.jitter === null ? null : path.jitter * 1000),
    loss: received + lost > 0 ? rounded((100 * lost) / (received + lost)) : null,
    frames_per_second: rounded((totals.frames - before.frames) / seconds),
    kbit_in: rounded(((totals.bytesIn - before.bytesIn) * 8) / 1000 / seconds),
    kbit_out: rounded(((totals.bytesOut - before.bytesOut) * 8) / 1000 / seconds),
    relayed: path.relayed,
  };
  return { totals, sample: { ...figures, word: wordFor(figures) } };
}

/**
 * @param {RTCStatsReport} report
 * @param {any} entry
 * @param {Totals} totals
 * @param {{rtt: number | null, jitter: number | null, relayed: boolean}} path
 */
function add(report, entry, totals, path) {
  if (entry.type === "inbound-rtp") {
    totals.received += entry.packetsReceived ?? 0;
    totals.lost += entry.packetsLost ?? 0;
    totals.bytesIn += entry.bytesReceived ?? 0;
    totals.frames += entry.framesDecoded ?? 0;
    if (entry.kind === "audio") path.jitter = entry.jitter ?? path.jitter;
  } else if (entry.type === "outbound-rtp") {
    totals.bytesOut += entry.bytesSent ?? 0;
  } else if (entry.type === "candidate-pair" && entry.nominated && entry.state === "succeeded") {
    path.rtt = entry.currentRoundTripTime ?? path.rtt;
    path.relayed = report.get(entry.localCandidateId)?.candidateType === "relay";
  }
}

/** @param {number | null} value */
function rounded(value) {
  return value === null || !Number.isFinite(value) ? null : Math.max(0, Math.round(value * 10) / 10);
}

/**
 * One word for people. The limits are those at which talk becomes an effort (ITU-T G.114: 150 ms and 400 ms one way).
 * @param {{rtt_ms: number | null, loss: number | null}} figures
 * @returns {"good" | "fair" | "poor"}
 */
function wordFor({ rtt_ms, loss }) {
  const delay = rtt_ms ?? 0;
  const missing = loss ?? 0;
  if (delay > 800 || missing > 8) return "poor";
  return delay > 300 || missing > 2 ? "fair" : "good";
}
