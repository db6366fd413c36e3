"""A page goes to one thread and stays there, whatever its middleware and its view are."""

import pytest
from asgiref.sync import SyncToAsync
from channels.testing import HttpCommunicator

from telehealth.in_one_thread import PagesHandler

pytestmark = pytest.mark.django_db(transaction=True)


async def get(path: str) -> dict:
    host = [(b"host", b"localhost")]
    answer = await HttpCommunicator(PagesHandler(), "GET", path, headers=host).get_response(timeout=10)
    return {**answer, "headers": dict(answer["headers"])}


async def test_a_page_goes_to_its_thread_twice_and_not_once_for_each_middleware(monkeypatch):
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


async def test_an_asynchronous_view_answers_too():
    answer = await get("/healthz")
    assert answer["status"] in (200, 503)
    assert b'"missing"' in answer["body"]


async def test_a_missing_page_says_so():
    assert (await get("/nothing/"))["status"] == 404
