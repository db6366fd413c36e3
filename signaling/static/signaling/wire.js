/**
 * The wire: one socket to the clinic's server that speaks signaling/PROTOCOL.md and comes back by itself. No DOM.
 *
 * Events (CustomEvent): "state", "description", "candidate", "media", "voice", "worker", "fault", "missing" carry the frame; "up" when the
 * socket is open; "greeting" just before this page says who it is; "down" carries {code, final}.
 */

/** @typedef {{kind: string, [member: string]: any}} Frame */

const FINAL = new Set([4400, 4401, 4403, 4409, 4410]);
const SIGNED_OUT = 4401;
const TOO_FAST = 4429;
const PING_EVERY = 3000;
const ANSWER_WITHIN = 4000;
/** how long an answer may take when there is reason to believe that the path is gone */
const PROBE_WITHIN = 500;
/** a handshake that takes longer was sent into a network that is not there any more */
const CONNECT_WITHIN = 3000;
/** what the server answers with the fault "unwritten" is said again after this */
export const UNWRITTEN_FOR = 5000;

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
    /** when the oldest unanswered ping was sent; 0 when there is none */
    this.asked = 0;
    /** @type {number | undefined} */
    this.timer = undefined;
    /** @type {number | undefined} */
    this.patience = undefined;
    this.wake = () => this.hurry();
    for (const [target, name] of this.#wakers()) target.addEventListener(name, this.wake);
    this.pinger = setInterval(() => this.ping(), PING_EVERY);
    this.connect();
  }

  /** What tells that the network or the page may have changed. @returns {[EventTarget, string][]} */
  #wakers() {
    const { connection } = /** @type {{connection?: EventTarget}} */ (navigator);
    /** @type {[EventTarget, string][]} */
    const page = [[window, "online"], [window, "pageshow"], [document, "visibilitychange"]];
    return connection ? [...page, [connection, "change"]] : page;
  }

  connect() {
    if (this.closed) return;
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${this.path}`);
    this.socket = socket;
    this.asked = 0;
    clearTimeout(this.patience);
    this.patience = setTimeout(() => {
      if (!this.open) this.giveUp(socket);
    }, CONNECT_WITHIN * Math.min(3, 1 + this.tries / 2));
    socket.onopen = () => {
      this.heard = Date.now();
      this.tell("greeting", {});
      socket.send(JSON.stringify({ kind: "hello", protocol: 1, tab: this.tab }));
    };
    socket.onmessage = (event) => {
      this.heard = Date.now();
      this.asked = 0;
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

  /** From the next greeting on this page counts as loaded anew: the other side starts afresh with it. */
  rename() {
    this.tab = newTab();
  }

  /** A new socket at once. */
  renew() {
    if (this.socket && this.open) this.giveUp(this.socket);
  }

  /** The network or the page is back: try now rather than when the wait is over, and doubt the socket there is. */
  hurry() {
    if (this.closed || document.visibilityState === "hidden") return;
    if (this.socket) {
      this.probe();
      return;
    }
    clearTimeout(this.timer);
    this.connect();
  }

  /** Ask for a sign of life that has to come at once. */
  probe() {
    const socket = this.socket;
    if (this.closed) return;
    if (!socket) {
      this.hurry();
      return;
    }
    if (!this.open) return;
    const before = this.heard;
    this.send({ kind: "ping" });
    setTimeout(() => {
      if (socket === this.socket && this.heard === before) this.giveUp(socket);
    }, PROBE_WITHIN);
  }

  ping() {
    if (!this.open || !this.socket) return;
    if (this.asked && Date.now() - this.asked > ANSWER_WITHIN) {
      this.giveUp(this.socket);
      return;
    }
    this.asked ||= Date.now();
    this.send({ kind: "ping" });
  }

  /**
   * A dead path does not close a socket for minutes. Leave it, and go on with a new one.
   * @param {WebSocket} socket
   */
  giveUp(socket) {
    if (socket !== this.socket) return;
    const atOnce = this.open;
    this.lost(socket, 4000);
    socket.close();
    if (!atOnce || this.closed) return;
    clearTimeout(this.timer);
    this.connect();
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
    clearTimeout(this.patience);
    clearInterval(this.pinger);
    for (const [target, name] of this.#wakers()) target.removeEventListener(name, this.wake);
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
