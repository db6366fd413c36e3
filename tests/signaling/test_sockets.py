"""An open socket: what it may pass on, to whom, and when it is shut."""

import asyncio
import json
import random

import pytest
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.contrib.sessions.models import Session
from django.db import OperationalError
from django.utils import timezone

from accounts.models import User
from consults import alerts, consent, invitations, tasks, visit
from consults.hints import consult_group
from consults.models import Consult, Participant
from signaling import consumers, presence, watched
from signaling.consumers import VisitConsumer
from signaling.relay import Relay, relay
from tests.cast import BY
from tests.signaling.sockets import description, offer
from vault.models import AuditEntry

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("short_way")]

CANDIDATE = "candidate:1 1 udp 2122260223 10.0.0.7 50000 typ host"


@pytest.fixture(params=[False, True], ids=["by ASGI", "the short way"])
def short_way(request):
    return request.param


async def _do(verb, *args, **more):
    return await database_sync_to_async(verb)(*args, **more)


def _candidate(text=CANDIDATE, negotiation=1, leg="call"):
    return {"kind": "candidate", "leg": leg, "negotiation": negotiation, "candidate": text, "mid": "0"}


# -- first things ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [
        {"kind": "ping"},
        offer(),
        _candidate(),
        {"kind": "voice_stop"},
        {"kind": "hello", "protocol": 2, "tab": "0" * 16},
        "not json",
    ],
    ids=str,
)
async def test_hello_comes_first(sockets, frame):
    socket = await sockets.staff(await sockets.visit("admitted"))
    await socket.send(frame)
    assert await socket.closed_with() == 4400


async def test_hello_comes_once(sockets):
    socket = await (await sockets.staff(await sockets.visit("waiting"))).hello()
    await socket.send({"kind": "hello", "protocol": 1, "tab": socket.tab})
    assert await socket.closed_with() == 4400


async def test_a_socket_that_never_says_hello_is_closed(sockets, monkeypatch):
    from signaling import consumers

    monkeypatch.setattr(consumers, "HELLO_WITHIN", 0.2)
    assert await (await sockets.staff(await sockets.visit("waiting"))).closed_with() == 4400


async def test_a_binary_frame_is_not_understood(sockets):
    socket = await (await sockets.staff(await sockets.visit("waiting"))).hello()
    await socket.wire.send_to(bytes_data=b'{"kind":"ping"}')
    assert await socket.closed_with() == 4400


async def test_a_ping_gets_a_pong(sockets):
    socket = await (await sockets.staff(await sockets.visit("waiting"))).hello()
    await socket.send({"kind": "ping"})
    await socket.until("pong")


async def test_an_arrival_is_in_the_log_and_both_know(sockets):
    clinician, patient = await sockets.in_call(await sockets.visit("admitted"))
    rows = await _do(
        lambda: list(AuditEntry.objects.filter(action="consult.connect").order_by("id").values_list("role", "detail"))
    )
    assert rows == [("clinician", {"tab": clinician.tab}), ("patient", {"tab": patient.tab})]


# -- the gate ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["seated", "tested", "waiting"])
async def test_before_admission_nothing_passes_between_the_people(sockets, stage):
    now = await sockets.visit(stage)
    clinician, patient = await sockets.staff(now), await sockets.patient(now)
    await clinician.hello()
    await patient.send({"kind": "hello", "protocol": 1, "tab": patient.tab})
    state = await patient.until("state", clinician_here=True)
    assert (state["gate"], state["peer"], state["ice"]) == (False, "", [])
    assert "García" not in str(state)
    for frame in (offer(negotiation=0), _candidate(negotiation=0)):
        for one, other in ((clinician, patient), (patient, clinician)):
            await one.send(frame)
            assert (await one.until("fault"))["code"] == "gate_shut"
            assert await other.nothing_but_states(0.1)
    await patient.send({"kind": "media", "camera": True, "microphone": True, "screen": False})
    assert await clinician.nothing_but_states()


