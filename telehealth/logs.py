"""Log lines that keep out what a person typed: a trace shows where, never an exception's message."""

import logging
import traceback
from types import TracebackType


class PlainFormatter(logging.Formatter):
    """Where it broke and the kind of error. Messages of exceptions may quote values, and values may be a patient's."""

    def formatException(
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        kind, _error, trace = ei
        return "".join(traceback.format_tb(trace)) + (kind.__name__ if kind else "error")
