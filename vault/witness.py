"""A witness of transparency logs, as C2SP tlog-witness says: it cosigns what only ever grew, and remembers it.

It needs nothing of the rest of the product, so that another house can run it:

    python -m vault.witness --state FOLDER --new-key witness.example/w1
    python -m vault.witness --state FOLDER --logs FILE --listen 127.0.0.1:8090

The folder holds the key and, for each log, the last checkpoint that was cosigned. Never put it back from a backup: with
an older state a log could take back what it has said since. A witness that lost its folder begins anew, with a new key.
"""

import argparse
import fcntl
import os
import re
import socket
import socketserver
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vault.core.notes import (
    COSIGNATURE,
    ED25519,
    NOTE_MOST_BYTES,
    BadNote,
    Checkpoint,
    Key,
    Note,
    Signer,
    decimal,
    from_base64,
    parse_checkpoint,
    parse_note,
    parse_secret,
    parse_signature,
    parse_vkey,
    to_base64,
    verify,
)
from vault.core.tlog import EMPTY_ROOT, HASH_BYTES, MOST_PROOF_LINES, NotProven, verify_consistency
from vault.exchange import Answer, NoAnswer, ask, cut, parts_of

#: an old size, 63 lines of 44 letters, an empty line, and the note
REQUEST_MOST_BYTES = NOTE_MOST_BYTES + (4 << 10)
#: a request must be over by then, waiting for it on an open connection included
REQUEST_WITHIN = 15.0
MOST_CONNECTIONS = 32
_LOGS_MOST_BYTES = 1 << 20
_KEY_MOST_BYTES = 1 << 10
_SIZE_TYPE = "text/x.tlog.size"


class CannotWitness(Exception):
    """The message says to the one who runs the witness what to do."""


# -- requests ----------------------------------------------------------------------------------------------


class Request(NamedTuple):
    old: int
    proof: list[bytes]
    note: Note
    checkpoint: Checkpoint


def parse_request(body: bytes) -> Request:
    head, _, data = body.partition(b"\n\n")
    if not head.isascii():
        raise BadNote("A request is an old size, a proof, an empty line and a checkpoint.")
    old, *lines = head.decode().split("\n")
    proof = [from_base64(line) for line in lines]
    if not old.startswith("old ") or len(proof) > MOST_PROOF_LINES or any(len(one) != HASH_BYTES for one in proof):
        raise BadNote("A request begins with the old size and at most 63 hashes.")
    note = parse_note(data)
    return Request(decimal(old.removeprefix("old ")), proof, note, parse_checkpoint(note.text))


def write_request(old: int, proof: Sequence[bytes], note: bytes) -> bytes:
    return "".join(line + "\n" for line in (f"old {old}", *map(to_base64, proof), "")).encode() + note


# -- what was cosigned -------------------------------------------------------------------------------------


class States:
    """The last checkpoint cosigned of each log, with the cosignature, in a file each."""

    def __init__(self, folder: Path, key: Key) -> None:
        self.folder, self._key = folder, key

    @contextmanager
    def alone(self) -> Iterator[int]:
        """Nobody else looks or writes, in this process or another. The lock goes with the process, however it ends."""
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield folder
        finally:
            os.close(folder)

    def read(self, name: str) -> bytes | None:
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def latest(self, origin: str) -> Checkpoint:
        """What was cosigned last; the empty tree if nothing was."""
        data = self.read(file_of(origin))
        if data is None:
            return Checkpoint(origin, 0, EMPTY_ROOT)
        try:
            note = parse_note(data)
            verify(note, [self._key])
            checkpoint = parse_checkpoint(note.text)
        except BadNote:
            checkpoint = None
        if checkpoint is None or checkpoint.origin != origin:
            # Not taken for a log never seen: that would cosign any fork of it.
            raise CannotWitness(f"The state of {origin} is damaged; this witness can no longer vouch for that log.")
        return checkpoint

    def keep(self, name: str, data: bytes, folder: int) -> None:
        """On the disk when this returns. Whoever dies in the middle leaves the old file or the new one."""
        new = self.folder / f".{name}.new"
        new.unlink(missing_ok=True)  # of one who died here; we are alone
        _write_new(new, data)
        os.rename(new, self.folder / name)
        os.fsync(folder)