async def test_after_admission_frames_pass_and_say_who_sent_them(sockets):
    clinician, patient = await sockets.in_call(await sockets.visit("admitted"))
    for one, other, role in ((clinician, patient, "clinician"), (patient, clinician, "patient")):
        for frame in (
            offer(),
            {**offer(), "type": "answer"},
            _candidate(),
            _candidate(""),
            {"kind": "media", "camera": False, "microphone": True, "screen": True},
        ):
            await one.send(frame)
            assert await other.until(frame["kind"]) == {**frame, "from": role}


async def test_a_sender_cannot_be_forged(sockets):
    clinician, patient = await sockets.in_call(await sockets.visit("admitted"))
    await patient.send({**offer(), "from": "clinician"})
    assert await patient.closed_with() == 4400
    assert await clinician.nothing_but_states()


@pytest.mark.parametrize("negotiation", [0, 2, 99])
async def test_frames_of_another_negotiation_are_stale(sockets, negotiation):
    clinician, patient = await sockets.in_call(await sockets.visit("admitted"))
    await clinician.send(offer(negotiation=negotiation))
    assert (await clinician.until("fault"))["code"] == "stale"
    assert await patient.nothing_but_states()


async def test_admission_reaches_both_and_then_frames_pass(sockets):
    now = await sockets.visit("waiting")
    clinician, patient = await sockets.staff(now), await sockets.patient(now)
    await clinician.hello()
    await patient.hello()
    await _do(visit.admit, now.consult, BY)
    state = await patient.until("state", gate=True, peer=clinician.tab)
    await clinician.until("state", gate=True, peer=patient.tab)
    await clinician.send(offer(negotiation=state["negotiation"]))
    await patient.until("description")


async def test_withdrawal_shuts_the_gate_for_both(sockets):
    now = await sockets.visit("admitted")
    clinician, patient = await sockets.in_call(now)
    await _do(consent.withdraw, now.seat, source="test")
    for socket in (clinician, patient):
        state = await socket.until("state", gate=False)
        assert (state["peer"], state["ice"], state["stage"]) == ("", [], "consent")
    await clinician.send(offer())
    assert (await clinician.until("fault"))["code"] == "gate_shut"
    assert await patient.nothing_but_states()


async def lost(_groups: object) -> None:
    """In place of a hint that is sent."""


async def test_withdrawal_is_noticed_even_when_the_hint_is_lost(sockets, monkeypatch):
    from consults import hints

    now = await sockets.visit("admitted")
    clinician, patient = await sockets.in_call(now)
    monkeypatch.setattr(hints, "_send", lost)
    await _do(consent.withdraw, now.seat, source="test")
    await clinician.until("state", gate=False)
    await patient.until("state", gate=False)


async def test_a_frame_on_its_way_when_the_gate_shuts_is_not_delivered(sockets, monkeypatch):
    """The receiving side decides too: the sender's view may be a moment old."""
    from consults import hints

    now = await sockets.visit("admitted")
    clinician, patient = await sockets.in_call(now)
    from signaling import watched

    monkeypatch.setattr(watched, "LOOK_EVERY", 60)
    await asyncio.sleep(0.3)  # the looks that were under way
    monkeypatch.setattr(hints, "_send", lost)
    await _do(consent.withdraw, now.seat, source="test")
    # The patient's socket hears of it; the clinician's still believes in the open gate.
    from channels.layers import get_channel_layer

    from signaling.consumers import seat_group

    await get_channel_layer().group_send(seat_group(now.seat.id), {"type": "consult.changed"})
    await patient.until("state", gate=False)
    await clinician.send(offer())
    assert await patient.nothing_but_states()


async def test_a_bad_description_closes_its_sender_only(sockets):
    clinician, patient = await sockets.in_call(await sockets.visit("admitted"))
    await clinician.send(offer(sdp=description("audio", more="a=crypto:1 AES inline:x")))
    assert await clinician.closed_with() == 4400
    assert await patient.nothing_but_states()
    await patient.send({"kind": "ping"})
    await patient.until("pong")


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "evil.example"])
async def test_a_bad_candidate_is_dropped_on_every_road(sockets, address):
    clinician, patient = await sockets.in_call(await sockets.visit("admitted"))
    bad = CANDIDATE.replace("10.0.0.7", address)
    await clinician.send(_candidate(bad))
    await clinician.send(offer(sdp=description("audio", more=f"a={bad}|a={CANDIDATE}")))
    frame = await patient.next()
    while frame["kind"] == "state":
        frame = await patient.next()
    assert frame["kind"] == "description"
    assert frame["sdp"].count("a=candidate:") == 1
    assert address not in frame["sdp"]


