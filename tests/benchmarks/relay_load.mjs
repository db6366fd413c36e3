// Load for a relay of WebSocket messages: two clients a room, one message in flight, back and forth. A plan on standard
// input says who connects how and what each sends; the figures go to standard output as JSON.
//
// Frames are made once and written as they are, and what comes in is only counted, so that this side costs little.

import net from "node:net";
import { text } from "node:stream/consumers";

const plan = JSON.parse(await text(process.stdin));
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const counts = { passed: 0, closed: 0, strange: 0 };
let ended = false;

/** A frame of RFC 6455, masked with zeros; 1 is text, 10 the answer to a server that asks whether one is there. */
function framed(message, kind = 1) {
  const body = Buffer.from(message);
  const long = body.length > 125;
  const head = Buffer.alloc(long ? 8 : 6);
  head[0] = 0x80 | kind;
  head[1] = 0x80 | (long ? 126 : body.length);
  if (long) head.writeUInt16BE(body.length, 2);
  return Buffer.concat([head, body]);
}

const PING = framed('{"kind":"ping"}');

class Client {
  constructor({ path, headers, first, sends, port }) {
    this.sends = sends.map((one) => framed(one));
    this.path = path;
    this.port = port;
    this.headers = headers;
    this.first = first;
    this.turn = 0;
    this.owed = 0;
    this.buffer = Buffer.alloc(0);
    this.ready = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
  }

  connect() {
    this.socket = net.connect(this.port ?? plan.port, "127.0.0.1", () => {
      const lines = [
        `GET ${this.path} HTTP/1.1`,
        `Host: ${plan.host ?? `127.0.0.1:${plan.port}`}`,
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        ...Object.entries(this.headers).map(([name, value]) => `${name}: ${value}`),
      ];
      this.socket.write(`${lines.join("\r\n")}\r\n\r\n`);
    });
    this.socket.setNoDelay(true);
    this.socket.on("error", (error) => this.reject(error));
    this.socket.on("close", () => {
      if (!ended) counts.closed += 1;
      this.reject(new Error("closed"));
    });
    this.socket.on("data", (data) => this.heard(data));
    return this.ready;
  }

  heard(data) {
    this.buffer = this.buffer.length ? Buffer.concat([this.buffer, data]) : data;
    if (!this.up && !this.upgraded()) return;
    let at = 0;
    while (this.buffer.length - at >= 2) {
      let length = this.buffer[at + 1] & 127;
      let body = at + 2;
      if (length === 126) {
        if (this.buffer.length < at + 4) break;
        length = this.buffer.readUInt16BE(at + 2);
        body = at + 4;
      }
      if (this.buffer.length < body + length) break;
      const kind = this.buffer[at] & 15;
      if (kind === 1) this.message(this.buffer.subarray(body, body + length));
      else if (kind === 9) this.socket.write(framed(this.buffer.subarray(body, body + length), 10));
      at = body + length;
    }
    this.buffer = this.buffer.subarray(at);
  }

  upgraded() {
    const end = this.buffer.indexOf("\r\n\r\n");
    if (end < 0) return false;
    if (!this.buffer.subarray(0, 12).includes("101")) {
      this.reject(new Error(this.buffer.subarray(0, 200).toString()));
      return false;
    }
    this.buffer = this.buffer.subarray(end + 4);
    this.up = true;
    if (this.first) this.socket.write(framed(this.first));
    // As the product's pages do: one that is silent while others connect is taken for asleep.
    if (this.first) setInterval(() => this.socket.write(PING), 3000);
    if (!plan.readyWhen) this.resolve();
    return true;
  }

  message(body) {
    if (body.includes(plan.mark)) {
      counts.passed += 1;
      this.owed -= 1;
      if (!ended) this.send();
    } else if (plan.readyWhen && new RegExp(plan.readyWhen).test(body)) this.resolve();
    else if (plan.strange && body.includes(plan.strange)) counts.strange += 1;
  }

  send() {
    this.peer.owed += 1;
    this.socket.write(this.sends[this.turn++ % this.sends.length]);
  }
}

const clients = [];
for (const [one, other] of plan.rooms) {
  const [a, b] = [new Client(one), new Client(other)];
  Object.assign(a, { peer: b }), Object.assign(b, { peer: a });
  clients.push(a, b);
  await Promise.all([a.connect(), b.connect()]);
}
for (let at = 0; at < clients.length; at += 2) clients[at].send();
await sleep(plan.warm * 1000);
const [before, started] = [counts.passed, performance.now()];
await sleep(plan.seconds * 1000);
const rate = (counts.passed - before) / ((performance.now() - started) / 1000);
ended = true;
for (let waited = 0; waited < 60 && clients.some((c) => c.owed > 0); waited += 1) await sleep(100);
const lost = clients.reduce((sum, c) => sum + Math.max(c.owed, 0), 0);
process.stdout.write(JSON.stringify({ rate, lost, closed: counts.closed, strange: counts.strange }));
process.exit(0);
