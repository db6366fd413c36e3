"""Carries the log's checkpoints out of reach of whoever has the database: to files, addresses, buckets and witnesses.

Each place is told on its own; one that is away is tried again and holds up nobody else.
"""

import json
import logging
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection
from django.utils import timezone

from vault.audit_key import NoKey, load_public
from vault.audit_tree import Broken, head, prove_growth
from vault.audit_verify import Seen
from vault.core.notes import (
    BadNote,
    Checkpoint,
    Key,
    Note,
    Signature,
    parse_checkpoint,
    parse_note,
    parse_signature,
    parse_vkey,
    verify,
)
from vault.models import AuditBatch, AuditWitnessing
from vault.witness import NotCosigned, add_checkpoint

logger = logging.getLogger("telehealth.audit")
TIMEOUT_SECONDS = 10.0
FIRST_SECONDS = 1.0


class NotPublished(Exception):
    """The message says to where, and why."""


def note_of(key: Key, batch: AuditBatch) -> Note:
    """The signed checkpoint after this batch, with what witnesses have signed of it."""
    text = Checkpoint(key.name, batch.size, bytes(batch.root)).text()
    lines = AuditWitnessing.objects.filter(size=batch.size).order_by("pk").values_list("line", flat=True)
    own = Signature(key.name, key.key_id, bytes(batch.signature))
    return Note(text, (own, *(parse_signature(line) for line in lines)))


# -- places --------------------------------------------------------------------------------------------------


def places() -> dict[str, Callable[[int, bytes], None]]:
    """Where checkpoints go, by address: `AUDIT_PUBLISH`, separated by spaces."""
    ways = {"file": _to_file, "https": _to_address, "http": _to_address, "s3": _to_bucket}
    found = {}
    for address in settings.AUDIT_PUBLISH:
        way = ways.get(urlsplit(address).scheme)
        if way is None:
            raise NotPublished(f"AUDIT_PUBLISH takes file:, https: and s3: addresses, not {address!r}.")
        found[address] = way(address)
    return found


