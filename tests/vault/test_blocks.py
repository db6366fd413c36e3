"""Blocks of the sealed index open in their own place only, and lists hold just what was put into them."""

import json
import random
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from tests.cast import BY
from tests.vectors.make_index import BLOCKS, CLINIC, DIGESTS, KEY, WRAPPED, label_of
from vault import patients, postings, search
from vault.core.blocks import BlockSealer, Directory, Entry, Leaf, decode, encode
from vault.core.digests import Indexer
from vault.core.sealing import CannotOpen, owner_of, unwrap, wrapped_under
from vault.keyring import indexes
from vault.models import AuditEntry, IndexBlock
from vault.shredding import shred


def _vectors(file, *, good):
    vectors = [v for v in json.loads(file.read_text()) if (v["opens"] is not None) == good]
    assert vectors
    return pytest.mark.parametrize("vector", vectors, ids=lambda v: v["name"])


def _open(vector):
    sealer = BlockSealer(bytes.fromhex(vector["key"]), UUID(vector["clinic"]), vector["generation"])
    return sealer.open(sealer.label(vector["index"], vector["term"], vector["block"]), bytes.fromhex(vector["sealed"]))


def _said(block):
    if isinstance(block, Leaf):
        return {"leaf": [list(entry) for entry in block.entries()]}
    return {"directory": {"lowest": [list(pair) for pair in block.lowest], "blocks": block.blocks}}


@_vectors(BLOCKS, good=True)
def test_every_good_block_opens_and_is_written_the_same_again(vector):
    block = _open(vector)
    assert _said(block) == vector["opens"]
    sealer = BlockSealer(KEY, UUID(CLINIC), 1)
    label = sealer.label(vector["index"], vector["term"], vector["block"])
    assert label == label_of(vector)
    assert len(sealer.seal(label, block)) == len(bytes.fromhex(vector["sealed"]))
    assert _said(decode(encode(block))) == vector["opens"]


@_vectors(BLOCKS, good=False)
def test_every_hostile_block_is_refused(vector):
    with pytest.raises(CannotOpen) as refused:
        _open(vector)
    assert str(refused.value) == "A protected value could not be opened."
    assert refused.value.__cause__ is None


def _unwrap(vector):
    where = {name: vector[name] for name in ("purpose", "generation")}
    patient = UUID(vector["patient"]) if vector["patient"] else None
    kek, wrapped = AESGCM(bytes.fromhex(vector["kek"])), bytes.fromhex(vector["wrapped"])
    return unwrap(wrapped, kek, owner=owner_of(UUID(vector["clinic"]), patient), **where)


@_vectors(WRAPPED, good=True)
def test_every_good_wrapped_key_opens(vector):
    assert _unwrap(vector).hex() == vector["opens"]
    assert wrapped_under(bytes.fromhex(vector["wrapped"])).hex() == vector["kek_id"]


@_vectors(WRAPPED, good=False)
def test_every_hostile_wrapped_key_is_refused(vector):
    with pytest.raises(CannotOpen) as refused:
        _unwrap(vector)
    assert refused.value.__cause__ is None


def test_digests_are_the_known_ones_and_depend_on_key_field_and_value():
    vectors = json.loads(DIGESTS.read_text())
    made = [Indexer(bytes.fromhex(v["key"])).digest(v["index"], v["text"]) for v in vectors]
    assert made == [v["digest"] for v in vectors]
    assert len(set(made)) == len(made)


_ENTRY = st.builds(Entry, st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 255))


@given(st.lists(_ENTRY, max_size=320, unique=True).map(sorted))
def test_whatever_leaf_is_sealed_opens_again(entries):
    sealer = BlockSealer(KEY, UUID(CLINIC), 1)
    label = sealer.label("name_prefix", "ma")
    assert sealer.open(label, sealer.seal(label, Leaf(entries))).entries() == entries


@given(st.binary(max_size=600))
def test_junk_is_no_block(junk):
    with pytest.raises(CannotOpen):
        BlockSealer(KEY, UUID(CLINIC), 1).open(bytes(16), b"\x03" + junk)


@given(st.binary(max_size=300))
def test_what_decodes_is_the_one_encoding(plain):
    for head in (b"\0\0\1\0", b"\0\0\2\0", b"\1\0\1\0"):
        try:
            block = decode(head + plain)
        except CannotOpen:
            continue
        assert encode(block) == head + plain


# -- lists against a plain model -----------------------------------------------------------------------------


TERMS = [("name_prefix", "ma"), ("name_prefix", "mar"), ("name_sound", "ma"), ("birth_date", "1984-03-17")]


def _listed(index, term, year=None):
    return postings.Reader(index).matching([{term}], year=year, most=10**6)


def _blocks_of(index, term):
    """The labels that a term's list has by its own account."""
    label = index.blocks.label(*term)
    block = postings.fetch(index, [label]).get(label)
    if block is None:
        return set()
    below = {index.blocks.label(*term, number) for number in getattr(block, "blocks", ())}
    assert len(below) == len(getattr(block, "blocks", ()))
    return {label} | below


