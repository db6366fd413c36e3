"""The page that checks receipts finds what the command finds, part by part and word by word; asked in node."""

import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import receipts
from tests.receipts import HOSTILE, RIGHT
from vault import check_page
from vault.core import receipt

CHECK = Path(check_page.__file__).parent / "page" / "check.js"
ASK = """
import { verify } from "%s";
import { readFileSync } from "node:fs";
const found = [];
for (const [data, key] of JSON.parse(readFileSync(0, "utf8"))) {
  const report = await verify(new Uint8Array(Buffer.from(data, "base64")), key);
  found.push(report.findings.map((one) => [one.part, one.holds, one.says]));
}
console.log(JSON.stringify(found));
"""


def in_the_page(asked):
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    sent = json.dumps([(receipt._to_base64(data), key) for data, key in asked])
    done = subprocess.run(
        ["node", "--input-type=module", "-e", ASK % CHECK.as_uri()],
        input=sent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def by_the_command(data, key=""):
    return [[one.part, one.holds, one.says] for one in receipt.verify(data, log=key or None).findings]


def same(page, command):
    """In the same words where a part holds; of what does not read, each says it in its own."""
    return [one[: 3 if one[1] else 2] for one in page] == [one[: 3 if one[1] else 2] for one in command]


@pytest.mark.parametrize("key", ["", receipts.LOG.key.vkey, receipts.OTHER_LOG.key.vkey])
def test_both_find_the_same_in_every_vector(key):
    asked = {name: data for name, (data, _) in HOSTILE.items()} | RIGHT
    found = in_the_page([(data, key) for data in asked.values()])
    for (name, data), page in zip(asked.items(), found, strict=True):
        assert same(page, by_the_command(data, key)), (name, page, by_the_command(data, key))


@pytest.mark.parametrize("name", RIGHT)
def test_no_changed_byte_goes_unseen_by_the_page(name):
    data, dice = RIGHT[name], random.Random(6)
    bent = [data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :] for at in range(len(data))]
    found = in_the_page([(one, "") for one in bent])
    assert all(any(not holds for _, holds, _ in one) for one in found)
    for at in dice.sample(range(len(data)), 300):
        assert same(found[at], by_the_command(bent[at])), (at, found[at], by_the_command(bent[at]))


def test_the_page_stands_alone():
    page = check_page.page()
    assert "default-src 'none'" in page
    for foreign in ("import ", "export ", "fetch(", "{script}", "{policy}", 'src="', 'href="'):
        assert foreign not in page.replace("media-src blob:", ""), foreign


def test_the_scripts_hold_together():
    """In one file their names must differ."""
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    script = check_page.page().partition('<script type="module">')[2].partition("</script>")[0]
    command = ["node", "--input-type=module", "--check", "-"]
    done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
