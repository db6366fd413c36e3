"""A visit over the clinic's own relay alone: two browsers, a real coturn, and no other address of either side."""

import base64
import hashlib
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, Page, expect

from tests.browser import product as products
from tests.browser import visit as course
from tests.browser.people import launched, sign_in, visitor
from tests.browser.product import Product
from tests.browser.short_lived import SECONDS, SHORT_LIVED
from tests.deploy.recipe import Box
from tests.deploy.test_coturn import coturn, lasting, secret
from tests.faults import watching

pytestmark = pytest.mark.browser

RECORD = """
from django.urls import reverse
from vault.models import Patient
answer = reverse("patient", args=[Patient.objects.order_by("created_at").first().pk])
"""
#: kinds of the addresses that a page has offered and been offered, and of the two in use
KINDS = """
async () => {
  const used = [], known = { "local-candidate": [], "remote-candidate": [] };
  for (const pc of window.connections.filter((one) => one.getReceivers().some(({ track }) => track.kind === "video"))) {
    const report = await pc.getStats();
    for (const row of report.values()) {
      if (row.type in known) known[row.type].push(row.candidateType);
      if (row.type !== "transport" || !row.selectedCandidatePairId) continue;
      const pair = report.get(row.selectedCandidatePairId);
      used.push(report.get(pair.localCandidateId).candidateType, report.get(pair.remoteCandidateId).candidateType);
    }
  }
  return [used, known["local-candidate"], known["remote-candidate"]];
}
"""
#: with whose name the page goes to the relay, when those credentials die, and which ICE session is described and in use
RELAY = """
async () => {
  const shows = (one) => one.getReceivers().some(({ track }) => track.kind === "video");
  const pc = window.connections.filter((one) => one.signalingState !== "closed" && shows(one)).at(-1);
  const report = await pc.getStats();
  const transport = [...report.values()].find(({ type }) => type === "transport");
  const local = report.get(report.get(transport.selectedCandidatePairId)?.localCandidateId);
  const { username } = pc.getConfiguration().iceServers[0];
  const ufrag = /a=ice-ufrag:(\\S+)/.exec(pc.localDescription.sdp)[1];
  const { usernameFragment: used, port, relayProtocol: by } = local ?? {};
  return { username, dies: Number(username.split(":")[0]), ufrag, used, port, by };
}
"""
#: how many relays such a server gives to a page that asks for nothing else
GIVEN = """
async (server) => {
  const pc = new RTCPeerConnection({ iceServers: [server], iceTransportPolicy: "relay" });
  let given = 0;
  const asked = new Promise((done) => (pc.onicecandidate = ({ candidate }) => (candidate ? given++ : done())));
  pc.createDataChannel("");
  await pc.setLocalDescription();
  await asked;
  pc.close();
  return given;
}
"""
PRIVATE = "Encrypted from browser to browser, over the clinic's relay, which cannot look inside"


def own_address() -> str:
    """The machine's own: browsers offer no loopback, and nobody would pass it on. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("198.51.100.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(asking.getsockname()[0])


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    own = own_address()
    folder = tmp_path_factory.mktemp("relay")
    with coturn(folder / "coturn", more=f"\nallowed-peer-ip={own}\nverbose\n", address=own) as box:
        yield box


def settings(box: Box, kind: str = "turn", transport: str = "udp") -> dict[str, str]:
    urls = f"{kind}:{own_address()}:{box.ports[kind]}?transport={transport}"
    return {"TELEHEALTH_TURN_URLS": urls, "TELEHEALTH_TURN_SECRET": secret(box)}


@pytest.fixture(scope="module")
def relaying(box: Box) -> Iterator[Product]:
    with products.running(**settings(box)) as product:
        yield product


@pytest.fixture(scope="module")
def trusting(box: Box, browser: Browser) -> Iterator[Browser]:
    """A browser that takes the relay's certificate, which is of the test's own making, and no other of that kind."""
    certificate = x509.load_pem_x509_certificate(box.path("etc/telehealth/turn/fullchain.pem").read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pinned = base64.b64encode(hashlib.sha256(key).digest()).decode()
    with launched(browser.browser_type, f"--ignore-certificate-errors-spki-list={pinned}") as started:
        yield started


def begun(product: Product, browser: Browser, *, hidden: bool) -> tuple[course.Visit, Page]:
    """From the patient's record, as somebody does who wants to tick that box."""
    desk = sign_in(visitor(browser), product)
    desk.goto(product.origin + product.ask(RECORD))
    if hidden:
        desk.get_by_label("Hide our network addresses from each other").check()
    desk.get_by_role("button", name="Start consult").click()
    desk.wait_for_url("**/consults/*/")
    visit = course.Visit(product, desk.url.rstrip("/").rpartition("/")[2], desk)
    course.make_link(visit)
    page = course.arrive(visit, visitor(browser, width=390, height=800))
    course.admit(visit, page)
    return visit, page


