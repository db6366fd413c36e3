"""A visit whose two pages are at two servers, as behind nginx: uvicorn as `deploy/` runs it, Redis between them."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests import engines
from tests.browser import product as products
from tests.browser import visit as course
from tests.browser.people import launched, sign_in, visitor
from tests.browser.product import ROOT, Product
from tests.deploy.recipe import DEPLOY, read_unit
from tests.engines import free_port

pytestmark = pytest.mark.browser

WHERE = """
from consults.models import Participant
from signaling import presence
seats = Participant.objects.filter(consult="CONSULT", left_at=None)
answer = [(seat.role, presence.whereabouts(seat)[1]) for seat in seats]
"""


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    with (
        engines.postgres() as database,
        engines.redis() as redis,
        products.running(database_url=str(database), redis_url=str(redis)) as running,
    ):
        yield running


class WebServer:
    """One more server of that product, by the unit's own words, and with TLS since no nginx stands before it."""

    def __init__(self, product: Product) -> None:
        self.product, self.port = product, free_port()
        self.log = product.data / f"web-{self.port}.log"
        self.start()

    def start(self) -> None:
        (command,) = read_unit((DEPLOY / "systemd/telehealth-web@.service").read_text())["ExecStart"]
        words = command.replace("%i", str(self.port)).split()[1:]
        tls = self.product.data / "tls"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    *words,
                    "--ssl-keyfile",
                    str(tls / "tls.key"),
                    "--ssl-certfile",
                    str(tls / "tls.crt"),
                    "--timeout-graceful-shutdown",
                    "3",
                ],
                cwd=ROOT,
                env=self.product.environment,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + 30
        while not products.ready(f"https://localhost:{self.port}"):
            assert time.monotonic() < until, self.log.read_text()[-2000:]
            time.sleep(0.1)

    def end(self) -> None:
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10) in (0, -signal.SIGTERM), self.log.read_text()[-2000:]


@pytest.fixture(scope="module")
def servers(product: Product) -> Iterator[list[WebServer]]:
    with ExitStack() as stack:
        made = []
        for _ in range(2):
            made.append(WebServer(product))
            stack.callback(made[-1].end)
        yield made


def leads_to(server: WebServer) -> str:
    """A browser so started finds this server under the product's own address."""
    return f"--host-resolver-rules=MAP localhost 127.0.0.1:{server.port}"


def test_a_visit_over_two_servers_of_which_one_starts_anew(product: Product, servers: list[WebServer]) -> None:
    with (
        sync_playwright() as play,
        launched(play.chromium, leads_to(servers[0])) as hers,
        launched(play.chromium, leads_to(servers[1])) as his,
    ):
        visit = course.start(product, sign_in(visitor(hers), product))
        course.make_link(visit)
        page = course.arrive(visit, visitor(his, width=390, height=800), spoken=True)
        course.admit(visit, page)
        course.sees_and_hears(page)
        course.sees_and_hears(visit.room)
        for one in (page, visit.room):
            expect(one.locator("[data-call]")).to_contain_text("checked by the link")
        at = processes(visit)
        assert at["clinician"] != at["patient"]

        switch_camera(visit.room)
        expect(page.get_by_text("has the camera off")).to_be_visible()
        switch_camera(visit.room)
        expect(page.get_by_text("has the camera off")).to_be_hidden()

        servers[1].end()
        course.sees_and_hears(page)  # it needs no server
        servers[1].start()
        until_elsewhere(visit, at["patient"])
        switch_camera(visit.room)
        expect(page.get_by_text("has the camera off")).to_be_visible()
        course.end(visit)
        course.expect_stage(page, "ended")
    for server in servers:
        log = server.log.read_text()
        assert '  File "' not in log, log[-3000:]


def switch_camera(page: Page) -> None:
    page.locator("[data-call] [data-toggle=camera]").click()


def processes(visit: course.Visit) -> dict[str, str]:
    """At which of the servers each page's socket is, by role."""
    return dict(visit.product.ask(WHERE.replace("CONSULT", visit.consult)))


def until_elsewhere(visit: course.Visit, than: str) -> None:
    for _ in range(150):
        if processes(visit)["patient"] not in ("", than):
            return
        time.sleep(0.1)
    raise AssertionError("the page did not come back")
