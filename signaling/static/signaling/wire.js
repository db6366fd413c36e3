/**
 * The wire: one socket to the clinic's server that speaks signaling/PROTOCOL.md and comes back by itself. No DOM.
 *
 * Events (CustomEvent): "state", "description", "candidate", "media", "voice", "fault" carry the frame; "up" when the
 * socket is open; "down" carries {code, final}.
 */

/** @typedef {{kind: string, [member: string]: any}} Frame */

const FINAL = new Set([4400, 4401, 4403, 4409, 4410]);
const SIGNED_OUT = 4401;
const TOO_FAST = 4429;
const PING_EVERY = 10_000;
const SILENT_FOR = 25_000;

/** This page load's name: the server tells the other side, who starts afresh when it changes. */
function newTab() {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Wire extends EventTarget {
  /** @param {string} path for example /ws/visit/ID/patient/ */
  constructor(path) {
    super();
    this.path = path;
    this.tab = newTab();
    /** @type {Frame | null} */
    this.state = null;
    /** @type {WebSocket | null} */
    this.socket = null;
    this.open = false;
    this.closed = false;
    this.tries = 0;
    this.renewing = false;
    this.heard = 0;
    /** @type {number | undefined} */
    this.timer = undefined;
    this.wake = () => this.hurry();
    addEventListener("online", this.wake);
    document.addEventListener("visibilitychange", this.wake);
    this.pinger = setInterval(() => this.ping(), PING_EVERY);
    this.connect();
  }

  connect() {
    if (this.closed) return;
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${this.path}`);
    this.socket = socket;
    socket.onopen = () => {
      this.heard = Date.now();
      socket.send(JSON.stringify({ kind: "hello", protocol: 1, tab: this.tab }));
    };
    socket.onmessage = (event) => {
      this.heard = Date.now();
      this.receive(JSON.parse(event.data));
    };
    socket.onclose = (event) => this.lost(socket, event.code);
  }

  /** @param {Frame} frame */
  receive(frame) {
    if (frame.kind === "welcome") {
      this.open = true;
      this.tries = 0;
      this.renewing = false;
      this.tell("up", {});
      return;
    }
    if (frame.kind === "state") this.state = frame;
    this.tell(frame.kind, frame);
  }

  /**
   * @param {WebSocket} socket
   * @param {number} code
   */
  lost(socket, code) {
    if (socket !== this.socket) return;
    this.socket = null;
    this.open = false;
    if (code === SIGNED_OUT && !this.renewing) {
      // Confirming a second factor gives the session a new id, and this socket had the old one: once more with the new.
      this.renewing = true;
      this.connect();
      return;
    }
    if (this.renewing) code = SIGNED_OUT;
    const final = FINAL.has(code);
    if (final) this.stop();
    if (!this.closed || final) this.tell("down", { code, final });
    if (this.closed) return;
    // Half a second, then longer, at most eight; a little apart, so that not everybody comes back at once.
    const wait = code === TOO_FAST ? 10_000 : Math.min(8000, 500 * 2 ** this.tries) * (0.75 + Math.random() / 2);
    this.tries += 1;
    this.timer = setTimeout(() => this.connect(), wait);
  }

  /** The network or the page is back: try now rather than when the wait is over. */
  hurry() {
    if (this.closed || this.socket || document.visibilityState === "hidden") return;
    clearTimeout(this.timer);
    this.connect();
  }

  ping() {
    if (!this.open || !this.socket) return;
    if (Date.now() - this.heard > SILENT_FOR) {
      // A dead path does not close a socket for minutes. Give it up, and go on with a new one.
      const socket = this.socket;
      this.lost(socket, 4000);
      socket.close();
    } else {
      this.send({ kind: "ping" });
    }
  }

  /**
   * Send a frame; false when there is no connection (every negotiation can start again from the state).
   * @param {Frame} frame
   */
  send(frame) {
    if (!this.open || !this.socket || this.socket.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }

  stop() {
    this.closed = true;
    clearTimeout(this.timer);
    clearInterval(this.pinger);
    removeEventListener("online", this.wake);
    document.removeEventListener("visibilitychange", this.wake);
  }

  close() {
    this.stop();
    this.socket?.close();
    this.socket = null;
    this.open = false;
  }

  /**
   * @param {string} name
   * @param {object} detail
   */
  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
