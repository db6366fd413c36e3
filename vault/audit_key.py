"""The Ed25519 key that signs the audit log's checkpoints: a file that only the process that seals needs to read."""

import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings

from vault.core.notes import BadNote, Checkpoint, Key, Signer, parse_secret, parse_vkey

_MOST_BYTES = 1024


class NoKey(Exception):
    """The log cannot be sealed; the message says what the operator does."""


def sign_root(signer: Signer, size: int, root: bytes) -> bytes:
    """64 bytes over the checkpoint of this size. The key's name is the log's, which each checkpoint begins with."""
    return signer.sign(Checkpoint(signer.key.name, size, root).text()).value


def path() -> Path:
    return Path(settings.AUDIT_KEY_FILE)


def public_path() -> Path:
    return path().with_name(f"{path().name}.pub")


def create(origin: str) -> Signer:
    """Make the file, never over an existing one; its public half beside it, for whoever only verifies."""
    signer, file = Signer(origin, Ed25519PrivateKey.generate()), path()
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as out:
        out.write(f"{signer.secret()}\n")
        out.flush()
        os.fsync(descriptor)
    write_public(signer.key)
    return signer


def write_public(key: Key) -> None:
    public_path().write_text(f"{key.vkey}\n")
    public_path().chmod(0o644)


def load_public() -> Key:
    """The key of this log, as this server says it; who does not trust the server has noted it elsewhere."""
    try:
        return parse_vkey(public_path().read_text().removesuffix("\n"))
    except (OSError, BadNote):
        return load().key


def load() -> Signer:
    file = path()
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as opened:
            info = os.fstat(descriptor)
            data = opened.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise NoKey(f"The audit log's key is missing. Restore {file.name}, or make one: manage.py audit_key.") from None
    except OSError as error:
        raise NoKey(f"The audit log's key cannot be read ({error.strerror}).") from None
    if not stat.S_ISREG(info.st_mode) or info.st_uid not in (os.geteuid(), 0):
        raise NoKey("The audit log's key is no plain file of the account that runs this.")
    if stat.S_IMODE(info.st_mode) not in (0o600, 0o400):
        raise NoKey(f"The audit log's key can be read by others. Run: chmod 600 {file.name}")
    try:
        return parse_secret(data.decode().removesuffix("\n"))
    except (UnicodeDecodeError, BadNote):
        raise NoKey("The audit log's key is damaged. Restore it from its backup.") from None
