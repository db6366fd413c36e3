"""`python -m consults.typeset`: a document, JSON on standard input, becomes a tagged PDF (PDF/UA-1) on standard output.

Set in memory by Typst, in fonts that come as packages. Knows no framework: `consults.typesetting` starts it.

Covered: Latin, Greek, Cyrillic, Arabic, Hebrew, Devanagari, Bengali, Tamil, Telugu, Thai, Khmer, Chinese, Japanese and
Korean. Whatever else somebody's name is written in is spelled in Latin letters between brackets, and the document says
so: a box in place of a letter would be worse than either. Typst itself refuses, under PDF/UA, to set a letter that no
font has, so nothing goes out with boxes in it unseen.
"""

import json
import re
import sys
import unicodedata
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

import typst
from anyascii import anyascii
from fontTools.ttLib import TTCollection, TTFont

#: family -> the package that has its file; tried in this order for every letter
FAMILIES = {
    "Noto Sans": "fontpkg_noto_sans",
    "Noto Sans Arabic": "fontpkg_noto_sans_arabic",
    "Heebo": "fontpkg_heebo",
    "Noto Sans Devanagari": "fontpkg_noto_sans_devanagari",
    "Hind Siliguri": "fontpkg_hind_siliguri",
    "Noto Sans Tamil": "fontpkg_noto_sans_tamil",
    "Noto Sans Telugu": "fontpkg_noto_sans_telugu",
    "Noto Sans Thai": "fontpkg_noto_sans_thai",
    "Noto Sans Khmer": "fontpkg_noto_sans_khmer",
    "Noto Sans CJK JP": "noto_cjk_sans_otc",
}
MAIN = "Noto Sans"
TEMPLATE = Path(__file__).with_name("document.typ")
SPELLED = "Letters in [brackets] are spelled in Latin: these pages have no type for the original ones."
#: joiners shape Arabic and Indic words; every other invisible character could only mislead on paper
JOINERS = "\u200c\u200d"


#: a word as long as this may be broken anywhere, in a table's narrow cell and in a whole line
CELL, LINE = 18, 40


def main() -> None:
    sys.stdout.buffer.write(pdf(json.load(sys.stdin.buffer)))


def pdf(document: dict[str, Any]) -> bytes:
    """A document for `document.typ`, every text in it made readable first."""
    try:
        return _compile(_readable(document, coverage()))
    except typst.TypstError:
        # Letters that our fonts have one by one need not be together in any one of them: once more, in the main one.
        return _compile(_readable(document, _letters(MAIN)))


def _compile(document: dict[str, Any]) -> bytes:
    compiler = typst.Compiler(
        TEMPLATE.read_bytes(),
        root=TEMPLATE.parent,
        font_paths=_fonts(),
        ignore_system_fonts=True,
        sys_inputs={"data": json.dumps(document | {"fonts": list(FAMILIES)})},
    )
    made = compiler.compile(format="pdf", pdf_standards=["ua-1"])
    assert isinstance(made, bytes)  # noqa: S101  (several files come of picture formats only)
    return made


def _readable(document: dict[str, Any], covered: frozenset[int]) -> dict[str, Any]:
    spelled = False

    def readable(text: str) -> str:
        nonlocal spelled
        shown = legible(text, covered)
        spelled = spelled or shown != _visible(text)
        return shown

    made: dict[str, Any] = _each_text(document, readable)
    return made | {"notes": [*made["notes"], SPELLED]} if spelled else made


def _each_text(node: Any, change: Callable[[str], str], longest: int = LINE) -> Any:
    if isinstance(node, str):
        return _broken(change(node), longest)
    if isinstance(node, dict):
        longest = CELL if node.get("kind") == "table" else longest
        return {name: _each_text(value, change, longest) for name, value in node.items()}
    if isinstance(node, list):
        return [_each_text(value, change, longest) for value in node]
    return node


def _broken(text: str, longest: int) -> str:
    """Nothing runs off the paper; words that fit stay as they are, so that they can be copied."""
    return re.sub(rf"\S{{{longest}}}(?=\S)", "\\g<0>\u200b", text)


def legible(text: str, covered: frozenset[int]) -> str:
    """The text with every run of letters that no font has spelled in Latin, between brackets."""
    pieces = groupby(_visible(text), key=lambda c: ord(c) in covered or c in JOINERS or c == "\n")
    return "".join("".join(run) if has else f"[{_spelled(''.join(run))}]" for has, run in pieces)


def _spelled(run: str) -> str:
    return anyascii(run).strip() or " ".join(f"U+{ord(c):04X}" for c in run)


def _visible(text: str) -> str:
    """Composed, and without characters that show nothing: controls, and those that turn the direction of writing."""
    composed = unicodedata.normalize("NFC", text.replace("\r\n", "\n")).replace("\t", " ")
    return "".join(c for c in composed if c in JOINERS or c == "\n" or unicodedata.category(c)[0] != "C" or _private(c))


def _private(letter: str) -> bool:
    """Private or unassigned letters do show, somewhere: they are named, not dropped."""
    return unicodedata.category(letter) in ("Co", "Cn")


@cache
def coverage() -> frozenset[int]:
    """Every character that some font of ours has."""
    return frozenset().union(*(_letters(family) for family in FAMILIES))


@cache
def _letters(family: str) -> frozenset[int]:
    file = next(iter(_files(FAMILIES[family])))
    font = TTCollection(file, lazy=True).fonts[0] if file.endswith(".ttc") else TTFont(file, lazy=True)
    return frozenset(font.getBestCmap())


@cache
def _fonts() -> typst.Fonts:
    folders = sorted({str(Path(file).parent) for package in FAMILIES.values() for file in _files(package)})
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=folders)


def _files(package: str) -> list[str]:
    """The package's font files, upright ones first."""
    found = [p for p in Path(str(files(package))).rglob("*") if p.suffix in (".ttf", ".otf", ".ttc")]
    return [str(p) for p in sorted(found, key=lambda p: ("Italic" in p.name, p.name))]


if __name__ == "__main__":
    main()
