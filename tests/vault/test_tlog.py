"""Trees have the roots of RFC 6962, proofs show what they should and nothing else, tiles hold the tree."""

import json
import random
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vectors import make_tlog as naive
from vault.core import tlog
from vault.core.tlog import Frontier, NotProven, Tile

VECTORS = json.loads(naive.FILE.read_text())
#: leaves, roots and proofs of the tests of certificate-transparency, which wrote RFC 6962
CT_LEAVES = [
    bytes.fromhex(leaf)
    for leaf in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
CT_PATH_OF_0_IN_8 = [
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
]
CT_PROOF_6_TO_8 = [
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
]


def _hex(hashes):
    return [one.hex() for one in hashes]


def _reader(entries):
    return lambda level, index: naive.mth(entries[index << level : (index + 1) << level])


def _grown(entries):
    frontier = Frontier()
    frontier.extend(tlog.leaf_hashes(entries))
    return frontier


def _each(kind):
    return pytest.mark.parametrize("vector", VECTORS[kind], ids=lambda v: v.get("name", str(v.get("size"))))


# -- trees -------------------------------------------------------------------------------------------------


def test_certificate_transparencys_trees_have_its_roots_and_proofs():
    assert [_grown(CT_LEAVES[:size]).root().hex() for size in range(9)] == CT_ROOTS
    read = _reader(CT_LEAVES)
    assert _hex(tlog.inclusion_proof(0, 8, read)) == CT_PATH_OF_0_IN_8
    assert _hex(tlog.consistency_proof(6, 8, read)) == CT_PROOF_6_TO_8


@_each("roots")
def test_a_tree_has_its_root_however_it_was_grown(vector):
    leaves = tlog.leaf_hashes(naive.entries(vector["size"]))
    for step in (1, 7, 1000):
        frontier = Frontier()
        for at in range(0, len(leaves), step):
            frontier.extend(leaves[at : at + step])
        assert frontier.size == vector["size"]
        assert frontier.root().hex() == vector["root"]


def test_leaf_and_node_hashes_are_told_apart():
    assert tlog.leaf_hash(b"x") == sha256(b"\0x").digest() == tlog.leaf_hashes([b"x"])[0]
    assert tlog.node_hash(b"l" * 32, b"r" * 32) == sha256(b"\1" + b"l" * 32 + b"r" * 32).digest()


@given(st.lists(st.integers(0, 200), max_size=6))
def test_a_frontier_kept_and_taken_up_again_goes_on_as_if_never_put_down(steps):
    kept, entries = Frontier(), []
    for step in steps:
        some = [b"%d" % (len(entries) + n) for n in range(step)]
        kept = Frontier(kept.size, kept.hashes())
        kept.extend(tlog.leaf_hashes(some))
        entries += some
        assert kept.root() == naive.mth(entries)


def test_a_frontier_takes_whole_hashes_only_and_one_for_each_subtree():
    with pytest.raises(ValueError, match="32 bytes"):
        Frontier().extend([bytes(31)])
    with pytest.raises(ValueError, match="32 bytes"):
        Frontier(1, [bytes(33)])
    for size, hashes in ((0, 1), (1, 0), (2, 2), (3, 1), (-1, 0), (2**63, 1)):
        with pytest.raises(ValueError):
            Frontier(size, [bytes(32)] * hashes)


def test_a_full_tree_takes_no_more():
    frontier = Frontier(2**63 - 2, [bytes(32)] * 62)
    frontier.extend([bytes(32)])
    with pytest.raises(ValueError, match="full"):
        frontier.extend([bytes(32)])
    assert frontier.size == 2**63 - 1


# -- proofs ------------------------------------------------------------------------------------------------


def _inclusion(vector):
    proof = [bytes.fromhex(line) for line in vector["proof"]]
    leaf, root = bytes.fromhex(vector["leaf"]), bytes.fromhex(vector["root"])
    tlog.verify_inclusion(leaf, vector["index"], vector["size"], proof, root)


def _consistency(vector):
    proof = [bytes.fromhex(line) for line in vector["proof"]]
    old_root, new_root = bytes.fromhex(vector["old_root"]), bytes.fromhex(vector["new_root"])
    tlog.verify_consistency(vector["old"], old_root, vector["new"], new_root, proof)


def _holds(check, vector):
    try:
        check(vector)
    except NotProven:
        return False
    return True


@pytest.mark.parametrize("kind", ["inclusion", "consistency"])
def test_good_proofs_hold_and_are_the_ones_we_make(kind):
    good = [vector for vector in VECTORS[kind] if vector["proven"]]
    assert len(good) > 20
    for vector in good:
        if kind == "inclusion":
            _inclusion(vector)
            made = tlog.inclusion_proof(vector["index"], vector["size"], _reader(naive.entries(vector["size"])))
        else:
            _consistency(vector)
            made = tlog.consistency_proof(vector["old"], vector["new"], _reader(naive.entries(vector["new"])))
        assert _hex(made) == vector["proof"]


@pytest.mark.parametrize("kind", ["inclusion", "consistency"])
def test_hostile_proofs_do_not_hold(kind):
    hostile = [vector for vector in VECTORS[kind] if not vector["proven"]]
    assert len(hostile) > 100
    check = _inclusion if kind == "inclusion" else _consistency
    assert [vector["name"] for vector in hostile if _holds(check, vector)] == []


@st.composite
def _leaf_in_tree(draw):
    size = draw(st.integers(1, 300))
    return draw(st.integers(0, size - 1)), size


@given(_leaf_in_tree())
def test_every_leaf_of_every_tree_is_proven_as_the_rfc_has_it(leaf):
    index, size = leaf
    entries = naive.entries(size)
    proof = tlog.inclusion_proof(index, size, _reader(entries))
    assert proof == naive.path(index, entries)
    tlog.verify_inclusion(tlog.leaf_hash(entries[index]), index, size, proof, naive.mth(entries))


@given(_leaf_in_tree())
def test_every_growth_of_every_tree_is_proven_as_the_rfc_has_it(sizes):
    old, new = sizes[0] + 1, sizes[1]
    entries = naive.entries(new)
    proof = tlog.consistency_proof(old, new, _reader(entries))
    assert proof == naive.proof(old, entries)
    tlog.verify_consistency(old, naive.mth(entries[:old]), new, naive.mth(entries), proof)


@given(_leaf_in_tree(), st.data())
def test_nothing_changed_by_chance_is_proven(sizes, data):
    old, new = sizes[0] + 1, sizes[1]
    entries = naive.entries(new)
    said = [naive.mth(entries[:old]), naive.mth(entries), *naive.proof(old, entries)]
    which, at = data.draw(st.integers(0, len(said) - 1)), data.draw(st.integers(0, 31))
    said[which] = naive.flipped(said[which], at)
    with pytest.raises(NotProven):
        tlog.verify_consistency(old, said[0], new, said[1], said[2:])
    said = [tlog.leaf_hash(entries[old - 1]), naive.mth(entries), *naive.path(old - 1, entries)]
    which = data.draw(st.integers(0, len(said) - 1))
    said[which] = naive.flipped(said[which], at)
    with pytest.raises(NotProven):
        tlog.verify_inclusion(said[0], old - 1, new, said[2:], said[1])


@given(st.integers(0, 2**64), st.integers(0, 2**64), st.lists(st.binary(min_size=31, max_size=32), max_size=70))
def test_junk_is_never_proven_and_nothing_else_happens(one, other, proof):
    with pytest.raises(NotProven):
        tlog.verify_inclusion(bytes(32), one, other, proof, b"r" * 32)
    with pytest.raises(NotProven):
        tlog.verify_consistency(one, b"o" * 32, other, b"n" * 32, proof)


#: the hash of a complete subtree of each level, where all leaves are alike
ALIKE = [tlog.leaf_hash(b"")]
while len(ALIKE) < 63:
    ALIKE.append(tlog.node_hash(ALIKE[-1], ALIKE[-1]))


def _alike(size):
    return Frontier(size, [ALIKE[level] for level in reversed(range(63)) if size >> level & 1]).root()


@pytest.mark.parametrize("size", [2**62, 2**62 - 1, 2**61 + 1, 12345678901234567])
def test_trees_as_large_as_can_be_are_proven_in_63_lines_and_few_readings(size):
    asked = []

    def read(level, index):
        assert (index + 1) << level <= size
        asked.append(level)
        return ALIKE[level]

    chance = random.Random(size)
    for index in (0, 1, size // 2, size - 1, *(chance.randrange(size) for _ in range(20))):
        asked.clear()
        proof = tlog.inclusion_proof(index, size, read)
        assert len(proof) <= 63
        assert len(asked) <= 126
        tlog.verify_inclusion(ALIKE[0], index, size, proof, _alike(size))
    for old in (1, 2, size // 2, size - 1, *(chance.randrange(1, size) for _ in range(20))):
        asked.clear()
        proof = tlog.consistency_proof(old, size, read)
        assert len(asked) <= 127
        tlog.verify_consistency(old, _alike(old), size, _alike(size), proof)


def test_a_proof_of_more_than_63_lines_is_not_looked_at():
    """There are such, of trees nobody will ever have; where a leaf is, even those say in 63."""
    old, new = 2**63 - 3, 2**63 - 1
    path = tlog.inclusion_proof(0, new, lambda level, _: ALIKE[level])
    tlog.verify_inclusion(ALIKE[0], 0, new, path, _alike(new))
    proof = tlog.consistency_proof(old, new, lambda level, _: ALIKE[level])
    assert len(proof) == 64
    with pytest.raises(NotProven):
        tlog.verify_consistency(old, _alike(old), new, _alike(new), proof)


def test_trees_too_large_for_anyone_are_not_looked_at():
    root = tlog.node_hash(ALIKE[62], ALIKE[62])
    with pytest.raises(NotProven):
        tlog.verify_inclusion(ALIKE[0], 0, 2**63, ALIKE, root)
    with pytest.raises(NotProven):
        tlog.verify_consistency(2**62, ALIKE[62], 2**63, root, [ALIKE[62]])


def test_no_proof_is_made_of_what_the_tree_has_not():
    for index, size in ((0, 0), (5, 5), (-1, 5), (0, 2**63)):
        with pytest.raises(ValueError, match="no such leaf"):
            tlog.inclusion_proof(index, size, _reader([]))
    for old, new in ((5, 4), (-1, 4), (0, 2**63)):
        with pytest.raises(ValueError, match="only grows"):
            tlog.consistency_proof(old, new, _reader([]))
        with pytest.raises(ValueError, match="only grows"):
            next(tlog.changed_tiles(old, new))


# -- tiles -------------------------------------------------------------------------------------------------


class Kept(dict):
    """Tiles by path, as a log keeps them; the partial ones it grew out of too."""

    def __init__(self):
        super().__init__()
        self.frontier = Frontier()

    def grow(self, entries):
        old = self.frontier.size
        made = self.frontier.extend(tlog.leaf_hashes(entries))
        written = dict(tlog.grown_tiles(old, made, self.fetch))
        assert list(written) == [tile for tile, _ in tlog.changed_tiles(old, self.frontier.size)]
        self.update({tile.path: data for tile, data in written.items()})

    def fetch(self, tile):
        return self[tile.path]

    def current(self):
        """Those of the tree as it is."""
        return {tile.path: self.fetch(tile) for tile, _ in tlog.changed_tiles(0, self.frontier.size)}


@_each("tiles")
def test_a_trees_tiles_are_those_of_the_specification(vector):
    kept = Kept()
    kept.grow(naive.entries(vector["size"]))
    tiles = kept.current()
    assert len(tiles) == vector["tiles"]
    assert sha256(json.dumps(naive.texts(tiles)).encode()).hexdigest() == vector["sha256"]


def test_the_specifications_example_of_seventy_thousand_has_its_tiles():
    widths = {}
    for tile, had in tlog.changed_tiles(0, 70_000):
        assert had == 0
        widths.setdefault(tile.level, []).append(tile.width)
    assert widths == {0: [256] * 273 + [112], 1: [256, 17], 2: [1]}
    assert [tile.path for tile, _ in tlog.changed_tiles(0, 256)] == ["0/000", "1/000.p/1"]


def test_tiles_grown_in_any_steps_are_the_same_and_prove_every_leaf():
    chance, kept, entries = random.Random(1), Kept(), naive.entries(3000)
    while (size := kept.frontier.size) < len(entries):
        kept.grow(entries[size : size + chance.choice((0, 1, 3, 100, 255, 256, 257, 700))])
    assert kept.current() == naive.tiles(entries)
    read = tlog.reading_tiles(3000, kept.fetch)
    for index in chance.sample(range(3000), 60):
        assert tlog.inclusion_proof(index, 3000, read) == naive.path(index, entries)
        assert tlog.consistency_proof(index + 1, 3000, read) == naive.proof(index + 1, entries)


def test_partial_tiles_of_an_older_tree_still_prove_it():
    kept, entries = Kept(), naive.entries(300)
    for size in (100, 270, 300):
        kept.grow(entries[kept.frontier.size : size])
    read = tlog.reading_tiles(270, kept.fetch)
    assert tlog.inclusion_proof(260, 270, read) == naive.path(260, entries[:270])
    with pytest.raises(ValueError, match="no such tile"):
        read(0, 512)
    with pytest.raises(ValueError, match="does not hold"):
        read(0, 270)
    with pytest.raises(ValueError, match="does not hold"):
        read(4, 16)


def test_a_tile_of_the_wrong_length_is_not_read_nor_built_upon():
    for data in (b"", bytes(32 * 9), bytes(32 * 11), bytes(32 * 10 + 1)):
        with pytest.raises(ValueError, match="does not hold"):
            tlog.reading_tiles(10, lambda tile, data=data: data)(0, 3)
        with pytest.raises(ValueError, match="32 bytes a hash"):
            list(tlog.grown_tiles(10, [[bytes(32)]], lambda tile, data=data: data))


@given(st.integers(0, 5000), st.integers(0, 5000))
def test_what_changes_between_two_trees_is_what_they_do_not_share(one, other):
    old, new = sorted((one, other))
    before = {tile for tile, _ in tlog.changed_tiles(0, old)}
    after = {tile for tile, _ in tlog.changed_tiles(0, new)}
    changed = dict(tlog.changed_tiles(old, new))
    assert set(changed) == after - before
    assert {Tile(t.level, t.index, had) for t, had in changed.items() if had} <= before


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "0/000"),
        (Tile(0, 1234067), "0/x001/x234/067"),
        (Tile(1, 999, 17), "1/999.p/17"),
        (Tile(7, 1000, 255), "7/x001/000.p/255"),
    ],
)
def test_a_tile_has_its_path(tile, path):
    assert tile.path == path
    assert tlog.tile_at_path(path) == tile


NO_PATHS = (
    "0 0/ 0/0 0/00 0/0000 0/x000/001 0/001/002 0/x001 0/x001/x002 8/000 00/000 /0/000 0/000/ 0/000.p/0 0/000.p/01"
    " 0/000.p/256 0/000.p/999 0/000.p/ 0/000.p 0/-01 0/٠٠٠ 0/000\n 0/../000 entries/000"
)


@pytest.mark.parametrize("path", [*NO_PATHS.split(" "), "", "0/" + "x999/" * 20 + "999"])
def test_no_other_path_is_a_tiles(path):
    with pytest.raises(ValueError, match="no tile"):
        tlog.tile_at_path(path)


@given(st.integers(0, 7), st.integers(0, 2**55), st.integers(1, 256))
def test_every_tiles_path_leads_back_to_it(level, index, width):
    assert tlog.tile_at_path(Tile(level, index, width).path) == Tile(level, index, width)