@pytest.mark.parametrize("descriptions", [False, True])
async def test_the_sixty_fifth_candidate_is_one_too_many(sockets, monkeypatch, descriptions):
    """Also where new descriptions come in between: nobody's browser is sent to one address after another."""
    monkeypatch.setattr(consumers, "ADDRESSES_PER_SECOND", 0)
    clinician, patient = await sockets.in_call(await sockets.visit("admitted"))
    for number in range(65):
        await clinician.send(_candidate(CANDIDATE.replace("50000", str(50000 + number))))
        if descriptions and number % 20 == 19:
            await clinician.send(offer())
    assert (await clinician.until("fault"))["code"] == "too_many"
    for _ in range(64):
        await patient.until("candidate")
    assert await patient.nothing_but_states()
    await clinician.send(_candidate(leg="monitor", negotiation=0))  # another leg has its own
    await clinician.send({"kind": "ping"})
    assert (await clinician.next())["kind"] == "pong"


async def test_a_page_that_looks_for_a_path_again_may_name_its_addresses_again(sockets, monkeypatch):
    monkeypatch.setattr(consumers, "ADDRESSES_PER_SECOND", 1000)
    clinician, patient = await sockets.in_call(await sockets.visit("admitted"))
    for number in range(80):
        await clinician.send(_candidate(CANDIDATE.replace("50000", str(50000 + number))))
        await asyncio.sleep(0.002)
    for _ in range(80):
        await patient.until("candidate")


async def test_nobody_but_the_patient_at_her_consent_step_is_recorded(sockets):
    now = await sockets.visit("waiting")
    clinician, patient = await sockets.staff(now), await sockets.patient(now)
    for socket in (await clinician.hello(), await patient.hello()):
        await socket.send(offer("voice", 0))
        assert (await socket.until("fault"))["code"] == "no_voice"


# -- how a socket ends --------------------------------------------------------------------------------------


async def test_a_newer_tab_takes_the_seat(sockets):
    now = await sockets.visit("admitted")
    clinician, older = await sockets.in_call(now)
    newer = await sockets.patient(now)
    await newer.hello()
    assert await older.closed_with() == 4409
    await clinician.until("state", peer=newer.tab)
    await clinician.send(offer())
    await newer.until("description")


async def test_the_older_tabs_leaving_does_not_take_the_seat_from_the_newer(sockets):
    now = await sockets.visit("admitted")
    _, older = await sockets.in_call(now)
    newer = await (await sockets.patient(now)).hello()
    await older.closed_with()
    await older.close()
    seat = await _do(Participant.objects.get, pk=now.seat.pk)
    assert presence.whereabouts(seat) == (newer.tab, relay().process), "by which frames of other processes find it"


async def test_leaving_is_seen_by_the_other(sockets):
    clinician, patient = await sockets.in_call(await sockets.visit("admitted"))
    await patient.close()
    assert (await clinician.until("state", patient_here=False))["peer"] == ""


def _sign_out():
    Session.objects.all().delete()


def _deactivate():
    User.objects.update(is_active=False)


def _change_role():
    User.objects.update(role=User.Role.OPERATOR)


@pytest.mark.parametrize("how", [_sign_out, _deactivate, _change_role])
async def test_whoever_is_signed_out_is_shut_out(sockets, how):
    """The real clock looks every two seconds; the promise is five."""
    now = await sockets.visit("admitted")
    clinician, _ = await sockets.in_call(now)
    dashboard = await sockets.open("/ws/dashboard/", await sockets.signed_in(sockets.cast.clinician))
    await _do(how)
    if how is not _change_role:
        assert await clinician.closed_with() == 4401
    assert await dashboard.closed_with() == 4401


