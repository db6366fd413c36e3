"""Error pages: plain words and what to do next; never data, a trace, or whether something exists."""

import logging
import sys
from typing import Any

from django.core.signals import got_request_exception
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

logger = logging.getLogger(__name__)


def _page(request: HttpRequest, status: int, title: str, text: str) -> HttpResponse:
    return render(request, "error.html", {"title": title, "text": text}, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 400, "That did not work", "The request was not understood. Go back and try again.")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return not_found(request, exception)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    text = "This page was open for too long or in another tab. Go back, load it again and repeat the step."
    return _page(request, 403, "Please repeat that", text)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    text = "There is no such page, or it is not yours to see. Check the address or go back to the start."
    return _page(request, 404, "Nothing here", text)


def server_error(request: HttpRequest) -> HttpResponse:
    text = "Something went wrong on our side. Try again in a minute."
    return _page(request, 500, "That is our fault", text)


def log_exception(sender: Any, request: HttpRequest | None = None, **_kwargs: Any) -> None:
    """Where it broke, without the request's data: values of variables may be a patient's."""
    kind, _error, trace = sys.exc_info()
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
    logger.error("%s at %s", kind.__name__ if kind else "error", where)


got_request_exception.connect(log_exception)
