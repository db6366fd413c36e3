"""A call over networks that lose, delay, cut and change: real browsers in real network namespaces."""

import math
import time

import pytest
from playwright.sync_api import expect

from tests.browser import visit
from tests.faults import watching

pytestmark = [pytest.mark.browser, pytest.mark.engines]


@pytest.fixture(autouse=True)
def mended(call):
    yield
    for who in ("doctor", "patient"):
        call.world.lose(who, 0)
    call.world.rate("patient", 0)
    call.world.delay(0)


def rest(page, seconds):
    page.wait_for_timeout(seconds * 1000)


def sees_again(call, within=15):
    until = time.monotonic() + within
    while time.monotonic() < until:
        before = [visit.frames(p) for p in (call.room, call.page)]
        rest(call.room, 0.5)
        if all(visit.frames(p) > b + 3 for p, b in zip((call.room, call.page), before, strict=True)):
            return
    told = [page.locator("[data-call]").evaluate("one => ({ ...one.dataset })") for page in (call.room, call.page)]
    raise AssertionError(f"no picture came back: {told}")


def test_pictures_flow_at_five_in_a_hundred_lost_and_a_tenth_of_a_second(call):
    call.world.delay(100)
    for who in ("doctor", "patient"):
        call.world.lose(who, 5)
    rest(call.room, 4)
    before, start = [visit.frames(p) for p in (call.room, call.page)], time.monotonic()
    rest(call.room, 12)
    seconds = time.monotonic() - start
    for page, frames in zip((call.room, call.page), before, strict=True):
        assert (visit.frames(page) - frames) / seconds >= 6  # the figure itself: make bench NAME=faults
        assert page.locator("[data-call]").get_attribute("data-step") == "video"


def test_speech_is_understood_while_a_fifth_is_lost(call):
    """What is not lost comes, and of what is played far less than a fifth was made up for what is missing."""
    for who in ("doctor", "patient"):
        call.world.lose(who, 20)
    rest(call.room, 3)
    for came in sounds((call.room, call.page), 10):
        assert came["packets"] >= 0.7 * watching.SENT
        assert came["concealed"] / came["played"] <= 0.15


def sounds(pages, seconds):
    """What rises a second of each page's sound."""
    before = [(watching.sound(page), time.monotonic()) for page in pages]
    rest(pages[0], seconds)
    after = [(watching.sound(page), time.monotonic()) for page in pages]
    return [
        {what: (now[what] - then[what]) / (late - early) for what in now}
        for (then, early), (now, late) in zip(before, after, strict=True)
    ]


def restarts(page):
    """When the page restarted ICE since `forget_restarts`, in seconds since the epoch."""
    return [at / 1000 for at in page.evaluate("window.restarts")]


def forget_restarts(call):
    for page in (call.room, call.page):
        page.evaluate("window.restarts.length = 0")


def test_a_new_address_brings_the_call_back_by_itself(call):
    sees_again(call)
    forget_restarts(call)
    call.world.move("patient")
    rest(call.room, 1)
    sees_again(call, within=20)
    assert call.page.locator("[data-banner]").is_hidden()
    assert restarts(call.page)
    assert restarts(call.page)[0] < min(restarts(call.room), default=math.inf)


def test_the_patients_page_alone_restarts_ice_when_the_path_breaks_and_the_server_stays(call):
    """Two restarts would meet; the clinician's page waits much longer for its own."""
    sees_again(call)
    forget_restarts(call)
    cut = time.time()
    for who in ("doctor", "patient"):
        call.world.lose(who, 100, of="meta l4proto udp")
    both_cut = time.time()
    rest(call.room, 2.5)
    for who in ("doctor", "patient"):
        call.world.lose(who, 0)
    sees_again(call, within=20)
    assert restarts(call.page)
    assert cut + 0.4 < restarts(call.page)[0] < both_cut + 2.5
    assert restarts(call.room) == []