def test_a_socket_is_looked_at_often_enough():
    from signaling import watched

    assert watched.LOOK_EVERY <= 2.0


async def test_a_given_up_seat_is_shut_out(sockets):
    now = await sockets.visit("admitted")
    _, patient = await sockets.in_call(now)
    await _do(invitations.revoke, now.consult, BY)
    assert await patient.closed_with() == 4403


async def test_the_end_closes_both_and_says_so(sockets):
    now = await sockets.visit("admitted")
    both = await sockets.in_call(now)
    await _do(visit.end, now.consult, BY)
    for socket in both:
        await socket.until("state", stage="ended", gate=False)
        assert await socket.closed_with() == 4410


async def test_a_flood_closes_its_sender_only(sockets):
    clinician, patient = await sockets.in_call(await sockets.visit("admitted"))
    for _ in range(400):
        await clinician.send({"kind": "ping"})
    assert await clinician.closed_with() == 4429
    await patient.send({"kind": "ping"})
    await patient.until("pong")


async def test_a_clinician_in_a_call_is_not_idle(sockets):
    from django.conf import settings

    now = await sockets.visit("admitted")
    cookies = await sockets.signed_in(sockets.cast.clinician)

    def seen(ago=None):
        session = Session.objects.get(session_key=cookies[settings.SESSION_COOKIE_NAME])
        data = session.get_decoded()
        if ago is not None:
            data["session_seen"] -= ago
            session.session_data = Session.objects.encode(data)
            session.save()
        return data["session_seen"]

    old = await _do(seen, 300)
    alone = await sockets.open(f"/ws/visit/{now.consult.id}/clinician/", cookies)
    await alone.hello()
    assert await _do(seen) == old, "a call without a patient is no call"
    await alone.close()
    await (await sockets.patient(now)).hello()
    socket = await sockets.open(f"/ws/visit/{now.consult.id}/clinician/", cookies)
    await socket.hello()
    assert await _do(seen) > old


async def test_whoever_is_alone_and_idle_is_shut_out_though_nothing_was_written(clock, sockets, settings):
    clinician = await (await sockets.staff(await sockets.visit("admitted"))).hello()
    clock.move(settings.SESSION_IDLE_SECONDS - 5)
    await asyncio.sleep(0.5)  # several looks
    await clinician.send({"kind": "ping"})
    await clinician.until("pong")
    clock.move(10)
    assert await clinician.closed_with() == 4401


async def test_a_call_may_last_longer_than_idle_time(clock, sockets, settings):
    clinician, _ = await sockets.in_call(await sockets.visit("admitted"))
    for _ in range(3):
        clock.move(settings.SESSION_IDLE_SECONDS * 0.7)
        await asyncio.sleep(0.5)
        await clinician.send({"kind": "ping"})
        await clinician.until("pong")


async def test_a_dashboard_hears_that_something_changed_and_nothing_else(sockets):
    cookies = await sockets.signed_in(sockets.cast.clinician)
    dashboard = await sockets.open("/ws/dashboard/", cookies)
    other = await sockets.open("/ws/dashboard/", await sockets.signed_in(sockets.cast.colleague))
    now = await sockets.visit("waiting")
    assert await dashboard.next() == {"kind": "changed"}
    assert await other.wire.receive_nothing(timeout=0.2, interval=0.02)
    assert now.consult.clinician_id == sockets.cast.clinician.pk
    await dashboard.send({"kind": "ping"})
    assert await dashboard.closed_with() == 4400


# -- noise ---------------------------------------------------------------------------------------------------


