"""Messages a second between two people: the product with all its checks, beside PeerServer, a bare relay, and groups of
Channels over Redis. SECONDS=5 and ROUNDS=5 in the environment make it steadier; PeerServer is looked for, or
installed, in the folder that TELEHEALTH_BENCH_PEERS names.
"""

import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests import engines
from tests.benchmarks.vault import ours

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PEERS = Path(os.environ.get("TELEHEALTH_BENCH_PEERS", Path.home() / ".cache" / "telehealth-bench"))
ROUNDS, SECONDS = int(os.environ.get("ROUNDS", "3")), float(os.environ.get("SECONDS", "3"))
#: seconds before it counts, a room: the product looks closely at whoever has just come
WARM = 0.02
ROOMS = (200, 500)
MARK = "bench-mark"
BIN = Path(sys.executable).parent
UVICORN = [BIN / "uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--log-level", "error", "--no-access-log"]
SERVERS = {
    "uvicorn": UVICORN,
    # as deploy/systemd/telehealth-web@.service has it
    "ours": [
        *UVICORN,
        "--ws",
        "telehealth.uvicorn_sockets:Sockets",
        "--ws-max-size",
        "65536",
        "--ws-per-message-deflate",
        "false",
    ],
    "daphne": [BIN / "daphne", "-v", "0", "-b", "127.0.0.1", "-p", "{port}"],
}
APP = "tests.benchmarks.relay_apps:application"
LINE = "a=candidate:842163049 1 udp 1677729535 198.51.100.7 50000 typ srflx raddr 0.0.0.0 rport 0 "
#: of ten messages, two are descriptions of 2 KB and eight candidates of 200 bytes
KINDS = ("offer", "answer", *["candidate"] * 8)


def run() -> list[dict[str, Any]]:
    rates: dict[tuple[str, int], list[float]] = {}
    trouble: dict[str, int] = {}
    with engines.redis() as redis:
        for _ in range(ROUNDS):
            for rooms in ROOMS:
                for name, start in _servers(str(redis), rooms).items():
                    with ExitStack() as stack:
                        said = _load(stack.enter_context(start))
                    rates.setdefault((name, rooms), []).append(said["rate"])
                    trouble[name] = trouble.get(name, 0) + said["lost"] + said["closed"] + said["strange"]
                    print(f"{name}, {rooms} rooms: {said}", file=sys.stderr, flush=True)
    return _judged(rates, trouble)


def _judged(rates: dict[tuple[str, int], list[float]], trouble: dict[str, int]) -> list[dict[str, Any]]:
    def result(ours: str, other: str, rooms: int, target: float, what: str) -> dict[str, Any]:
        runs = {name: rates[name, rooms] for name in (ours, other)}
        ratio = statistics.median(runs[ours]) / statistics.median(runs[other])
        return {
            "what": f"{what}, {rooms} rooms ({ours} to {other}; lost or closed: {trouble[ours]})",
            "unit": "msg/s",
            "runs": runs,
            "ratio": ratio,
            "target": target,
            "least": True,
            "met": ratio >= target and trouble[ours] == 0,
        }

    found = []
    for rooms in ROOMS:
        one = "Relay inside one process"
        found += [
            result("product, uvicorn", "PeerServer", rooms, 0.6, one),
            result("product, daphne", "bare, daphne", rooms, 0.8, one),
            result("product, uvicorn", "groups, uvicorn", rooms, 15, one),
        ]
    found.append(result("product, two uvicorns", "groups, uvicorn", ROOMS[0], 10, "Relay between two processes"))
    return found


# -- servers, each as the plan of a load ----------------------------------------------------------------------


def _servers(redis: str, rooms: int) -> dict[str, Any]:
    found = {
        "PeerServer": _peer_server(rooms),
        "bare, daphne": _simple("bare", "daphne", rooms, redis),
        "groups, uvicorn": _simple("groups", "uvicorn", rooms, redis),
        "product, uvicorn": _product(["ours"], rooms, ""),
        "product, daphne": _product(["daphne"], rooms, ""),
    }
    if rooms == ROOMS[0]:
        found["product, two uvicorns"] = _product(["ours", "ours"], rooms, redis)
    return found


@contextmanager
def _simple(which: str, server: str, rooms: int, redis: str) -> Iterator[dict[str, Any]]:
    with _running(server, {"RELAY_APP": which, "RELAY_REDIS": redis}) as port:
        sends = [_filled(f"{MARK} ", 2048 if kind != "candidate" else 200) for kind in KINDS]
        yield _plan(port, [[_client(f"/{n}/{side}", sends) for side in "ab"] for n in range(rooms)])


