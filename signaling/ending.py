"""Ending tasks for good."""

import asyncio
from typing import Any

AGAIN_AFTER = 0.5
TRIES = 40


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel them until they are done.

    Once is not enough: what a task waits for may come back as if nothing had been said (a publish of redis-py 8.1 does
    when its answer and the end come together), and a task that loops then goes on for ever.
    """
    going = {task for task in tasks if not task.done()}
    for _ in range(TRIES):
        if not going:
            return
        for task in going:
            task.cancel()
        _, going = await asyncio.wait(going, timeout=AGAIN_AFTER)
    raise TimeoutError("a task could not be ended")
