"""The page that checks a receipt, as one file: `python -m vault.check_page > check-receipt.html`. Needs no Django.

It is opened from a disk, without any server. Its policy names the one script and the one style in it and allows no
request at all, so what it is given stays where it is.
"""

import base64
import re
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path

PARTS = Path(__file__).parent / "page"
#: the product's look
LOOK = Path(__file__).parents[1] / "telehealth" / "static" / "telehealth"
SCRIPTS = ("parts.js", "check.js", "page.js")
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./\w+\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export ", re.MULTILINE)


@cache
def page() -> str:
    # A module opened from a disk may import nothing, so the three are put together; their names differ.
    modules = [(PARTS / name).read_text() for name in SCRIPTS]
    script = "\n".join(_EXPORT.sub("", _IMPORT.sub("", one)) for one in modules)
    style = "\n".join((LOOK / name).read_text() for name in ("tokens.css", "base.css"))
    style += (PARTS / "page.css").read_text()
    policy = (
        f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}; media-src blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    filled = {"policy": policy, "style": style, "script": script, "mark": (LOOK / "mark.svg").read_text()}
    template = (PARTS / "check.html").read_text()
    return re.sub(r"\{(policy|style|script|mark)\}", lambda found: filled[found[1]], template)


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"


if __name__ == "__main__":
    sys.stdout.buffer.write(page().encode())
