"""The E-model against values that are published or can be worked out by hand."""

import pytest

from signaling import emodel


@pytest.mark.parametrize(
    ("r", "mos"),
    # G.107, annex B, table B.1: the lower limits of R and the MOS that belongs to each
    [(90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58), (0, 1.0), (-3, 1.0), (3, 1.0), (100, 4.5), (120, 4.5)],
)
def test_the_marks_of_annex_b(r, mos):
    assert emodel.mos(r) == pytest.approx(mos, abs=0.01)


@pytest.mark.parametrize(
    ("delay", "loss", "r"),
    [
        (0, 0, 93.2),
        (100, 0, 90.8),  # 0.024 * 100
        (177.3, 0, 88.94),
        (277.3, 0, 75.54),  # 0.024 * 277.3 + 0.11 * 100
        (0, 5, 77.42),  # 95 * 5 / 30.1
        (0, 25.1, 45.7),  # half of 95 at Bpl
        (5000, 60, 0),
    ],
)
def test_delay_and_loss_take_away_what_they_should(delay, loss, r):
    assert emodel.r_factor(delay, loss) == pytest.approx(r, abs=0.01)


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
