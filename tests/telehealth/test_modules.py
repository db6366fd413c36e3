"""A page names every module that its script needs, so that the browser asks for all of them at once."""

import re
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.template import Context, Template

from telehealth.templatetags import modules

ROOT = Path(__file__).resolve().parents[2]
USED = sorted(
    {
        name
        for page in ROOT.glob("templates/**/*.html")
        for name in re.findall(r'\{% module(?:_ahead)? "([^"]+)" %\}', page.read_text())
    }
)


def needed(name, found):
    """As the browser finds out: from what each file imports, in the file's own words."""
    for path in re.findall(r'from "([^"]+)"|import "([^"]+)"', Path(finders.find(name)).read_text()):
        one = str((Path("/") / name).parent / (path[0] or path[1]))
        one = str(Path(one).resolve())[1:]
        if one not in found:
            found.add(one)
            needed(one, found)
    return found


@pytest.mark.parametrize("name", USED)
def test_everything_that_is_imported_is_named_once(name):
    said = modules.imported(name)
    assert set(said) == needed(name, set())
    assert len(said) == len(set(said))


def test_the_visit_needs_many_and_the_nearest_come_first():
    said = modules.imported("consults/visit.js")
    assert len(said) > 25
    assert said[0] == "signaling/call.js"


def test_a_module_that_is_not_there_is_said_at_once(tmp_path, settings, monkeypatch):
    broken = tmp_path / "broken.js"
    broken.write_text('import { a } from "./nowhere.js";\n')
    find = finders.find
    monkeypatch.setattr(finders, "find", lambda name: str(broken) if name == "consults/broken.js" else find(name))
    with pytest.raises(LookupError, match="consults/nowhere.js"):
        modules.imported("consults/broken.js")


def test_what_the_page_says():
    page = Template('{% module "consults/join.js" %}{% module_ahead "consults/identity.js" %}').render(Context())
    assert page.startswith('<script type="module" src="')
    assert page.count('rel="modulepreload"') == len(modules.imported("consults/join.js"))
    assert page.count('rel="prefetch"') == 1 + len(modules.imported("consults/identity.js"))


def test_no_page_has_a_script_in_another_way():
    for page in ROOT.glob("templates/[ac]*/*.html"):
        if page.parent.name != "admin":
            assert "<script" not in page.read_text(), page.name
