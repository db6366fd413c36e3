"""Carries the log's checkpoints out of reach of whoever has the database: to files, addresses, buckets and witnesses.

Each place is told on its own; one that is away is tried again and holds up nobody else.
"""

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection
from django.utils import timezone

from vault.audit_key import NoKey, load_public
from vault.audit_tree import Broken, head, prove_growth
from vault.audit_verify import Seen
from vault.core.notes import (
    NOTE_MOST_BYTES,
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
from vault.exchange import NoAnswer, post
from vault.models import AuditBatch, AuditWitnessing
from vault.witness import NotCosigned, add_checkpoint, latest_checkpoint

logger = logging.getLogger("telehealth.audit")
TIMEOUT_SECONDS = 10.0
FIRST_SECONDS = 1.0
#: checkpoints of a bucket that are compared: the newest so many, and as many of all before
OF_BUCKET = 100


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
            before, line = os.fstat(descriptor).st_size, json.dumps({"note": note.decode()}, ensure_ascii=False) + "\n"
            if os.write(descriptor, line.encode()) < len(line.encode()):
                os.ftruncate(descriptor, before)  # half a line would spoil the next one, and all that verifies
                raise NotPublished(f"{file} takes no whole line: is the disk full?")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    return put


def _to_address(address: str) -> Callable[[int, bytes], None]:
    """POST of the note; any 2xx is a receipt."""

    def put(_size: int, note: bytes) -> None:
        post(address, note, timeout=TIMEOUT_SECONDS, headers={"Content-Type": "text/plain; charset=utf-8"})

    return put


def _to_bucket(address: str) -> Callable[[int, bytes], None]:
    """s3://bucket/prefix: `checkpoint` is the newest, `checkpoints/SIZE` stays; give the bucket an object lock.

    Nothing that is there is written over, so that a log that was put back or forked leaves what tells of it.
    """

    def put(size: int, note: bytes) -> None:
        bucket = Bucket(address)
        longer = next(bucket.sizes(after=size), None)
        if longer is not None:
            raise NotPublished(f"It has seen {longer:,} entries and this log has {size:,}: it was put back or cut.")
        if (there := bucket.get(name_of(size))) is None:
            bucket.put(name_of(size), note)
        elif parse_note(there).text != parse_note(note).text:
            raise NotPublished(f"It has another log of {size:,} entries.")
        bucket.put("checkpoint", note)

    return put


def name_of(size: int) -> str:
    return f"checkpoints/{size:020d}"


@cache
def _client(endpoint: str) -> Any:
    """Made once, since that takes longer than a request."""
    once = import_module("botocore.config").Config(
        connect_timeout=TIMEOUT_SECONDS, read_timeout=TIMEOUT_SECONDS, retries={"total_max_attempts": 1}
    )
    return import_module("boto3").client("s3", endpoint_url=endpoint or None, config=once)


class Bucket:
    """What a bucket has under the address's prefix."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._client = _client(settings.AUDIT_S3_ENDPOINT)
        prefix = parts.path.strip("/")
        self._bucket, self._prefix = parts.netloc, f"{prefix}/" if prefix else ""

    def put(self, name: str, note: bytes) -> None:
        self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=note, ContentType="text/plain")

    def get(self, name: str) -> bytes | None:
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
        except self._client.exceptions.NoSuchKey:
            return None
        return bytes(answer["Body"].read(NOTE_MOST_BYTES))

    def sizes(self, *, after: int = -1) -> Iterator[int]:
        """Of the checkpoints that it has, ascending; nothing that others put there."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=f"{self._prefix}checkpoints/", StartAfter=self._prefix + name_of(max(after, 0))
        )
        for page in pages:
            for found in page.get("Contents", []):
                name = found["Key"].rpartition("/")[2]
                if len(name) == 20 and name.isascii() and name.isdecimal() and int(name) > after:
                    yield int(name)


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
            said = str(error) if isinstance(error, NotCosigned | NotPublished | NoAnswer) else type(error).__name__
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
    """What witnesses signed, by the lines kept in the database; a line that is gone proves nothing by its absence.

    A line that is not of the root that stands here is of another one: a head that no log here can have.
    """
    known = {witness.name: witness for witness in witnesses().values()}
    for row in AuditWitnessing.objects.order_by("size"):
        if (witness := known.get(row.witness)) is None:
            continue  # it is asked no longer
        batch = AuditBatch.objects.filter(size=row.size).first()
        root = bytes(batch.root) if batch else b""
        try:
            signature = parse_signature(row.line)
            if signature.key_id != witness.key_id:
                continue  # of a witness that began anew
            verify(Note(Checkpoint(key.name, row.size, root).text(), (signature,)), [witness])
        except (BadNote, ValueError):
            root = b""
        yield Seen(row.size, root, row.witness)


def asked_outside(key: Key) -> tuple[list[Seen], list[str]]:
    """The checkpoints that witnesses and buckets have, and a sentence about each that could not be compared.

    What a database keeps goes back with it when it is put back to an older state; this does not.
    """
    found, silent = list[Seen](), _files_gone()
    for address, ask in _memories(key).items():
        try:
            found += ask()
        except Exception as error:  # whatever it does, the others are asked, and it is said
            said = str(error) if isinstance(error, NotCosigned | BadNote) else type(error).__name__
            silent.append(f"{address} was not compared: {said}")
            logger.error("The audit log is not compared with %s: %s", address, said)
    return found, silent


def _files_gone() -> list[str]:
    """A file beside the data is the first that somebody removes who rewrites the log."""
    files = [Path(urlsplit(address).path) for address in settings.AUDIT_PUBLISH if address.startswith("file:")]
    return [f"{file} was not compared: it is not there." for file in files if not file.exists()]


def _memories(key: Key) -> dict[str, Callable[[], list[Seen]]]:
    asks: dict[str, Callable[[], list[Seen]]] = {
        address: partial(_ask_witness, address, witness, key) for address, witness in witnesses().items()
    }
    asks |= {one: partial(_ask_bucket, one, key) for one in settings.AUDIT_PUBLISH if one.startswith("s3:")}
    return asks


def _ask_witness(address: str, witness: Key, key: Key) -> list[Seen]:
    data = latest_checkpoint(address, key.name, timeout=TIMEOUT_SECONDS)
    if data is None:
        return []
    note = parse_note(data)
    verify(note, [witness])
    return [_seen(note, key, witness.name)]


def _ask_bucket(address: str, key: Key) -> list[Seen]:
    """The newest of its checkpoints, and of the older ones some from all its time: one that was put back over is
    among those that stay, and a log that was rewritten differs from each that was seen between then and now."""
    bucket = Bucket(address)
    sizes = list(bucket.sizes())
    step = max(1, len(sizes) // OF_BUCKET)
    chosen = sorted({*sizes[-OF_BUCKET:], *sizes[::step]})
    notes = [bucket.get(name_of(size)) for size in chosen]
    return [_seen(parse_note(note), key, address) for note in notes if note is not None]


def _seen(note: Note, key: Key, where: str) -> Seen:
    verify(note, [key])
    checkpoint = parse_checkpoint(note.text)
    if checkpoint.origin != key.name:
        raise BadNote("The checkpoint is another log's.")
    return Seen(checkpoint.size, checkpoint.root, where)
