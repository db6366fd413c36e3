/**
 * The call leg: one peer connection between the two browsers, by W3C perfect negotiation (webrtc-pc, 10.7). No DOM.
 *
 * The connection object and its transceivers are made before the gate opens, so that only the exchange itself is left
 * to do then. Events: "remote" {stream}, "connection" {state}, "quality" {word, rtt_ms, jitter_ms, loss, ...},
 * "given" {} when the other side waits for nothing of this page any more, and for the proof (check.js) "transport" when
 * something below the media changed, "foreign" when a description names another certificate than before. Nothing is
 * sent and nothing shown until the proof allows it.
 */

import { namedFingerprint } from "./proof.js";
import { measure } from "./quality.js";
import { Realm } from "./realm.js";

/** @typedef {import("./wire.js").Wire} Wire */
/** @typedef {"none" | "sound" | "all"} Extent */
/** @typedef {"waiting" | "connecting" | "connected" | "interrupted" | "failed" | "closed"} CallState */

const MEASURE_EVERY = 2000;
const LOOK_EVERY = 100;
/** without a packet for this long the path is taken for broken; the polite side is the first to look for another */
const STARVED_AFTER = { polite: 600, impolite: 7000 };
const SUSPICIOUS_AFTER = 350;
/** an offer is said again after this, and after twice that each time */
const UNANSWERED_AFTER = 800;
const UNANSWERED_AT_MOST = 6400;
/** descriptions are exchanged, and no path is found: they are exchanged anew after this, and after twice that each time */
const UNCONNECTED_AFTER = 4000;
/** what was gathered longer ago may no longer be where this device is */
const GATHERED_FOR = 10 * 60_000;

export class Call extends EventTarget {
  /**
   * @param {Wire} wire
   * @param {"clinician" | "patient"} role
   * @param {RTCCertificate | null} certificate this page's own, the same for all its connections
   */
  constructor(wire, role, certificate = null) {
    super();
    this.wire = wire;
    this.polite = role === "patient";
    this.certificate = certificate;
    /** what may leave and what may be shown @type {Extent} */
    this.sends = "none";
    /** @type {Extent} */
    this.shows = "none";
    /** the other side's fingerprint, which its page keeps as long as it lives */
    this.expected = "";
    this.negotiation = -1;
    this.peer = "";
    /** @type {CallState} */
    this.state = "waiting";
    /** @type {{audio: MediaStreamTrack | null, video: MediaStreamTrack | null}} */
    this.own = { audio: null, video: null };
    this.closed = false;
    this.offeredAt = 0;
    this.patience = UNANSWERED_AFTER;
    this.exchangedAt = 0;
    this.unconnected = UNCONNECTED_AFTER;
    this.relayOnly = false;
    this.relayed = false;
    /** when a packet came last, and since when another path is looked for (0: it is not) */
    this.packetAt = 0;
    this.seekingSince = 0;
    this.doubted = false;
    /** @type {Promise<void>} */
    this.queue = Promise.resolve();
    /** @type {import("./quality.js").Totals | null} */
    this.totals = null;
    this.makingOffer = false;
    this.ignoring = false;
    this.remote = new MediaStream();
    /** @type {RTCIceServer[]} */
    this.servers = [];
    this.realm = new Realm();
    this.pc = this.fresh([]);
    this.preparedAt = 0;
    this.enqueue(() => this.prepare());
    this.listener = (/** @type {Event} */ event) => {
      const frame = /** @type {CustomEvent} */ (event).detail;
      this.sendPrepared(frame);
      const peer = String(wire.state?.peer ?? "");
      this.enqueue(() => this.heard(frame, peer));
    };
    for (const kind of ["state", "description", "candidate"]) wire.addEventListener(kind, this.listener);
    this.meter = setInterval(() => this.measure(), MEASURE_EVERY);
    this.looker = setInterval(() => this.look(), LOOK_EVERY);
    this.network = () => this.seek();
    this.moved = false;
    this.greeting = () => {
      // The socket was gone and so is the path: this device is somewhere else now.
      this.moved ||= this.starving() && this.pc.remoteDescription !== null;
      if (this.moved) wire.rename();
    };
    this.socketUp = () => {
      if (this.moved) this.startAfresh();
      else if (this.waitsForAnswer()) this.sendDescription();
      else this.seek();
    };
    wire.addEventListener("greeting", this.greeting);
    addEventListener("online", this.network);
    wire.addEventListener("up", this.socketUp);
    if (wire.state) this.enqueue(() => this.heard(/** @type {any} */ (wire.state), ""));
  }

