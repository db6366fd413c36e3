"""Rules that hold for every response."""

import logging

from django.db import InterfaceError, InternalError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.deprecation import MiddlewareMixin

from accounts import sessions
from vault import patients
from vault.core.sealing import CannotOpen
from vault.custody import VaultUnavailable

logger = logging.getLogger(__name__)


class NoStoreMiddleware(MiddlewareMixin):
    """Pages are never kept by a browser or proxy: the back button after sign-out shows nothing."""

    def process_response(self, _request: HttpRequest, response: HttpResponse) -> HttpResponse:
        response.headers.setdefault("Cache-Control", "no-store")
        return response


class DatabaseUnavailableMiddleware(MiddlewareMixin):
    """No audit, no access: where the database takes no entry, 503 in plain words, and the act is undone with it."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, OperationalError | InterfaceError | InternalError):
            return None
        # The database's own words may quote a row.
        logger.error("database: %s", type(exception).__name__)
        text = (
            "The server cannot write down what is done at this moment, so it shows and changes nothing."
            " Calls go on. Try again in a few minutes."
            " If it stays like this, tell your operator that the database is unavailable."
        )
        return render(request, "error.html", {"title": "Not at this moment", "text": text}, status=503)


class VaultUnavailableMiddleware(MiddlewareMixin):
    """A vault that cannot be opened answers 503 in plain words; never ciphertext, never a trace."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, VaultUnavailable | CannotOpen):
            return None
        logger.error("vault: %s", exception)
        if isinstance(exception, CannotOpen):
            patients.note_again(exception, sessions.actor(request))
        return render(request, "vault_unavailable.html", status=503)
