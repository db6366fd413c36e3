/**
 * The ladder of a call: video, low video, sound alone, the telephone. Pure: figures and the time come in, a step goes out.
 *
 * Down it goes soon, up slowly: a step that was climbed and lost again has to look good for twice as long next time.
 */

/** @typedef {"video" | "low" | "audio" | "phone"} Step */
/**
 * `loss` of what this side sends, 0 to 1; `kbit` that the path is estimated to carry; null where not known.
 * `due`: the other side is there, so the call should run. `at` in seconds.
 * @typedef {{at: number, due: boolean, connected: boolean, loss: number | null, kbit: number | null}} Look
 */
/**
 * @typedef {{step: Step, before: Step, bad: number, good: number, need: number, climbedAt: number, lostAt: number,
 *   calmUntil: number}} Rung
 *   climbedAt: since when it stands on a step that it climbed to; not a number where it fell to it
 */

/** @type {Step[]} */
export const STEPS = ["video", "low", "audio", "phone"];

/** looks in a row that have to be bad to go down */
const DOWN_AFTER = 3;
const UP_AFTER = 5;
const UP_AFTER_AT_MOST = 40;
/** seconds: a step lost sooner than this after it was climbed was climbed too early */
const FIRM_AFTER = 30;
/** seconds without a connection after which people should not be kept waiting */
const PHONE_AFTER = 30;
/** seconds after a gap in which figures still tell of the gap */
const CALM = 10;

/** Video at a lower rate lives with much loss; what it cannot live with. @type {Record<Step, {loss: number, kbit: number}>} */
const WORST = {
  video: { loss: 0.12, kbit: 120 },
  low: { loss: 0.18, kbit: 60 },
  audio: { loss: 0.5, kbit: 0 },
  phone: { loss: 1, kbit: 0 },
};
/** what the path may lose for the next step up to be tried */
const GOOD_LOSS = { video: 0, low: 0.08, audio: 0.1, phone: 0.3 };

/** @returns {Rung} */
export function top() {
  return { step: "video", before: "video", bad: 0, good: 0, need: UP_AFTER, climbedAt: NaN, lostAt: 0, calmUntil: 0 };
}

/**
 * The rung after one more look.
 * @param {Rung} rung
 * @param {Look} look
 * @returns {Rung}
 */
export function next(rung, look) {
  if (!look.connected) return without(rung, look);
  const back = { ...rung, lostAt: 0 };
  // It was the connection that was gone, not its quality: go on where it was.
  if (rung.step === "phone" && rung.before !== "phone") return { ...back, step: rung.before, before: "phone", bad: 0, good: 0 };
  const loss = look.loss ?? 0;
  const calm = look.at < rung.calmUntil;
  const bad = !calm && (loss > WORST[rung.step].loss || (look.kbit !== null && look.kbit < WORST[rung.step].kbit));
  const good = loss <= GOOD_LOSS[rung.step];
  const counted = { ...back, bad: bad ? rung.bad + 1 : 0, good: good ? rung.good + 1 : 0 };
  if (counted.bad >= DOWN_AFTER) return down(counted, look);
  if (counted.good >= counted.need && rung.step !== "video") return moved(counted, -1, { climbedAt: look.at });
  if (counted.need > UP_AFTER && look.at - counted.climbedAt > 2 * FIRM_AFTER) return { ...counted, need: UP_AFTER };
  return counted;
}

/**
 * @param {Rung} rung
 * @param {Look} look
 * @returns {Rung}
 */
function without(rung, look) {
  const calmUntil = look.at + CALM;
  if (!look.due) return { ...rung, calmUntil, lostAt: 0, bad: 0, good: 0 };
  const lostAt = rung.lostAt || look.at;
  const waiting = { ...rung, calmUntil, lostAt, bad: 0, good: 0 };
  if (rung.step === "phone" || look.at - lostAt < PHONE_AFTER) return waiting;
  return { ...waiting, step: "phone", before: rung.step };
}

/**
 * @param {Rung} rung
 * @param {Look} look
 * @returns {Rung}
 */
function down(rung, look) {
  const hasty = look.at - rung.climbedAt < FIRM_AFTER;
  return moved(rung, 1, { climbedAt: NaN, need: hasty ? Math.min(UP_AFTER_AT_MOST, rung.need * 2) : rung.need, before: "phone" });
}

/**
 * @param {Rung} rung
 * @param {1 | -1} by
 * @param {Partial<Rung>} more
 * @returns {Rung}
 */
function moved(rung, by, more) {
  const index = Math.min(STEPS.length - 1, Math.max(0, STEPS.indexOf(rung.step) + by));
  return { ...rung, ...more, step: STEPS[index] ?? "video", bad: 0, good: 0 };
}
