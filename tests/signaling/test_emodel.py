"""The E-model against values that are published, and against the whole model in every corner."""

import json
from pathlib import Path

import pytest

from signaling import emodel
from tests.signaling import g107

VECTORS = json.loads((Path(__file__).resolve().parents[1] / "vectors/emodel.json").read_text())["cases"]


@pytest.mark.parametrize(
    ("r", "mos"),
    # G.107, annex B, table B.1: the lower limits of R and the MOS that belongs to each
    [(90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58), (0, 1.0), (-3, 1.0), (3, 1.0), (100, 4.5), (120, 4.5)],
)
def test_the_marks_of_annex_b(r, mos):
    assert emodel.mos(r) == pytest.approx(mos, abs=0.01)


def test_the_defaults_are_rated_as_the_recommendation_says():
    """G.107, 7.7: with every parameter at its default R is 93.2, MOS 4.41; the yardstick and the product alike."""
    for r in (g107.rating(), emodel.r_factor(0, 0)):
        assert round(r, 1) == 93.2
        assert round(emodel.mos(r), 2) == 4.41


@pytest.mark.parametrize("case", VECTORS, ids=lambda c: f"{c['codec']}-{c['delay_ms']}ms-{c['loss']}%")
def test_the_vectors(case):
    r = emodel.r_factor(case["delay_ms"], case["loss"], case["codec"])
    assert r == pytest.approx(case["r"], abs=0.01)
    assert emodel.mos(r) == pytest.approx(case["mos"], abs=0.005)


@pytest.mark.parametrize("codec", ["opus", "l16"])
def test_delay_and_loss_take_away_what_the_whole_model_says(codec):
    _, bpl = emodel.CODECS.get(codec, emodel.UNKNOWN_CODEC)
    for delay in (0, 0.5, 5, 26.5, 99, 100, 101, 150, 177, 250, 333, 400, 700, 1000, 3000, 60_000):
        for loss in (0, 0.1, 1, 3, 10, 25, 60, 100):
            whole = max(0.0, g107.rating(T=delay, Ppl=loss, Bpl=bpl))
            assert emodel.r_factor(delay, loss, codec) == pytest.approx(whole, abs=0.01), (delay, loss)


def test_a_codec_without_concealment_suffers_more():
    assert emodel.r_factor(0, 2, "l16") < emodel.r_factor(0, 2, "opus") - 20
    assert emodel.r_factor(0, 2, "OPUS") == emodel.r_factor(0, 2, "opus")


def test_it_gets_worse_with_everything_that_is_worse():
    good = emodel.heard(20, 1, 20, 0, "opus")
    assert good > 4.3
    for worse in ((900, 1, 20, 0), (20, 1, 600, 0), (20, 200, None, 0), (20, 1, 20, 10)):
        assert emodel.heard(*worse, "opus") < good - 0.3


@pytest.mark.parametrize("figures", [(None, 1, 20, 0), (20, 1, 20, None)])
def test_what_was_not_measured_has_no_mark(figures):
    assert emodel.heard(*figures, "opus") is None