def _person(number):
    """Always the same for a number, as a patient's entry is; several share a sort key."""
    return Entry(number * 7919 % 40, number, number % 3)


def _change(chance, model, clinic, index):
    """A random batch, put into the database and into the model."""
    writing = postings.Writing(clinic, index)
    some = chance.sample(TERMS, chance.randint(1, len(TERMS)))
    known = sorted({entry for entries in model.values() for entry in entries})
    gone = set(chance.sample(known, chance.randint(0, len(known) // 2)) if chance.random() < 0.4 else [])
    new = {_person(chance.randrange(600)) for _ in range(chance.choice((0, 1, 1, 5, 60)))}
    for entry in gone:
        writing.remove(some, entry)
    for entry in new:
        writing.add(some, entry)
    writing.save()
    for term in some:
        model[term] = (model[term] - gone) | new


@pytest.mark.parametrize("seed", range(6))
def test_lists_hold_what_a_plain_set_would(cast, monkeypatch, seed):
    monkeypatch.setattr(postings, "LEAF_MOST", 8)  # so that a small list has many leaves
    chance, clinic = random.Random(seed), postings.locked(UUID(CLINIC))
    (index,) = indexes(UUID(CLINIC))
    model = {term: set() for term in TERMS}
    for _ in range(25):
        _change(chance, model, clinic, index)
        for term in TERMS:
            assert _listed(index, term) == sorted(model[term])
            assert _listed(index, term, 1901) == sorted(e for e in model[term] if e.year == 1)
        both = sorted(model[TERMS[0]] & model[TERMS[1]])
        for most in (3, 10**6):
            found = postings.Reader(index).matching([{TERMS[0]}, {TERMS[1]}], year=None, most=most)
            assert found == both[:most]
    stored = {bytes(row.label) for row in IndexBlock.objects.filter(key_id=index.key_id)}
    assert stored == set().union(*(_blocks_of(index, term) for term in TERMS))


# -- a thief who can write ---------------------------------------------------------------------------------


def _bent(sealed, other):
    yield from (sealed[:-1], sealed + b"\0", b"", b"\x02" + sealed[1:], other)
    for at in (0, 1, 12, 13, len(sealed) // 2, len(sealed) - 1):
        yield sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]


def test_a_changed_block_stops_the_search_that_meets_it_and_is_logged(cast):
    (index,) = indexes(cast.clinic.id)
    label, other = (index.blocks.label("name_prefix", word) for word in ("quixplot", "wendel"))
    row, beside = (IndexBlock.objects.get(label=name) for name in (label, other))
    sealed = bytes(row.sealed)
    for changed in _bent(sealed, bytes(beside.sealed)):
        IndexBlock.objects.filter(label=label).update(sealed=changed)
        with pytest.raises(CannotOpen) as refused:
            search.find(cast.clinic.id, "quixplotz", BY)
        assert str(refused.value) == "A protected value could not be opened."
        assert search.find(cast.clinic.id, "wendel", BY).patients == [cast.colleagues_patient]
    assert AuditEntry.objects.filter(action="vault.tamper").count() == 11
    IndexBlock.objects.filter(label=label).update(sealed=sealed)
    assert search.find(cast.clinic.id, "quixplotz", BY).patients == [cast.patient]


def test_a_changed_block_is_never_written_over(cast):
    """Or a change would quietly drop whoever else was on the list."""
    (index,) = indexes(cast.clinic.id)
    label = index.blocks.label("name_prefix", "quixplot")
    IndexBlock.objects.filter(label=label).update(sealed=b"\x03" + bytes(60))
    for act in (
        lambda: patients.change(cast.patient, {"name": "Maria Other"}, BY),
        lambda: patients.create(cast.clinic.id, {"name": "Quixplotz Two", "birth_date": "1990-01-01"}, BY),
        lambda: shred(cast.patient, BY, reason="request"),
    ):
        with pytest.raises(CannotOpen):
            act()
    assert bytes(IndexBlock.objects.get(label=label).sealed) == b"\x03" + bytes(60)
    assert patients.opened(cast.patient).values["name"] == "Maria José Quixplotz"


def test_a_directory_where_a_leaf_belongs_is_refused(cast):
    (index,) = indexes(cast.clinic.id)
    term = ("name_prefix", "qu")
    root, below = index.blocks.label(*term), index.blocks.label(*term, 1)
    directory = Directory([(0, 0)], [1])
    IndexBlock.objects.filter(label=root).update(sealed=index.blocks.seal(root, directory))
    IndexBlock.objects.create(label=below, key_id=index.key_id, sealed=index.blocks.seal(below, directory))
    with pytest.raises(CannotOpen):
        search.find(cast.clinic.id, "qu", BY)
