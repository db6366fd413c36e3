"""Alerts on running visits: raised once, cleared by themselves, told of at least once, and of no patient."""

import hmac
import json
import socket
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from django.core import mail
from django.core.cache import cache
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from consults import alert_telling, alert_words, alerts, consent, tasks, visit
from consults.models import Consult, Invitation, Participant
from consults.quality_models import Alert, QualitySample
from tests.at_once import at_once
from tests.cast import BY, CANARIES, bring_to, sign_in
from vault.models import AuditEntry

ONE_WAY = ("one_way_audio", "patient")
WORKERS = {"one_way_audio", "silent"}
SECRET = "a secret that only the two of us know, and long"


@pytest.fixture(autouse=True)
def _nothing_rests():
    cache.clear()


@pytest.fixture
def now(cast):
    return bring_to("admitted", cast.clinician, cast.patient)


def _log():
    return list(AuditEntry.objects.filter(action__startswith="watch.").order_by("id").values_list("action", flat=True))


# -- raise and clear -----------------------------------------------------------------------------------------------


def test_it_is_raised_once_and_cleared_by_itself(clock, now):
    (raised,) = alerts.settle(now.consult.pk, {ONE_WAY}, WORKERS)
    assert alerts.settle(now.consult.pk, {ONE_WAY}, WORKERS) == []
    assert [a.pk for a in alerts.standing([now.consult.pk])] == [raised]
    assert alerts.settle(now.consult.pk, set(), {"silent"}) == []  # another kind says nothing of this one
    assert alerts.standing([now.consult.pk]).count() == 1
    alerts.settle(now.consult.pk, set(), WORKERS)
    assert not alerts.standing([now.consult.pk])
    assert Alert.objects.get(pk=raised).cleared_at is not None
    clock.move(11 * 60)
    assert len(alerts.settle(now.consult.pk, {ONE_WAY}, WORKERS)) == 1  # it comes again: a new one
    assert _log() == ["watch.raise", "watch.clear", "watch.raise"]
    entry = AuditEntry.objects.filter(action="watch.raise").first()
    assert (entry.consult, entry.role, entry.detail["kind"]) == (str(now.consult.pk), "system", "one_way_audio")


def test_the_end_clears_all_and_raises_nothing_more(now):
    alerts.settle(now.consult.pk, {ONE_WAY, ("left_open", "")}, alert_words.WORDS)
    visit.end(now.consult, BY)
    assert not alerts.standing([now.consult.pk])
    assert alerts.settle(now.consult.pk, {ONE_WAY}, WORKERS) == []


def test_of_workers_that_race_one_raises(committed_cast):
    now = bring_to("admitted", committed_cast.clinician, committed_cast.patient)
    at_once([lambda: alerts.settle(now.consult.pk, {ONE_WAY}, WORKERS) for _ in range(6)])
    assert Alert.objects.count() == 1


# -- what only the database shows ------------------------------------------------------------------------------------


def _of(now):
    return alerts.by_state(timezone.now())[now.consult.pk]


def test_a_visit_as_it_should_be_has_nothing(cast, now):
    for stage in ("started", "invited", "waiting"):
        assert _of(bring_to(stage, cast.clinician, cast.patient)) == set()
    assert _of(now) == set()


def test_a_consent_that_is_gone_for_a_minute(clock, now):
    consent.withdraw(now.seat, source="test")
    assert _of(now) == set()
    clock.move(61)
    assert ("consent_missing", "") in _of(now)
    now.seat.refresh_from_db()
    from tests.cast import agree

    agree(now)
    assert ("consent_missing", "") not in _of(now)


def test_a_seat_that_no_invite_made(cast, now):
    invited = bring_to("invited", cast.clinician, cast.patient)
    Participant.objects.create(consult=invited.consult, role="patient", joined_at=timezone.now())
    assert _of(invited) == {("uninvited", "patient")}
    Invitation.objects.filter(consult=now.consult).update(redeemed_at=None)
    assert _of(now) == {("uninvited", "patient")}


def test_somebody_in_the_call_who_never_said_who_she_is(now):
    Participant.objects.filter(pk=now.seat.pk).update(identity_confirmed_at=None)
    assert _of(now) == {("uninvited", "patient")}