@contextmanager
def _peer_server(rooms: int) -> Iterator[dict[str, Any]]:
    folder = PEERS / "peerserver"
    program = folder / "node_modules/peer/dist/bin/peerjs.js"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--no-fund", "--no-audit", "peer"], cwd=folder, check=True)
    port = engines.free_port()
    words = ["--port", str(port), "--host", "127.0.0.1", "--path", "/", "--concurrent_limit", "9999"]
    with _process(["node", str(program), *words], {}, port):
        yield _plan(port, [[_peer(n, side) for side in "ab"] for n in range(rooms)], ready='"OPEN"')


def _peer(room: int, side: str) -> dict[str, Any]:
    other = f"{room}{'b' if side == 'a' else 'a'}"
    payloads = [{MARK: _filled("", 2048 if kind != "candidate" else 200)} for kind in KINDS]
    sends = [
        json.dumps({"type": kind.upper(), "dst": other, "payload": payload})
        for kind, payload in zip(KINDS, payloads, strict=True)
    ]
    return _client(f"/peerjs?key=peerjs&id={room}{side}&token={secrets.token_hex(8)}", sends)


@contextmanager
def _product(servers: list[str], rooms: int, redis: str) -> Iterator[dict[str, Any]]:
    """The product's own application: sessions, seats, gate, every check. With two servers each side is at its own."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        chosen = {"REDIS_URL": redis} if redis else {}
        if redis:
            chosen["DATABASE_URL"] = str(stack.enter_context(engines.postgres(options=("max_connections=260",))))
        seats: Any = ours("tests.benchmarks.relay_seed", str(rooms), folder=folder, chosen=chosen)
        where = {"RELAY_APP": "product", "TELEHEALTH_DATA": folder, "TELEHEALTH_MODE": "demo", **chosen}
        ports = [stack.enter_context(_running(server, where)) for server in servers]
        pairs = [[_side(seat, role) for role in ("clinician", "patient")] for seat in seats]
        for pair in pairs:
            pair[1]["port"] = ports[-1]
        yield _plan(ports[0], pairs, host="localhost:8443", ready='"peer":"[0-9a-f]{16}"', strange='"fault"')


def _side(seat: dict[str, str], role: str) -> dict[str, Any]:
    headers = {"Origin": "https://localhost:8443", "Cookie": seat[role]}
    first = json.dumps({"kind": "hello", "protocol": 1, "tab": secrets.token_hex(8)})
    return _client(f"/ws/visit/{seat['consult']}/{role}/", list(map(_frame, KINDS)), headers=headers, first=first)


def _frame(kind: str) -> str:
    """As the page writes it (JSON.stringify)."""
    leg = {"leg": "call", "negotiation": 1}
    if kind == "candidate":
        line = _filled(LINE[2:] + f"generation 0 ufrag {MARK} network-id ", 130)
        frame: dict[str, Any] = {"kind": kind, **leg, "candidate": line, "mid": "0"}
    else:
        media = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n"
        fingerprint = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)
        sdp = f"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns={MARK}\r\nt=0 0\r\n{media}{fingerprint}\r\n"
        while len(sdp) < 1800:
            sdp += "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n"
        frame = {"kind": "description", **leg, "type": kind, "sdp": sdp}
    return json.dumps(frame, separators=(",", ":"))


def _filled(start: str, length: int) -> str:
    return (start + "1677729535 198.51.100.7 " * (length // 24 + 1))[:length].strip()


def _client(path: str, sends: list[str], *, headers: dict[str, str] | None = None, first: str = "") -> dict[str, Any]:
    return {"path": path, "headers": headers or {}, "first": first, "sends": sends}


def _plan(
    port: int, rooms: list[Any], *, host: str | None = None, ready: str = "", strange: str = ""
) -> dict[str, Any]:
    plan = {"port": port, "host": host, "rooms": rooms, "readyWhen": ready, "strange": strange}
    return {**plan, "mark": MARK, "warm": WARM * len(rooms), "seconds": SECONDS}


# -- running --------------------------------------------------------------------------------------------------


def _load(plan: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        ["node", str(HERE / "relay_load.mjs")], input=json.dumps(plan), capture_output=True, text=True, timeout=300
    )
    if done.returncode or not done.stdout:
        sys.exit(f"The load broke off: {done.stderr[-1500:]}")
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@contextmanager
def _running(server: str, environment: dict[str, str]) -> Iterator[int]:
    port = engines.free_port()
    command = [str(word).replace("{port}", str(port)) for word in SERVERS[server]]
    with _process([*command, APP], environment, port):
        yield port


@contextmanager
def _process(command: list[str], environment: dict[str, str], port: int) -> Iterator[None]:
    with tempfile.TemporaryFile() as log:
        where = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environment}
        process = subprocess.Popen(command, env=where, cwd=ROOT, stdout=log, stderr=log)
        try:
            _until_open(port, process, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _until_open(port: int, process: "subprocess.Popen[bytes]", log: Any) -> None:
    for _ in range(300):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
            return
        except OSError:
            time.sleep(0.1)
    log.seek(0)
    sys.exit(f"A server did not start: {log.read()[-1500:].decode(errors='replace')}")
