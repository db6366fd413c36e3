"""The ladder's pure function, asked in node as the pages ask it."""

from tests.signaling import node

PLAY = """
import { next, top } from "%s";
let rung = top();
const steps = [];
let at = 0;
for (const [looks, look] of JSON.parse(process.argv[1])) {
  for (let i = 0; i < looks; i += 1) {
    at += 2;
    rung = next(rung, { at, due: true, connected: true, loss: 0, kbit: null, ...look });
    steps.push(rung.step);
  }
}
console.log(JSON.stringify(steps));
"""
FINE, AWFUL, BAD = {"loss": 0.01}, {"loss": 0.35}, {"loss": 0.15}
GONE, AWAY = {"connected": False}, {"connected": False, "due": False}


def play(*scenes):
    return node.ask(PLAY % (node.STATIC / "ladder.js").as_uri(), scenes)


def changes(steps):
    return [step for i, step in enumerate(steps) if i == 0 or step != steps[i - 1]]


def test_a_good_path_and_five_in_a_hundred_lost_keep_video():
    assert changes(play((100, FINE), (100, {"loss": 0.06}))) == ["video"]


def test_it_goes_down_step_by_step_and_not_for_one_bad_look():
    assert changes(play((10, FINE), (2, AWFUL), (10, FINE))) == ["video"]
    assert changes(play((1, FINE), (20, AWFUL))) == ["video", "low", "audio"]
    assert play((3, AWFUL))[-1] == "low"


def test_a_narrow_path_goes_down_too():
    assert changes(play((10, {"kbit": 50}))) == ["video", "low", "audio"]
    assert play((7, {"kbit": 100}))[-1] == "low"
    assert play((200, {"kbit": 50})).count("audio") > 120


def test_sound_alone_lives_with_a_fifth_lost_and_the_phone_is_last():
    assert changes(play((60, {"loss": 0.2})))[-1] == "audio"
    assert changes(play((60, {"loss": 0.7}))) == ["video", "low", "audio", "phone"]


def test_it_climbs_back_by_itself():
    assert changes(play((20, AWFUL), (40, FINE))) == ["video", "low", "audio", "low", "video"]
    assert changes(play((20, {"loss": 0.7}), (60, FINE)))[-4:] == ["phone", "audio", "low", "video"]


def test_a_step_that_does_not_hold_is_tried_less_and_less_often():
    # Fine while the picture rests, bad as soon as it is sent: without patience it would change every 16 s.
    scene = [(6, BAD)] + [(5, FINE), (3, BAD)] * 40
    assert changes(play(*scene)).count("video") <= 3
    # One that holds is forgiven.
    assert changes(play(*scene, (400, FINE), (3, BAD), (5, FINE)))[-3:] == ["video", "low", "video"]


def test_a_connection_that_stays_away_leads_to_the_phone_after_half_a_minute_and_back():
    steps = play((5, FINE), (15, GONE), (1, FINE))
    assert steps.index("video", 0) == 0
    assert set(steps[:19]) == {"video"}
    assert play((5, FINE), (16, GONE))[-1] == "phone"
    assert play((5, FINE), (16, GONE), (1, FINE))[-1] == "video"
    assert play((20, AWFUL), (20, GONE), (1, FINE))[-1] == "audio"


def test_nobody_is_sent_to_the_phone_because_the_other_side_has_left():
    assert set(play((5, FINE), (100, AWAY))) == {"video"}


def test_what_a_gap_left_in_the_figures_does_not_count():
    assert set(play((5, FINE), (4, GONE), (4, AWFUL), (5, FINE))) == {"video"}
    assert play((5, FINE), (4, GONE), (12, AWFUL))[-1] == "audio"
