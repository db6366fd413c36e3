"""A server that cheats: each of its attacks is caught before anything is shown, and noise is no alarm.

`make bench NAME=middle` does the same a hundred times.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.browser import product as products
from tests.browser import visit as course
from tests.browser.firefox import Firefox
from tests.browser.people import sign_in, until, visitor
from tests.middle import runs
from tests.middle.man import ATTACKS, COMPARING, NOISE
from tests.middle.server import CHEATING

pytestmark = pytest.mark.browser

SOME_NOISE = ("restarted", "reloaded", "double", "reorder")
#: transport objects that missed the moment in which their transports connected, as Chromium's do now and then
MISSED = """
Object.defineProperty(RTCDtlsTransport.prototype, "state", { get: () => "connecting" });
RTCDtlsTransport.prototype.getRemoteCertificates = () => [];
"""
OTHER_CERTIFICATE = """
const real = RTCPeerConnection.prototype.getStats;
RTCPeerConnection.prototype.getStats = async function () {
  const other = (entry) => (entry.base64Certificate ? { ...entry, base64Certificate: btoa("another") } : entry);
  return new Map([...(await real.apply(this, arguments))].map(([id, entry]) => [id, other(entry)]));
};
"""


@pytest.fixture(scope="module")
def cheating() -> Iterator[products.Product]:
    with products.running(program=CHEATING) as started:
        yield started


@pytest.fixture
def desk(browser: Browser, cheating: products.Product) -> BrowserContext:
    context = visitor(browser)
    sign_in(context, cheating).close()
    return context


@pytest.fixture(params=["browser", "fox"], ids=["chromium", "firefox"])
def patients(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@pytest.fixture
def call(cheating: products.Product, browser: Browser, desk: BrowserContext) -> Iterator[Callable[..., runs.Call]]:
    """Makes a call; its pages are left at the end, or they would go on talking beside the next test's."""
    made: list[runs.Call] = []

    def one(
        attack: str,
        secret: str | None = None,
        browsers_own: str = "",
        patients: Browser | Firefox = browser,
        desks: BrowserContext | Firefox = desk,
    ) -> runs.Call:
        [visit] = runs.prepare(cheating, [attack])
        secret = runs.new_secret() if secret is None else secret
        made.append(runs.call(patients, desks, cheating, visit, attack, secret, browsers_own))
        return made[-1]

    yield one
    for each in made:
        runs.leave(each)


@pytest.mark.parametrize("attack", ATTACKS)
def test_somebody_in_between_is_caught_before_anything_is_shown(
    cheating: products.Product, call: Callable[..., runs.Call], attack: str
) -> None:
    running = call(attack)
    came = runs.settle(running)
    assert "swapped" in runs.did(cheating)[running.consult]
    assert runs.caught(came), runs.told(came)
    nothing_was_sent(cheating, running)


def nothing_was_sent(cheating: products.Product, running: runs.Call) -> None:
    """Who is connected with both is sent no sound and no picture. That he would count them: see the last test here."""
    if running.attack.startswith("bridge"):
        assert runs.heard(cheating, running) == {"clinician": 0, "patient": 0}


def test_who_is_in_between_is_not_shown_by_a_link_whose_secret_was_cut(
    cheating: products.Product, call: Callable[..., runs.Call]
) -> None:
    running = call("bridge_forging", runs.new_secret()[:-5])
    came = runs.settle(running)
    assert "swapped" in runs.did(cheating)[running.consult]
    assert runs.caught(came), runs.told(came)


@pytest.mark.parametrize("attack", ["swap", "odd_lines", "restart", "bridge", "bridge_forging", "bridge_later"])
def test_somebody_between_a_patient_in_firefox_and_chromium_is_caught(
    cheating: products.Product, call: Callable[..., runs.Call], fox: Firefox, attack: str
) -> None:
    running = call(attack, patients=fox)
    came = runs.settle(running)
    assert "swapped" in runs.did(cheating)[running.consult]
    assert runs.caught(came), runs.told(came)
    nothing_was_sent(cheating, running)


