"""The patient says who she is; five misses close the seat."""

import pytest
from django.urls import reverse

from consults import visit
from consults.models import Participant
from tests.cast import BY, MARIA, bring_to
from vault.models import AuditEntry


@pytest.fixture
def seated(cast):
    return bring_to("seated", cast.clinician, cast.patient)


def _say(now, name=MARIA["name"], birth_date=MARIA["birth_date"]):
    return now.browser().post(reverse("identity", args=[now.consult.id]), {"name": name, "birth_date": birth_date})


def test_the_right_name_and_date_lead_on(seated):
    answer = _say(seated, "maria jose QUIXPLOTZ")
    assert answer.headers["Location"] == reverse("visit", args=[seated.consult.id])
    assert seated.fresh().stage == "devices"


@pytest.mark.parametrize(
    ("name", "birth_date"),
    [("Maria", "1984-03-17"), (MARIA["name"], "1984-03-18"), ("", "1984-03-17"), (MARIA["name"], "then")],
)
def test_anything_else_does_not(seated, name, birth_date):
    answer = _say(seated, name, birth_date)
    assert answer.status_code == 200
    assert seated.fresh().stage == "identity"


def test_the_answer_does_not_tell_which_half_was_wrong(seated):
    import re

    texts = set()
    for name, date in (("Maria", MARIA["birth_date"]), (MARIA["name"], "1984-03-18")):
        body = re.sub(r'value="[^"]*"', "", _say(seated, name, date).content.decode())
        texts.add(body)
    assert len(texts) == 1


def test_after_five_misses_even_the_right_answer_is_refused(seated):
    for number in range(visit.IDENTITY_TRIES):
        assert _say(seated, f"Wrong {number}").status_code == 200
    answer = _say(seated)
    assert answer.status_code == 403
    assert "call your clinic" in answer.content.decode()
    assert seated.fresh().stage == "identity"


def test_a_miss_is_in_the_log_without_what_was_typed(seated):
    _say(seated, "Somebody Nosy")
    entry = AuditEntry.objects.get(action="identity.check")
    assert (entry.outcome, entry.role, entry.detail) == ("failed", "patient", {"tries": 1})
    assert "Nosy" not in str(AuditEntry.objects.filter(pk=entry.pk).values().get())


def test_misses_count_even_when_they_race(committed_cast):
    from tests.at_once import at_once

    now = bring_to("seated", committed_cast.clinician, committed_cast.patient)
    at_once([lambda: _say(now, "Wrong").status_code] * 8)
    assert Participant.objects.get(pk=now.seat.pk).identity_failures == visit.IDENTITY_TRIES
    assert _say(now).status_code == 403


def test_devices_are_tested_only_after_identity(seated):
    path = reverse("devices", args=[seated.consult.id])
    assert seated.browser().post(path, {"camera": "on"}).status_code == 409
    _say(seated)
    assert seated.browser().post(path, {"camera": "on"}).status_code == 200
    seated.seat.refresh_from_db()
    assert seated.seat.devices == {"camera": True, "microphone": False, "speaker": False}


def test_a_patient_without_a_camera_goes_on(seated):
    _say(seated)
    seated.browser().post(reverse("devices", args=[seated.consult.id]))
    assert seated.fresh().stage == "consent"


def test_every_stage_has_its_page(cast):
    pages = {}
    for stage in ("seated", "identified", "tested", "waiting", "admitted", "ended"):
        now = bring_to(stage, cast.clinician, cast.patient)
        answer = now.browser().get(reverse("visit", args=[now.consult.id]))
        assert answer.status_code == 200
        assert "Quixplotz" not in answer.content.decode()
        pages[now.fresh().stage] = answer.templates[0].name
        visit.end(now.consult, BY)
    assert set(pages) == {"identity", "devices", "consent", "waiting", "call", "ended"}
    assert len(set(pages.values())) == 3