def test_two_ends_that_see_different_certificates(clock, now):
    for role, digest in (("clinician", "a" * 64), ("patient", "b" * 64)):
        now.consult.participants.filter(role=role).update(proof_pair="3 one two", proof_digest=digest)
    assert _of(now) == {("fingerprints_differ", "")}
    now.consult.participants.filter(role="patient").update(proof_digest="a" * 64)
    assert _of(now) == set()


def test_a_visit_that_nobody_is_in(clock, now):
    Consult.objects.filter(pk=now.consult.pk).update(admitted_at=timezone.now() - timedelta(hours=2))
    Participant.objects.filter(consult=now.consult).update(seen_at=timezone.now())
    assert ("left_open", "") not in _of(now)
    clock.move(31 * 60)
    assert ("left_open", "") in _of(now)


def test_the_clock_finds_them_and_they_are_cleared(clock, now):
    Consult.objects.filter(pk=now.consult.pk).update(admitted_at=timezone.now() - timedelta(hours=2))
    tasks.watch_visits()
    assert [a.kind for a in alerts.standing([now.consult.pk])] == ["left_open"]
    Participant.objects.filter(consult=now.consult).update(seen_at=timezone.now())
    tasks.watch_visits()
    assert not alerts.standing([now.consult.pk])


def test_a_thousand_visits_take_as_many_queries_as_one(cast, django_assert_max_num_queries):
    for _ in range(5):
        bring_to("waiting", cast.clinician, cast.patient)
    with django_assert_max_num_queries(6):
        assert alerts.look(timezone.now()) == []


# -- telling -------------------------------------------------------------------------------------------------------


@contextmanager
def webhook(status=204, elsewhere=""):
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Location", elsewhere)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/alerts", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_operators_are_told_once_by_each_way_and_of_no_patient(cast, now, settings):
    settings.MAIL_WORKS = True
    (alert,) = alerts.settle(now.consult.pk, {ONE_WAY}, WORKERS)
    with webhook() as (address, got):
        settings.WATCH_WEBHOOK, settings.WATCH_WEBHOOK_SECRET = address, SECRET
        tasks.tell_operators(str(alert))
        tasks.tell_operators(str(alert))
    (letter,) = mail.outbox
    assert letter.to == [cast.operator.email]
    ((headers, body),) = got
    said = json.loads(body)
    moment, _, mark = headers["Telehealth-Signature"].partition(",")
    signed = moment.removeprefix("t=").encode() + b"." + body
    assert mark == "v1=" + hmac.new(SECRET.encode(), signed, "sha256").hexdigest()
    assert (said["kind"], said["about"], said["consult"]) == ("one_way_audio", "patient", str(now.consult.pk))
    for text in (letter.subject + letter.body, json.dumps(said)):
        assert "does not arrive" in text
        for secret in (*CANARIES, "M. Q.", cast.patient.record_number, str(cast.patient.pk)):
            assert secret not in text
    assert _log() == ["watch.raise", "watch.told", "watch.told"]


def test_a_webhook_that_fails_is_tried_again_and_the_letter_is_not_sent_twice(clock, now, settings):
    settings.MAIL_WORKS = True
    (alert,) = alerts.settle(now.consult.pk, {ONE_WAY}, WORKERS)
    with webhook(500) as (address, got):
        settings.WATCH_WEBHOOK = address
        tasks.tell_operators(str(alert))
        tasks.tell_operators(str(alert))  # a place that just failed is left alone
        assert len(got) == 1
    assert Alert.objects.get().failures == 1
    assert Alert.objects.get().trying_since is None
    cache.clear()  # as after a minute
    assert alert_telling.untold(timezone.now()) == []  # not at once
    clock.move(121)
    assert alert_telling.untold(timezone.now()) == [alert]
    with webhook() as (address, got):
        settings.WATCH_WEBHOOK = address
        tasks.sweep()
        assert len(got) == 1
    assert len(mail.outbox) == 1
    assert alert_telling.untold(timezone.now()) == []


def test_what_comes_and_goes_is_told_once_and_fills_no_log(now, settings):
    settings.MAIL_WORKS = True
    for _ in range(40):
        tasks.raised(alerts.settle(now.consult.pk, {ONE_WAY}, WORKERS))
        alerts.settle(now.consult.pk, set(), WORKERS)
    assert Alert.objects.get().times == 40
    assert len(mail.outbox) <= 1
    assert len([action for action in _log() if action != "watch.told"]) == 2 * alerts.ENTRIES_EACH


