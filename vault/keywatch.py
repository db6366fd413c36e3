"""The key-encryption keys at run time: served from memory, and taken back when the file or its custodian is gone."""

import logging
import os
import threading
from time import monotonic
from typing import NamedTuple

from django.conf import settings

from vault.custody import Refused, Unreachable, VaultUnavailable
from vault.keydocument import Document, KeySet, ready
from vault.keyfile import KeyFile, Mark, configured_file

logger = logging.getLogger("vault")

#: until a custodian that did not answer, or said no, is asked again
RETRY_SECONDS = 10


class _Known(NamedTuple):
    keys: KeySet
    #: when the file is to be looked at again
    until: float


class Watch:
    """The keys of one file, served from memory and looked after: the file often, a remote custodian now and then."""

    def __init__(self, file: KeyFile, *, recheck: float, confirm: float, grace: float) -> None:
        self.file = file
        self.recheck, self.interval, self.grace = recheck, confirm, grace
        self.known: _Known | None = None
        self._one = threading.Lock()
        self._document: Document | None = None
        self._mark: Mark | None = None
        #: when the custodian last gave a key, and when it is asked next
        self._answered = self._ask_at = 0.0
        #: what the custodian said last, told again until it is asked again
        self._no: VaultUnavailable | None = None

    def look(self, *, new_key: bool = False) -> KeySet:
        """The keys, the file looked at. One caller looks; others go on with what is known, or wait where nothing is."""
        known = self.known
        if not self._one.acquire(blocking=known is None or new_key or self._overdue()):
            return known.keys  # type: ignore[union-attr]  # where nothing is known we have waited
        try:
            if not new_key and (known := self.known) is not None and monotonic() < known.until:
                return known.keys  # somebody else has looked while we waited
            keys = self._look()
            until = monotonic() + self.recheck
            self.known = _Known(keys, min(until, self._ask_at) if self.file.custodian.remote else until)
            return keys
        except VaultUnavailable:
            self.known = self._document = self._mark = None
            raise
        finally:
            self._one.release()

    def _overdue(self) -> bool:
        return self.file.custodian.remote and monotonic() >= self._answered + self.grace

    def _look(self) -> KeySet:
        mark = self.file.mark()
        keys = self.known.keys if self.known else None
        asked = not self.file.custodian.remote or monotonic() < self._ask_at
        if asked and self._no and keys is None:
            raise type(self._no)(str(self._no))
        if asked and keys and (self._no or mark == self._mark):
            return keys
        return self._ask(keys, mark)

    def _ask(self, keys: KeySet | None, mark: Mark) -> KeySet:
        """Have the keys recovered: all of them where the file is another, otherwise the current one, as a question."""
        try:
            if keys is None or self._document is None or mark != self._mark:
                document, mark = self.file.read()
                found = ready(document, self.file.custodian)
                keys = KeySet(found.current_id, found.ciphers, lambda: self.look(new_key=True))
                self._document, self._mark = document, mark
            else:
                self.file.confirm(self._document)
        except (Refused, Unreachable) as no:
            if self._no is None or str(no) != str(self._no):
                logger.warning("vault keys: %s", no)
            self._no, self._ask_at = no, monotonic() + RETRY_SECONDS
            if keys is None or isinstance(no, Refused) or self._overdue():
                raise
            self._ask_at = min(self._ask_at, self._answered + self.grace)
            return keys
        if self._no:
            logger.warning("vault keys: the custodian gives them again.")
        self._no, self._answered = None, monotonic()
        self._ask_at = self._answered + self.interval
        return keys


_watch: Watch | None = None
_making = threading.Lock()


def keys() -> KeySet:
    """The key-encryption keys, or `VaultUnavailable` where the file or its custodian does not give them any more."""
    watch = _watch
    if watch is None:
        watch = _watched()
    known = watch.known
    if known is not None and monotonic() < known.until:
        return known.keys
    return watch.look()


def _watched() -> Watch:
    global _watch
    with _making:
        if _watch is None:
            _watch = Watch(
                configured_file(),
                recheck=settings.VAULT_KEY_RECHECK_SECONDS,
                confirm=settings.VAULT_KEY_CONFIRM_SECONDS,
                grace=settings.VAULT_KEY_GRACE_SECONDS,
            )
        return _watch


def forget() -> None:
    """Start over from the settings at the next use."""
    global _watch
    _watch = None


# A forked process has its parent's connections to the custodian, and perhaps a lock of a thread that it lacks.
os.register_at_fork(after_in_child=forget)
