"""The file of the key-encryption keys: read, made, added to, taken from.

It is written beside itself and renamed, so that a process that dies in the middle leaves the old one or the new one.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from django.conf import settings

from vault.core.sealing import KEK_ID_BYTES, new_key
from vault.custody import CUSTODIANS, Custodian, Damaged, Refused, VaultUnavailable, configured
from vault.keydocument import Document, KeySet, parse, ready, recover

#: far above any real file: a thousand keys of the longest custodian
_MOST_BYTES = 1 << 20


class NotRetired(Exception):
    """The message says what is in the way."""


class Mark(NamedTuple):
    """By what a changed file is told from the one that was read."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


class KeyFile:
    """The key file at `path`, whose entries are `custodian`'s."""

    def __init__(self, path: Path, custodian: Custodian) -> None:
        self.path = path
        self.custodian = custodian

    def load(self) -> KeySet:
        return ready(self.read()[0], self.custodian)

    def read(self) -> tuple[Document, Mark]:
        """The document as it stands, no key recovered yet."""
        with _told(self.path):
            # A link could be turned elsewhere by whoever may write its folder; a pipe would make us wait.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:
                mark = _private(os.fstat(descriptor), self.path)
                data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise Damaged
        document = parse(data)
        if document.custodian not in CUSTODIANS:
            raise Damaged
        if document.custodian != self.custodian.name:
            raise VaultUnavailable(
                f"The vault's key file was made for VAULT_KEY_CUSTODIAN={document.custodian}, and the setting is"
                f" {self.custodian.name}. Set the one it was made for, or put back the file that belongs to this one."
            )
        return document, mark

    def mark(self) -> Mark:
        """The file's mark now, without reading it; refused where others could read it."""
        with _told(self.path):
            return _private(os.lstat(self.path), self.path)

    def confirm(self, document: Document) -> None:
        """Have the custodian recover the current key once more."""
        self.custodian.renew()
        recover(self.custodian, document.current, document.entries[document.current])

    def create(self) -> bytes:
        """Make the file with one fresh key; never over an existing one. Its id."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.path.lexists(self.path):  # before a custodian is asked for a key that nobody will use
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self.path))
        key_id, entry = self._fresh()
        with self._alone() as folder:
            new = self._write(Document(self.custodian.name, key_id, {key_id: entry}))
            try:
                os.link(new, self.path)  # unlike a rename, refuses where something stands already
            finally:
                new.unlink()
            os.fsync(folder)
        return key_id

    def add(self) -> bytes:
        """A fresh key becomes the current one; the others stay. Its id."""
        key_id, entry = self._fresh()
        with self._alone() as folder:
            self._replace(self.read()[0].with_current(key_id, entry), folder)
        return key_id

    def retire(self, key_id: bytes) -> None:
        """Take a key out that nothing is wrapped under any more: whatever still is can never be opened again."""
        with self._alone() as folder:
            document = self.read()[0]
            if key_id == document.current:
                raise NotRetired("This is the current key; add another one first.")
            if key_id not in document.entries:
                raise NotRetired("The key file has no key of this id.")
            self._replace(document.without(key_id), folder)

    def _fresh(self) -> tuple[bytes, str]:
        key_id, key = os.urandom(KEK_ID_BYTES), new_key()
        entry = self.custodian.protect(key_id, key)
        if recover(self.custodian, key_id, entry) != key:  # better now than after patients are sealed under it
            raise Refused("The custodian of the vault's keys does not give back the key it was given.")
        return key_id, entry

    @contextmanager
    def _alone(self) -> Iterator[int]:
        """Nobody else changes the folder's key file. The lock goes with the process, however it ends."""
        with _told(self.path):
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield folder
        finally:
            os.close(folder)

    def _replace(self, document: Document, folder: int) -> None:
        os.rename(self._write(document), self.path)
        os.fsync(folder)

    def _write(self, document: Document) -> Path:
        new = self.path.with_name(f".{self.path.name}.new")
        new.unlink(missing_ok=True)  # of one who died here; we are alone
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(document.text())
            file.flush()
            os.fsync(descriptor)
        return new


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What the system says about the file, in words for the one who runs the server."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise VaultUnavailable("The vault's key file is missing. Restore it from its backup.") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise VaultUnavailable(_NOT_A_FILE) from None
        raise VaultUnavailable(
            f"The vault's key file cannot be read ({error.strerror}). Give {path.name} to the account that runs this."
        ) from None


_NOT_A_FILE = "The vault's key file is not a plain file. VAULT_KEY_FILE must name the file itself, not a link to it."


def _private(info: os.stat_result, path: Path) -> Mark:
    if not stat.S_ISREG(info.st_mode):
        raise VaultUnavailable(_NOT_A_FILE)
    if info.st_uid not in (os.geteuid(), 0):
        raise VaultUnavailable("The vault's key file belongs to another account. Give it to the one that runs this.")
    if stat.S_IMODE(info.st_mode) not in (0o600, 0o400):
        raise VaultUnavailable(f"The vault's key file can be read by others. Run: chmod 600 {path.name}")
    return Mark(info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)


def configured_file() -> KeyFile:
    return KeyFile(Path(settings.VAULT_KEY_FILE), configured())
