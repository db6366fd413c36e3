"""A world with one product in it, and a call between two people in two networks."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from playwright.sync_api import sync_playwright

from tests.browser import visit
from tests.browser.people import sign_in, visitor
from tests.faults import watching
from tests.faults.world import NoWorld, World, world


@pytest.fixture(scope="module")
def places() -> Iterator[World]:
    try:
        with world() as made:
            yield made
    except NoWorld as why:
        word = f"network faults need root, or a user namespace with /dev/net/tun: {why}"
        # A run by root that leaves all of these out without a failure would pass for a whole one.
        if os.geteuid() == 0:
            pytest.fail(word)
        pytest.skip(word)


@pytest.fixture(scope="module")
def call(places: World) -> Iterator[SimpleNamespace]:
    """A call that runs; each test leaves it running."""
    with ExitStack() as stack:
        product, playwright = stack.enter_context(places.product()), stack.enter_context(sync_playwright())
        desk, phone = (stack.enter_context(places.chromium(playwright, who)) for who in ("doctor", "patient"))
        doctor, patient = visitor(desk), visitor(phone, width=390, height=800)
        now = visit.start(product, sign_in(doctor, product))
        visit.make_link(now)
        page = visit.arrive(now, patient)
        visit.admit(now, page)
        for side in (now.room, page):
            visit.sees_and_hears(side)
            watching.watch(side)
        yield SimpleNamespace(world=places, product=product, room=now.room, page=page, visit=now, patient=patient)
