"""One look for all sockets: whatever a close look would see changes the mark, and nothing else does."""

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Authenticator, Clinic, User
from consults import consent, invitations, visit
from consults.models import Consult, Participant
from signaling import presence
from signaling.entry import Visitor
from signaling.lookout import Place, marks
from tests.cast import BY, bring_to, session_key


@pytest.fixture
def now(cast):
    found = bring_to("admitted", cast.clinician, cast.patient)
    for seat in found.consult.participants.all():
        presence.arrive(Visitor(seat, BY), "a" * 16, "5e6f7a8b")
    return found


@pytest.fixture
def places(cast, now):
    seats = now.consult.participants.order_by("role")
    session = session_key(cast.clinician)
    return [Place(now.consult.pk, s.pk, s.connection, session if s.role == "clinician" else "") for s in seats]


def _waiting_before(cast):
    """Somebody else is before her in the waiting room, and goes."""
    return visit.waiting(cast.clinician).first().consult


CHANGES = {
    "withdrawn": (lambda cast, now: consent.withdraw(now.seat, source="test"), {"clinician", "patient"}),
    "ended": (lambda cast, now: visit.end(now.consult, BY), {"clinician", "patient"}),
    "seat given up": (lambda cast, now: invitations.revoke(now.consult, BY), {"clinician", "patient"}),
    "another secret": (
        lambda cast, now: Participant.objects.filter(pk=now.seat.pk).update(seat_digest="x"),
        {"clinician", "patient"},
    ),
    "another tab": (
        lambda cast, now: presence.arrive(Visitor(now.seat, BY), "b" * 16, "5e6f7a8b"),
        {"clinician", "patient"},
    ),
    "on the telephone": (lambda cast, now: visit.phoned(now.consult.pk, BY), {"clinician", "patient"}),
    "relay only": (lambda cast, now: Clinic.objects.update(relay_only=True), {"clinician", "patient"}),
    "nothing": (lambda cast, now: None, set()),
    "another clinician": (
        lambda cast, now: Consult.objects.filter(pk=now.consult.pk).update(clinician=cast.colleague),
        {"clinician", "patient"},
    ),
    "signed out": (lambda cast, now: Session.objects.all().delete(), {"clinician"}),
    "may not sign in": (lambda cast, now: User.objects.update(is_active=False), {"clinician"}),
    "another role": (lambda cast, now: User.objects.update(role="operator"), {"clinician"}),
    "another password": (lambda cast, now: User.objects.update(password="x"), {"clinician"}),
    "no second factor": (lambda cast, now: Authenticator.objects.all().delete(), {"clinician"}),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_a_close_look_would_see_changes_the_mark(cast, now, places, what):
    before = marks(places)
    change, seen_by = CHANGES[what]
    change(cast, now)
    after = marks(places)
    roles = dict(Participant.objects.values_list("pk", "role"))
    assert {roles[place.participant] for place in places if before[place] != after[place]} == seen_by


def test_time_alone_changes_it_where_something_ran_out(cast, clock, now, places):
    before = marks(places)
    clock.move(4)
    assert marks(places) == before
    # Nobody notes her presence any more, and so she is gone for the other side.
    clock.move(30)
    assert marks([places[0]])[places[0]] != before[places[0]]
    clock.move(25 * 3600)
    assert marks(places)[places[1]] != before[places[1]]


def test_a_place_in_the_queue_changes_when_another_goes(cast):
    first = bring_to("waiting", cast.clinician, cast.patient)
    second = bring_to("waiting", cast.clinician, cast.colleagues_patient)
    place = Place(second.consult.pk, second.seat.pk, "", "")
    before = marks([place])
    visit.end(first.consult, BY)
    assert marks([place]) != before


def test_only_a_tab_that_has_the_seat_is_noted_as_being_there(cast, now, places):
    old = timezone.now() - timedelta(seconds=8)
    Participant.objects.update(seen_at=old)
    marks([places[0], places[1]._replace(connection="c" * 16 + ".1")])
    seen = dict(Participant.objects.filter(consult=now.consult).values_list("pk", "seen_at"))
    assert seen[places[0].participant] > old
    assert seen[places[1].participant] == old


def test_a_hundred_sockets_cost_no_more_queries_than_two(cast, now, places):
    others = [bring_to("admitted", cast.clinician, cast.patient) for _ in range(3)]
    more = [Place(one.consult.pk, one.seat.pk, "x", "") for one in others]
    counts = []
    for some in (places, places + more):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            marks(some)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 9
