// A telephone call takes the microphone, a sleeping phone the camera. They are taken again by themselves, with words meanwhile.

/** @typedef {import("./devices.js").Devices} Devices */

/** a telephone call that is over gives the microphone back in this time, or it is asked for anew */
const SETTLE_MS = 1000;
const AGAIN_MS = [0, 1000, 3000, 8000];
/** some phones tell nobody that the call is over; asking while it goes on gets a refusal */
const LOOK_MS = 8000;

/** @type {Record<string, string>} */
const GONE = {
  microphone: "Something else uses your microphone, perhaps a telephone call. It comes back by itself when that is over.",
  camera: "Your camera was interrupted. It comes back by itself.",
};

/**
 * Keep what the person has switched on: a track that ended or stays muted is opened anew.
 * @param {Devices} devices
 * @param {(text: string) => void} tell
 */
export function retake(devices, tell) {
  /** `silent`: what was heard last fell silent @type {Record<"camera" | "microphone", {busy: boolean, heard: MediaStreamTrack | null, silent: boolean}>} */
  const watched = {
    camera: { busy: false, heard: null, silent: false },
    microphone: { busy: false, heard: null, silent: false },
  };
  const kinds = /** @type {("camera" | "microphone")[]} */ (Object.keys(watched));

  /** @param {"camera" | "microphone"} kind */
  const lost = (kind) => devices.choice[kind] && (!devices[kind] || devices[kind].readyState === "ended" || devices[kind].muted);

  /**
   * @param {"camera" | "microphone"} kind
   * @param {number[]} waits
   */
  const again = async (kind, waits = AGAIN_MS) => {
    const mine = watched[kind];
    if (mine.busy || !mine.heard) return;
    mine.busy = true;
    for (const wait of waits) {
      await new Promise((done) => setTimeout(done, wait));
      // A hidden page gets no device; it is asked for when the page is seen again.
      if (!lost(kind) || document.visibilityState === "hidden") break;
      await devices.retake(kind).catch(() => undefined);
    }
    mine.busy = false;
    const gaveUp = waits === AGAIN_MS && lost(kind) && document.visibilityState === "visible";
    if (gaveUp) tell(`Your ${kind} stopped. Choose another one under “Devices”.`);
  };

  const all = () => {
    setTimeout(() => {
      for (const kind of kinds) if (lost(kind)) void again(kind);
    }, SETTLE_MS);
  };

  devices.addEventListener("change", () => {
    for (const kind of kinds) {
      const track = devices[kind];
      if (!track || track === watched[kind].heard) continue;
      Object.assign(watched[kind], { heard: track, silent: false });
      track.addEventListener("mute", () => {
        if (track !== devices[kind] || !devices.choice[kind]) return;
        watched[kind].silent = true;
        tell(GONE[kind] ?? "");
      });
      track.addEventListener("unmute", all);
      track.addEventListener("ended", () => {
        if (devices.choice[kind]) tell(GONE[kind] ?? "");
        void again(kind);
      });
    }
  });
  setInterval(() => {
    // Not what the person took away herself, which ends a track: a browser would ask her for it without end.
    for (const kind of kinds) if (watched[kind].silent && lost(kind)) void again(kind, [0]);
  }, LOOK_MS);
  document.addEventListener("visibilitychange", all);
  addEventListener("pageshow", all);
  navigator.mediaDevices?.addEventListener("devicechange", all);
}
