"""Signed notes, checkpoints and cosignatures, as C2SP signed-note, tlog-checkpoint and tlog-cosignature say. Pure.

Parsers take one encoding of a thing and refuse every other with `BadNote`. Of the signature types there are two here:
Ed25519 over the text (a log's), and Ed25519 over a checkpoint and a time (a witness's cosignature/v1).
"""

import base64
import re
from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from vault.core.tlog import HASH_BYTES, SIZE_LIMIT

ED25519, COSIGNATURE = 0x01, 0x04
#: sixteen signatures of the longest kind there is must fit
NOTE_MOST_BYTES = 128 << 10
MOST_SIGNATURES = 64
#: of an origin and a key's name, as tlog-cosignature has it for its other signature type
NAME_MOST_BYTES = 255
_KEY_BYTES = 32
_ID_BYTES = 4
_TIME_BYTES = 8
_TIME_LIMIT = 1 << 63
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f]")
_DECIMAL = re.compile("0|[1-9][0-9]{0,18}")
_KEY_ID = re.compile("[0-9a-f]{8}")
_PRIVATE = "PRIVATE+KEY+"


class BadNote(Exception):
    """Not a note, checkpoint, signature or key in its one form, or not signed by who should have."""


def decimal(text: str) -> int:
    """A size as notes write it."""
    if not _DECIMAL.fullmatch(text) or int(text) >= SIZE_LIMIT:
        raise BadNote("This is not a size.")
    return int(text)


def to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def from_base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = None
    # The last letter may carry bits that decoding drops: only one of those spellings is the encoding.
    if data is None or to_base64(data) != text:
        raise BadNote("This is not base64.")
    return data


def _check_name(name: str) -> str:
    fits = 0 < len(name.encode(errors="replace")) <= NAME_MOST_BYTES
    if not fits or "+" in name or any(map(str.isspace, name)) or _CONTROL.search(name):
        raise BadNote("A key's name has no spaces and no plus sign, and 255 bytes at most.")
    return name


# -- keys --------------------------------------------------------------------------------------------------


