"""Evidence of consent is read in one spelling only, and says nothing that its key did not sign."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vectors import make_evidence
from vault.core import evidence
from vault.core.canonical import NotCanonical, canonical, parse
from vault.core.evidence import BadEvidence

VECTORS = json.loads(make_evidence.FILE.read_text())
DATA = make_evidence.text(make_evidence.given())


@pytest.mark.parametrize("vector", VECTORS["canonical"], ids=lambda vector: vector["bytes"][:40])
def test_json_has_one_form(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["bytes"])
    if vector["right"]:
        assert canonical(parse(data)) == data
    else:
        with pytest.raises(NotCanonical):
            parse(data)


@pytest.mark.parametrize("vector", VECTORS["evidence"], ids=lambda vector: vector["name"])
def test_evidence(vector: dict[str, str]) -> None:
    data, signature = bytes.fromhex(vector["bytes"]), bytes.fromhex(vector["signature"])
    if vector["says"] == "signed":
        assert evidence.evidence_bytes(evidence.verify(data, signature)) == data
        assert evidence.digest(data, signature) == vector["digest"]
        return
    with pytest.raises(BadEvidence):
        evidence.verify(data, signature)
    if vector["says"] == "not signed":
        assert evidence.read(data)["act"] == "give"
    else:
        with pytest.raises(BadEvidence):
            evidence.read(data)


def test_what_is_not_text_numbers_or_truth_is_not_written() -> None:
    for value in (1.0, float("nan"), b"x", {1: 2}, "\ud800", 2**53, {"A": 1}):
        with pytest.raises(NotCanonical):
            canonical(value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.from_regex("[a-z][a-z0-9_]{0,31}", fullmatch=True), inner)
    ),
    max_leaves=12,
)


@given(json_values)
def test_what_is_written_is_read(value: Any) -> None:
    assert parse(canonical(value)) == value


@given(json_values)
def test_the_one_form_is_what_pythons_own_writer_writes(value: Any) -> None:
    own = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert canonical(value) == own.encode()


def test_a_flipped_bit_is_refused() -> None:
    signature = make_evidence.sign(DATA)
    for at in range(0, len(DATA) + 64):
        whole = bytearray(DATA + signature)
        whole[at] ^= 1
        with pytest.raises(BadEvidence):
            evidence.verify(bytes(whole[:-64]), bytes(whole[-64:]))
