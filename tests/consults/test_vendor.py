"""Scripts of others that are served are copies of locked packages, licence and all."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVED = ROOT / "consults" / "static" / "consults" / "vendor"
PACKAGE = ROOT / "node_modules" / "uqr"


@pytest.mark.parametrize(
    ("served", "packed"),
    [("uqr.js", "dist/index.mjs"), ("uqr.d.ts", "dist/index.d.mts"), ("uqr.LICENSE.txt", "LICENSE")],
)
def test_a_served_copy_is_the_locked_package(served, packed):
    assert (SERVED / served).read_bytes() == (PACKAGE / packed).read_bytes()


def test_words_and_pictures_are_as_many_as_the_protocol_says_and_all_different():
    words = (ROOT / "signaling/static/signaling/words.js").read_text().split("`")[1].split()
    assert len(words) == len(set(words)) == 128
    assert all(re.fullmatch("[a-z]{5,8}", word) for word in words)
    page = (ROOT / "templates/consults/_proof.html").read_text().split("data-proof-glyphs>")[1]
    drawn, named = (
        re.findall(r'heroicon_outline "([a-z-]+)"', page.split("</template>")[0]),
        re.findall(r"<span>(\w+)", page),
    )
    assert len(drawn) == len(set(drawn)) == len(named) == len(set(named)) == 32
