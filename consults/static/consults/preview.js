// Pictures of oneself: every preview of the page shows the camera, or says that it is off.

import { all } from "./dom.js";

/** @param {import("./devices.js").Devices} devices */
export function bindPreviews(devices) {
  /** @type {MediaStreamTrack | null} */
  let shown = null;
  const show = () => {
    if (devices.camera === shown) return;
    shown = devices.camera;
    for (const video of all("video[data-preview]", HTMLVideoElement)) {
      video.srcObject = shown ? new MediaStream([shown]) : null;
      video.hidden = shown === null;
      if (shown) void video.play().catch(() => undefined);
    }
    for (const word of all("[data-no-picture]", HTMLElement)) word.hidden = shown !== null;
  };
  devices.addEventListener("change", show);
  show();
}
