"""Keys at run time: each patient's and clinic's key, unwrapped under the key file's keys and kept ready."""

from functools import lru_cache
from uuid import UUID

from django.utils import timezone

from vault.core.blocks import BlockSealer
from vault.core.digests import Indexer
from vault.core.records import RecordSealer
from vault.core.sealing import CannotOpen, Sealer, new_key, owner_of, unwrap, wrap, wrapped_under
from vault.custody import VaultUnavailable
from vault.keydocument import KeySet
from vault.keywatch import keys
from vault.models import DataKey, IndexKey, Patient
from vault.rows import read, stored


class Opener:
    """What one patient's data key opens and seals: her record, and loose values."""

    __slots__ = ("_key", "_values", "records")

    def __init__(self, data_key: bytes) -> None:
        self._key = data_key
        self.records = RecordSealer(data_key)
        self._values: Sealer | None = None

    @property
    def values(self) -> Sealer:
        if self._values is None:  # most openings are of the record alone
            self._values = Sealer(self._key)
        return self._values


def wrap_data_key(keys: KeySet, key: bytes, owner: bytes, generation: int) -> bytes:
    return wrap(key, keys.current, keys.current_id, purpose="data", owner=owner, generation=generation)


def unwrap_data_key(keys: KeySet, wrapped: bytes, owner: bytes, generation: int) -> bytes:
    """The data key, or `CannotOpen`; `VaultUnavailable` where the key file lacks the key that wrapped it."""
    cipher = keys.cipher(wrapped_under(wrapped))
    return unwrap(wrapped, cipher, purpose="data", owner=owner, generation=generation)


@lru_cache(maxsize=4096)
def _opener(_keys: KeySet, wrapped: bytes, owner: bytes, generation: int) -> Opener:
    # The wrapped bytes and the key file are part of the cache's key, so a change of either is noticed.
    try:
        return Opener(unwrap_data_key(_keys, wrapped, owner, generation))
    except (CannotOpen, VaultUnavailable):
        prove()  # where the whole key file is another's, that is what is said
        raise CannotOpen from None


def opener_of(wrapped: bytes, owner: bytes, generation: int) -> Opener:
    return _opener(keys(), wrapped, owner, generation)


def opener(key: DataKey, clinic: UUID) -> Opener:
    return opener_of(bytes(key.wrapped), owner_of(clinic, key.patient_id), key.generation)


def create_data_key(patient: Patient, generation: int = 1) -> DataKey:
    wrapped = wrap_data_key(keys(), new_key(), owner_of(patient.clinic_id, patient.id), generation)
    return DataKey.objects.create(patient=patient, generation=generation, wrapped=wrapped, created_at=timezone.now())


def newest_data_key(patient: Patient) -> DataKey:
    """The key new values are sealed under, locked, so that it is not rotated away underneath. In a transaction."""
    for _ in range(3):
        row = DataKey.objects.select_for_update().filter(patient=patient).order_by("-generation").first()
        if row is not None:
            return row
        # The row we waited for was replaced by a newer generation; look again.
    raise CannotOpen


class Index:
    """One generation of a clinic's index key, ready: digests, labels, blocks; and how far it has been built."""

    __slots__ = ("blocks", "built_to", "digests", "in_use", "key_id", "layout")

    def __init__(self, row: IndexKey, layout: int = 0) -> None:
        self.layout = layout
        self.digests, self.blocks = _index_tools(keys(), bytes(row.wrapped), row.clinic_id, row.generation)
        self.key_id, self.in_use, self.built_to = row.pk, row.in_use, row.built_to


@lru_cache(maxsize=256)
def _index_tools(keys: KeySet, wrapped: bytes, clinic: UUID, generation: int) -> tuple[Indexer, BlockSealer]:
    try:
        cipher = keys.cipher(wrapped_under(wrapped))
        key = unwrap(wrapped, cipher, purpose="index", owner=owner_of(clinic), generation=generation)
    except CannotOpen:
        raise VaultUnavailable("The vault's key file does not open this clinic's index.") from None
    return Indexer(key), BlockSealer(key, clinic, generation)


_KEPT = ("id", "generation", "wrapped", "in_use", "built_to")
_INDEX_KEYS = """
SELECT coalesce(c.layout, 0), k.id, k.generation, k.wrapped, k.in_use, k.built_to
FROM vault_indexkey k LEFT JOIN vault_clinicindex c ON c.clinic_id = k.clinic_id
WHERE k.clinic_id = %s ORDER BY k.in_use DESC, k.generation
"""


def indexes(clinic: UUID) -> list[Index]:
    """Every index key of the clinic, the one in use first; writers serve all of them."""
    # By hand: this is asked before every search, and the ORM takes longer to write the statement than to run it.
    rows = read(_INDEX_KEYS, [stored(clinic)])
    if not rows:
        return [Index(create_index_key(clinic))]
    return [Index(IndexKey(clinic_id=clinic, **dict(zip(_KEPT, row, strict=True))), layout) for layout, *row in rows]


def create_index_key(clinic: UUID, generation: int = 1, *, in_use: bool = True) -> IndexKey:
    prove()  # or a clinic that is new would be written under another vault's keys
    keyset = keys()
    wrapped = wrap(
        new_key(),
        keyset.current,
        keyset.current_id,
        purpose="index",
        owner=owner_of(clinic),
        generation=generation,
    )
    row, _ = IndexKey.objects.get_or_create(  # another process may make it first; theirs is the clinic's key
        clinic_id=clinic,
        generation=generation,
        defaults={"wrapped": wrapped, "created_at": timezone.now(), "in_use": in_use},
    )
    return row


def prove() -> None:
    """Raise `VaultUnavailable` where the key file is not the one this database was written under."""
    row = IndexKey.objects.order_by("pk").first()
    if row is not None:
        Index(row)
