"""What is wrong with a call, rule by rule, played second by second."""

from collections import deque
from dataclasses import dataclass
from uuid import UUID

import pytest

from signaling.watch_rules import KINDS, Finding, Limits, Side, Watch, standing

DOC, PATIENT = UUID(int=1), UUID(int=2)
CONSULT = UUID(int=7)
LIMITS = Limits(heartbeat=15, one_way=12, silent=90, frozen=12, poor=20, mos=3.1)


@dataclass
class Sample:
    microphone: bool = True
    camera: bool = True
    level_in: float | None = 0.05
    level_out: float | None = 0.05
    audio_packets: int | None = 100
    frames_per_second: float | None = 25.0


class Play:
    """Both sides send a sample every two seconds; `side(...)` changes what one of them says."""

    def __init__(self):
        self.watch, self.now = Watch(LIMITS), 1000.0
        self.says = {DOC: Sample(), PATIENT: Sample()}
        self.mos = {DOC: 4.2, PATIENT: 4.2}
        self.log = []

    def go(self, seconds):
        end = self.now + seconds
        while self.now < end:
            self.now += 2
            for who, sample in self.says.items():
                if sample is not None:
                    self.watch.heard(CONSULT, who, None if sample == "beat" else sample, self.mos[who], self.now)
            for consult, stands in self.watch.changed(self.now):
                self.watch.told(consult, stands)
                self.log.append({(one.kind, one.about, one.other) for one in stands})
        return self.stands

    @property
    def stands(self):
        return {(kind, about) for kind, about, _ in self.log[-1]} if self.log else set()


@pytest.fixture
def play():
    made = Play()
    made.go(120)
    assert made.log == [set()]  # a good call has nothing, said once
    return made


#: who says what differently -> what that is, about whom, after how many seconds at the earliest and at the latest
WRONG = {
    "nothing arrives": (PATIENT, {"audio_packets": 0, "level_in": 0.0}, ("one_way_audio", DOC), 10, 18),
    "nothing arrives where a browser does not say how loud it is": (
        PATIENT,
        {"audio_packets": 0, "level_in": None},
        ("one_way_audio", DOC),
        10,
        18,
    ),
    "packets of nothing arrive": (PATIENT, {"level_in": 0.0}, ("one_way_audio", DOC), 10, 18),
    "she is silent": (PATIENT, {"level_out": 0.0}, ("silent", PATIENT), 84, 96),
    "no new pictures": (DOC, {"frames_per_second": 0.0}, ("frozen_video", PATIENT), 10, 18),
}


@pytest.mark.parametrize("name", WRONG)
def test_it_is_said_once_in_time_and_taken_back(play, name):
    who, changes, expected, least, most = WRONG[name]
    play.says[who] = Sample(**changes)
    play.go(least - 4)
    assert play.stands == set(), "too early"
    play.go(most - least + 4)
    assert play.stands == {expected}
    play.go(60)
    assert len(play.log) == 2, "said more than once"
    play.says[who] = Sample()
    play.go(20)
    assert play.stands == set()


def test_two_samples_are_too_few_to_know():
    speaks = deque((at, Sample(), 4.2) for at in range(60, 101, 2))
    hears = deque((at, Sample(audio_packets=0, level_in=0.0), None) for at in (80, 95, 98))
    sides = {DOC: Side(heard=100, since=0, seen=speaks), PATIENT: Side(heard=100, since=0, seen=hears)}
    assert standing(sides, 100, LIMITS) == frozenset()
    hears.append((100, Sample(audio_packets=0, level_in=0.0), None))
    assert standing(sides, 100, LIMITS) == {Finding("one_way_audio", DOC)}


