"""A page goes to one thread and stays there, whatever its middleware and its view are, and so does its connection."""

import asyncio
import threading

import pytest
from asgiref.sync import SyncToAsync
from channels.testing import HttpCommunicator
from django.db import connections
from django.http import HttpResponse

from telehealth import page_threads
from telehealth.page_threads import PagesHandler

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def get(monkeypatch):
    monkeypatch.setattr(page_threads, "THREADS", 1)
    handler = PagesHandler()

    async def answer(path: str) -> dict:
        host = [(b"host", b"localhost")]
        got = await HttpCommunicator(handler, "GET", path, headers=host).get_response(timeout=10)
        return {**got, "headers": dict(got["headers"])}

    yield answer
    # The thread's connection would block the test database.
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


async def test_what_somebody_sent_stays_open_when_she_is_gone(monkeypatch):
    handler, begun, gone, read = PagesHandler(), threading.Event(), threading.Event(), []

    def view(request):
        begun.set()
        assert gone.wait(10)
        read.append(request.body)
        return HttpResponse()

    monkeypatch.setattr(handler, "get_response", view)
    heard = asyncio.Queue()
    heard.put_nowait({"type": "http.request", "body": b"what she sent"})
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": [(b"host", b"localhost")]}

    async def nobody(_message):
        raise AssertionError("nobody is there to be answered")

    task = asyncio.create_task(handler(scope, heard.get, nobody))
    assert await asyncio.to_thread(begun.wait, 10)
    heard.put_nowait({"type": "http.disconnect"})
    await asyncio.sleep(0.2)
    gone.set()
    await asyncio.wait_for(task, 10)
    assert read == [b"what she sent"]
    handler.threads.shutdown()