class Key(NamedTuple):
    """Who verifies: a name, what kind of signatures (`ED25519` or `COSIGNATURE`), and 32 bytes of public key."""

    name: str
    kind: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:_ID_BYTES]

    @property
    def vkey(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{to_base64(bytes([self.kind]) + self.public)}"


def parse_vkey(text: str) -> Key:
    name, key_id, material = _key_parts(text)
    key = Key(name, material[0], material[1:])
    if key.key_id != key_id:
        raise BadNote("The key's id is not that of its name and bytes; it may have been copied badly.")
    return key


def _key_parts(text: str) -> tuple[str, bytes, bytes]:
    parts = text.split("+", 2)  # base64 has plus signs of its own
    if len(parts) != 3 or not _KEY_ID.fullmatch(parts[1]):
        raise BadNote("A verifier key is written name+id+base64.")
    material = from_base64(parts[2])
    if len(material) != 1 + _KEY_BYTES or material[0] not in (ED25519, COSIGNATURE):
        raise BadNote("This kind of key is not known here.")
    return _check_name(parts[0]), bytes.fromhex(parts[1]), material


class Signer:
    """A private key with its name and kind. Written as Go's note package writes one, so that its tools read it."""

    __slots__ = ("_private", "key")

    def __init__(self, name: str, private: Ed25519PrivateKey, kind: int = ED25519) -> None:
        self._private = private
        self.key = Key(_check_name(name), kind, private.public_key().public_bytes_raw())

    def secret(self) -> str:
        seed = to_base64(bytes([self.key.kind]) + self._private.private_bytes_raw())
        return f"{_PRIVATE}{self.key.name}+{self.key.key_id.hex()}+{seed}"

    def sign(self, text: str) -> "Signature":
        if self.key.kind != ED25519 or not text.endswith("\n") or _CONTROL.search(text):
            raise BadNote("This key signs notes, whose lines all end with a newline.")
        return self._signature(self._private.sign(text.encode()))

    def cosign(self, text: str, at: int) -> "Signature":
        """`at`: seconds since 1970. The text must be a checkpoint's, since nothing else may be cosigned."""
        if self.key.kind != COSIGNATURE or not 0 < at < _TIME_LIMIT:
            raise BadNote("This key cosigns checkpoints, at a time after 1970.")
        parse_checkpoint(text)
        return self._signature(at.to_bytes(_TIME_BYTES, "big") + self._private.sign(_cosigned(text, at)))

    def _signature(self, value: bytes) -> "Signature":
        return Signature(self.key.name, self.key.key_id, value)


def parse_secret(text: str) -> Signer:
    if not text.startswith(_PRIVATE):
        raise BadNote("This is not a private key.")
    name, key_id, material = _key_parts(text.removeprefix(_PRIVATE))
    signer = Signer(name, Ed25519PrivateKey.from_private_bytes(material[1:]), material[0])
    if signer.key.key_id != key_id:
        raise BadNote("The private key's id is not that of its name and bytes.")
    return signer


# -- notes -------------------------------------------------------------------------------------------------


class Signature(NamedTuple):
    name: str
    key_id: bytes
    value: bytes

    @property
    def line(self) -> str:
        """Without its newline."""
        return f"— {self.name} {to_base64(self.key_id + self.value)}"


class Note(NamedTuple):
    """Text that ends with a newline, and who claims to have signed it. Trust it only after `verify`."""

    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        return (self.text + "\n" + "".join(one.line + "\n" for one in self.signatures)).encode()


def parse_note(data: bytes) -> Note:
    if len(data) > NOTE_MOST_BYTES:
        raise BadNote("A note this long is not read.")
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        raise BadNote("A note is UTF-8.") from None
    # The last empty line is where the signatures begin; the text may have others.
    text, blank, lines = whole.rpartition("\n\n")
    if not blank or not lines.endswith("\n") or _CONTROL.search(whole):
        raise BadNote("A note is text, an empty line, and lines with signatures.")
    if lines.count("\n") > MOST_SIGNATURES:
        raise BadNote("A note with so many signatures is not read.")
    return Note(text + "\n", tuple(map(parse_signature, lines[:-1].split("\n"))))


def parse_signature(line: str) -> Signature:
    """A signature line without its newline."""
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "—":
        raise BadNote("This is not a signature line.")
    blob = from_base64(parts[2])
    if len(blob) <= _ID_BYTES:
        raise BadNote("This is not a signature line.")
    return Signature(_check_name(parts[1]), blob[:_ID_BYTES], blob[_ID_BYTES:])


class Verified(NamedTuple):
    key: Key
    signature: Signature
    #: of a cosignature: when, in seconds since 1970
    at: int | None


def verify(note: Note, keys: Iterable[Key]) -> list[Verified]:
    """The signatures by these keys; those by others are passed over. `BadNote` where one is wrong or there is none."""
    known = {(key.name, key.key_id): key for key in keys}
    found = [(known[one[:2]], one) for one in note.signatures if one[:2] in known]
    if not found:
        raise BadNote("The note is signed by nobody who is known here.")
    return [Verified(key, one, _check_signature(key, one.value, note.text)) for key, one in found]


def _check_signature(key: Key, value: bytes, text: str) -> int | None:
    at, signed = None, text.encode()
    if key.kind == COSIGNATURE:
        at, value = int.from_bytes(value[:_TIME_BYTES], "big"), value[_TIME_BYTES:]
        signed = _cosigned(text, at)
        if not 0 < at < _TIME_LIMIT:
            raise BadNote("A cosignature has its time.")
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(value, signed)
    except InvalidSignature:
        raise BadNote("A signature is not that of the key it names.") from None
    return at


def _cosigned(text: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{text}".encode()


# -- checkpoints -------------------------------------------------------------------------------------------


class Checkpoint(NamedTuple):
    """A log's state: its name, how many leaves, and the root over them."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def text(self) -> str:
        text = "".join(line + "\n" for line in (self.origin, str(self.size), to_base64(self.root), *self.extensions))
        if parse_checkpoint(text) != self:
            raise BadNote("This cannot be written as a checkpoint.")
        return text


def parse_checkpoint(text: str) -> Checkpoint:
    """Of a note's text."""
    lines = text.split("\n")
    if len(lines) < 4 or lines.pop() or not all(lines) or len(text) > NOTE_MOST_BYTES or _CONTROL.search(text):
        raise BadNote("A checkpoint is a name, a size and a root, each on its line.")
    origin, size, root = lines[0], decimal(lines[1]), from_base64(lines[2])
    if len(origin.encode()) > NAME_MOST_BYTES or len(root) != HASH_BYTES:
        raise BadNote("A checkpoint's name has 255 bytes at most, and its root 32.")
    return Checkpoint(origin, size, root, tuple(lines[3:]))


def is_signed(key: Key, size: int, root: bytes, signature: bytes) -> bool:
    """Whether these 64 bytes are the log's signature of its checkpoint of this size and root."""
    try:
        text = Checkpoint(key.name, size, root).text()
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, text.encode())
    except (BadNote, InvalidSignature):
        return False
    return True