#: what looks a little like it, and is none
FINE = {
    "her microphone is off": (
        PATIENT,
        {"microphone": False, "level_out": None},
        DOC,
        {"audio_packets": 0, "level_in": 0},
    ),
    "she listens in a quiet room": (PATIENT, {"level_out": 0.002}, DOC, {"level_in": 0.002}),
    "she says nothing, and nothing arrives": (PATIENT, {"level_out": 0.001}, DOC, {"level_in": 0.0}),
    "her camera is off": (PATIENT, {"camera": False}, DOC, {"frames_per_second": 0.0}),
    "a slow picture is a picture": (PATIENT, {}, DOC, {"frames_per_second": 2.0}),
    "a browser that does not measure": (
        PATIENT,
        {"level_out": None},
        DOC,
        {"level_in": None, "audio_packets": None, "frames_per_second": None},
    ),
}


@pytest.mark.parametrize("name", FINE)
def test_what_is_none_is_not_said(play, name):
    one, ones, other, others = FINE[name]
    play.says[one], play.says[other] = Sample(**ones), Sample(**others)
    play.go(200)
    assert play.log == [set()]


def test_sound_that_does_not_arrive_goes_on_standing_while_she_waits_for_an_answer(play):
    play.says[PATIENT] = Sample(level_in=0.0)
    play.go(20)
    play.says[DOC] = Sample(level_out=0.0005)
    play.go(30)
    assert ("one_way_audio", DOC) in play.stands


def test_poor_sound_is_said_and_taken_back_when_it_is_clearly_better(play):
    play.mos[DOC] = 2.4
    play.go(40)
    assert play.stands == {("poor_quality", DOC)}
    play.mos[DOC] = 3.2  # above the mark, and not by enough
    play.go(60)
    assert play.stands == {("poor_quality", DOC)}
    play.mos[DOC] = 3.6
    play.go(60)
    assert play.stands == set()
    assert len(play.log) == 3


def test_a_bad_moment_is_not_a_bad_call(play):
    play.mos[DOC] = 1.5
    play.go(4)
    play.mos[DOC] = 4.2
    play.go(40)
    assert play.log == [set()]


def test_a_page_that_goes_silent_in_the_call(play):
    play.says[PATIENT] = None
    play.go(12)
    assert play.stands == set()
    play.go(8)
    assert play.stands == {("heartbeat_lost", PATIENT)}
    play.says[PATIENT] = Sample()
    play.go(20)
    assert play.stands == set()


def test_heartbeats_alone_are_a_sign_of_life(play):
    play.says[PATIENT] = "beat"
    play.go(40)
    assert play.log == [set()]


def test_when_both_leave_nobody_is_missed(play):
    play.says = dict.fromkeys(play.says)
    play.go(120)
    assert play.log == [set()]
    play.go(20)
    assert not play.watch._consults, "forgotten"


def test_a_side_that_was_never_there_is_missed():
    play = Play()
    play.says[PATIENT] = None
    play.go(12)
    assert not play.log
    play.go(10)
    assert play.log[-1] == {("heartbeat_lost", DOC, True)}


def test_what_could_not_be_written_down_is_said_again(play):
    play.says[PATIENT] = Sample(audio_packets=0, level_in=0.0)
    told, play.watch.told = play.watch.told, lambda *_: None
    play.go(30)
    again = play.watch.changed(play.now)
    assert again == [(CONSULT, frozenset({Finding("one_way_audio", DOC)}))]
    told(*again[0])
    assert play.watch.changed(play.now) == []


def test_each_consult_is_looked_at_in_its_turn():
    watch = Watch(LIMITS)
    for consult in range(9):
        for at in range(100, 200, 2):
            watch.heard(UUID(int=consult), DOC, Sample(), 1.2, float(at))
    seen = [{c.int for c, _ in watch.changed(198.0, part=3)} for _ in range(3)]
    assert [len(found) for found in seen] == [3, 6, 9]


def test_every_kind_has_words():
    from consults import alert_words, alerts

    assert set(alert_words.WORDS) == KINDS | alerts.BY_STATE
    assert not KINDS & alerts.BY_STATE