def _to_file(address: str) -> Callable[[int, bytes], None]:
    """A line of JSON for each checkpoint, appended: another disk, or a folder that another machine collects."""
    file = Path(urlsplit(address).path)

    def put(_size: int, note: bytes) -> None:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            os.write(descriptor, json.dumps({"note": note.decode()}, ensure_ascii=False).encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    return put


def _to_address(address: str) -> Callable[[int, bytes], None]:
    """POST of the note; any 2xx is a receipt."""

    def put(_size: int, note: bytes) -> None:
        request = urllib.request.Request(  # noqa: S310  (the scheme was looked at)
            address, data=note, headers={"Content-Type": "text/plain; charset=utf-8"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):  # noqa: S310
            pass

    return put


def _to_bucket(address: str) -> Callable[[int, bytes], None]:
    """s3://bucket/prefix: `checkpoint` is the newest, `checkpoints/SIZE` stays; give the bucket an object lock."""
    parts = urlsplit(address)
    prefix = parts.path.strip("/")
    client = import_module("boto3").client("s3", endpoint_url=settings.AUDIT_S3_ENDPOINT or None)

    def put(size: int, note: bytes) -> None:
        for name in (f"checkpoints/{size:020d}", "checkpoint"):
            client.put_object(
                Bucket=parts.netloc, Key=f"{prefix}/{name}".lstrip("/"), Body=note, ContentType="text/plain"
            )

    return put


# -- witnesses -----------------------------------------------------------------------------------------------


def witnesses() -> dict[str, Key]:
    """Address -> key: `AUDIT_WITNESSES`, each VKEY@ADDRESS, separated by spaces."""
    found = {}
    for one in settings.AUDIT_WITNESSES:
        vkey, _, address = one.partition("@")
        try:
            found[address] = parse_vkey(vkey)
        except BadNote as error:
            raise NotPublished(f"AUDIT_WITNESSES: {error}") from None
    return found


def cosign(address: str, witness: Key, key: Key, batch: AuditBatch) -> None:
    """Have the witness sign this checkpoint, and keep its line."""
    known = (
        AuditWitnessing.objects.filter(witness=witness.name).order_by("-size").values_list("size", flat=True).first()
    )
    note = note_of(key, batch)
    old = known or 0
    for _ in range(2):
        try:
            lines = add_checkpoint(
                address, old, prove_growth(old, batch.size) if old else [], note.encode(), timeout=TIMEOUT_SECONDS
            )
        except NotCosigned as error:
            if error.size is None or error.size > batch.size:
                raise
            old = error.size  # it knows more than we remember
            continue
        signatures = tuple(parse_signature(line) for line in lines)
        (found, *_) = verify(Note(note.text, signatures), [witness])
        AuditWitnessing.objects.get_or_create(
            size=batch.size,
            witness=witness.name,
            defaults={"line": found.signature.line, "at": timezone.now()},
        )
        return
    raise NotCosigned("The witness and this log do not agree on what it has seen.")


# -- the loop ------------------------------------------------------------------------------------------------


class Publisher:
    """Remembers what each place has, and what is wrong with it."""

    def __init__(self) -> None:
        self.told: dict[str, int] = {}
        self.trouble: dict[str, str] = {}

    def publish(self) -> None:
        """Tell everybody who does not have the newest checkpoint, witnesses first, so that their word goes along."""
        batch = head()
        if batch is None:
            return
        key = load_public()
        for address, witness in witnesses().items():
            self._tell(address, batch.size, partial(cosign, address, witness, key, batch))
        note = note_of(key, batch).encode()
        for address, put in places().items():
            self._tell(address, batch.size, partial(put, batch.size, note))

    def _tell(self, address: str, size: int, act: Callable[[], None]) -> None:
        if self.told.get(address) == size:
            return
        try:
            act()
        except Exception as error:  # whatever a place does, the others are told, and the log says so
            said = str(error) if isinstance(error, NotCosigned | NotPublished) else type(error).__name__
            if self.trouble.get(address) != said:
                logger.error("The audit log's checkpoint was not taken by %s: %s", address, said)
            self.trouble[address] = said
        else:
            self.told[address] = size
            if self.trouble.pop(address, None):
                logger.warning("The audit log's checkpoints are taken by %s again.", address)


def run(stop: threading.Event) -> None:
    publisher = Publisher()
    while not stop.is_set():
        try:
            publisher.publish()
        except (DatabaseError, Broken, BadNote, NoKey, NotPublished, OSError) as error:
            logger.error("The audit log's checkpoints are not published: %s", type(error).__name__)
            close_old_connections()
        # A new log's first checkpoint is not kept waiting.
        stop.wait(settings.AUDIT_PUBLISH_SECONDS if publisher.told or publisher.trouble else FIRST_SECONDS)
    connection.close()


def own_files() -> list[Path]:
    """The files that checkpoints are published to from here and that are there."""
    files = [Path(urlsplit(address).path) for address in settings.AUDIT_PUBLISH if address.startswith("file:")]
    return [file for file in files if file.exists()]


# -- what was seen outside -----------------------------------------------------------------------------------


def seen_in(file: Path, key: Key) -> Iterator[Seen]:
    """The checkpoints in a file that `_to_file` wrote, or in one note; each must be signed by the log's key."""
    data = file.read_bytes()
    notes = [data] if not data.startswith(b"{") else [json.loads(line)["note"].encode() for line in data.splitlines()]
    for note in notes:
        yield _seen(parse_note(note), key, file.name)


def seen_by_witnesses(key: Key) -> Iterator[Seen]:
    """What witnesses signed, by the lines kept in the database; a line that is gone proves nothing by its absence."""
    known = {witness.name: witness for witness in witnesses().values()}
    for row in AuditWitnessing.objects.order_by("size"):
        batch = AuditBatch.objects.filter(size=row.size).first()
        if row.witness in known and batch is not None:
            note = Note(Checkpoint(key.name, row.size, bytes(batch.root)).text(), (parse_signature(row.line),))
            verify(note, [known[row.witness]])
            yield Seen(row.size, bytes(batch.root), row.witness)


def _seen(note: Note, key: Key, where: str) -> Seen:
    verify(note, [key])
    checkpoint = parse_checkpoint(note.text)
    if checkpoint.origin != key.name:
        raise BadNote("The checkpoint is another log's.")
    return Seen(checkpoint.size, checkpoint.root, where)
