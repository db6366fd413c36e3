"""A page goes to one thread and stays there, whatever its middleware and its view are, and so does its connection."""

import pytest
from asgiref.sync import SyncToAsync
from channels.testing import HttpCommunicator
from django.db import connections

from telehealth.page_threads import PagesHandler

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def get():
    handler = PagesHandler()

    async def answer(path: str) -> dict:
        host = [(b"host", b"localhost")]
        got = await HttpCommunicator(handler, "GET", path, headers=host).get_response(timeout=10)
        return {**got, "headers": dict(got["headers"])}

    yield answer
    # One after the other there was one thread; its connection would block the test database.
    handler.threads.submit(connections.close_all).result(10)
    handler.threads.shutdown()


async def test_a_page_goes_to_a_thread_once_and_not_for_each_middleware(get, monkeypatch):
    went, go = [], SyncToAsync.__call__

    def note(self, *given, **named):
        went.append(self.func)
        return go(self, *given, **named)

    monkeypatch.setattr(SyncToAsync, "__call__", note)
    answer = await get("/signin/")
    assert answer["status"] == 200
    assert b"Content-Security-Policy" in answer["headers"]
    assert answer["headers"][b"Cache-Control"] == b"no-store"
    assert len(went) <= 3  # what listens for a request's beginning, the request, and its end


async def test_a_connection_outlives_its_page(get, monkeypatch):
    wrapper, made = type(connections["default"]), []
    connect = wrapper.get_new_connection

    def note(self, parameters):
        made.append(self)
        return connect(self, parameters)

    monkeypatch.setattr(wrapper, "get_new_connection", note)
    for _ in range(3):
        assert (await get("/healthz"))["status"] in (200, 503)
    assert len(made) == 1


async def test_an_asynchronous_view_answers_too(get):
    answer = await get("/healthz")
    assert answer["status"] in (200, 503)
    assert b'"missing"' in answer["body"]


async def test_a_missing_page_says_so(get):
    assert (await get("/nothing/"))["status"] == 404