  /**
   * One step after the other: a candidate must not overtake its description.
   * @param {() => Promise<void>} step
   */
  enqueue(step) {
    this.queue = this.queue.then(step).catch((error) => {
      // Says which step failed, never what was in it.
      console.warn("call:", error instanceof Error ? error.name : "error");
    });
  }

  /** @param {RTCIceServer[]} servers */
  fresh(servers) {
    const certificates = this.certificate ? [this.certificate] : undefined;
    const pc = this.realm.connection({
      iceServers: servers,
      iceTransportPolicy: this.relayOnly ? "relay" : "all",
      bundlePolicy: "max-bundle",
      rtcpMuxPolicy: "require",
      ...(certificates && { certificates }),
    });
    for (const name of ["connectionstatechange", "iceconnectionstatechange", "signalingstatechange"]) {
      pc.addEventListener(name, () => pc === this.pc && this.tell("transport", {}));
    }
    this.makingOffer = false;
    this.ignoring = false;
    this.totals = null;
    this.packetAt = 0;
    this.seekingSince = 0;
    this.exchangedAt = 0;
    this.unconnected = UNCONNECTED_AFTER;
    this.remote = new MediaStream();
    if (!this.polite) this.addSenders(pc);
    pc.ontrack = ({ track }) => {
      this.remote.addTrack(track);
      this.show();
    };
    pc.onicecandidate = ({ candidate }) => {
      // Before the gate opens candidates only gather in the prepared offer.
      if (pc === this.pc && candidate && this.negotiation >= 0) {
        const { candidate: text, sdpMid } = candidate;
        this.wire.send({ kind: "candidate", leg: "call", negotiation: this.negotiation, candidate: text, mid: sdpMid ?? "" });
      }
    };
    pc.onnegotiationneeded = () => {
      if (pc === this.pc && this.peer) this.enqueue(() => this.offer());
    };
    pc.onconnectionstatechange = () => {
      if (pc === this.pc) this.connectionChanged();
    };
    return pc;
  }

  /**
   * The offering side writes its offer and gathers before anybody is admitted: at the gate it only has to be sent. Tracks
   * come and go in it by `replaceTrack`, which changes no description.
   */
  async prepare() {
    if (this.polite || this.closed || this.negotiation >= 0) return;
    await this.pc.setLocalDescription();
    this.preparedAt = performance.now();
  }

  /**
   * The gate opens: the prepared offer leaves in this very moment, before the page redraws itself.
   * @param {any} frame
   */
  sendPrepared(frame) {
    const ready = this.negotiation < 0 && this.preparedAt > 0 && this.pc.signalingState === "have-local-offer";
    const fresh = performance.now() - this.preparedAt < GATHERED_FOR;
    if (frame.kind !== "state" || !frame.gate || !frame.peer || !ready || !fresh) return;
    if (frame.relay_only !== this.relayOnly) return;
    this.negotiation = frame.negotiation;
    this.peer = frame.peer;
    this.sendDescription();
  }

  /** @param {RTCPeerConnection} pc */
  addSenders(pc) {
    for (const kind of /** @type {const} */ (["audio", "video"])) {
      // The first picture is a small one: it is written and carried sooner. The uplink makes it whole (uplink.js).
      const small = kind === "video" ? { sendEncodings: [{ scaleResolutionDownBy: 2 }] } : {};
      redundant(pc.addTransceiver(this.outgoing(kind) ?? kind, { direction: "sendrecv", ...small }));
    }
  }

  /**
   * Own tracks, any time, also none: replacing a track needs no word with the other side.
   * @param {MediaStream | null} stream
   */
  setStream(stream) {
    this.replaceTrack("audio", stream?.getAudioTracks()[0] ?? null);
    this.replaceTrack("video", stream?.getVideoTracks()[0] ?? null);
  }

  /**
   * @param {"audio" | "video"} kind
   * @param {MediaStreamTrack | null} track
   */
  replaceTrack(kind, track) {
    this.own[kind] = track;
    const sender = this.sender(kind);
    // A connection that is being left has no use for it.
    if (sender) sender.replaceTrack(this.outgoing(kind)).catch(() => undefined);
  }

