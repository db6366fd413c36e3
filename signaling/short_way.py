"""Beside ASGI: frames that a server hands to a consumer, and takes from it, without a task in between.

An event that waits in a queue until a task has been woken costs more than all that is to be done about most frames.
A server that offers this puts a `ShortWay` into the scope's extensions; under any other, all goes by ASGI alone.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

EXTENSION = "telehealth.short_way"
#: the event by which a rest comes to the consumer's task, in the order in which frames came
REST = "telehealth.rest"

#: what of a frame has to wait for something; None: all of it has been done
Rest = Callable[[], Awaitable[None]] | None


class ShortWay(Protocol):
    """One socket's. Everything happens in the event loop's thread."""

    #: takes a text frame at once. Set by the consumer only while its loop waits for an event; the server asks it only
    #: while no event waits either, so that no frame overtakes another. By `heard`
    hears: Callable[[str], Rest] | None

    def say(self, text: str) -> None:
        """What ASGI's `send` does with a text, at once; nothing where the socket is closed."""


def heard(hears: Callable[[str], Rest], text: str) -> Rest:
    """What fails comes back as a rest that fails: it ends the consumer's task, as by ASGI, and no server's reading."""
    try:
        return hears(text)
    except Exception as error:
        return partial(_failed, error)


async def _failed(error: Exception) -> None:
    raise error


def offered(scope: dict[str, Any]) -> ShortWay | None:
    way: ShortWay | None = (scope.get("extensions") or {}).get(EXTENSION)
    return way
