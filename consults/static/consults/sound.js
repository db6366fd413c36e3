// Soft notes, made here: the speaker test and the sign that a patient is waiting.

const NOTES = [523.25, 659.25, 783.99];

/** @type {AudioContext | null} */
let context = null;

/**
 * Three soft notes. Browsers allow it after the person pressed something on the page.
 * @param {string} [speaker] a device id, where the browser can choose one
 */
export async function chime(speaker = "") {
  context ??= new AudioContext();
  // Before the first press on the page this waits for ever, and a late sound would be a wrong one.
  await Promise.race([context.resume(), new Promise((resolve) => setTimeout(resolve, 300))]);
  if (context.state !== "running") return;
  if (speaker && "setSinkId" in context && typeof context.setSinkId === "function") {
    await context.setSinkId(speaker).catch(() => undefined);
  }
  NOTES.forEach((pitch, index) => note(/** @type {AudioContext} */ (context), pitch, index * 0.28));
}

/**
 * @param {AudioContext} player
 * @param {number} pitch in hertz
 * @param {number} after in seconds
 */
function note(player, pitch, after) {
  const start = player.currentTime + after;
  const tone = new OscillatorNode(player, { type: "sine", frequency: pitch });
  const volume = new GainNode(player, { gain: 0 });
  volume.gain.setValueAtTime(0, start);
  volume.gain.linearRampToValueAtTime(0.18, start + 0.03);
  volume.gain.exponentialRampToValueAtTime(0.001, start + 0.5);
  tone.connect(volume).connect(player.destination);
  tone.start(start);
  tone.stop(start + 0.55);
}