@pytest.mark.parametrize("attack", ["swap", "bridge_forging"])
def test_somebody_between_two_people_in_firefox_is_caught(
    cheating: products.Product, call: Callable[..., runs.Call], fox: Firefox, attack: str
) -> None:
    running = call(attack, patients=fox, desks=fox)
    came = runs.settle(running)
    assert "swapped" in runs.did(cheating)[running.consult]
    assert runs.caught(came), runs.told(came)
    nothing_was_sent(cheating, running)


@pytest.mark.parametrize(("noise", "what"), NOISE.items())
def test_noise_is_no_alarm(cheating: products.Product, call: Callable[..., runs.Call], noise: str, what: str) -> None:
    running = call(noise)
    came = runs.settle(running)
    assert runs.undisturbed(came), runs.told(came)
    assert what in ["", *runs.did(cheating).get(running.consult, [])]


@pytest.mark.parametrize("noise", SOME_NOISE)
def test_noise_is_no_alarm_for_a_patient_in_firefox(
    cheating: products.Product, call: Callable[..., runs.Call], fox: Firefox, noise: str
) -> None:
    running = call(noise, patients=fox)
    came = runs.settle(running)
    assert runs.undisturbed(came), runs.told(came)
    assert NOISE[noise] in ["", *runs.did(cheating).get(running.consult, [])]


@pytest.mark.parametrize("attack", ["honest", "bridge", "bridge_later"])
def test_a_browser_that_does_not_say_that_its_transports_are_up(call: Callable[..., runs.Call], attack: str) -> None:
    came = runs.settle(call(attack, browsers_own=MISSED))
    assert (runs.undisturbed if attack == "honest" else runs.caught)(came), runs.told(came)


def test_a_certificate_that_only_the_figures_of_a_connection_name_counts_as_well(
    call: Callable[..., runs.Call],
) -> None:
    came = runs.settle(call("honest", browsers_own=MISSED + OTHER_CERTIFICATE))
    assert all(one.alarm and not one.tracks and not one.shown for one in came), runs.told(came)


def test_descriptions_that_are_kept_back_are_said_too(call: Callable[..., runs.Call]) -> None:
    running = call("keep_back")
    came = runs.settle(running)
    assert runs.caught(came), runs.told(came)
    # There is nothing to make words of, and the page says that it waits for that.
    running.patient.click("[data-proof-stuck] button")
    assert running.patient.locator("[data-proof-wait]").is_visible()


@pytest.mark.parametrize("attack", COMPARING)
def test_who_compares_words_is_shown_nobody_in_between_as_checked(
    cheating: products.Product, call: Callable[..., runs.Call], patients: Browser | Firefox, attack: str
) -> None:
    """Without a secret in the link. What was proved by comparing is not lost without a word either."""
    running = call(attack, "", patients=patients)
    came = runs.settle(running)
    assert "swapped" in runs.did(cheating)[running.consult]
    assert runs.caught(came), runs.told(came)


@pytest.mark.parametrize("noise", SOME_NOISE)
def test_noise_is_no_alarm_for_people_who_compare(
    cheating: products.Product, call: Callable[..., runs.Call], noise: str
) -> None:
    running = call(noise, "")
    came = runs.settle(running)
    assert runs.undisturbed(came, "comparison"), runs.told(came)
    assert NOISE[noise] in ["", *runs.did(cheating).get(running.consult, [])]


def test_without_a_secret_the_words_differ(
    cheating: products.Product, call: Callable[..., runs.Call], patients: Browser | Firefox
) -> None:
    """The bridge is real: both see a picture through it, and it counts. Pages say "not checked"; the words differ."""
    running = call("bridge_forging", "", patients=patients)
    for page in (running.room, running.patient):
        until(page, "window.shown > 3")
        assert page.evaluate(runs.STATE)["state"] == "none"
        until(page, f"({course.READ})().length === 8")
    assert running.room.evaluate(course.READ) != running.patient.evaluate(course.READ)
    running.patient.evaluate("document.querySelector('[data-proof-differ]').click()")
    until(running.patient, "document.querySelector('[data-proof-alarm]').open")
    done = runs.did(cheating)[running.consult]
    assert "leg clinician connected" in done
    assert "leg patient connected" in done
    assert all(number > 10 for number in runs.heard(cheating, running).values())
