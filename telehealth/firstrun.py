"""What must be there before settings are read: a writable data folder, secrets, a free port."""

import errno
import os
import secrets
import socket
import sys
from pathlib import Path

KEPT_SECRETS = ("secret_key", "cryptography_key", "channel_key", "demo_password")


def prepare() -> None:
    """Make what is missing. Whatever is in the way is told in one sentence, and the start stops."""
    data = Path(os.environ.get("TELEHEALTH_DATA") or Path(__file__).resolve().parent.parent / "var").resolve()
    try:
        keys = data / "keys"
        keys.mkdir(parents=True, exist_ok=True, mode=0o700)
        keys.chmod(0o700)
        for name in KEPT_SECRETS:
            _keep_secret(keys / name)
    except OSError:
        stop(f"The data folder {data} cannot be written; set TELEHEALTH_DATA to a folder that can.")
    check_port(os.environ.get("TELEHEALTH_BIND") or "127.0.0.1", os.environ.get("TELEHEALTH_PORT") or "8443")


def _keep_secret(path: Path) -> None:
    if os.environ.get("TELEHEALTH_MODE") == "production" or path.exists():
        if not os.access(path.parent, os.W_OK):
            raise OSError(errno.EACCES, "not writable")
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(12 if path.name == "demo_password" else 48))


def check_port(bind: str, port: str) -> None:
    if not port.isdigit() or not 0 < int(port) < 65536:
        stop(f"TELEHEALTH_PORT is {port!r}; set it to a number from 1 to 65535.")
    with socket.socket(socket.AF_INET6 if ":" in bind else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, int(port)))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                stop(f"Port {port} is taken; stop what uses it or set TELEHEALTH_PORT to another one.")
            stop(f"Port {port} cannot be opened on {bind}: {os.strerror(error.errno or 0)}.")


def stop(sentence: str) -> None:
    sys.stderr.write(sentence + "\n")
    raise SystemExit(1)
