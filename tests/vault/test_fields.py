"""Values are normalised the same way each time, masked to what FORMAT.md allows, and folded for search."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.core.fields import BLANK_MASK, KINDS, BadValue, fold


@pytest.mark.parametrize(
    ("field", "typed", "kept", "mask"),
    [
        ("name", "  Maria   Gonzalez ", "Maria Gonzalez", "M. G."),
        ("name", "Zoe\u0308 O'Neil", "Zoë O'Neil", "Z. O."),
        ("name", "Prince", "Prince", "P."),
        ("name", "Ana María del Mar Ruiz", "Ana María del Mar Ruiz", "A. R."),
        ("name", "山田 太郎", "山田 太郎", "山. 太."),
        ("birth_date", " 1984-03-17 ", "1984-03-17", "1984"),
        ("national_id", "qq 12.34-56/c", "QQ123456C", "••••6C"),
        ("phone", "020 7946 0142", "+442079460142", "••••42"),
        ("phone", "+44 (0)20 7946 0142", "+442079460142", "••••42"),
        ("phone", "+34 912 345 678", "+34912345678", "••••78"),
        ("email", "Maria@Mail.EXAMPLE", "Maria@mail.example", "•••@mail.example"),
        ("address", " 14 Mill Lane\n", "14 Mill Lane", BLANK_MASK),
        ("notes", "Asthma", "Asthma", BLANK_MASK),
    ],
)
def test_a_value_is_normalised_and_masked(field, typed, kept, mask):
    kind = KINDS[field]
    assert kind.normalise(typed, "GB") == kept
    assert kind.mask(kept) == mask


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        ("name", "..."),
        ("name", "x" * 121),
        ("birth_date", "17.03.1984"),
        ("birth_date", "1984-02-30"),
        ("birth_date", "1899-12-31"),
        ("national_id", "A1"),
        ("national_id", "12345'; --"),
        ("phone", "ring me"),
        ("phone", "12"),
        ("email", "maria"),
        ("email", "maria@"),
        ("address", "x" * 8001),
    ],
)
def test_a_bad_value_gets_one_sentence_that_does_not_repeat_it(field, typed):
    with pytest.raises(BadValue) as refused:
        KINDS[field].normalise(typed, "GB")
    assert str(refused.value).endswith(".")
    assert len(typed) < 3 or typed not in str(refused.value)


@given(text=st.text(max_size=60))
@pytest.mark.parametrize("field", list(KINDS))
def test_normalising_twice_is_normalising_once(field, text):
    try:
        once = KINDS[field].normalise(text, "GB")
    except BadValue:
        return
    assert KINDS[field].normalise(once, "GB") == once


@given(value=st.text(min_size=1, max_size=60))
@pytest.mark.parametrize("field", list(KINDS))
def test_a_mask_shows_no_more_than_its_budget(field, value):
    try:
        value = KINDS[field].normalise(value, "GB")
    except BadValue:
        return
    most = {
        "name": {f"{w[0].upper()}." for w in value.split()},
        "birth_date": {value[:4]},
        "national_id": {"••••" + value[-2:]},
        "phone": {"••••" + value[-2:]},
        "email": {"•••@" + value.rpartition("@")[2]},
    }.get(field, {BLANK_MASK})
    shown = KINDS[field].mask(value).split(" ")
    assert set(shown) <= most
    assert len(shown) <= 2


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Zoë O'Neil", "zoe oneil"),
        ("ZOE\u0308 O’NEIL", "zoe oneil"),
        ("García-López", "garcia lopez"),
        ("Straße", "strasse"),
        ("İnci", "inci"),
        ("  a\tb\n c ", "a b c"),
        ("Ａｎｎａ", "anna"),
    ],
)
def test_folding(text, folded):
    assert fold(text) == folded


@given(text=st.text(max_size=60))
def test_folded_text_is_letters_digits_and_single_spaces(text):
    folded = fold(text)
    assert folded == " ".join(folded.split())
    assert all(c.isalnum() or c == " " for c in folded)


@given(text=st.text(max_size=60))
def test_folding_knows_one_form_of_composed_letters(text):
    assert fold(unicodedata.normalize("NFC", text)) == fold(unicodedata.normalize("NFD", text))