def _noise(dice):
    """A frame with something wrong in it, most of the time."""
    frame = dice.choice(
        [offer(), _candidate(), {"kind": "ping"}, {"kind": "media", "camera": True}, {"type": "relay.frame"}]
    )
    text = json.dumps(frame)
    match dice.randrange(6):
        case 0:
            at = dice.randrange(len(text))
            return text[:at] + chr(dice.randrange(1, 0xD7FF)) + text[at + 1 :]
        case 1:
            return text[: dice.randrange(1, len(text))]
        case 2:
            return "[" * dice.randrange(1, 9000)
        case 3:
            return json.dumps({**frame, dice.choice(["from", "type", "kind", "leg"]): dice.choice([None, 7, "x", []])})
        case 4:
            return "".join(chr(dice.randrange(32, 0x2FF)) for _ in range(dice.randrange(1, 200)))
        case _:
            return text


async def test_ten_thousand_odd_messages_disturb_nobody_else(sockets, caplog):
    dice = random.Random(7)
    quiet = await sockets.in_call(await sockets.visit("admitted"))
    noisy = await sockets.visit("admitted", of="colleague")
    for round_ in range(20):
        socket = await (await sockets.patient(noisy)).hello()
        for _ in range(500):
            await socket.send(_noise(dice))
        assert await socket.closed_with() in (4400, 4429)
        await quiet[round_ % 2].send(offer())
        assert (await quiet[1 - round_ % 2].until("description"))["sdp"] == offer()["sdp"]
        await socket.close()
    assert "Traceback" not in caplog.text
    consult = await _do(Consult.objects.get, pk=noisy.consult.pk)
    assert not consult.is_over


# -- over the relay alone, and by telephone ----------------------------------------------------------------

HOST = "candidate:1 1 udp 2122260223 10.0.0.7 50000 typ host"
RELAY = "candidate:4 1 udp 41885695 203.0.113.5 61000 typ relay raddr 10.0.0.7 rport 50001"


@pytest.mark.parametrize("whose", ["clinic", "consult"])
async def test_over_the_relay_alone_no_own_address_passes(sockets, whose):
    now = await sockets.visit("admitted")
    thing = await _do(lambda: now.fresh().consult.clinic if whose == "clinic" else now.fresh().consult)
    thing.relay_only = True
    await _do(thing.save)
    clinician, patient = await sockets.in_call(now)
    for one, other in ((clinician, patient), (patient, clinician)):
        await one.send(offer(sdp=description("audio", "video", more=f"c=IN IP4 10.0.0.7|a={HOST}|a={RELAY}")))
        for text in (HOST, RELAY):
            await one.send({"kind": "candidate", "leg": "call", "negotiation": 1, "candidate": text, "mid": "0"})
        got = [await other.until("description"), await other.until("candidate")]
        assert "10.0.0.7" not in str(got)
        assert "203.0.113.5 61000 typ relay" in got[0]["sdp"]
        assert got[1]["candidate"].startswith("candidate:4 ")
        assert await other.nothing_but_states()


async def test_credentials_of_the_relay_are_renewed_while_a_call_lasts(sockets, monkeypatch, settings):
    settings.TURN_URLS, settings.TURN_SECRET, settings.TURN_SECONDS = ["turns:turn.example:5349"], "s" * 32, 3
    monkeypatch.setattr(watched, "LOOK_EVERY", 0.3)
    clinician, patient = await sockets.in_call(await sockets.visit("admitted"))
    for socket in (clinician, patient):
        first = second = (await socket.until("state"))["ice"][0]
        while second["username"] == first["username"]:  # a state may come for another reason in the same second
            second = (await socket.until("state"))["ice"][0]
        assert 0 < int(second["username"].split(":")[0]) - int(first["username"].split(":")[0]) <= 3
        assert second["credential"] != first["credential"]


async def test_a_visit_that_goes_on_by_telephone_is_written_down_once(sockets):
    clinician, patient = await sockets.in_call(await sockets.visit("admitted"))
    await patient.send({"kind": "phone"})
    assert (await clinician.until("state", phoned=True))["gate"]
    await clinician.send({"kind": "phone"})
    await patient.send({"kind": "phone"})
    assert await clinician.nothing_but_states()
    rows = await _do(lambda: list(AuditEntry.objects.filter(action="consult.phone").values_list("role", flat=True)))
    assert rows == ["patient"]


