import asyncio
import contextlib

import pytest
from asgiref.sync import sync_to_async
from django.db import connections


@pytest.fixture
async def sockets(request, committed_cast, monkeypatch):
    """Opens sockets of the product's own ASGI application; all are closed at the end. By the short way where a test
    has a fixture of that name that says so.
    """
    from signaling import watched
    from tests.signaling.sockets import Sockets  # not before Django is set up

    # As the product does, only sooner: what a socket notices by its clock, it notices at once.
    monkeypatch.setattr(watched, "LOOK_EVERY", 0.1)
    short_way = "short_way" in request.fixturenames and request.getfixturevalue("short_way")
    opened = Sockets(committed_cast, short_way=short_way)
    yield opened
    await opened.close()


@pytest.fixture(autouse=True)
async def _close_the_threads_connection():
    """Database work of sockets runs in a thread, whose connection outlives the test and would block its database."""
    yield
    await sync_to_async(connections.close_all)()


@pytest.fixture
async def worker(monkeypatch):
    """A running worker."""
    from signaling import worker as module

    monkeypatch.setattr(module, "STORE_EVERY", 0.1)
    running = module.Worker("worker-one")
    task = asyncio.create_task(running.run())
    await asyncio.sleep(0)
    yield running
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
