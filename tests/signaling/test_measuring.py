"""What a page makes of getStats, asked in node: reports as Chromium and Firefox gave them, and what befalls them."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from signaling import protocol
from signaling.protocol import Quality
from tests.signaling import node

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "signaling/static/signaling"
#: two seconds apart
SECONDS = 2.0
MEASURE = """
import { measure } from "%s";
const scenes = JSON.parse(await new Response(process.stdin).text());
const found = [];
for (const [first, second] of scenes) {
  let now = 1000;
  performance.now = () => now;
  let entries = first;
  const on = { enabled: true, readyState: "live" };
  const tracks = [{ ...on, kind: "audio", readyState: "ended" }, { ...on, kind: "video" }];
  const pc = {
    getStats: async () => new Map(entries.map((entry) => [entry.id, entry])),
    getSenders: () => tracks.map((track) => ({ track })),
  };
  const { totals, sample } = await measure(pc, null);
  if (sample !== null) throw new Error("a first look has nothing to compare with");
  now += 2000;
  entries = second;
  found.push((await measure(pc, totals)).sample);
}
console.log(JSON.stringify(found));
"""


def measured(*scenes):
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    command = ["node", "--input-type=module", "-e", MEASURE % (STATIC / "quality.js").as_uri()]
    done = subprocess.run(command, input=json.dumps(scenes), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def reports(browser):
    return json.loads((ROOT / f"tests/vectors/stats-{browser}.json").read_text())


def of(report, type_, **members):
    (found,) = [e for e in report if e["type"] == type_ and members.items() <= e.items()]
    return found


def pair(report):
    chosen = of(report, "transport")["selectedCandidatePairId"]
    return of(report, "candidate-pair", id=chosen)


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_every_figure_of_both_browsers(browser):
    before, after = reports(browser)
    (sample,) = measured((before, after))
    sound, picture = (of(after, "inbound-rtp", kind=kind) for kind in ("audio", "video"))
    grown = {
        (kind, name): of(after, "inbound-rtp", kind=kind)[name] - of(before, "inbound-rtp", kind=kind)[name]
        for kind, names in {
            "audio": ("packetsReceived", "totalAudioEnergy", "totalSamplesDuration", "bytesReceived")
            + ("jitterBufferDelay", "jitterBufferEmittedCount"),
            "video": ("framesDecoded", "freezeCount", "totalFreezesDuration", "bytesReceived"),
        }.items()
        for name in names
    }
    held = grown["audio", "jitterBufferDelay"] / grown["audio", "jitterBufferEmittedCount"]
    loud = (grown["audio", "totalAudioEnergy"] / grown["audio", "totalSamplesDuration"]) ** 0.5
    arrived = grown["audio", "bytesReceived"] + grown["video", "bytesReceived"]
    expected = {
        "rtt_ms": 1000 * pair(after)["currentRoundTripTime"],
        "jitter_ms": 1000 * sound["jitter"],
        "buffer_ms": 1000 * held,
        "loss": 0,
        "audio_packets": grown["audio", "packetsReceived"],
        "frames_per_second": grown["video", "framesDecoded"] / SECONDS,
        "freezes": grown["video", "freezeCount"],
        "frozen_seconds": grown["video", "totalFreezesDuration"],
        "width": picture["frameWidth"],
        "height": picture["frameHeight"],
        "kbit_in": arrived * 8 / 1000 / SECONDS,
    }
    for name, value in expected.items():
        assert sample[name] == pytest.approx(value, abs=0.06), name
    assert sample["level_in"] == pytest.approx(loud, abs=1e-4)
    assert (sample["audio_codec"], sample["video_codec"]) == ("opus", "vp8")
    assert sample["local"] == of(after, "local-candidate", id=pair(after)["localCandidateId"])["candidateType"]
    assert sample["remote"] == of(after, "remote-candidate", id=pair(after)["remoteCandidateId"])["candidateType"]
    # a microphone whose track ended sends nothing, though it is enabled
    assert (sample["microphone"], sample["camera"], sample["relayed"]) == (False, True, False)


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_the_worker_takes_what_the_page_says(browser):
    (sample,) = measured(reports(browser))
    del sample["word"]
    text = json.dumps({"kind": "quality", **sample, "server_rtt_ms": 12})
    assert isinstance(protocol.parse_monitor(text), Quality)
    assert set(json.loads(text)) == {"kind", *Quality.__struct_fields__}


def changed(report, **kinds):
    """The report with members of all entries of a kind set; `candidate_pair=...` for `candidate-pair`."""
    return [{**e, **kinds.get(e["type"].replace("-", "_"), {})} for e in report]


def test_loss_is_of_the_sound_and_loss_up_the_worse_of_both():
    before, after = reports("chromium")
    sound = of(after, "inbound-rtp", kind="audio")
    came = sound["packetsReceived"] - of(before, "inbound-rtp", kind="audio")["packetsReceived"]
    sound["packetsLost"] += came // 4
    of(after, "inbound-rtp", kind="video")["packetsLost"] += 5000
    of(after, "remote-inbound-rtp", kind="video")["fractionLost"] = 0.125
    (sample,) = measured((before, after))
    assert sample["loss"] == pytest.approx(100 * (came // 4) / (came + came // 4), abs=0.06)
    assert sample["loss_up"] == 12.5
    assert sample["word"] == "poor"


def stale(report, **members):
    """Another pair that was nominated before, and is not in use any more: over the relay, and slow."""
    used = pair(report)
    old = {**used, "id": "stale", "localCandidateId": "old", "currentRoundTripTime": 3.0, **members}
    return [old, {"id": "old", "type": "local-candidate", "candidateType": "relay"}]


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_a_pair_that_is_not_in_use_any_more_says_nothing(browser):
    before, after = reports(browser)
    more = stale(after, selected=False) if browser == "firefox" else stale(after)
    first, last = measured((before, more + after), (before, after + more))
    assert first == last
    assert (first["relayed"], first["local"]) == (False, "host")
    assert first["rtt_ms"] < 1000


def test_a_relay_on_either_side_is_a_relay():
    before, after = reports("chromium")
    ours, theirs = (changed(after, **{k: {"candidateType": "relay"}}) for k in ("local_candidate", "remote_candidate"))
    for sample in measured((before, ours), (before, theirs)):
        assert sample["relayed"] is True


def test_without_a_transport_the_pair_says_it_and_without_its_time_the_reports_of_the_other_side_do():
    before, after = reports("firefox")
    after = [e for e in after if e["type"] != "transport"]
    used = of(after, "candidate-pair")
    used["currentRoundTripTime"] = 0.25
    late = changed(after, remote_inbound_rtp={"roundTripTime": 0.5})
    silent = [{k: v for k, v in e.items() if k != "currentRoundTripTime"} for e in late]
    found = measured((before, after), (before, silent), (before, changed(silent, candidate_pair={"state": "failed"})))
    assert [sample["rtt_ms"] for sample in found] == [250, 500, 500]
    assert [sample["local"] for sample in found] == ["host", "host", None]


def test_what_a_browser_lacks_is_null_and_not_zero():
    before, after = reports("chromium")
    lacking = [[e for e in r if e["type"] in ("transport", "candidate-pair")] for r in (before, after)]
    (sample,) = measured(lacking)
    for name in (
        "loss",
        "loss_up",
        "audio_packets",
        "level_in",
        "level_out",
        "jitter_ms",
        "buffer_ms",
        "width",
        "freezes",
    ):
        assert sample[name] is None, name


def test_a_counter_that_begins_anew_is_no_figure_below_nothing():
    before, after = reports("chromium")
    of(after, "inbound-rtp", kind="video")["freezeCount"] += 3
    (sample,) = measured((after, before))
    assert all(value >= 0 for value in sample.values() if isinstance(value, int | float))


HINTS = """
import { calm, next, sentence } from "%s";
const found = [];
for (const samples of JSON.parse(process.argv[1])) {
  let state = calm();
  const said = [];
  for (const [times, sample] of samples) for (let i = 0; i < times; i += 1) {
    state = next(state, sample);
    said.push(state.hint);
  }
  found.push(said);
}
const all = ["", "own", "theirs", "path", "device"];
const words = Object.fromEntries(all.map((hint) => [hint, sentence(hint, "Dr Garcia")]));
console.log(JSON.stringify([found, words]));
"""
GOOD = {"word": "good", "rtt_ms": 40, "limited": "none", "server_rtt_ms": 20}
POOR = GOOD | {"word": "poor"}


def hints(*scenes):
    return node.ask(HINTS % (STATIC / "hint.js").as_uri(), scenes)


def test_the_hint_says_on_whose_side_it_is_weak():
    cases = {
        "own": POOR | {"server_rtt_ms": 400, "rtt_ms": 900},
        "theirs": POOR | {"server_rtt_ms": 30, "rtt_ms": 900},
        "path": POOR | {"server_rtt_ms": 150, "rtt_ms": 900},
        "device": GOOD | {"word": "fair", "limited": "cpu"},
    }
    found, words = hints(*([(3, sample)] for sample in cases.values()), [(3, POOR | {"server_rtt_ms": None})])
    assert [said[-1] for said in found] == [*cases, "path"]
    assert len(set(words.values())) == 5
    assert words[""] == ""
    assert "Dr Garcia" in words["theirs"]


def test_the_hint_does_not_come_and_go():
    spike, weak, flapping = hints(
        [(5, GOOD), (2, POOR), (5, GOOD)],
        [(3, POOR), (5, GOOD), (1, POOR), (6, GOOD)],
        [(1, POOR), (1, GOOD)] * 10,
    )[0]
    assert set(spike) == {""}
    assert weak == ["", "", *["path"] * 12, ""]
    assert set(flapping) == {""}
