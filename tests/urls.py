"""Every address of the product, read from its URLconf, so that a new one cannot be forgotten by a test."""

import re
from collections.abc import Iterator
from typing import Any

from django.contrib.admindocs.views import simplify_regex
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RegexPattern

#: what stands for the parts of an address that vary; a test may put real ids in their place
SAMPLES = {
    "consult_id": "00000000-0000-4000-8000-000000000000",
    "patient_id": "00000000-0000-4000-8000-000000000000",
    "recording_id": "1",
    "concern_id": "11111111-1111-4111-8111-111111111111",
    "person_id": "22222222-2222-4222-8222-222222222222",
    "consent_id": "44444444-4444-4444-8444-444444444444",
    "review_id": "33333333-3333-4333-8333-333333333333",
    "hold_id": "55555555-5555-4555-8555-555555555555",
    "entry": "1",
    "object_id": "1",
    "content_type_id": "1",
    "app_label": "consults",
    "url": "nowhere/at/all",
}


def every_route(patterns: Any = None, before: str = "/", space: str = "") -> Iterator[tuple[str, str]]:
    """(name, route) of every URL pattern; a route has its varying parts in angle brackets."""
    for entry in patterns if patterns is not None else get_resolver().url_patterns:
        route = before + _text_of(entry)
        if isinstance(entry, URLResolver):
            inner = f"{entry.namespace}:" if entry.namespace else ""
            yield from every_route(entry.url_patterns, route, space + inner)
        elif isinstance(entry, URLPattern):
            yield f"{space}{entry.name}", route


def _text_of(entry: URLPattern | URLResolver) -> str:
    if isinstance(entry.pattern, RegexPattern):
        return simplify_regex(entry.pattern.regex.pattern).lstrip("/")
    return str(entry.pattern)


def fill_in(route: str, **values: object) -> str:
    """The route with a value for every varying part. One without a sample stops the test: give it one here."""
    known = {**SAMPLES, **{name: str(value) for name, value in values.items()}}
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda m: known[m.group(1)], route)