def test_eight_seconds_without_any_network_are_survived(call):
    sees_again(call)
    tab = call.page.evaluate("performance.timeOrigin")
    call.world.cut("patient", 8)
    rest(call.room, 4)
    word = call.page.locator("[data-connection-word]").inner_text()
    assert word == "Interrupted, reconnecting"
    rest(call.room, 4)
    sees_again(call, within=20)
    assert call.page.evaluate("performance.timeOrigin") == tab
    assert call.room.locator("[data-call]").get_attribute("data-connection") == "connected"


def test_a_narrow_cable_takes_the_picture_smaller_then_away_and_all_comes_back(call):
    sees_again(call)
    step, word = call.room.locator("[data-call]"), call.room.locator("[data-ladder]")
    call.world.rate("patient", 100)
    expect(step).to_have_attribute("data-step", "low", timeout=60_000)
    expect(word).to_contain_text("Your picture is sent smaller")
    call.world.rate("patient", 36)
    expect(step).to_have_attribute("data-step", "audio", timeout=60_000)
    expect(word).to_contain_text("Sound only")
    [came] = sounds([call.page], 4)
    assert came["packets"] >= 0.2 * watching.SENT  # so many of them this cable carries
    assert came["played"] - came["concealed"] > 25_000
    # Her own way was not narrow: the clinician sees her all the time.
    assert call.page.locator("[data-call]").get_attribute("data-step") == "video"
    call.world.rate("patient", 0)
    expect(step).to_have_attribute("data-step", "video", timeout=150_000)
    expect(word).to_be_hidden()
    sees_again(call)


STATE = """
from consults.models import Consent, Consult, Participant
consult = Consult.objects.get(pk="CONSULT")
seat = Participant.objects.get(consult=consult, role="patient", left_at=None)
answer = [str(seat.id), str(seat.identity_confirmed_at), Consent.objects.filter(consult=consult).count()]
answer.append(consult.phoned_at is not None)
"""


NUMBER = """
from consults.models import Consult
answer = Consult.objects.get(pk="CONSULT").clinic.phone_link
"""


def stands(call):
    """(seat, when she said who she is, acts of consent), and whether somebody was sent to the telephone."""
    *same, phoned = call.product.ask(STATE.replace("CONSULT", call.visit.consult))
    return same, phoned


@pytest.mark.parametrize("seconds", [25, 40])
def test_a_long_cut_ends_by_itself_and_sends_to_the_telephone_only_after_half_a_minute(call, seconds):
    sees_again(call)
    before, sent = stands(call)
    assert not sent
    ends = time.monotonic() + seconds
    call.world.cut("patient", seconds)
    told = call.page.locator("[data-phone]")
    if seconds > 30:
        expect(told).to_be_visible(timeout=(seconds - 1) * 1000)
        expect(told).to_contain_text("The call does not get through")
        number = call.product.ask(NUMBER.replace("CONSULT", call.visit.consult))
        assert number.startswith("tel:+")
        expect(told.get_by_role("link")).to_have_attribute("href", number)
        expect(call.room.locator("[data-call-message-text]")).to_contain_text("call by telephone")
    rest(call.room, ends - time.monotonic())
    sees_again(call, within=30)
    expect(told).to_be_hidden()
    expect(call.room.locator("[data-phone]")).to_be_hidden()
    rest(call.room, 3)
    assert stands(call) == (before, seconds > 30)


def test_a_phone_that_slept_a_minute_is_in_the_same_place(call):
    sees_again(call)
    before, tab = stands(call)[0], call.page.evaluate("performance.timeOrigin")
    with call.world.asleep("patient"):
        message = call.room.locator("[data-call-message-text]")
        expect(message).to_contain_text("is not connected now", timeout=45_000)
        rest(call.room, 30)
    sees_again(call, within=30)
    assert stands(call)[0] == before
    assert call.page.evaluate("performance.timeOrigin") == tab
    assert call.page.locator("[data-phone]").is_hidden()
