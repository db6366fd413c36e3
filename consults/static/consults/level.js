// How loud the microphone is, ten times a second.

const EVERY_MS = 100;
/** below this the room's own noise */
const VOICE = 0.06;

export class Level {
  /** @param {(loudness: number, voice: boolean) => void} show loudness from 0 to 1 */
  constructor(show) {
    this.show = show;
    /** @type {AudioContext | null} */
    this.context = null;
    /** @type {MediaStreamAudioSourceNode | null} */
    this.source = null;
    this.timer = 0;
    // A context made without a press stays asleep until there is one.
    const wake = () => void this.context?.resume();
    for (const kind of ["pointerdown", "keydown"]) document.addEventListener(kind, wake);
  }

  /** @param {MediaStreamTrack | null} track */
  listen(track) {
    this.stop();
    if (!track) return;
    this.context ??= new AudioContext();
    void this.context.resume();
    this.source = this.context.createMediaStreamSource(new MediaStream([track]));
    const analyser = new AnalyserNode(this.context, { fftSize: 1024 });
    this.source.connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    this.timer = window.setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      let sum = 0;
      for (const sample of samples) sum += sample * sample;
      // Ears hear ratios: the square root of the root mean square makes quiet speech visible.
      const loudness = Math.min(1, Math.sqrt(Math.sqrt(sum / samples.length)) * 1.4);
      this.show(track.enabled ? loudness : 0, track.enabled && loudness > VOICE * 3);
    }, EVERY_MS);
  }

  stop() {
    window.clearInterval(this.timer);
    this.source?.disconnect();
    this.source = null;
    this.show(0, false);
  }
}

/**
 * Draw the level into a bar.
 * @param {HTMLElement} bar
 * @param {number} loudness
 */
export function draw(bar, loudness) {
  bar.style.transform = `scaleX(${loudness.toFixed(2)})`;
}
