"""One product and one browser per shape: embedded (SQLite, one process) and real engines (Postgres, Redis, four)."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser

from tests import engines
from tests.browser import firefox, people, postbox, product


@pytest.fixture(scope="module", params=["embedded", "engines"])
def running(request: pytest.FixtureRequest) -> Iterator[product.Product]:
    with ExitStack() as stack:
        letters = stack.enter_context(postbox.listening())
        settings = {"EMAIL_URL": f"smtp://127.0.0.1:{letters.port}"}
        if request.param == "engines":
            settings["database_url"] = str(stack.enter_context(engines.postgres()))
            settings["redis_url"] = str(stack.enter_context(engines.redis()))
        started = stack.enter_context(product.running(**settings))
        started.letters = letters
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with people.chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def fox() -> Iterator[firefox.Firefox]:
    with firefox.firefox() as started:
        yield started


@pytest.fixture(autouse=True)
def nobody_stays(request: pytest.FixtureRequest) -> Iterator[None]:
    """Close every page at a test's end: a call that goes on in the background takes a core from the next test."""
    yield
    for name in {"browser", "trusting"}.intersection(request.fixturenames):
        for context in request.getfixturevalue(name).contexts:
            context.close()
    if "fox" in request.fixturenames:
        request.getfixturevalue("fox").everybody_leaves()
