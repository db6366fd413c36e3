"""Whether a call was adequate: the rule, case by case, and what it is made of."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from consults import adequacy
from consults.adequacy import Facts, Measured, facts_of, judge, timeline

FINE = Facts(
    monitored=True,
    phoned=False,
    two_way_after=4.0,
    good_share=0.95,
    frozen_share=0.02,
    freezes=3,
    longest_gap=8.0,
    mos_clinician=4.2,
    mos_patient=4.1,
    worst_rtt=90.0,
    worst_loss=1.0,
    relayed=False,
)


@pytest.mark.parametrize(
    ("changes", "verdict", "reasons"),
    [
        ({}, "adequate", ["good"]),
        ({"two_way_after": 30.0}, "adequate", ["good"]),
        ({"two_way_after": 30.1}, "limited", ["late"]),
        ({"good_share": 0.8}, "adequate", ["good"]),
        ({"good_share": 0.79}, "limited", ["fair"]),
        ({"good_share": 0.49}, "inadequate", ["poor"]),
        ({"frozen_share": 0.11}, "limited", ["frozen"]),
        ({"frozen_share": None}, "adequate", ["good"]),
        ({"longest_gap": 61.0}, "limited", ["gap"]),
        ({"two_way_after": 50.0, "good_share": 0.6, "frozen_share": 0.5, "longest_gap": 99.0}, "limited", None),
        ({"two_way_after": None}, "inadequate", ["never"]),
        ({"two_way_after": None, "monitored": False}, "unknown", ["unmeasured"]),
        ({"good_share": None}, "unknown", ["unmeasured"]),
        ({"phoned": True}, "inadequate", ["phone"]),
        ({"phoned": True, "two_way_after": None, "monitored": False}, "inadequate", ["phone", "never"]),
    ],
)
def test_the_rule(changes, verdict, reasons):
    found, why = judge(replace(FINE, **changes))
    assert found == verdict
    assert why == (reasons or ["late", "fair", "frozen", "gap"])
    assert set(why) <= set(adequacy.REASONS)


def sample(at, side, **changes):
    good = {"mos": 4.2, "level_in": 0.02, "rtt_ms": 40.0, "loss": 0.0, "frozen_seconds": 0.0, "freezes": 0}
    return Measured(at=at, side=side, **{**good, "relayed": False, "sending": True, **changes})


def call(seconds=120, *, start=2, clinician=None, patient=None):
    """Both sides every two seconds; the functions change what a side measures at a time."""
    found = []
    for at in range(start, seconds, 2):
        found.append(sample(at, "clinician", **(clinician(at) if clinician else {})))
        found.append(sample(at, "patient", **(patient(at) if patient else {})))
    return found


def facts(samples, seconds=120, **more):
    return facts_of(samples, seconds=seconds, **{"monitored": True, "phoned": False, **more})


def test_two_way_is_when_the_later_of_the_two_heard_something():
    late = facts(call(patient=lambda at: {"level_in": 0.02 if at >= 40 else 0.0}))
    assert late.two_way_after == 40
    never = facts(call(patient=lambda _: {"level_in": 0.0}))
    assert never.two_way_after is None
    assert judge(never)[0] == "inadequate"
    assert judge(facts([s for s in call() if s.side == "patient"])) == ("inadequate", ["never"])


def test_without_loudness_sound_that_could_be_judged_counts():
    assert facts(call(patient=lambda _: {"level_in": None})).two_way_after == 2
    assert facts(call(patient=lambda _: {"level_in": None, "mos": None})).two_way_after is None


def test_the_share_is_of_the_time_that_was_measured():
    half = facts(call(clinician=lambda at: {"mos": 2.0 if at > 60 else 4.0}))
    assert half.good_share == pytest.approx(0.5, abs=0.02)
    quiet = facts(call(clinician=lambda at: {"mos": None if at > 60 else 4.0}))
    assert quiet.good_share == 1.0


def test_one_who_cannot_follow_spoils_the_call_for_both():
    """Not the mean of the two: what one side hears well does not make up for what the other does not hear."""
    for side in ("clinician", "patient"):
        one = facts(call(**{side: lambda at: {"mos": 2.5 if at % 10 < 4 else 4.3}}))
        assert one.good_share == pytest.approx(0.6, abs=0.02)
        assert judge(one) == ("limited", ["fair"])
        still = facts(call(**{side: lambda at: {"frozen_seconds": 2.0 if at < 20 else 0.0}}))
        assert judge(still) == ("limited", ["frozen"])
    by_turns = call(
        clinician=lambda at: {"mos": 2.5 if at % 12 < 2 else 4.3},
        patient=lambda at: {"mos": 2.5 if 4 <= at % 12 < 6 else 4.3},
    )
    assert facts(by_turns).good_share == pytest.approx(2 / 3, abs=0.02)


def test_still_pictures_and_gaps():
    still = facts(call(patient=lambda at: {"frozen_seconds": 2.0 if 20 <= at < 60 else 0.0}))
    assert still.frozen_share == pytest.approx(20 * 2 / 118, abs=0.01)
    assert judge(still) == ("limited", ["frozen"])
    gap = facts([s for s in call(300) if not 100 < s.at < 200], 300)
    assert 95 < gap.longest_gap < 105
    assert facts([], 300).longest_gap == 0


def test_what_was_measured_before_there_was_a_measure_of_sound_is_not_held_against_a_call():
    old = [replace(s, mos=None, level_in=None, sending=False) for s in call()]
    assert judge(facts(old)) == ("unknown", ["unmeasured"])


def test_a_long_call_has_no_more_points_than_a_drawing_can_show():
    points = timeline(call(3600), seconds=3600)
    assert len(points) <= adequacy.POINTS
    assert [p.at for p in points] == sorted(p.at for p in points)
    broken = timeline([s for s in call(120) if not 30 < s.at < 90], seconds=120)
    assert [p.mos_patient for p in broken if 40 < p.at < 80] == [None] * len([p for p in broken if 40 < p.at < 80])
    assert timeline([], seconds=10) == []


VECTORS = json.loads((Path(__file__).resolve().parents[1] / "vectors/emodel.json").read_text())["cases"]


def test_the_rating_is_found_again_from_its_mark():
    for case in VECTORS:
        # Below 6.5 one mark belongs to many ratings.
        if case["r"] > 10:
            slack = (
                0.5 if case["r"] < 88 else 1.0
            )  # marks here have two places, and near the top they lie close together
            assert adequacy.rating(case["mos"]) == pytest.approx(case["r"], abs=slack)
    assert adequacy.rating(1.0) == 0
    assert adequacy.rating(4.5) == pytest.approx(100, abs=0.1)
