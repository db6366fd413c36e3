"""What stays of a call: one row, made once, when it is over; samples go after their days; weeks add up."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from consults import alert_words, call_chart, call_now, call_summary, visit
from consults.models import Consult
from consults.quality_models import Alert, CallSummary, QualitySample
from tests.cast import BY, bring_to, person, sign_in


@pytest.fixture
def call(cast):
    """`call(minutes, changes)`: an ended visit with samples of both sides."""

    def make(minutes=3, days_ago=0, *, samples=True, **changes):
        now = bring_to("admitted", cast.clinician, cast.patient)
        begun = timezone.now() - timedelta(days=days_ago, minutes=minutes + 5)
        visit.end(now.consult, BY)
        ended = begun + timedelta(minutes=minutes)
        Consult.objects.filter(pk=now.consult.pk).update(admitted_at=begun, ended_at=ended, **changes)
        good = {"mos": 4.1, "level_in": 0.02, "rtt_ms": 50.0, "loss": 0.2, "frozen_seconds": 0.0, "freezes": 0}
        if samples:
            QualitySample.objects.bulk_create(
                QualitySample(
                    consult=now.consult,
                    participant=seat,
                    at=begun + timedelta(seconds=second),
                    microphone=True,
                    **good,
                )
                for second in range(4, minutes * 60, 2)
                for seat in now.consult.participants.all()
            )
        return Consult.objects.get(pk=now.consult.pk)

    return make


def test_a_call_is_summed_up_once_and_reads_the_same_without_its_samples(call):
    consult = call()
    live = call_summary.of(consult)
    call_summary.sum_up_ended()
    call_summary.sum_up_ended()
    assert CallSummary.objects.count() == 1
    QualitySample.objects.all().delete()
    kept = call_summary.of(consult)
    assert kept == live
    assert (kept.verdict, kept.reasons) == ("adequate", ["good"])
    assert call_chart.draw(kept) == call_chart.draw(live)
    assert len(call_chart.draw(kept).rows) > 30


def test_nothing_is_summed_up_before_the_last_samples_are_there(call, cast):
    consult = call()
    Consult.objects.filter(pk=consult.pk).update(ended_at=timezone.now() - timedelta(seconds=5))
    bring_to("admitted", cast.clinician, cast.patient)  # still runs
    visit.end(bring_to("waiting", cast.clinician, cast.patient).consult, BY)  # nobody was admitted
    call_summary.sum_up_ended()
    assert not CallSummary.objects.exists()


def test_samples_go_after_their_days_and_only_those_of_calls_that_were_summed_up(call, settings):
    settings.QUALITY_KEEP_DAYS = 30
    old, young, unsummed = call(days_ago=31), call(days_ago=20), None
    call_summary.sum_up_ended()
    unsummed = call(days_ago=40)
    call_summary.drop_old_samples()
    left = set(QualitySample.objects.values_list("consult", flat=True))
    assert left == {young.pk, unsummed.pk}
    assert call_summary.of(old).verdict == "adequate"


def test_the_weeks_add_up(call, cast):
    call()
    call(phoned_at=timezone.now())
    never = call(samples=False)
    from vault import audit

    audit.record("worker.monitor", BY, consult=never.pk)
    call(samples=False)  # nobody measured
    both = call(days_ago=7, phoned_at=timezone.now(), samples=False)
    audit.record("worker.monitor", BY, consult=both.pk)  # never heard each other and told to telephone: one failure
    call_summary.sum_up_ended()
    *_, before, now = call_summary.weeks(cast.clinic.pk, timezone.now(), 4)
    recent = call_summary.total([before, now])
    assert (recent.calls, recent.never, recent.phoned, recent.unmeasured) == (5, 1, 2, 1)
    assert (recent.failed, recent.known, recent.percent) == (3, 4, 75.0)
    assert call_summary.weeks(cast.other_clinic.pk, timezone.now(), 4)[-1].calls == 0
    chart = call_chart.draw_weeks([before, now])
    assert chart.most == 100
    assert len(chart.bars) == 2


def warned(consult, kind, after, lasted):
    raised = consult.admitted_at + timedelta(seconds=after)
    cleared = raised + timedelta(seconds=lasted) if lasted else None
    return Alert.objects.create(consult=consult, kind=kind, about="patient", raised_at=raised, cleared_at=cleared)


def test_the_drawing_has_sound_delay_loss_stills_and_warnings(call):
    consult = call(minutes=4)
    rows = QualitySample.objects.filter(consult=consult)
    rows.filter(at__gt=consult.admitted_at + timedelta(seconds=120)).update(rtt_ms=900.0, loss=30.0, frozen_seconds=1.0)
    warned(consult, "one_way_audio", 60, 90)
    warned(consult, "silent", 180, None)
    warnings = [alert_words.said(a, reader="operator") for a in consult.alerts.order_by("raised_at")]
    chart = call_chart.draw(call_summary.of(consult), consult.admitted_at, warnings)
    assert (chart.delay_most, chart.loss_most) == (1000, 50)
    heights = [float(pair.split(",")[1]) for pair in chart.delay[0].split()]
    assert (heights[0], heights[-1]) == (95.0, 10.0)
    assert (chart.loss[0].height, chart.loss[-1].height) == ("0.4", "60.0")
    assert all(float(bar.x) >= 500 for bar in chart.frozen)
    assert len(chart.frozen) == pytest.approx(30, abs=1)
    assert [(one.at, one.lasted) for one in chart.episodes] == [("1:00", "for 1 min 30 s"), ("3:00", "to the end")]
    assert [(one.bar.x, one.bar.width) for one in chart.episodes] == [("250.0", "375.0"), ("750.0", "250.0")]
    assert call_chart.draw(call_summary.of(consult), None, warnings).episodes == []


def test_little_looks_little(call):
    chart = call_chart.draw(call_summary.of(call()))
    assert (chart.delay_most, chart.loss_most) == (500, 10)
    assert chart.frozen == []


def test_what_both_pages_measure_now(call, cast):
    now = bring_to("admitted", cast.clinician, cast.patient)
    assert call_now.figures(now.consult) == []
    one = {"consult": now.consult, "participant": now.seat, "mos": 4.2, "rtt_ms": 35.2, "loss_up": 1.25}
    figures = {"width": 640, "height": 480, "frames_per_second": 24.6, "audio_codec": "opus", "local": "relay"}
    QualitySample.objects.create(**one, **figures, remote="host", relayed=True, microphone=True, at=timezone.now())
    QualitySample.objects.create(**one | {"mos": 1.1}, at=timezone.now() - timedelta(seconds=4))
    found = {one.label: (one.clinician, one.patient) for one in call_now.figures(now.consult)}
    assert found["Sound heard, 1 to 4.5"] == ("–", "4.2 (R 85)")
    assert found["Picture received"] == ("–", "640 × 480, 25 a second")
    assert found["Route"] == ("–", "over the relay (relay to host)")
    assert found["Codecs"] == ("–", "opus")
    assert found["Sends"] == ("–", "sound")
    assert found["Lost of what is sent"] == ("–", "1.2 %")
    assert found["Jitter"] == ("–", "–")
    QualitySample.objects.update(at=timezone.now() - timedelta(seconds=30))
    assert call_now.figures(now.consult) == []


def test_the_page_of_a_visit_that_goes_on_says_what_is_now(call, cast):
    now = bring_to("admitted", cast.clinician, cast.patient)
    QualitySample.objects.create(consult=now.consult, participant=now.seat, rtt_ms=777, at=timezone.now())
    office = sign_in(cast.operator)
    for name in ("board-visit", "board-visit-now"):
        page = office.get(reverse(name, args=[now.consult.pk])).content.decode()
        assert "777 ms" in page
        assert "M. Q." not in page
        stranger = person(cast.other_clinic, f"stranger-{name}", "operator")
        assert sign_in(stranger).get(reverse(name, args=[now.consult.pk])).status_code == 404
    visit.end(now.consult, BY)
    assert "Delay to this server" not in office.get(reverse("board-visit-now", args=[now.consult.pk])).content.decode()


def test_the_pages_say_it(call, cast):
    consult = call(phoned_at=timezone.now())
    call_summary.sum_up_ended()
    desk = sign_in(cast.clinician).get(reverse("room", args=[consult.pk])).content.decode()
    assert "Not adequate" in desk
    assert "go on by telephone" in desk
    assert "<polyline" in desk
    office = sign_in(cast.operator)
    page = office.get(reverse("board-visit", args=[consult.pk])).content.decode()
    assert "<polyline" in page
    assert "M. Q." not in page
    assert cast.patient.record_number not in page
    page = office.get(reverse("reliability")).content.decode()
    assert "1 of 1 visit failed in the last four weeks: 100 %" in page
