"""Pages: each from its first middleware to its last in one of a few threads, which keep their database connections."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.db import close_old_connections
from django.http import HttpRequest
from django.http.response import HttpResponseBase

#: pages at once, and their connections to the database; what is more waits. SQLite has one writer, and each of its
#: connections may hold 64 MB of pages
THREADS = 16 if settings.DATABASE_URL else 6


class PagesHandler(ASGIHandler):
    """Django's own makes a thread and a connection for each request, and goes to that thread and back for every
    middleware and for the view, eighteen times. Views and middleware here are not asynchronous: they ask the
    database.
    """

    def __init__(self) -> None:
        super().__init__()
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="page")

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        responding = sync_to_async(self._respond, thread_sensitive=False, executor=self.threads)(request)
        task = asyncio.ensure_future(responding)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # Whoever asked is gone. What she asked for is carried out, and what she sent stays open until then.
            await asyncio.wait([task])
            raise

    def _respond(self, request: HttpRequest) -> HttpResponseBase:
        # Django does so by a signal, which arrives in another thread.
        close_old_connections()
        try:
            return self.get_response(request)
        finally:
            close_old_connections()
