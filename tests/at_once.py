"""Calls that race each other in threads, each with its own database connection."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connections


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """Run all calls at the same moment; gives results, and exceptions in place of results."""
    line = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        try:
            line.wait(timeout=10)
            return call()
        except Exception as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls, timeout=60))
