"""Entries of the log with their proofs, all in one checkpoint, for a file that is checked away from here."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vault import audit_key, audit_tree
from vault.audit_leaves import leaves_of
from vault.audit_publish import witnesses
from vault.core.entries import id_of
from vault.core.notes import BadNote, Checkpoint, Key, Note, Signature, parse_signature, verify
from vault.models import AuditBatch, AuditWitnessing


class NotSealed(Exception):
    """An entry is in no checkpoint yet: it is within a second or two, while the log is being sealed."""


class Gone(Exception):
    """An entry has left the database with its month: only the archived file has it."""


@dataclass(frozen=True, slots=True)
class Proven:
    log: Key
    #: a signed note, with the lines of `witnesses` in their order and no other
    checkpoint: str
    witnesses: list[Key]
    #: of each entry, in the order asked: leaf, index and proof as `vault.core.receipt.build` takes them
    places: list[dict[str, Any]]


def prove(entries: Sequence[int]) -> Proven:
    """By which somebody without this database can check that these entries are in the log."""
    leaves = {id_of(leaf): leaf for leaf in leaves_of(entries)}
    if len(leaves) != len(set(entries)):
        raise Gone
    found = [audit_tree.find(entry) for entry in entries]
    indexes = [place.index for place in found if place is not None]
    newest = audit_tree.head()
    if newest is None or len(indexes) != len(entries):
        raise NotSealed
    log = audit_key.load_public()
    batch, seen = _witnessed(log, max(indexes) + 1) or (newest, [])
    own = Signature(log.name, log.key_id, bytes(batch.signature))
    return Proven(
        log,
        Note(_text(log, batch), (own, *(line for _, line in seen))).encode().decode(),
        [key for key, _ in seen],
        [
            {
                "leaf": base64.b64encode(leaves[entry]).decode(),
                "index": index,
                "proof": [base64.b64encode(one).decode() for one in audit_tree.prove_entry(index, batch.size)],
            }
            for entry, index in zip(entries, indexes, strict=True)
        ],
    )


def as_file(proven: Proven) -> bytes:
    """The proof of one entry (FORMAT.md), for somebody who has only this file and the log's key."""
    (place,) = proven.places
    told = {**place, "checkpoint": proven.checkpoint, "log": proven.log.vkey}
    return json.dumps(told, indent=1, ensure_ascii=False).encode()


def _witnessed(log: Key, least: int) -> tuple[AuditBatch, list[tuple[Key, Signature]]] | None:
    """The newest checkpoint of at least this size that a witness signed, and what those who are known signed of it."""
    known = {key.name: key for key in witnesses().values()}
    rows = AuditWitnessing.objects.filter(witness__in=known, size__gte=least)
    batch = AuditBatch.objects.filter(size__in=rows.order_by("-size").values("size")[:1]).first()
    if batch is None:
        return None
    lines = rows.filter(size=batch.size).order_by("witness").values_list("witness", "line")
    seen = [(known[name], parse_signature(line)) for name, line in lines]
    good = [(key, line) for key, line in seen if _is_good(key, line, _text(log, batch))]
    return (batch, good) if good else None


def _text(log: Key, batch: AuditBatch) -> str:
    return Checkpoint(log.name, batch.size, bytes(batch.root)).text()


def _is_good(key: Key, line: Signature, text: str) -> bool:
    """A line that was changed in the database would spoil the file; what it spoils here is found by `audit_verify`."""
    try:
        return bool(verify(Note(text, (line,)), [key]))
    except BadNote:
        return False
