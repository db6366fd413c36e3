/** How loud the own microphone is, listened to where getStats does not say. No DOM. */

/** samples that are listened to: two thirds of a second at 48 kHz */
const SAMPLES = 32_768;

/** @type {{track: MediaStreamTrack, context: AudioContext, analyser: AnalyserNode} | null} one a page is enough */
let ear = null;

/**
 * Root mean square of what is sent, 0 to 1 of full scale; null where no microphone is on, or nothing was heard yet.
 * @param {RTCPeerConnection} pc
 * @returns {number | null}
 */
export function loudness(pc) {
  const track = pc.getSenders().find((sender) => sender.track?.kind === "audio")?.track ?? null;
  const sent = track?.readyState === "live" && track.enabled ? track : null;
  if (ear && ear.track !== sent) stop();
  if (!sent) return null;
  ear ??= listen(sent);
  if (ear.context.state !== "running" || ear.context.currentTime < 1) return null;
  const samples = new Float32Array(ear.analyser.fftSize);
  ear.analyser.getFloatTimeDomainData(samples);
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return Math.sqrt(sum / samples.length);
}

/** @param {MediaStreamTrack} track */
function listen(track) {
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, { fftSize: SAMPLES });
  context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
  return { track, context, analyser };
}

function stop() {
  void ear?.context.close();
  ear = null;
}