async def test_that_a_visit_goes_on_by_telephone_is_said_again_where_it_could_not_be_written(sockets, monkeypatch):
    _clinician, patient = await sockets.in_call(now := await sockets.visit("admitted"))

    async def away(*_):
        raise OperationalError

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(presence, "phoned_async", away)
        await patient.send({"kind": "phone"})
        assert (await patient.until("fault"))["code"] == "unwritten"
    assert await _do(lambda: now.fresh().consult.phoned_at) is None
    await patient.send({"kind": "phone"})
    assert (await patient.until("state", phoned=True))["gate"]


async def test_before_admission_nobody_is_sent_to_the_telephone(sockets):
    now = await sockets.visit("waiting")
    patient = await (await sockets.patient(now)).hello()
    await patient.send({"kind": "phone"})
    assert await patient.nothing_but_states()
    assert await _do(lambda: now.fresh().consult.phoned_at) is None


# -- what a socket leaves behind -----------------------------------------------------------------------------


async def _left_behind(before, now):
    """Channels and groups of the layer that were not there before, and the seat's place in the relay."""
    layer, seat = get_channel_layer(), str(now.seat.pk)
    await asyncio.sleep(0.1)
    return (set(layer.channels) | set(layer.groups)) - before, list(relay()._here.get(seat, []))


async def test_a_socket_that_goes_while_a_hint_is_followed_leaves_nothing(sockets, monkeypatch):
    layer, now = get_channel_layer(), await sockets.visit("waiting")
    before = set(layer.channels) | set(layer.groups)
    socket = await (await sockets.patient(now)).hello()
    following = asyncio.Event()

    async def slow(_self, _event):
        following.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(VisitConsumer, "consult_changed", slow)
    await layer.group_send(consult_group(now.consult.pk), {"type": "consult.changed"})
    await asyncio.wait_for(following.wait(), 5)
    await socket.close()
    assert await _left_behind(before, now) == (set(), [])


async def test_a_socket_whose_handler_fails_leaves_nothing(sockets, monkeypatch):
    layer, now = get_channel_layer(), await sockets.visit("waiting")
    before = set(layer.channels) | set(layer.groups)
    socket = await (await sockets.patient(now)).hello()

    def fails(_self, _frame):
        raise RuntimeError

    monkeypatch.setattr(VisitConsumer, "carry_out", fails)
    await socket.send({"kind": "ping"})
    with pytest.raises(RuntimeError):
        await socket.wire.wait(timeout=5)
    assert await _left_behind(before, now) == (set(), [])
    assert (await _do(Participant.objects.get, pk=now.seat.pk)).connection == ""


# -- a page that comes back from another network -----------------------------------------------------------


async def test_what_comes_before_the_first_look_is_kept_until_after_it(sockets, monkeypatch):
    now = await sockets.visit("admitted")
    clinician, _ = await sockets.in_call(now)
    arrive = consumers.presence.arrive_async

    async def slow(*given):
        connection = await arrive(*given)
        await asyncio.sleep(0.5)  # meanwhile the other side has heard of it
        return connection

    monkeypatch.setattr(consumers.presence, "arrive_async", slow)
    again = await sockets.patient(now)
    await again.send({"kind": "hello", "protocol": 1, "tab": again.tab})
    await clinician.until("state", peer=again.tab)
    await clinician.send(offer())
    await again.until("state", peer=clinician.tab)
    assert await again.until("description") == {**offer(), "from": "clinician"}


async def test_of_two_sockets_of_one_page_the_newer_is_answered(sockets):
    """Over a dead path the older one does not close for minutes."""
    now = await sockets.visit("admitted")
    clinician, patient = await sockets.in_call(now)
    again = await sockets.patient(now)
    await again.send({"kind": "hello", "protocol": 1, "tab": patient.tab})
    await again.until("state", peer=clinician.tab)
    await clinician.send(offer())
    assert await again.until("description") == {**offer(), "from": "clinician"}


