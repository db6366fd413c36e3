"""Sealed values open in their own place under their own key, and nowhere else (vault/FORMAT.md)."""

import json
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from tests.vectors.make import FILE, KEY, PLACE, place_of
from vault.core.sealing import CannotOpen, Sealer, new_key, owner_of, unwrap, wrap, wrapped_under

VECTORS = json.loads(FILE.read_text())
PLACE_HERE = place_of(PLACE)
MESSAGE = "A protected value could not be opened."


def _open(vector):
    return Sealer(bytes.fromhex(vector["key"])).open(bytes.fromhex(vector["sealed"]), place_of(vector))


@pytest.mark.parametrize("vector", [v for v in VECTORS if v["opens"] is not None], ids=lambda v: v["name"])
def test_every_good_vector_opens(vector):
    assert _open(vector).decode() == vector["opens"]


@pytest.mark.parametrize("vector", [v for v in VECTORS if v["opens"] is None], ids=lambda v: v["name"])
def test_every_hostile_vector_is_refused_in_the_same_words(vector):
    with pytest.raises(CannotOpen) as refused:
        _open(vector)
    assert str(refused.value) == MESSAGE
    assert refused.value.__cause__ is None


def test_there_are_vectors_of_both_kinds():
    assert {v["opens"] is None for v in VECTORS} == {True, False}


def test_a_flip_of_any_bit_of_any_byte_is_refused():
    sealer = Sealer(KEY)
    sealed = sealer.seal(b"+442079460142", PLACE_HERE)
    for at in range(len(sealed)):
        for bit in range(8):
            changed = bytearray(sealed)
            changed[at] ^= 1 << bit
            with pytest.raises(CannotOpen):
                sealer.open(bytes(changed), PLACE_HERE)


def test_every_shorter_piece_is_refused():
    sealer = Sealer(KEY)
    sealed = sealer.seal(b"+442079460142", PLACE_HERE)
    for end in range(len(sealed)):
        with pytest.raises(CannotOpen):
            sealer.open(sealed[:end], PLACE_HERE)


@given(value=st.binary(max_size=300))
def test_whatever_is_sealed_opens_again(value):
    sealer = Sealer(KEY)
    assert sealer.open(sealer.seal(value, PLACE_HERE), PLACE_HERE) == value


@given(junk=st.binary(max_size=200))
def test_junk_is_refused(junk):
    with pytest.raises(CannotOpen):
        Sealer(KEY).open(b"\x01" + junk, PLACE_HERE)


def test_nonces_do_not_repeat_and_the_same_value_never_looks_the_same():
    sealer = Sealer(KEY)
    sealed = [sealer.seal(b"same", PLACE_HERE) for _ in range(20_000)]
    assert len({s[33:45] for s in sealed}) == len(sealed)
    assert len({s[45:] for s in sealed}) == len(sealed)


def test_names_that_run_into_each_other_make_different_places():
    """Without lengths, field "a" with token "bc" would be field "ab" with token "c"."""
    shifted = {**PLACE, "field": PLACE["field"] + PLACE["token"][:1], "token": PLACE["token"][1:]}
    assert place_of(shifted).associated_data() != PLACE_HERE.associated_data()


def test_a_data_key_has_32_bytes():
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer(b"short")


CLINIC, PATIENT = uuid4(), uuid4()
WHERE = {"purpose": "data", "owner": owner_of(CLINIC, PATIENT), "generation": 1}


def test_a_wrapped_key_unwraps_where_it_belongs_and_names_its_key():
    kek, key = AESGCM(new_key()), new_key()
    wrapped = wrap(key, kek, b"12345678", **WHERE)
    assert wrapped_under(wrapped) == b"12345678"
    assert unwrap(wrapped, kek, **WHERE) == key
    assert key not in wrapped


@pytest.mark.parametrize(
    "change",
    [
        {"purpose": "index"},
        {"owner": owner_of(uuid4(), PATIENT)},
        {"owner": owner_of(CLINIC, uuid4())},
        {"owner": owner_of(CLINIC)},
        {"generation": 2},
    ],
    ids=["purpose", "clinic", "patient", "no patient", "generation"],
)
def test_a_wrapped_key_that_was_moved_does_not_unwrap(change):
    kek = AESGCM(new_key())
    wrapped = wrap(new_key(), kek, b"12345678", **WHERE)
    with pytest.raises(CannotOpen):
        unwrap(wrapped, kek, **{**WHERE, **change})


def test_a_wrapped_key_with_any_byte_flipped_does_not_unwrap():
    kek = AESGCM(new_key())
    wrapped = wrap(new_key(), kek, b"12345678", **WHERE)
    for at in (0, *range(9, len(wrapped))):
        changed = bytearray(wrapped)
        changed[at] ^= 1
        with pytest.raises(CannotOpen):
            unwrap(bytes(changed), kek, **WHERE)
