/**
 * Where peer connections are made. Chromium tells a page of a new network address two seconds late, a new document at
 * once: after a move the connection is made in an empty frame of this page, which has the same rights and shows nothing.
 */

export class Realm {
  constructor() {
    /** @type {HTMLIFrameElement | null} */
    this.frame = null;
  }

  /** @param {RTCConfiguration} configuration */
  connection(configuration) {
    const inside = /** @type {(Window & typeof globalThis) | null | undefined} */ (this.frame?.contentWindow);
    return new (inside ?? window).RTCPeerConnection(configuration);
  }

  /** Closes what was made in the frame before. */
  renew() {
    this.close();
    if (!("userAgentData" in navigator)) return; // others are told soon enough
    const frame = document.createElement("iframe");
    frame.hidden = true;
    document.body.append(frame);
    this.frame = frame;
  }

  close() {
    this.frame?.remove();
    this.frame = null;
  }
}