def test_a_visit_that_hides_addresses_goes_over_the_relay_alone(relaying: Product, browser: Browser) -> None:
    visit, page = begun(relaying, browser, hidden=True)
    for _ in range(2):  # and after a refresh
        for side in (page, visit.room):
            course.sees_and_hears(side)
            expect(side.locator("[data-proof-word]").first).to_have_text("Private: checked by the link")
            used, local, remote = side.evaluate(KINDS)
            assert used
            assert {*used, *local, *remote} == {"relay"}
            expect(side.locator("[data-privacy]")).to_have_text(PRIVATE)
        page.reload()


def test_a_visit_that_hides_nothing_takes_the_direct_path_though_there_is_a_relay(
    relaying: Product, browser: Browser
) -> None:
    visit, page = begun(relaying, browser, hidden=False)
    for side in (page, visit.room):
        course.sees_and_hears(side)
        used, _, _ = side.evaluate(KINDS)
        assert used
        assert "relay" not in used


def after_moving(sides: tuple[Page, ...], before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With new credentials, over an ICE session that was not there before, while the old ones still held."""
    while time.time() < min(old["dies"] for old in before):
        after = [side.evaluate(RELAY) for side in sides]
        if all(
            new["username"] != old["username"] and new["used"] == new["ufrag"] != old["ufrag"]
            for old, new in zip(before, after, strict=True)
        ):
            return after
        sides[0].wait_for_timeout(200)
    raise AssertionError(f"the credentials died first: {before}, then {after}")


def test_a_call_over_the_relay_moves_to_new_credentials_and_outlives_the_old_ones(box: Box, browser: Browser) -> None:
    with products.running(program=SHORT_LIVED, **settings(box)) as product:
        visit, page = begun(product, browser, hidden=True)
        sides = (page, visit.room)
        for side in sides:
            course.sees_and_hears(side)
            watching.watch(side)
            side.evaluate("window.restarts.length = 0")
        since, before = time.time(), [side.evaluate(RELAY) for side in sides]
        assert all(old["dies"] - since <= SECONDS for old in before)
        after = after_moving(sides, before)
        for old, new in zip(before, after, strict=True):
            assert new["dies"] > old["dies"]
            assert new["port"] != old["port"]  # a relay of its own
        log = box.path("coturn.log").read_text()
        assert f"<{after[0]['username']}>: incoming packet ALLOCATE processed, success" in log
        assert page.evaluate("window.restarts.length") > 0
        assert visit.room.evaluate("window.restarts.length") == 0  # the patient's page does it for both
        page.wait_for_timeout((max(old["dies"] for old in before) + 2 - time.time()) * 1000)
        for side in sides:
            course.sees_and_hears(side)
            assert watching.longest_freeze(side, since, time.time()) < 3
            expect(side.locator("[data-call]")).to_have_attribute("data-connection", "connected")
            expect(side.locator("[data-proof-chip]").first).to_have_attribute("data-state", "link")
            assert {kind for kinds in side.evaluate(KINDS) for kind in kinds} == {"relay"}


def test_a_visit_goes_over_the_relay_by_tls_where_a_network_lets_nothing_else_through(
    box: Box, trusting: Browser
) -> None:
    with products.running(**settings(box, "turns", "tcp")) as product:
        visit, page = begun(product, trusting, hidden=True)
        for side in (page, visit.room):
            course.sees_and_hears(side)
            assert side.evaluate(RELAY)["by"] == "tls"
            used, _, _ = side.evaluate(KINDS)
            assert set(used) == {"relay"}
            expect(side.locator("[data-proof-chip]").first).to_have_attribute("data-state", "link")


def test_a_browser_asks_nothing_of_a_relay_whose_certificate_it_does_not_trust(
    box: Box, browser: Browser, trusting: Browser
) -> None:
    urls = settings(box, "turns", "tcp")["TELEHEALTH_TURN_URLS"]
    username, password = lasting(box)
    server = {"urls": urls, "username": username, "credential": password}
    assert visitor(trusting).new_page().evaluate(GIVEN, server) > 0
    assert visitor(browser).new_page().evaluate(GIVEN, server) == 0