  /** @param {"audio" | "video"} kind */
  outgoing(kind) {
    return this.sends === "all" || (this.sends === "sound" && kind === "audio") ? this.own[kind] : null;
  }

  /**
   * What may leave this page, and what may be seen and heard on it.
   * @param {Extent} sends
   * @param {Extent} shows
   */
  allow(sends, shows) {
    if (sends !== this.sends) {
      this.sends = sends;
      for (const kind of /** @type {const} */ (["audio", "video"])) this.replaceTrack(kind, this.own[kind]);
    }
    if (shows !== this.shows) {
      this.shows = shows;
      this.show();
    }
  }

  show() {
    let stream = this.remote;
    if (this.shows !== "all") stream = new MediaStream(this.shows === "sound" ? this.remote.getAudioTracks() : []);
    this.tell("remote", { stream });
  }

  /**
   * Whether a description names one certificate, and no other than the one known.
   * @param {string} sdp
   */
  names(sdp) {
    const named = namedFingerprint(sdp);
    return this.expected ? named === this.expected : Boolean(named);
  }

  /** @param {"audio" | "video"} kind */
  sender(kind) {
    return this.pc.getTransceivers().find((t) => t.receiver.track.kind === kind)?.sender ?? null;
  }

  /**
   * @param {any} frame
   * @param {string} peer the other page when the frame came
   */
  async heard(frame, peer) {
    if (this.closed) return;
    if (frame.kind === "state") {
      // One that waited while a newer one came says nothing any more: the offer may have left by the newer one. That
      // is taken at once, so that what came between them is not taken for the page's before.
      await this.gateChanged(this.wire.state);
    } else if (frame.leg !== "call" || frame.negotiation !== this.negotiation) return;
    else if (peer && peer !== this.peer) return; // of a page that has gone
    else if (frame.kind === "description") await this.described(frame);
    else if (frame.kind === "candidate") await this.trickled(frame);
  }

  /** @param {any} state */
  async gateChanged(state) {
    const stricter = this.relayOnly !== state.relay_only;
    this.relayOnly = state.relay_only;
    if (stricter) this.restart(state.ice, -1, ""); // what was gathered until now may name this device's address
    if (stricter && !state.gate) await this.prepare();
    if (!state.gate) {
      // Shut: withdrawn, or not yet open. What ran is closed at once; a connection that never ran is kept ready.
      if (this.negotiation >= 0) {
        this.restart(state.ice, -1, "");
        await this.prepare();
      } else if (state.ice.length && !this.servers.length) {
        this.restart(state.ice, -1, "");
        await this.prepare();
      }
      this.become("waiting");
      return;
    }
    const sameCall = state.negotiation === this.negotiation;
    if (!sameCall || (state.peer && this.peer && state.peer !== this.peer)) {
      const untouched = this.negotiation < 0;
      if (untouched) {
        this.negotiation = state.negotiation;
        this.peer = state.peer;
        if (state.ice.length) this.pc.setConfiguration({ ...this.pc.getConfiguration(), iceServers: state.ice });
      }
      if (!untouched || performance.now() - this.preparedAt > GATHERED_FOR) {
        this.restart(state.ice, state.negotiation, state.peer);
      }
      if (state.peer && !this.polite) await this.offer();
    } else {
      this.renew(state.ice);
      if (state.peer && !this.peer) {
        this.peer = state.peer;
        if (!this.polite && !this.pc.remoteDescription) await this.offer();
      }
    }
    if (this.state === "waiting" && this.peer) this.become("connecting");
  }

  /**
   * @param {RTCIceServer[]} servers
   * @param {number} negotiation
   * @param {string} peer
   */
  restart(servers, negotiation, peer) {
    this.pc.close();
    this.expected = "";
    this.sends = "none";
    this.shows = "none";
    this.negotiation = negotiation;
    this.peer = peer;
    this.servers = servers;
    this.pc = this.fresh(servers);
    this.tell("transport", {});
    this.show();
    this.become(peer ? "connecting" : "waiting");
  }

