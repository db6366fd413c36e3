"""`manage.py consult_worker`: the aiortc worker as a process of its own."""

import asyncio
import contextlib
import signal
from typing import Any

from django.core.management.base import BaseCommand

from signaling.worker import Worker


class Command(BaseCommand):
    help = "Runs the worker that takes spoken consent and watches sessions."

    def handle(self, *_args: Any, **_options: Any) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        task = asyncio.create_task(Worker().run())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task
