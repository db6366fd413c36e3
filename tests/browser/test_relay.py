"""A visit over the clinic's own relay alone: two browsers, a real coturn, and no other address of either side."""

import socket
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import product as products
from tests.browser import visit as course
from tests.browser.people import sign_in, visitor
from tests.browser.product import Product
from tests.deploy.test_coturn import coturn, secret

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


def own_address() -> str:
    """The machine's own: browsers offer no loopback, and nobody would pass it on. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("198.51.100.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(asking.getsockname()[0])


@pytest.fixture(scope="module")
def relaying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    own = own_address()
    folder = tmp_path_factory.mktemp("relay")
    with coturn(folder / "coturn", more=f"\nallowed-peer-ip={own}\n", address=own) as box:
        urls = f"turn:{own}:{box.ports['turn']}?transport=udp"
        with products.running(TELEHEALTH_TURN_URLS=urls, TELEHEALTH_TURN_SECRET=secret(box)) as product:
            yield product


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