  /**
   * Fresh credentials for the relay, before the old ones die. A call that runs over it moves to them.
   * @param {RTCIceServer[]} servers
   */
  renew(servers) {
    const known = this.pc.getConfiguration().iceServers?.[0]?.username ?? "";
    const next = servers[0]?.username ?? "";
    if (!next || next === known) return;
    this.servers = servers;
    this.pc.setConfiguration({ ...this.pc.getConfiguration(), iceServers: servers });
    if (this.polite && known && this.relayed) this.pc.restartIce();
  }

  async offer() {
    if (this.pc.signalingState === "have-local-offer" && !this.pc.remoteDescription) {
      this.sendDescription(); // prepared before
      return;
    }
    if (this.makingOffer || this.pc.signalingState !== "stable") return;
    // The answering side has nothing of its own. Chromium asks for an offer when the relay's address is told it, and
    // breaks on an empty one for good.
    if (this.pc.getTransceivers().length === 0) return;
    this.makingOffer = true;
    try {
      await this.pc.setLocalDescription();
      this.patience = UNANSWERED_AFTER;
      this.sendDescription();
    } finally {
      this.makingOffer = false;
    }
  }

  sendDescription() {
    if (!this.pc.localDescription) return;
    this.offeredAt = performance.now();
    this.tellDescription(this.pc.localDescription);
  }

  /** @param {RTCSessionDescriptionInit} description */
  tellDescription({ type, sdp }) {
    this.wire.send({ kind: "description", leg: "call", negotiation: this.negotiation, type, sdp });
  }

  /** @param {any} frame */
  async described(frame) {
    if (!this.names(frame.sdp)) {
      this.tell("foreign", {});
      return;
    }
    // Now, not when somebody has looked: until then another description could take this one's place.
    this.expected = namedFingerprint(frame.sdp) ?? "";
    const collision = frame.type === "offer" && (this.makingOffer || this.pc.signalingState !== "stable");
    this.ignoring = !this.polite && collision;
    if (this.ignoring && this.pc.signalingState === "have-local-offer") this.sendDescription(); // she may not have it
    if (this.polite && collision && this.pc.remoteDescription) {
      // Taking an own offer back leaves Chromium's picture standing still for good: both sides start afresh instead.
      this.moved = true;
      this.wire.renew();
      return;
    }
    if (this.ignoring || (frame.type === "answer" && this.pc.signalingState !== "have-local-offer")) return;
    await this.pc.setRemoteDescription({ type: frame.type, sdp: frame.sdp });
    this.exchangedAt = performance.now();
    if (frame.type === "offer") {
      await this.useOwnTracks();
      // Sent before it is applied: the other side can check paths while this one still gathers.
      const answer = await this.pc.createAnswer();
      this.tellDescription(answer);
      const applied = this.pc.setLocalDescription(answer);
      this.tell("given", {}); // the page may be drawn while it is applied
      await applied;
    }
  }

  /** The answering side takes the offer's transceivers for its own tracks. */
  async useOwnTracks() {
    for (const transceiver of this.pc.getTransceivers()) {
      const kind = transceiver.receiver.track.kind === "audio" ? "audio" : "video";
      transceiver.direction = "sendrecv";
      redundant(transceiver);
      if (transceiver.sender.track !== this.outgoing(kind)) await transceiver.sender.replaceTrack(this.outgoing(kind));
    }
  }

  /** @param {any} frame */
  async trickled(frame) {
    try {
      await this.pc.addIceCandidate({ candidate: frame.candidate, sdpMid: frame.mid });
    } catch (error) {
      if (!this.ignoring) throw error;
    }
  }

  connectionChanged() {
    const { connectionState } = this.pc;
    if (connectionState === "connected") {
      if (!this.polite) this.tell("given", {});
      if (!this.starving()) this.become("connected");
    } else if (connectionState === "disconnected") {
      this.become("interrupted");
      if (this.polite) this.seek();
    } else if (connectionState === "failed") {
      this.become("failed");
      this.seekingSince = performance.now();
      this.pc.restartIce();
    }
  }

  /** When a packet of sound or picture came last, on this page's clock; 0 when none has come yet. */
  lastPacket() {
    const sources = this.pc.getReceivers().flatMap((receiver) => receiver.getSynchronizationSources());
    return Math.max(0, ...sources.map((source) => source.timestamp - performance.timeOrigin));
  }

  starving() {
    return this.packetAt > 0 && performance.now() - this.packetAt > STARVED_AFTER.polite;
  }

