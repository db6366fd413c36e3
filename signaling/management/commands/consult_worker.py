"""`manage.py consult_worker`: the aiortc worker as a process of its own."""

import asyncio
import signal
from typing import Any

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand

from signaling import metrics
from signaling.worker import Worker


class Command(BaseCommand):
    help = "Runs the worker that takes spoken consent and watches sessions."

    def handle(self, *_args: Any, **_options: Any) -> None:
        uvloop.run(self._serve())

    async def _serve(self) -> None:
        worker = Worker()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, worker.stop)
        end = metrics.serve(settings.WORKER_METRICS, worker.health) if settings.WORKER_METRICS else None
        try:
            await worker.run()
        finally:
            if end:
                await asyncio.to_thread(end)