def file_of(origin: str) -> str:
    """A log's file, by the name under which tlog-witness serves it."""
    return sha256(origin.encode()).hexdigest()


def _write_new(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


# -- the witness -------------------------------------------------------------------------------------------


class Reply(NamedTuple):
    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"


class Witness:
    """Cosigns for these logs. Every answer's status is the specification's."""

    def __init__(
        self, signer: Signer, logs: Mapping[str, Sequence[Key]], folder: Path, clock: Callable[[], float] = time.time
    ) -> None:
        self.states = States(folder, signer.key)
        self._signer, self._logs, self._clock = signer, logs, clock

    def add_checkpoint(self, body: bytes) -> Reply:
        try:
            asked = parse_request(body)
        except BadNote:
            return Reply(400)
        if asked.checkpoint.origin not in self._logs:
            return Reply(404)
        try:
            signed = verify(asked.note, self._logs[asked.checkpoint.origin])
        except BadNote:
            return Reply(403)
        if asked.old > asked.checkpoint.size:
            return Reply(400)
        # What the log has signed; lines that others added are not passed on.
        note = Note(asked.note.text, tuple(dict.fromkeys(one.signature for one in signed)))
        with self.states.alone() as folder:
            return self._judge(asked, note, folder)

    def _judge(self, asked: Request, note: Note, folder: int) -> Reply:
        """Looking at the last state and replacing it are one step: between two, another request could do the same."""
        new, latest = asked.checkpoint, self.states.latest(asked.checkpoint.origin)
        if asked.old != latest.size:
            return Reply(409, b"%d\n" % latest.size, _SIZE_TYPE)
        try:
            verify_consistency(latest.size, latest.root, new.size, new.root, asked.proof)
        except NotProven:
            self._accuse(latest, new, note, folder)
            return Reply(422)
        cosignature = self._signer.cosign(note.text, int(self._clock()))
        cosigned = note._replace(signatures=(*note.signatures, cosignature))
        # Written again even if it is the same: an earlier try may have failed before it was safe on the disk.
        self.states.keep(file_of(new.origin), cosigned.encode(), folder)
        return Reply(200, f"{cosignature.line}\n".encode())

    def _accuse(self, latest: Checkpoint, new: Checkpoint, note: Note, folder: int) -> None:
        """Two roots of one size, both signed by the log, prove that it forked. The first such note is kept."""
        name = f"{file_of(new.origin)}.fork"
        if new.size == latest.size and new.root != latest.root and self.states.read(name) is None:
            self.states.keep(name, note.encode(), folder)

    def checkpoint(self, name: str) -> Reply:
        """What monitors read."""
        with self.states.alone():  # or they could see what a power cut takes back
            data = self.states.read(name)
        return Reply(404) if data is None else Reply(200, data)


# -- over HTTP ---------------------------------------------------------------------------------------------


class Server(ThreadingHTTPServer):
    """A thread a connection, of which there are few, and none for long."""

    daemon_threads = True
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, host: str, port: int, witness: Witness) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.witness = witness
        self._ends: dict[Any, float] = {}  # connection -> when its request must be over
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer asks the name service for our name, which can take long

    def begin(self, connection: Any) -> None:
        self._ends[connection] = time.monotonic() + REQUEST_WITHIN

    def process_request(self, request: Any, client_address: Any) -> None:
        if len(self._ends) >= MOST_CONNECTIONS:
            self.shutdown_request(request)
            return
        self.begin(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._ends.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Twice a second. A socket's own timeout begins anew with every byte, so slow ones would keep it for ever."""
        now = time.monotonic()
        for connection, end in list(self._ends.items()):
            if end < now:
                cut(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a client that went away
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "tlog-witness", ""
    timeout = REQUEST_WITHIN
    server: Server

    def handle_one_request(self) -> None:
        self.server.begin(self.connection)
        super().handle_one_request()

    def do_GET(self) -> None:
        found = re.fullmatch("/([0-9a-f]{64})/checkpoint", self.path)
        self._send(self._judged(lambda: self.server.witness.checkpoint(found[1])) if found else Reply(404))

    def do_POST(self) -> None:
        lengths = self.headers.get_all("Content-Length", [])
        if "Transfer-Encoding" in self.headers or len(lengths) != 1 or not re.fullmatch("[0-9]{1,12}", lengths[0]):
            self._refuse(Reply(411))
        elif int(lengths[0]) > REQUEST_MOST_BYTES:
            self._refuse(Reply(413))
        else:
            body = self.rfile.read(int(lengths[0]))
            if len(body) < int(lengths[0]):
                self.close_connection = True
            elif self.path != "/add-checkpoint":
                self._send(Reply(404))
            else:
                self._send(self._judged(lambda: self.server.witness.add_checkpoint(body)))

    def _judged(self, judge: Callable[[], Reply]) -> Reply:
        try:
            return judge()
        except (OSError, CannotWitness) as error:  # nothing was cosigned
            self.log_error("%s", error)
            return Reply(500)

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(reply.body)

    def _refuse(self, reply: Reply) -> None:
        """Without having read the body. Some of it is read afterwards, or the refusal would be lost to a reset."""
        self.close_connection = True
        self._send(reply)
        self.connection.shutdown(socket.SHUT_WR)
        left = REQUEST_MOST_BYTES * 4
        while left > 0 and (data := self.rfile.read1(65536)):
            left -= len(data)


# -- asking a witness --------------------------------------------------------------------------------------


class NotCosigned(Exception):
    """`status`: the witness's, None where it gave no proper answer. `size`: with 409, of what it cosigned last."""

    def __init__(self, message: str, status: int | None = None, size: int | None = None) -> None:
        super().__init__(message)
        self.status, self.size = status, size


def add_checkpoint(url: str, old_size: int, proof: Sequence[bytes], note: bytes, *, timeout: float) -> list[str]:
    """Ask the witness at this submission prefix. Signature lines without newlines; they are the witness's word, and
    prove something only once `notes.verify` has found them to be of its key. `NotCosigned` where there are none.

    `timeout`: seconds to connect, and as many again until the whole answer is there.
    """
    status, content_type, reply = _asked(url, "/add-checkpoint", write_request(old_size, proof, note), timeout)
    try:
        text = reply.decode()
        if status == 409 and content_type == _SIZE_TYPE and text.endswith("\n"):
            raise NotCosigned("The witness has cosigned another size.", status, decimal(text[:-1]))
        if status != 200:
            raise NotCosigned(f"The witness refused with {status}.", status)
        if not text.endswith("\n"):
            raise BadNote("There are no signature lines.")
        return [parse_signature(line).line for line in text[:-1].split("\n")]
    except (BadNote, UnicodeDecodeError):
        raise NotCosigned("The witness gave no proper answer.", status) from None


def latest_checkpoint(url: str, origin: str, *, timeout: float) -> bytes | None:
    """The note that the witness at this prefix cosigned last for this log, as it serves it to monitors; None where it
    has none. Proves something only once its signatures are verified."""
    answer = _asked(url, f"/{file_of(origin)}/checkpoint", None, timeout)
    if answer.status not in (200, 404):
        raise NotCosigned(f"The witness answered with {answer.status}.", answer.status)
    return answer.body if answer.status == 200 else None


def _asked(url: str, path: str, body: bytes | None, timeout: float) -> Answer:
    try:
        if parts_of(url).query:
            raise ValueError
    except ValueError:
        raise NotCosigned("The witness's address must be http://host or https://host, and may have a path.") from None
    try:
        return ask(url.rstrip("/") + path, body, timeout=timeout)
    except NoAnswer as error:
        raise NotCosigned(f"The witness: {error}") from None


# -- running one -------------------------------------------------------------------------------------------


def new_key(folder: Path, name: str) -> Key:
    """Make a witness's folder and its key; never over an existing one."""
    try:
        signer = Signer(name, Ed25519PrivateKey.generate(), COSIGNATURE)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with States(_private_folder(folder), signer.key).alone() as opened:
            path = folder / "key"
            new = folder / ".key.new"
            new.unlink(missing_ok=True)
            _write_new(new, f"{signer.secret()}\n".encode())
            try:
                os.link(new, path)  # unlike a rename, refuses where something stands already
            finally:
                new.unlink()
            os.fsync(opened)
    except FileExistsError:
        raise CannotWitness(f"{folder / 'key'} is there already; it is left as it is.") from None
    except BadNote as error:
        raise CannotWitness(str(error)) from None
    except OSError as error:
        raise CannotWitness(f"{folder} cannot be written: {error.strerror}.") from None
    return signer.key


def load_key(folder: Path) -> Signer:
    path = _private_folder(folder) / "key"
    try:
        # A link could be turned elsewhere by whoever may write its folder; a pipe would make us wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            _check_private(os.fstat(descriptor), path)
            data = file.read(_KEY_MOST_BYTES + 1)
    except OSError as error:
        raise CannotWitness(f"{path} cannot be read ({error.strerror}). Make a key with --new-key.") from None
    try:
        signer = parse_secret(data.decode().removesuffix("\n"))
    except (BadNote, UnicodeDecodeError):
        signer = None
    if signer is None or signer.key.kind != COSIGNATURE:
        raise CannotWitness(f"{path} holds no witness's key. Put back the one that --new-key made.")
    return signer


def _private_folder(folder: Path) -> Path:
    try:
        info = folder.stat()
    except OSError as error:
        raise CannotWitness(f"{folder} cannot be read ({error.strerror}). Make it and a key with --new-key.") from None
    if not stat.S_ISDIR(info.st_mode) or info.st_uid not in (os.geteuid(), 0) or info.st_mode & 0o022:
        raise CannotWitness(f"{folder} can be changed by others, or is no folder. Run: chmod 700 {folder}")
    return folder


def _check_private(info: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(info.st_mode) or info.st_uid not in (os.geteuid(), 0):
        raise CannotWitness(f"{path} is not a plain file of the account that runs this. Put the key itself there.")
    if stat.S_IMODE(info.st_mode) not in (0o600, 0o400):
        raise CannotWitness(f"{path} can be read by others. Run: chmod 600 {path}")


def load_logs(file: Path) -> dict[str, list[Key]]:
    """A line for each key of a log: its origin, a space, its verifier key. Lines that begin with # are remarks."""
    try:
        with file.open("rb") as opened:
            text = opened.read(_LOGS_MOST_BYTES).decode()
    except (OSError, UnicodeDecodeError):
        raise CannotWitness(f"{file} cannot be read. Name the file that lists the logs.") from None
    logs: dict[str, list[Key]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        origin, _, vkey = line.rpartition(" ")
        try:
            key = parse_vkey(vkey)
        except BadNote as error:
            raise CannotWitness(f"{file}, line {number}: {error}") from None
        if not origin or key.kind != ED25519:
            raise CannotWitness(
                f"{file}, line {number}: write the log's origin, a space, and its Ed25519 verifier key."
            )
        logs.setdefault(origin, []).append(key)
    return logs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", type=Path, required=True, help="folder of the key and of what was cosigned")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--new-key", metavar="NAME", help="make the witness's key under this name, and print its vkey")
    what.add_argument("--listen", metavar="HOST:PORT", help="witness over HTTP at this address")
    parser.add_argument("--logs", type=Path, help="file of the logs to witness: a line of origin and vkey each")


def run(options: Mapping[str, Any], say: Callable[[str], object]) -> None:
    """What the command line asked for; `CannotWitness` tells why it cannot be done."""
    if options["new_key"]:
        say(new_key(options["state"], options["new_key"]).vkey)
        return
    host, _, port = options["listen"].rpartition(":")
    if not host or not re.fullmatch("[0-9]{1,5}", port) or not options["logs"]:
        raise CannotWitness("Give an address like 127.0.0.1:8090 with --listen, and the logs with --logs.")
    signer, logs = load_key(options["state"]), load_logs(options["logs"])
    try:
        server = Server(host.strip("[]"), int(port), Witness(signer, logs, options["state"]))
    except (OSError, OverflowError) as error:
        raise CannotWitness(f"{options['listen']} cannot be listened on ({error}).") from None
    with server:
        say(f"{signer.key.vkey} witnesses {len(logs)} logs at http://{host}:{server.server_address[1]}/")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("Stopped.")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m vault.witness", description="A witness of transparency logs.")
    add_arguments(parser)
    try:
        run(vars(parser.parse_args()), _say)
    except CannotWitness as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
