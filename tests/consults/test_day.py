"""The clinician's day: who waits, in what state, and how much the database is asked for it."""

import pytest
from django.urls import reverse
from django.utils import timezone

from consults import consent, visit, waiting_room
from consults.models import Participant
from tests.cast import bring_to, sign_in


def _agrees(clinician, now):
    """The row of the dashboard, once it is known to say what the room itself says."""
    (one,) = waiting_room.look(clinician)
    view = visit.look(now.consult.id)
    assert (one.seat, one.consult) == (view.seat, view.consult)
    assert (one.consented, one.patient_here) == (view.consented, view.patient_here)
    return one


@pytest.fixture
def now(cast):
    return bring_to("waiting", cast.clinician, cast.patient)


def test_it_says_of_each_what_her_room_says(cast, now):
    one = _agrees(cast.clinician, now)
    assert (one.consented, one.patient_here) == (True, False)


def test_it_sees_who_is_connected_and_whose_connection_is_gone(cast, now, clock):
    Participant.objects.filter(pk=now.seat.pk).update(connection="socket", seen_at=timezone.now())
    assert _agrees(cast.clinician, now).patient_here
    clock.move(2 * visit.PRESENCE.total_seconds() + 1)
    assert not _agrees(cast.clinician, now).patient_here


def test_it_sees_a_consent_that_has_run_out(cast, now, clock):
    clock.move(25 * 60 * 60)
    assert not _agrees(cast.clinician, now).consented


def test_it_sees_a_withdrawn_consent(cast, now):
    consent.withdraw(now.seat, source="test")
    assert not _agrees(cast.clinician, now).consented


def test_whoever_waits_longest_is_first(cast, clock):
    visits = []
    for _ in range(3):
        visits.append(bring_to("waiting", cast.clinician, cast.patient))
        clock.move(60)
    assert [one.consult for one in waiting_room.look(cast.clinician)] == [each.consult for each in visits]


@pytest.mark.parametrize("name", ["dashboard", "dashboard-lists"])
def test_a_full_waiting_room_costs_as_many_queries_as_one_patient(cast, django_assert_max_num_queries, name):
    browser = sign_in(cast.clinician)
    bring_to("waiting", cast.clinician, cast.patient)
    with django_assert_max_num_queries(50) as one:
        assert b'data-waiting="1"' in browser.get(reverse(name)).content
    for _ in range(4):
        bring_to("waiting", cast.clinician, cast.patient)
    with django_assert_max_num_queries(len(one)):
        assert b'data-waiting="5"' in browser.get(reverse(name)).content