def test_made_up_figures_of_many_visits_bring_a_bounded_number_of_letters(cast, settings):
    settings.MAIL_WORKS, settings.WATCH_TELL_AN_HOUR = True, 3
    kinds = ("one_way_audio", "silent", "frozen_video", "poor_quality")
    for _ in range(2):
        now = bring_to("admitted", cast.clinician, cast.patient)
        for alert in alerts.settle(now.consult.pk, {(kind, "patient") for kind in kinds}, kinds):
            alert_telling.tell(alert)
    assert len(mail.outbox) == 3
    (serious,) = alerts.settle(now.consult.pk, {("uninvited", "patient")}, {"uninvited"})
    alert_telling.tell(serious)  # this one no browser can make up
    assert len(mail.outbox) == 4


def test_of_senders_that_race_one_sends(committed_cast, settings):
    settings.MAIL_WORKS, settings.WATCH_MAIL = True, False
    now = bring_to("admitted", committed_cast.clinician, committed_cast.patient)
    (alert,) = alerts.settle(now.consult.pk, {ONE_WAY}, WORKERS)
    with webhook() as (address, got):
        settings.WATCH_WEBHOOK, settings.WATCH_WEBHOOK_SECRET = address, SECRET
        at_once([lambda: alert_telling.tell(alert) for _ in range(5)])
        assert len(got) == 1


def test_a_sender_that_died_is_followed_by_another(clock, now, settings):
    settings.MAIL_WORKS = True
    (alert,) = alerts.settle(now.consult.pk, {ONE_WAY}, WORKERS)
    Alert.objects.update(trying_since=timezone.now())
    alert_telling.tell(alert)
    assert not mail.outbox
    clock.move(121)
    alert_telling.tell(alert)
    assert len(mail.outbox) == 1


def test_a_redirection_is_not_followed(now, settings):
    (alert,) = alerts.settle(now.consult.pk, {ONE_WAY}, WORKERS)
    with webhook() as (other, got), webhook(307, other) as (address, _):
        settings.WATCH_WEBHOOK, settings.WATCH_WEBHOOK_SECRET = address, SECRET
        alert_telling.tell(alert)
        assert got == []
    assert Alert.objects.get().hooked_at is None


def test_a_webhook_that_drips_is_cut_and_a_visit_ends_meanwhile(committed_cast, settings):
    now = bring_to("admitted", committed_cast.clinician, committed_cast.patient)
    (alert,) = alerts.settle(now.consult.pk, {ONE_WAY}, WORKERS)
    with dripping() as address:
        settings.WATCH_WEBHOOK, settings.WATCH_WEBHOOK_SECRET = address, SECRET
        started = time.monotonic()
        telling = threading.Thread(target=_tell, args=[alert])
        telling.start()
        time.sleep(0.5)
        visit.end(now.consult, BY)
        assert telling.is_alive(), "the visit ended while somebody was still being told"
        telling.join(alert_telling.TIMEOUT_SECONDS * 3)
        assert time.monotonic() - started < alert_telling.TIMEOUT_SECONDS * 2
    assert Alert.objects.get().failures == 1


def _tell(alert):
    try:
        alert_telling.tell(alert)
    finally:
        connection.close()


@contextmanager
def dripping():
    """A server that answers one byte every tenth of a second, for ever."""
    over = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(20)

    def serve():
        peer, _ = server.accept()
        with peer:
            peer.sendall(b"HTTP/1.1 204 ")
            while not over.wait(0.1):
                try:
                    peer.sendall(b"a")
                except OSError:
                    return

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
    finally:
        over.set()
        thread.join()
        server.close()


def test_a_lost_task_is_taken_up_by_the_sweep(clock, now, settings):
    settings.MAIL_WORKS = True
    alerts.settle(now.consult.pk, {ONE_WAY}, WORKERS)
    tasks.sweep()
    assert not mail.outbox
    clock.move(61)
    tasks.sweep()
    assert len(mail.outbox) == 1


def test_where_nothing_is_set_up_nothing_is_tried(now, settings):
    settings.MAIL_WORKS = False
    (alert,) = alerts.settle(now.consult.pk, {ONE_WAY}, WORKERS)
    tasks.tell_operators(str(alert))
    assert not mail.outbox
    settings.MAIL_WORKS, settings.WATCH_TELL = True, ["left_open"]
    tasks.tell_operators(str(alert))
    assert not mail.outbox