async def test_a_page_is_told_what_is_away_and_that_it_is_back(sockets, settings, monkeypatch):
    now = await sockets.visit("admitted")
    clinician, _ = await sockets.in_call(now)
    look = presence.look_async

    async def away(_consult):
        raise OperationalError

    monkeypatch.setattr(presence, "look_async", away)
    assert (await clinician.until("missing"))["parts"] == ["records"]
    monkeypatch.setattr(Relay, "is_up", False)
    assert (await clinician.until("missing"))["parts"] == ["records", "messages"]
    monkeypatch.setattr(presence, "look_async", look)
    assert (await clinician.until("missing"))["parts"] == ["messages"]
    monkeypatch.setattr(alerts, "STARTED", timezone.now() - settings.WATCH_LATE)
    assert (await clinician.until("missing"))["parts"] == ["tasks", "messages"]
    monkeypatch.setattr(Relay, "is_up", True)
    assert (await clinician.until("missing"))["parts"] == ["tasks"]
    await database_sync_to_async(tasks.watch_visits)()
    assert (await clinician.until("missing"))["parts"] == []


async def test_a_page_that_says_nothing_is_taken_for_gone(sockets, monkeypatch):
    now = await sockets.visit("admitted")
    clinician, patient = await sockets.in_call(now)
    monkeypatch.setattr(consumers, "QUIET", 3.0)
    for _ in range(5):
        await clinician.send({"kind": "ping"})
        await asyncio.sleep(1)
    assert await patient.closed_with() == watched.LATER
    assert not (await clinician.until("state", patient_here=False))["patient_here"]
    assert (await _do(Consult.objects.get, pk=now.consult.pk)).ended_at is None


# -- the short way -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("short_way", [True], indirect=True)
async def test_by_the_short_way_a_frame_is_there_before_anything_else_runs(sockets):
    clinician, patient = await sockets.in_call(await sockets.visit("admitted"))
    await asyncio.sleep(0.05)  # both wait for a frame now
    for frame in (offer(), _candidate(), {"kind": "media", "camera": True, "microphone": False, "screen": False}):
        assert clinician.way.take(json.dumps(frame))
        assert json.loads(patient.wire.output_queue.get_nowait()["text"]) == {**frame, "from": "clinician"}
    assert clinician.wire.input_queue.empty()


@pytest.mark.parametrize("short_way", [True], indirect=True)
async def test_nothing_comes_by_the_short_way_while_something_is_under_way(sockets, monkeypatch):
    clinician, patient = await sockets.in_call(await sockets.visit("admitted"))
    checked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(*_given):
        checked.set()
        await go_on.wait()

    monkeypatch.setattr(VisitConsumer, "note_check", slow)
    check = {"kind": "checked", "negotiation": 1, "peer": patient.tab, "state": "none", "digest": "", "why": ""}
    await clinician.send(check)
    assert not clinician.way.take(json.dumps(offer()))  # what is left of the check waits in the queue
    await asyncio.wait_for(checked.wait(), 5)
    assert not clinician.way.take(json.dumps(offer()))  # and now it is being done
    await clinician.send(offer())
    await clinician.send(_candidate())
    assert await patient.nothing_but_states()
    go_on.set()
    assert [(await patient.next())["kind"] for _ in range(2)] == ["description", "candidate"]


@pytest.mark.parametrize("short_way", [True], indirect=True)
async def test_the_short_way_ends_with_the_socket(sockets):
    now = await sockets.visit("admitted")
    clinician, patient = await sockets.in_call(now)
    await clinician.send("not json")
    assert await clinician.closed_with() == 4400
    assert not clinician.way.take(json.dumps(offer()))  # so that whoever does not stop is dropped
    await clinician.send(offer())
    assert await patient.nothing_but_states()
    await clinician.wire.disconnect(timeout=5)
    assert clinician.way.hears is None


@pytest.mark.parametrize("short_way", [True], indirect=True)
async def test_whoever_is_shut_by_others_says_nothing_more_by_the_short_way(sockets):
    now = await sockets.visit("admitted")
    _, patient = await sockets.in_call(now)
    await (await sockets.patient(now)).hello()
    assert await patient.closed_with() == 4409
    assert patient.way.hears is None  # though its loop waits