  /** Browsers take five seconds to call a path broken. Whoever talks needs it sooner: what comes in says it. */
  look() {
    if (this.state === "waiting" || this.state === "closed") return;
    this.sayAgain();
    this.exchangeAnew();
    const last = this.lastPacket();
    if (last > this.packetAt) {
      this.packetAt = last;
      this.seekingSince = 0;
      this.doubted = false;
      if (this.pc.connectionState === "connected") this.become("connected");
      return;
    }
    const silent = this.packetAt ? performance.now() - this.packetAt : 0;
    if (silent > SUSPICIOUS_AFTER && !this.doubted) {
      this.doubted = true;
      this.wire.probe();
    }
    const patience = this.polite ? STARVED_AFTER.polite : STARVED_AFTER.impolite;
    if (silent > patience && !this.seekingSince) this.seek();
  }

  /** The path may be gone: is the clinic still there, and is there another way to the other side? */
  seek() {
    if (!this.peer || this.closed || !this.pc.remoteDescription) return;
    const broken = this.pc.connectionState !== "connected" || this.starving();
    if (!broken) return;
    if (this.state === "connected") this.become("interrupted");
    if (this.seekingSince && performance.now() - this.seekingSince < STARVED_AFTER.polite) return;
    this.seekingSince = performance.now();
    if (!this.doubted) this.wire.probe();
    this.doubted = true;
    this.pc.restartIce();
  }

  /** As after loading the page anew, only that nothing on it is lost. */
  startAfresh() {
    this.moved = false;
    this.enqueue(async () => {
      const { negotiation } = this;
      this.realm.renew();
      this.restart(this.servers, negotiation, "");
      this.become("interrupted");
    });
  }

  waitsForAnswer() {
    return this.negotiation >= 0 && this.peer !== "" && this.pc.signalingState === "have-local-offer";
  }

  /** An offer or its answer may have been lost with a socket. By now the description has its candidates in it. */
  sayAgain() {
    if (!this.waitsForAnswer() || performance.now() - this.offeredAt < this.patience) return;
    this.patience = Math.min(UNANSWERED_AT_MOST, this.patience * 2);
    this.sendDescription();
  }

  /** A candidate may have been lost with a socket, or an answer belong to an offer that another page made. */
  exchangeAnew() {
    const { connectionState, signalingState, remoteDescription } = this.pc;
    const looks = connectionState === "new" || connectionState === "connecting";
    if (this.polite || !looks || !remoteDescription || signalingState !== "stable") return;
    if (performance.now() - this.exchangedAt < this.unconnected) return;
    this.unconnected *= 2;
    this.exchangedAt = performance.now();
    this.pc.restartIce();
  }

  async measure() {
    if (this.state !== "connected") return;
    const pc = this.pc;
    const { sample, totals } = await measure(pc, this.totals);
    if (pc !== this.pc) return;
    this.totals = totals;
    this.relayed = sample?.relayed ?? this.relayed;
    if (sample) this.tell("quality", sample);
  }

  close() {
    if (this.closed) return;
    this.closed = true;
    clearInterval(this.meter);
    clearInterval(this.looker);
    removeEventListener("online", this.network);
    this.wire.removeEventListener("greeting", this.greeting);
    this.wire.removeEventListener("up", this.socketUp);
    this.realm.close();
    for (const kind of ["state", "description", "candidate"]) this.wire.removeEventListener(kind, this.listener);
    this.pc.close();
    this.become("closed");
  }

  /** @param {CallState} state */
  become(state) {
    if (this.state === state) return;
    this.state = state;
    this.tell("connection", { state });
  }

  /**
   * @param {string} name
   * @param {object} detail
   */
  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/**
 * Sound twice, each packet with the one before it (RFC 2198), where the browser can: a fifth may be lost and speech is
 * still understood.
 * @param {RTCRtpTransceiver} transceiver
 */
function redundant(transceiver) {
  if (transceiver.receiver.track.kind !== "audio" || !("setCodecPreferences" in transceiver)) return;
  const codecs = RTCRtpReceiver.getCapabilities("audio")?.codecs ?? [];
  const twice = codecs.filter((codec) => codec.mimeType.toLowerCase() === "audio/red");
  if (twice.length) transceiver.setCodecPreferences([...twice, ...codecs.filter((codec) => !twice.includes(codec))]);
}
