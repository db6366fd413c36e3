"""The parser takes exactly what PROTOCOL.md allows."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling import protocol
from signaling.protocol import MAX_FRAME, BadFrame, Rate, parse, parse_monitor, passed_on

TAB = "0123456789abcdef"
GOOD = [
    {"kind": "hello", "protocol": 1, "tab": TAB},
    {"kind": "description", "leg": "call", "negotiation": 0, "type": "offer", "sdp": "v=0"},
    {"kind": "description", "leg": "voice", "negotiation": 7, "type": "answer", "sdp": "x" * 24 * 1024},
    {"kind": "candidate", "leg": "monitor", "negotiation": 1, "candidate": "", "mid": "0"},
    {"kind": "candidate", "leg": "call", "negotiation": 1, "candidate": "c" * 512, "mid": "m" * 16},
    {"kind": "media", "camera": True, "microphone": False, "screen": False},
    {"kind": "voice_stop"},
    {"kind": "phone"},
    {"kind": "ping"},
]


def _but(frame, **changes):
    return {k: v for k, v in {**frame, **changes}.items() if v is not ...}


HELLO, DESCRIPTION, CANDIDATE, MEDIA = GOOD[0], GOOD[1], GOOD[3], GOOD[5]
BAD = {
    "no object": [],
    "a number": 7,
    "null": None,
    "empty": {},
    "unknown kind": {"kind": "eval"},
    "a server's kind": {"kind": "state"},
    "kind is a list": {"kind": ["ping"]},
    "kind is missing": {"protocol": 1, "tab": TAB},
    "kind in capitals": {"kind": "PING"},
    "channel layer's member": {"kind": "ping", "type": "relay.frame"},
    "an extra member": {"kind": "ping", "x": 1},
    "a forged sender": _but(DESCRIPTION, **{"from": "clinician"}),
    "a forged role": _but(HELLO, role="clinician"),
    "no sdp": _but(DESCRIPTION, sdp=...),
    "empty sdp": _but(DESCRIPTION, sdp=""),
    "long sdp": _but(DESCRIPTION, sdp="x" * (24 * 1024 + 1)),
    "sdp is null": _but(DESCRIPTION, sdp=None),
    "unknown leg": _but(DESCRIPTION, leg="admin"),
    "unknown type": _but(DESCRIPTION, type="rollback"),
    "negotiation is text": _but(DESCRIPTION, negotiation="1"),
    "negotiation is a float": _but(DESCRIPTION, negotiation=1.0),
    "negotiation is a bool": _but(DESCRIPTION, negotiation=True),
    "negotiation is negative": _but(DESCRIPTION, negotiation=-1),
    "negotiation is huge": _but(DESCRIPTION, negotiation=2**31 + 1),
    "protocol 2": _but(HELLO, protocol=2),
    "protocol is true": _but(HELLO, protocol=True),
    "protocol is text": _but(HELLO, protocol="1"),
    "short tab": _but(HELLO, tab="abc"),
    "tab in capitals": _but(HELLO, tab="0123456789ABCDEF"),
    "tab with a line end": _but(HELLO, tab=TAB + "\n"),
    "tab with another in it": _but(HELLO, tab=f"{TAB}.x"),
    "long candidate": _but(CANDIDATE, candidate="c" * 513),
    "long mid": _but(CANDIDATE, mid="m" * 17),
    "mid is null": _but(CANDIDATE, mid=None),
    "camera is a number": _but(MEDIA, camera=1),
    "half a surrogate pair": _but(DESCRIPTION, sdp="v=0\ud800"),
    "half a pair in a name": {"kind": "ping", "\udfff": 1},
}
TEXTS = {
    "nothing": "",
    "not JSON": "hello",
    "two values": '{"kind":"ping"}{"kind":"ping"}',
    "duplicate member": '{"kind":"ping","kind":"voice_stop"}',
    "duplicate member, same value": '{"kind":"ping","kind":"ping"}',
    "duplicate by escape": '{"kind":"ping","\\u006bind":"ping"}',
    "duplicate deep down": '{"kind":"ping","x":{"a":1,"a":2}}',
    "NaN": '{"kind":"description","leg":"call","negotiation":NaN,"type":"offer","sdp":"v"}',
    "Infinity": '{"kind":"description","leg":"call","negotiation":Infinity,"type":"offer","sdp":"v"}',
    "overflow": '{"kind":"description","leg":"call","negotiation":1e999,"type":"offer","sdp":"v"}',
    "a number without end": '{"kind":"description","leg":"call","negotiation":' + "9" * 6000 + "}",
    "deep list": "[" * 16_000 + "]" * 16_000,
    "deep object": '{"a":' * 5000 + "1" + "}" * 5000,
    "comment": '{"kind":"ping"}//',
    "trailing comma": '{"kind":"ping",}',
    "single quotes": "{'kind':'ping'}",
    "byte order mark": '\ufeff{"kind":"ping"}',
    "too long": json.dumps({"kind": "ping"}) + " " * MAX_FRAME,
    "too long in bytes only": '"' + "é" * (MAX_FRAME // 2) + '"',
    "raw half surrogate": '{"kind":"ping\ud800"}',
}


@pytest.mark.parametrize("frame", GOOD, ids=lambda f: f["kind"])
def test_a_good_frame_is_taken(frame):
    parsed = parse(json.dumps(frame))
    assert {"kind": frame["kind"], **{f: getattr(parsed, f) for f in parsed.__struct_fields__}} == frame


@pytest.mark.parametrize("frame", BAD.values(), ids=BAD.keys())
def test_a_bad_frame_is_refused(frame):
    with pytest.raises(BadFrame):
        parse(json.dumps(frame))


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_bad_text_is_refused(text):
    with pytest.raises(BadFrame):
        parse(text)


def test_a_frame_may_be_just_as_long_as_it_may():
    text = json.dumps({"kind": "ping"})
    assert parse(text + " " * (MAX_FRAME - len(text)))
    with pytest.raises(BadFrame):
        parse(text + " " * (MAX_FRAME - len(text) + 1))


def test_a_refusal_does_not_repeat_what_was_sent():
    with pytest.raises(BadFrame) as refused:
        parse('{"kind":"canary"}')
    assert "canary" not in str(refused.value)
    assert refused.value.__suppress_context__


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
MEMBERS = sorted({name for frame in GOOD for name in frame} | {"from", "type.", ""})
NEARLY = st.builds(
    lambda frame, changes, drop: {k: v for k, v in {**frame, **changes}.items() if k not in drop},
    st.sampled_from(GOOD),
    st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=2),
    st.sets(st.sampled_from(MEMBERS), max_size=1),
)


def _parse(text):
    try:
        return parse(text)
    except BadFrame:
        return None


@given(text=st.text(st.characters(), max_size=200))
def test_any_text_is_a_frame_or_a_bad_frame(text):
    _parse(text)


@given(frame=NEARLY)
def test_nearly_a_frame_is_one_or_none_and_can_be_passed_on(frame):
    parsed = _parse(json.dumps(frame))
    if isinstance(parsed, protocol.Description | protocol.Candidate | protocol.Media):
        sent = json.loads(passed_on(parsed, "patient"))
        assert sent == {**frame, "from": "patient"}


@given(value=JSON)
def test_any_json_is_a_frame_or_a_bad_frame(value):
    _parse(json.dumps(value))
    try:
        parse_monitor(json.dumps(value))
    except BadFrame:
        return
    raise AssertionError("no such value is a monitor's message")


def test_what_is_passed_on_says_who_sent_it():
    for frame in GOOD[1:6]:
        assert json.loads(passed_on(parse(json.dumps(frame)), "clinician")) == {**frame, "from": "clinician"}


QUALITY = {
    "kind": "quality",
    **{"rtt_ms": 23.5, "jitter_ms": 1, "buffer_ms": 40.5, "loss": None, "loss_up": 0.4, "server_rtt_ms": 12},
    **{
        "audio_packets": 100,
        "frames_per_second": 30,
        "width": 1280,
        "height": 720,
        "freezes": 1,
        "frozen_seconds": 0.4,
    },
    **{"kbit_in": 900, "kbit_out": 0, "level_in": 0.0421, "level_out": 0, "audio_codec": "opus", "video_codec": "vp8"},
    **{
        "local": "host",
        "remote": "prflx",
        "relayed": False,
        "limited": "bandwidth",
        "microphone": True,
        "camera": False,
    },
}


@pytest.mark.parametrize("message", [QUALITY, {"kind": "heartbeat"}], ids=["quality", "heartbeat"])
def test_a_monitors_message_is_taken(message):
    parse_monitor(json.dumps(message))


@pytest.mark.parametrize(
    "message",
    [
        _but(QUALITY, rtt_ms=-1),
        _but(QUALITY, rtt_ms=60_001),
        _but(QUALITY, rtt_ms=float("nan")),
        _but(QUALITY, rtt_ms=float("inf")),
        _but(QUALITY, rtt_ms="fast"),
        _but(QUALITY, loss=101),
        _but(QUALITY, relayed=None),
        _but(QUALITY, kbit_in=...),
        _but(QUALITY, level_in=1.1),
        _but(QUALITY, audio_packets=1.5),
        _but(QUALITY, audio_packets=-1),
        _but(QUALITY, width=40_000),
        _but(QUALITY, freezes=True),
        _but(QUALITY, audio_codec="opus; drop table"),
        _but(QUALITY, video_codec="x" * 13),
        _but(QUALITY, local="192.168.1.7"),
        _but(QUALITY, limited="boredom"),
        _but(QUALITY, microphone=None),
        _but(QUALITY, consult="another"),
        {"kind": "heartbeat", "x": 1},
        {"kind": "ping"},
        {**QUALITY, "padding": "x" * 1024},
    ],
    ids=str,
)
def test_a_bad_monitors_message_is_refused(message):
    with pytest.raises(BadFrame):
        parse_monitor(json.dumps(message))


def test_the_rate_allows_a_burst_and_then_its_average():
    rate = Rate(40, 120, 0.0)
    assert [rate.take(0.0) for _ in range(121)] == [True] * 120 + [False]
    assert sum(rate.take(1.0) for _ in range(100)) == 40
    assert sum(rate.take(1000.0) for _ in range(1000)) == 120


@given(steps=st.lists(st.floats(0, 2), max_size=400))
def test_the_rate_never_gives_more_than_it_has(steps):
    rate, now, taken = Rate(40, 120, 0.0), 0.0, 0
    for step in steps:
        now += step
        taken += rate.take(now)
        assert taken <= 120 + 40 * now + 1e-6
