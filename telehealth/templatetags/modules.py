"""A page's script, with everything that it imports named in the page.

Otherwise a browser learns of each module from the one that imports it, a way to the server and back for each level:
four of them are two seconds on a phone.
"""

import posixpath
import re
from functools import lru_cache
from pathlib import Path

from django import template
from django.contrib.staticfiles import finders
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()

IMPORTS = re.compile(r'^(?:import|export)\s[^;"]*?"(\.{1,2}/[^"]+)"', re.MULTILINE)


@lru_cache
def imported(name: str) -> tuple[str, ...]:
    """All that a module needs, the nearest first, without itself."""
    found = [name]
    for one in found:
        source = finders.find(one)
        if not source:
            raise LookupError(f"there is no {one}, which {name} needs")
        for path in IMPORTS.findall(Path(source).read_text()):
            needed = posixpath.normpath(posixpath.join(posixpath.dirname(one), path))
            if needed not in found:
                found.append(needed)
    return tuple(found[1:])


@register.simple_tag
def module(name: str) -> SafeString:
    """`{% module "consults/visit.js" %}`: the script of this page."""
    ahead = format_html_join("\n", '<link rel="modulepreload" href="{}">', ((static(one),) for one in imported(name)))
    return format_html('<script type="module" src="{}"></script>\n{}', static(name), ahead)


@register.simple_tag
def module_ahead(name: str) -> SafeString:
    """`{% module_ahead "consults/visit.js" %}`: what the next page runs, fetched while one reads this."""
    every = (name, *imported(name))
    return format_html_join("\n", '<link rel="prefetch" href="{}" as="script">', ((static(one),) for one in every))
