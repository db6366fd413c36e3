"""Fifty visits, a tenth of them left without a word at some step: nothing remains. `make bench NAME=soak` for more."""

import pytest

from tests.benchmarks import soak


@pytest.mark.engines
def test_nothing_is_left_behind_by_visits_that_end_and_visits_that_are_left():
    with soak.site() as site:
        assert site.visits(10) == {"done": 9, "left": 1}
        before = site.settled()
        assert site.visits(50) == {"done": 54, "left": 6}
        after = site.settled()
    assert soak.left_behind(before, after) == []
    assert after.entries[0] > before.entries[0] + 80  # or nothing was there that could have been left
