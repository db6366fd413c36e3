"""What stays of a call: one row, made once, when it is over; samples go after their days; weeks add up."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from consults import call_chart, call_summary, visit
from consults.models import Consult
from consults.quality_models import CallSummary, QualitySample
from tests.cast import BY, bring_to, sign_in


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
    call(days_ago=7, phoned_at=timezone.now(), samples=False)
    call_summary.sum_up_ended()
    *_, before, now = call_summary.weeks(cast.clinic.pk, timezone.now(), 4)
    recent = call_summary.total([before, now])
    assert (recent.calls, recent.never, recent.phoned, recent.unmeasured) == (5, 1, 2, 1)
    assert (recent.failed, recent.known, recent.percent) == (3, 4, 75.0)
    assert call_summary.weeks(cast.other_clinic.pk, timezone.now(), 4)[-1].calls == 0
    chart = call_chart.draw_weeks([before, now])
    assert chart.most == 100
    assert len(chart.bars) == 2


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
    assert "1 of 1 visits failed in the last four weeks: 100.0 %" in page
