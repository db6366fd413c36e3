"""What a thief has: the database as bytes and as tables, Redis, logs and folders. And, to score her, the truth."""

import gzip
import os
import re
import subprocess
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import redis
from django.apps import apps
from django.conf import settings
from django.db import connection

from vault.bulk import read_many
from vault.core.sealing import owner_of
from vault.custody import configured
from vault.keydocument import recover
from vault.keyfile import configured_file
from vault.keyring import indexes, unwrap_data_key
from vault.keywatch import keys
from vault.models import ClinicIndex, DataKey

#: a value of type bytea, as pg_dump writes it for COPY
BYTEA = re.compile(rb"(\\\\x)((?:[0-9a-f]{2})+)")


class CannotDrill(Exception):
    """The drill could not be held; the message says why."""


@dataclass
class Table:
    """One table as SQL shows it."""

    name: str
    columns: list[str]
    rows: list[tuple[Any, ...]]

    def column(self, name: str) -> list[Any]:
        at = self.columns.index(name)
        return [row[at] for row in self.rows]


@dataclass
class Loot:
    #: where it was found -> bytes
    bytes: dict[str, bytes] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)


def steal(folders: Iterable[Path]) -> Loot:
    loot = Loot()
    loot.bytes.update(_database())
    loot.bytes.update(_redis())
    for folder in folders:
        loot.bytes.update(_folder(folder))
    loot.tables = {table.name: table for table in _tables()}
    return loot


def _database() -> dict[str, bytes]:
    if connection.vendor == "postgresql":
        # Byte strings stand in it as hex, in megabytes of which any eight digits come by chance. So they are read as
        # the bytes they are.
        dump = _dump()
        raw = b"\n".join(bytes.fromhex(found[2].decode()) for found in BYTEA.finditer(dump))
        return {"database dump": BYTEA.sub(rb"\1", dump), "database dump, its byte strings": raw}
    path = Path(str(connection.settings_dict["NAME"]))
    files = [path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")]
    return {f"database file {file.name}": file.read_bytes() for file in files if file.exists()}


def _dump() -> bytes:
    """As `pg_dump` writes it; the password goes by the environment, where no list of processes shows it."""
    parts = connection.settings_dict
    where = ["-h", str(parts["HOST"]), "-p", str(parts["PORT"]), "-U", str(parts["USER"])]
    command = ["pg_dump", *where, str(parts["NAME"])]
    environment = {"PATH": os.environ["PATH"], "PGPASSWORD": str(parts["PASSWORD"])}
    try:
        return subprocess.run(command, env=environment, capture_output=True, check=True, timeout=600).stdout
    except (OSError, subprocess.SubprocessError):
        raise CannotDrill("pg_dump is needed and did not work.") from None


def _redis() -> dict[str, bytes]:
    if not settings.REDIS_URL:
        return {}
    store: Any = redis.Redis.from_url(settings.REDIS_URL)
    return {f"Redis key {key!r}": b"\n".join((key, *_kept(store, key))) for key in store.scan_iter(count=1000)}


def _kept(store: Any, key: bytes) -> Iterator[bytes]:
    """What a key holds, item by item. DUMP would give it compressed, which hides words from a sweep."""
    kind = bytes(store.type(key))
    if kind in _READ_REDIS:
        yield from _flat(_READ_REDIS[kind](store, key))
    elif kind != b"none":  # it ran out meanwhile
        raise CannotDrill(f"Redis holds a {kind.decode()}, which the drill does not know how to read.")


_READ_REDIS: dict[bytes, Callable[[Any, bytes], Any]] = {
    b"string": lambda store, key: store.get(key),
    b"list": lambda store, key: store.lrange(key, 0, -1),
    b"set": lambda store, key: list(store.smembers(key)),
    b"zset": lambda store, key: store.zrange(key, 0, -1),
    b"hash": lambda store, key: list(store.hgetall(key).items()),
    b"stream": lambda store, key: [(entry, list(said.items())) for entry, said in store.xrange(key)],
}


def _flat(value: Any) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
    elif value is not None:
        for one in value:
            yield from _flat(one)


def _folder(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        found[str(path)] = data
        inflated = _inflated(data)
        if inflated:
            found[f"{path}, inflated"] = inflated
    return found


def _inflated(data: bytes) -> bytes:
    for way in (gzip.decompress, zlib.decompress):
        try:
            return way(data)
        except (OSError, EOFError, zlib.error):
            continue
    return b""


def _tables() -> Iterator[Table]:
    """Every table of the product's own rooms, found from its models."""
    for model in apps.get_models():
        if model._meta.app_label not in ("vault", "consults", "accounts", "sessions", "admin"):
            continue
        columns = [str(f.column) for f in model._meta.concrete_fields]
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {', '.join(columns)} FROM {model._meta.db_table}")  # noqa: S608
            yield Table(model._meta.db_table, columns, [tuple(map(_plain, row)) for row in cursor.fetchall()])


def _plain(value: Any) -> Any:
    if isinstance(value, memoryview):
        return bytes(value)
    return value.hex if isinstance(value, UUID) else value


@dataclass
class Truth:
    """What the thief would like to know. It never leaves this process."""

    #: patient's id as 32 hex digits -> field -> text
    values: dict[str, dict[str, str]]
    clinic_of: dict[str, str]
    #: name of a key -> its bytes
    keys: dict[str, bytes]


def truth() -> Truth:
    values: dict[str, dict[str, str]] = {}
    clinic_of: dict[str, str] = {}
    for clinic in ClinicIndex.objects.values_list("clinic_id", flat=True):
        indexes(clinic)  # or the keys do not fit this database, and the drill proves nothing
        for one in read_many(clinic):
            if one.record is not None:
                values[one.patient.hex] = dict(one.record.values)
                clinic_of[one.patient.hex] = clinic.hex
    if not values:
        raise CannotDrill("There are no patients to play the thief against. In a test clinic, add --seed 500.")
    return Truth(values, clinic_of, _keys())


def _keys() -> dict[str, bytes]:
    secrets = {name: getattr(settings, name) for name in ("SECRET_KEY", "CRYPTOGRAPHY_KEY", "CHANNEL_KEY")}
    found = {name: key if isinstance(key, bytes) else key.encode() for name, key in secrets.items()}
    custodian = configured()
    document, _ = configured_file().read()
    for key_id, entry in document.entries.items():
        found[f"key-encryption key {key_id.hex()}"] = recover(custodian, key_id, entry)
    for row in DataKey.objects.select_related("patient").order_by("?")[:50]:
        owner = owner_of(row.patient.clinic_id, row.patient_id)
        found[f"data key {row.pk}"] = unwrap_data_key(keys(), bytes(row.wrapped), owner, row.generation)
    return found