# -- where staff see it --------------------------------------------------------------------------------------------


def test_the_room_says_what_to_do(cast, now):
    alerts.settle(now.consult.pk, {ONE_WAY, ("poor_quality", "clinician")}, alert_words.WORDS)
    page = sign_in(cast.clinician).get(reverse("room-status", args=[now.consult.pk])).content.decode()
    assert "What the patient says does not arrive on the other side." in page
    assert "What you hear is hard to follow." in page
    assert "go on by telephone" in page


def test_the_day_tells_of_a_visit_whose_room_is_not_open(cast, now):
    alerts.settle(now.consult.pk, {("left_open", "")}, alert_words.WORDS)
    page = sign_in(cast.clinician).get(reverse("dashboard")).content.decode()
    assert "Nobody is in this visit, and it was not ended." in page
    assert "End it, so that its link stops working." in page
    assert "was not ended" not in sign_in(cast.colleague).get(reverse("dashboard")).content.decode()


@pytest.mark.parametrize("kind", alert_words.WORDS)
@pytest.mark.parametrize("about", ["", "clinician", "patient"])
def test_every_alert_is_a_sentence_with_what_to_do(now, kind, about):
    for reader in ("clinician", "operator"):
        said = alert_words.said(Alert(consult=now.consult, kind=kind, about=about), reader=reader)
        assert said.what.endswith(".")
        assert said.todo.endswith(".")
        assert "{" not in said.what + said.todo


def _sample(now, role, **figures):
    seat = now.consult.participants.get(role=role)
    QualitySample.objects.create(consult=now.consult, participant=seat, at=timezone.now(), **figures)
    Participant.objects.filter(pk=seat.pk).update(connection="x.y", seen_at=timezone.now())


def test_the_board_shows_the_clinics_visits_and_names_no_patient_to_the_operator(cast, now):
    _sample(now, "clinician", mos=4.2, rtt_ms=30)
    _sample(now, "patient", mos=2.5, rtt_ms=30, relayed=True)
    alerts.settle(now.consult.pk, {("poor_quality", "patient")}, alert_words.WORDS)
    page = sign_in(cast.operator).get(reverse("board")).content.decode()
    assert str(now.consult.pk) in page
    for shown in (
        "Clinician hears <strong>4.2",
        "Patient hears <strong>2.5",
        "Poor",
        "Over the relay",
        "Hard to follow",
    ):
        assert shown in page
    assert cast.clinician.name in page
    assert "M. Q." not in page
    assert cast.patient.record_number not in page


def test_a_clinician_sees_her_own_by_name_and_no_colleagues(cast, now):
    other = bring_to("waiting", cast.colleague, cast.colleagues_patient)
    page = sign_in(cast.clinician).get(reverse("board")).content.decode()
    assert "M. Q." in page
    assert str(other.consult.pk) not in page
    assert str(now.consult.pk) not in sign_in(cast.outsider).get(reverse("board")).content.decode()


def test_looking_is_in_the_log_and_a_page_that_stays_open_does_not_fill_it(cast, now):
    office = sign_in(cast.operator)
    office.get(reverse("board"))
    for _ in range(5):
        office.get(reverse("board-sessions"))
    assert AuditEntry.objects.filter(action="board.view").count() == 1


@pytest.mark.parametrize(("who", "todo"), [("clinician", "Tell your clinic"), ("operator", "telehealth-tasks")])
def test_the_board_says_that_nobody_looks(cast, clock, now, who, todo):
    tasks.watch_visits()
    page = sign_in(getattr(cast, who))
    assert "Background work stands still" not in page.get(reverse("board")).content.decode()
    clock.move(90)
    said = page.get(reverse("board-sessions")).content.decode()
    assert "Background work stands still" in said
    assert todo in said
    tasks.watch_visits()
    assert "Background work stands still" not in page.get(reverse("board-sessions")).content.decode()


def test_the_board_takes_as_many_queries_for_many_visits_as_for_one(cast, django_assert_max_num_queries):
    from consults import board

    for _ in range(6):
        bring_to("admitted", cast.clinician, cast.patient)
    with django_assert_max_num_queries(5):
        assert len(board.now(cast.operator)) == 6
