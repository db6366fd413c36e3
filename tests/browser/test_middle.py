"""A server that cheats: each of its attacks is caught before anything is shown, and noise is no alarm.

`make bench NAME=middle` does the same a hundred times.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.browser import product as products
from tests.browser.people import sign_in, until, visitor
from tests.middle import runs
from tests.middle.man import ATTACKS
from tests.middle.server import CHEATING

pytestmark = pytest.mark.browser

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
READ = """
() => [...document.querySelectorAll("[data-proof-words] li, [data-proof-pictures] li")]
  .map((li) => li.textContent.trim())
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


@pytest.mark.parametrize("attack", ATTACKS)
def test_somebody_in_between_is_caught_before_anything_is_shown(
    cheating: products.Product, browser: Browser, desk: BrowserContext, attack: str
) -> None:
    [visit] = runs.prepare(cheating, [attack])
    call = runs.call(browser, desk, cheating, visit, attack, runs.new_secret())
    came = runs.settle(call)
    assert "swapped" in runs.did(cheating)[visit[0]]
    assert runs.caught(came), runs.told(came)


@pytest.mark.parametrize("noise", ["honest", "double", "restarted", "reloaded"])
def test_noise_is_no_alarm(cheating: products.Product, browser: Browser, desk: BrowserContext, noise: str) -> None:
    [visit] = runs.prepare(cheating, [noise])
    came = runs.settle(runs.call(browser, desk, cheating, visit, noise, runs.new_secret()))
    assert runs.undisturbed(came), runs.told(came)


@pytest.mark.parametrize("attack", ["honest", "bridge", "bridge_later"])
def test_a_browser_that_does_not_say_that_its_transports_are_up(
    cheating: products.Product, browser: Browser, desk: BrowserContext, attack: str
) -> None:
    [visit] = runs.prepare(cheating, [attack])
    came = runs.settle(runs.call(browser, desk, cheating, visit, attack, runs.new_secret(), MISSED))
    assert (runs.undisturbed if attack == "honest" else runs.caught)(came), runs.told(came)


def test_a_certificate_that_only_the_figures_of_a_connection_name_counts_as_well(
    cheating: products.Product, browser: Browser, desk: BrowserContext
) -> None:
    [visit] = runs.prepare(cheating, ["honest"])
    call = runs.call(browser, desk, cheating, visit, "honest", runs.new_secret(), MISSED + OTHER_CERTIFICATE)
    came = runs.settle(call)
    assert all(one.alarm and not one.tracks and not one.shown for one in came), runs.told(came)


def test_without_a_secret_the_words_differ(cheating: products.Product, browser: Browser, desk: BrowserContext) -> None:
    """The bridge is real: both see a picture through it. The pages say "not checked", and the words are others."""
    [visit] = runs.prepare(cheating, ["bridge_forging"])
    call = runs.call(browser, desk, cheating, visit, "bridge_forging", "")
    for page in (call.room, call.patient):
        until(page, "window.shown > 3")
        assert page.evaluate(runs.STATE)["state"] == "none"
        until(page, f"({READ})().length === 8")
    assert call.room.evaluate(READ) != call.patient.evaluate(READ)
    call.patient.evaluate("document.querySelector('[data-proof-differ]').click()")
    until(call.patient, "document.querySelector('[data-proof-alarm]').open")
    done = runs.did(cheating)[visit[0]]
    assert "leg clinician connected" in done
    assert "leg patient connected" in done
