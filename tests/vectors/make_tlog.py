"""Makes tlog.json anew: `python -m tests.vectors.make_tlog`. Only a mistake in it is a reason to.

Trees, proofs, notes and requests are made here straight from the specifications' words, not by the code under test, and
as slowly as those words have it. `proven` and `says` are what every reader must find; false and null what it must
refuse.
A tree's leaf n is the number n in eight bytes.
"""

import base64
import hashlib
import json
import struct
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FILE = Path(__file__).parent / "tlog.json"
ORIGIN, WITNESS = "clinic.example/log", "witness.example/w1"
AT = 1790000000


# -- RFC 6962, section 2.1 -----------------------------------------------------------------------------------


def entries(size: int) -> list[bytes]:
    return [struct.pack(">Q", n) for n in range(size)]


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def split(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def mth(d: list[bytes]) -> bytes:
    if not d:
        return sha(b"")
    if len(d) == 1:
        return sha(b"\x00" + d[0])
    k = split(len(d))
    return sha(b"\x01" + mth(d[:k]) + mth(d[k:]))


def path(m: int, d: list[bytes]) -> list[bytes]:
    if len(d) == 1:
        return []
    k = split(len(d))
    return [*path(m, d[:k]), mth(d[k:])] if m < k else [*path(m - k, d[k:]), mth(d[:k])]


def proof(m: int, d: list[bytes]) -> list[bytes]:
    return subproof(m, d, True)


def subproof(m: int, d: list[bytes], whole: bool) -> list[bytes]:
    if m == len(d):
        return [] if whole else [mth(d)]
    k = split(len(d))
    if m <= k:
        return [*subproof(m, d[:k], whole), mth(d[k:])]
    return [*subproof(m - k, d[k:], False), mth(d[:k])]


def tiles(d: list[bytes]) -> dict[str, bytes]:
    """tlog-tiles: MTH(D[(n * 256 + i) * 256**l : (n * 256 + i + 1) * 256**l]), with i from 0 to 255."""
    made, level = {}, 0
    while len(d) // 256**level:
        count = len(d) // 256**level
        for n in range(0, -(-count // 256)):
            some = range(n * 256, min(count, n * 256 + 256))
            hashes = [mth(d[i * 256**level : (i + 1) * 256**level]) for i in some]
            digits = f"{n:03d}" if n < 1000 else f"x{n // 1000:03d}/{n % 1000:03d}"
            made[f"{level}/{digits}" + ("" if len(some) == 256 else f".p/{len(some)}")] = b"".join(hashes)
        level += 1
    return made


# -- proofs ------------------------------------------------------------------------------------------------


def flipped(data: bytes, at: int = 0) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def texts(vector: dict[str, Any]) -> dict[str, Any]:
    """Bytes as hex."""

    def text(value: Any) -> Any:
        return (
            value.hex() if isinstance(value, bytes) else [text(v) for v in value] if isinstance(value, list) else value
        )

    return {name: text(value) for name, value in vector.items()}


def bent_proofs(lines: list[bytes]) -> dict[str, list[bytes]]:
    bent = {
        "a line more": [*lines, bytes(32)],
        "a line more in front": [bytes(32), *lines],
        "64 lines": [*lines, *[bytes(32)] * (64 - len(lines))],
    }
    if lines:
        bent["a line less"] = lines[:-1]
        bent["the first line missing"] = lines[1:]
        bent["no lines"] = []
        bent["the last line twice"] = [*lines, lines[-1]]
        bent["a bit flipped in the first line"] = [flipped(lines[0]), *lines[1:]]
        bent["a bit flipped in the last line"] = [*lines[:-1], flipped(lines[-1], 31)]
        bent["a line of 31 bytes"] = [lines[0][:-1], *lines[1:]]
        bent["a line of 33 bytes"] = [lines[0] + b"\0", *lines[1:]]
        bent["an empty line"] = [b"", *lines[1:]]
    if len(lines) > 1:
        bent["two lines in one"] = [lines[0] + lines[1], *lines[2:]]
        bent["upside down"] = lines[::-1]
    return bent


def inclusion() -> list[dict[str, Any]]:
    made = []
    for size in (1, 2, 3, 4, 5, 6, 7, 8, 13, 64, 100, 257):
        d = entries(size)
        for index in sorted({0, 1, size // 2, size - 2, size - 1} & set(range(size))):
            good = {"leaf": sha(b"\x00" + d[index]), "index": index, "size": size}
            good |= {"proof": path(index, d), "root": mth(d)}
            made.append({"name": f"leaf {index} of {size}", **good, "proven": True})
            if (index, size) in ((0, 1), (0, 2), (2, 5), (4, 5), (6, 7), (5, 8), (12, 13)):
                made += bent_inclusion(f"leaf {index} of {size}", good, d)
    return [texts(one) for one in made]


def bent_inclusion(name: str, good: dict[str, Any], d: list[bytes]) -> list[dict[str, Any]]:
    index, size = good["index"], good["size"]
    changes: dict[str, dict[str, Any]] = {what: {"proof": lines} for what, lines in bent_proofs(good["proof"]).items()}
    changes |= {
        "another leaf": {"leaf": sha(b"\x00another")},
        "an entry in place of its hash": {"leaf": d[index]},
        "another root": {"root": flipped(good["root"])},
        "no root": {"root": b""},
        "the index of one before": {"index": index - 1},
        "the index of one after": {"index": index + 1},
        "an index beyond the tree": {"index": size},
        "an index far away": {"index": index + 2**63},
        "a tree of nothing": {"index": 0, "size": 0},
        "a tree of less than nothing": {"size": -size},
        "a tree too large for anyone": {"size": 2**63},
        "a larger tree's root": {"root": mth([*d, b"one more"])},
    }
    if size > 1:
        first, *rest = good["proof"]
        moved = {"leaf": good["leaf"] + first[:1], "proof": [first[1:], *rest]}
        changes["a byte moved from the first line to the leaf"] = moved
        changes["a node in place of a leaf"] = {"leaf": mth(d[:2]), "index": 0, "size": size - 1}
        changes["the root as leaf of a tree of one, and lines"] = {"leaf": good["root"], "index": 0, "size": 1}
    return [{"name": f"{name}: {what}", **good, **change, "proven": False} for what, change in changes.items()]


def consistency() -> list[dict[str, Any]]:
    made = []
    sizes = [
        (1, 1),
        (1, 2),
        (1, 8),
        (2, 3),
        (2, 5),
        (3, 4),
        (3, 7),
        (4, 7),
        (4, 8),
        (5, 6),
        (6, 8),
        (6, 7),
        (7, 8),
        (7, 13),
    ]
    for old, new in [
        *sizes,
        (8, 8),
        (32, 64),
        (63, 64),
        (64, 65),
        (65, 100),
        (99, 257),
        (128, 257),
        (256, 257),
        (0, 0),
        (0, 5),
    ]:
        d = entries(new)
        good = {"old": old, "old_root": mth(d[:old]), "new": new, "new_root": mth(d)}
        good["proof"] = proof(old, d) if old else []
        made.append({"name": f"{old} to {new}", **good, "proven": True})
        if (old, new) in ((0, 0), (0, 5), (1, 1), (1, 2), (2, 5), (4, 8), (6, 8), (6, 7), (7, 13), (8, 8)):
            made += bent_consistency(f"{old} to {new}", good, d)
    return [texts(one) for one in made]


def bent_consistency(name: str, good: dict[str, Any], d: list[bytes]) -> list[dict[str, Any]]:
    old, new = good["old"], good["new"]
    forked = [b"forked", *d[1:]] if d else [b"forked"]
    changes: dict[str, dict[str, Any]] = {what: {"proof": lines} for what, lines in bent_proofs(good["proof"]).items()}
    changes |= {
        "another old root": {"old_root": flipped(good["old_root"])},
        "another new root": {"new_root": flipped(good["new_root"])},
        "no roots": {"old_root": b"", "new_root": b""},
        "the new tree is another": {"new_root": mth(forked)},
        "the new tree is another, with its proof": {
            "new_root": mth(forked),
            "proof": proof(old, forked) if old > 0 else [],
        },
        "a tree of less than nothing": {"old": -1},
        "a tree too large for anyone": {"new": 2**63},
        "one leaf less": {"old": old - 1},
    }
    if old == 0:  # the empty tree is the beginning of every other
        del changes["the new tree is another"], changes["the new tree is another, with its proof"]
        if new:
            del changes["another new root"]
    if old < new:
        changes["backwards"] = {"old": new, "new": old, "old_root": good["new_root"], "new_root": good["old_root"]}
    if 0 < old < new:
        changes["said to be of one size"] = {"old": new}
        changes["said to be of the new root"] = {"old_root": good["new_root"]}
        changes["said to begin from nothing"] = {"old": 0, "old_root": sha(b"")}
        changes["the old root repeated"] = {"proof": [good["old_root"], *good["proof"]]}
    if not new:
        changes["two other roots"] = {"old_root": bytes(32), "new_root": bytes(32)}
    if 0 < old == new:
        changes["the root as a line"] = {"proof": [good["new_root"]]}
    return [{"name": f"{name}: {what}", **good, **change, "proven": False} for what, change in changes.items()]


# -- notes -------------------------------------------------------------------------------------------------


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def private(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


def public(number: int) -> bytes:
    return private(number).public_key().public_bytes_raw()


def key_id(name: str, kind: int, number: int) -> bytes:
    return sha(name.encode() + b"\n" + bytes([kind]) + public(number))[:4]


def vkey(name: str, kind: int, number: int) -> str:
    return f"{name}+{key_id(name, kind, number).hex()}+{b64(bytes([kind]) + public(number))}"


def signed_by(name: str, number: int, text: str) -> str:
    return f"— {name} {b64(key_id(name, 1, number) + private(number).sign(text.encode()))}\n"


def cosigned_by(name: str, number: int, text: str, at: int = AT) -> str:
    message = f"cosignature/v1\ntime {at}\n{text}".encode()
    return f"— {name} {b64(key_id(name, 4, number) + struct.pack('>Q', at) + private(number).sign(message))}\n"


#: a key whose base64 has a plus sign, as the parts of a vkey are set apart by
PLUS = next(n for n in range(10, 99) if "+" in b64(b"\x01" + public(n)))
LOG_KEY, WITNESS_KEY = vkey(ORIGIN, 1, 1), vkey(WITNESS, 4, 2)
TEXT = f"{ORIGIN}\n5\n{b64(mth(entries(5)))}\n"
LOG_LINE, WITNESS_LINE = signed_by(ORIGIN, 1, TEXT), cosigned_by(WITNESS, 2, TEXT)


def notes() -> list[dict[str, Any]]:
    """`note`: text, in which a lone surrogate stands for a byte that is no UTF-8. `says`: [who signed, when].

    Those with `form` false must be refused before anyone looks for signatures.
    """
    good = {
        "a log's": (TEXT + "\n" + LOG_LINE, [[ORIGIN, None]]),
        "with a cosignature": (TEXT + "\n" + LOG_LINE + WITNESS_LINE, [[ORIGIN, None], [WITNESS, AT]]),
        "the cosignature first": (TEXT + "\n" + WITNESS_LINE + LOG_LINE, [[WITNESS, AT], [ORIGIN, None]]),
        "with a stranger's": (TEXT + "\n" + signed_by("stranger.example", 9, TEXT) + LOG_LINE, [[ORIGIN, None]]),
        "with a stranger's of one byte": (TEXT + "\n— x AAAAAAA=\n" + LOG_LINE, [[ORIGIN, None]]),
        "with a stranger's under our name": (TEXT + "\n" + signed_by(ORIGIN, 9, TEXT) + LOG_LINE, [[ORIGIN, None]]),
        "cosigned twice": (
            TEXT + "\n" + WITNESS_LINE + cosigned_by(WITNESS, 2, TEXT, AT + 9),
            [[WITNESS, AT], [WITNESS, AT + 9]],
        ),
        "cosigned as late as can be said": (
            TEXT + "\n" + cosigned_by(WITNESS, 2, TEXT, 2**63 - 1),
            [[WITNESS, 2**63 - 1]],
        ),
    }
    for name, text in {"empty lines in the text": "one\n\n\ntwo\n\n", "four scripts": "Zoë Ωmega\n山田 يوسف\n"}.items():
        good[name] = (text + "\n" + signed_by(ORIGIN, 1, text), [[ORIGIN, None]])
    sixteen = "".join(signed_by(f"stranger.example/{n}", 9, TEXT) for n in range(15)) + LOG_LINE
    good["sixteen signatures"] = (TEXT + "\n" + sixteen, [[ORIGIN, None]])
    made = [(name, note, True, says) for name, (note, says) in good.items()]
    made += [(name, note, False, None) for name, note in bent_notes().items()]
    made += [(name, note, True, None) for name, note in forged_notes().items()]
    names, keys = ("name", "note", "form", "says"), [LOG_KEY, WITNESS_KEY]
    return [{**dict(zip(names, one, strict=True)), "vkeys": keys} for one in made]


def bent_notes() -> dict[str, str]:
    """Not the one form."""
    note = TEXT + "\n" + LOG_LINE
    name, value = LOG_LINE[2:].rstrip("\n").split(" ")
    return {
        "nothing": "",
        "no signatures": TEXT,
        "no signatures after an empty line": TEXT + "\n",
        "no empty line": TEXT + LOG_LINE,
        "no newline at the end": note.rstrip("\n"),
        "another letter for the last newline": note.rstrip("\n") + "x",
        "only signature lines": LOG_LINE + WITNESS_LINE,
        "an empty line at the end": note + "\n",
        "something else after the signatures": note + "and more\n",
        "a carriage return": note.replace("\n", "\r\n"),
        "a tab in the text": note.replace("5", "5\t", 1),
        "a zero byte in the text": note.replace("5", "5\0", 1),
        "no UTF-8": note.replace("5", "\udcff5", 1),
        "overlong UTF-8": note.replace("5", "\udcc0\udc8a5", 1),
        "a hyphen for the dash": note.replace("—", "-"),
        "an en dash for the dash": note.replace("—", "\u2013"),
        "no dash": note.replace("— ", ""),
        "two spaces": note.replace("— ", "—  "),
        "a space at the end": note.replace(value, value + " "),
        "no name": note.replace("— " + name, "— "),
        "another line's name with a plus": note + "— a+b " + value + "\n",
        "another line's name with a no-break space": note + "— a\u00a0b " + value + "\n",
        "another line's name of 256 letters": note + "— " + "a" * 256 + " " + value + "\n",
        "another line without a signature": note + "— x AAAAAA==\n",
        "base64 without padding": note.replace(value, value.rstrip("=")),
        "base64 with bits to spare": note.replace(value, value.rstrip("=")[:-1] + "B="),
        "base64 for addresses": note.replace("/", "_").replace("+", "-"),
        "base64 with a space in it": note.replace(value, value[:8] + " " + value[8:]),
        "base64 with padding too much": note.replace(value, value + "="),
        "too many signatures": note + WITNESS_LINE * 64,
    }


def forged_notes() -> dict[str, str]:
    """In form, and not signed by who should have."""
    other, at, value = TEXT.replace("5", "6", 1), struct.pack(">Q", AT), base64.b64decode(LOG_LINE.split(" ")[2])
    witness = base64.b64decode(WITNESS_LINE.split(" ")[2])

    def line(name: str, data: bytes) -> str:
        return f"— {name} {b64(data)}\n"

    # Ed25519 as RFC 8032 has it refuses S + L for S: another encoding of one signature.
    order = 2**252 + 27742317777372353535851937790883648493
    larger = (int.from_bytes(value[36:], "little") + order).to_bytes(32, "little")
    return {
        "an empty line between signatures": TEXT + "\n" + LOG_LINE + "\n" + WITNESS_LINE,
        "a byte order mark before it": "\ufeff" + TEXT + "\n" + LOG_LINE,
        "signed by a stranger only": TEXT + "\n" + signed_by("stranger.example", 9, TEXT),
        "our name, another key": TEXT + "\n" + signed_by(ORIGIN, 9, TEXT),
        "our id, another name": TEXT + "\n" + line("clinic.example/other", value),
        "another text's signature": other + "\n" + LOG_LINE,
        "another text's cosignature": other + "\n" + WITNESS_LINE,
        "a bit flipped": TEXT + "\n" + line(ORIGIN, flipped(value, 67)),
        "a byte less": TEXT + "\n" + line(ORIGIN, value[:-1]),
        "a byte more": TEXT + "\n" + line(ORIGIN, value + b"\0"),
        "another encoding of the signature's number": TEXT + "\n" + line(ORIGIN, value[:36] + larger),
        "a good one beside a bad one": TEXT + "\n" + LOG_LINE + line(WITNESS, flipped(witness, 70)),
        "the cosignature's time changed": TEXT
        + "\n"
        + line(WITNESS, witness[:4] + struct.pack(">Q", AT + 1) + witness[12:]),
        "cosigned without a time": TEXT + "\n" + line(WITNESS, witness[:4] + witness[12:]),
        "cosigned at no time": TEXT + "\n" + cosigned_by(WITNESS, 2, TEXT, 0),
        "cosigned after all time": TEXT + "\n" + cosigned_by(WITNESS, 2, TEXT, 2**63),
        "a plain signature as a cosignature": TEXT
        + "\n"
        + line(WITNESS, witness[:4] + at + private(2).sign(TEXT.encode())),
        "a cosignature as a plain signature": TEXT + "\n" + line(ORIGIN, value[:4] + witness[12:]),
    }


def checkpoints() -> list[dict[str, Any]]:
    root = b64(mth(entries(5)))
    good = {
        "of five": (TEXT, [ORIGIN, 5, []]),
        "of nothing": (f"{ORIGIN}\n0\n{b64(sha(b''))}\n", [ORIGIN, 0, []]),
        "as large as can be": (f"{ORIGIN}\n{2**63 - 1}\n{root}\n", [ORIGIN, 2**63 - 1, []]),
        "a name with spaces": (f"go.sum database tree\n5\n{root}\n", ["go.sum database tree", 5, []]),
        "more lines": (TEXT + "one\n two \n", [ORIGIN, 5, ["one", " two "]]),
        "a name of 255 letters": (f"{'a' * 255}\n5\n{root}\n", ["a" * 255, 5, []]),
    }
    bad = {
        "nothing": "",
        "two lines": f"{ORIGIN}\n5\n",
        "no newline at the end": TEXT.rstrip("\n"),
        "an empty line at the end": TEXT + "\n",
        "an empty line between": TEXT + "\nmore\n",
        "no name": TEXT.replace(ORIGIN, ""),
        "a name of 256 letters": TEXT.replace(ORIGIN, "a" * 256),
        "a zero in front": TEXT.replace("\n5\n", "\n05\n"),
        "two zeroes": TEXT.replace("\n5\n", "\n00\n"),
        "a plus sign": TEXT.replace("\n5\n", "\n+5\n"),
        "less than nothing": TEXT.replace("\n5\n", "\n-5\n"),
        "a space before the size": TEXT.replace("\n5\n", "\n 5\n"),
        "a space after the size": TEXT.replace("\n5\n", "\n5 \n"),
        "an underscore": TEXT.replace("\n5\n", "\n1_000\n"),
        "digits of another script": TEXT.replace("\n5\n", "\n٥\n"),
        "not whole": TEXT.replace("\n5\n", "\n5.0\n"),
        "hexadecimal": TEXT.replace("\n5\n", "\n0x5\n"),
        "no size": TEXT.replace("\n5\n", "\n\n"),
        "larger than can be": TEXT.replace("\n5\n", f"\n{2**63}\n"),
        "as many digits as there is room for": TEXT.replace("\n5\n", "\n" + "9" * 9000 + "\n"),
        "a root of 31 bytes": TEXT.replace(root, b64(bytes(31))),
        "a root of 33 bytes": TEXT.replace(root, b64(bytes(33))),
        "a root in hexadecimal": TEXT.replace(root, mth(entries(5)).hex()),
        "a root without padding": TEXT.replace(root, root.rstrip("=")),
        "a root with bits to spare": TEXT.replace(root, root[:-2] + chr(ord(root[-2]) + 1) + "="),
        "a tab": TEXT.replace("log", "log\t"),
        "a carriage return": TEXT.replace("\n", "\r\n"),
    }
    made = [{"name": name, "text": text, "says": says} for name, (text, says) in good.items()]
    return [*made, *({"name": name, "text": text, "says": None} for name, text in bad.items())]


def vkeys() -> list[dict[str, Any]]:
    good = {"a log's": (ORIGIN, 1, 1), "a witness's": (WITNESS, 4, 2), "with plus signs in its base64": ("p", 1, PLUS)}
    name, number, material = LOG_KEY.split("+", 2)
    longer, short, unknown = (bytes([1]) + public(1) + b"\0", bytes([1]) + public(1)[:-1], bytes([2]) + public(1))

    def of(data: bytes, under: str = name) -> str:
        return f"{under}+{sha(under.encode() + chr(10).encode() + data)[:4].hex()}+{b64(data)}"

    bad = {
        "nothing": "",
        "no base64": f"{name}+{number}",
        "no name": of(bytes([1]) + public(1), ""),
        "a name with a space": of(bytes([1]) + public(1), "a b"),
        "a name with a newline": of(bytes([1]) + public(1), "a\nb"),
        "a name with an em space": of(bytes([1]) + public(1), "a\u2003b"),
        "a name too long": of(bytes([1]) + public(1), "a" * 256),
        "another name": LOG_KEY.replace(name, "clinic.example/other"),
        "another id": LOG_KEY.replace(number, "00000000"),
        "an id in capitals": LOG_KEY.replace(number, number.upper()),
        "an id of seven digits": LOG_KEY.replace(number, number[:-1]),
        "a kind not known": of(unknown),
        "a key of 31 bytes": of(short),
        "a key of 33 bytes": of(longer),
        "no key": of(bytes([1])),
        "not even a kind": of(b""),
        "base64 without padding": LOG_KEY[:-1] if LOG_KEY.endswith("=") else LOG_KEY + "=",
        "a newline at the end": LOG_KEY + "\n",
        "a space in front": " " + LOG_KEY,
        "a cosigner's id with the other kind": f"{WITNESS}+{key_id(WITNESS, 4, 2).hex()}+{b64(bytes([1]) + public(2))}",
    }
    made = [
        {"name": what, "vkey": vkey(*key), "says": [key[0], key[1], public(key[2]).hex()]} for what, key in good.items()
    ]
    return [*made, *({"name": what, "vkey": text, "says": None} for what, text in bad.items())]


def requests() -> list[dict[str, Any]]:
    """Bodies of add-checkpoint. `says`: the old size and the count of lines."""
    note, lines = TEXT + "\n" + LOG_LINE, "".join(b64(line) + "\n" for line in proof(3, entries(5)))
    good = {
        "from nothing": ("old 0\n\n" + note, [0, 0]),
        "from three": (f"old 3\n{lines}\n{note}", [3, 4]),
        "63 lines": (f"old 3\n{(b64(bytes(32)) + chr(10)) * 63}\n{note}", [3, 63]),
    }
    assert len(proof(3, entries(5))) == 4
    bad = {
        "nothing": "",
        "only a note": note,
        "no empty line": "old 0\n" + note,
        "no old size": "\n\n" + note,
        "only the size": "0\n\n" + note,
        "old in capitals": "OLD 0\n\n" + note,
        "no space": "old0\n\n" + note,
        "two spaces": "old  0\n\n" + note,
        "a size with a zero in front": "old 03\n\n" + note,
        "less than nothing": "old -1\n\n" + note,
        "larger than can be": f"old {2**63}\n\n{note}",
        "digits of another script": "old ٣\n\n" + note,
        "64 lines": f"old 3\n{(b64(bytes(32)) + chr(10)) * 64}\n{note}",
        "a line of 31 bytes": f"old 3\n{b64(bytes(31))}\n\n{note}",
        "a line that is no base64": f"old 3\n!\n\n{note}",
        "a line with a space": f"old 3\n {lines}\n{note}",
        "a carriage return": f"old 3\r\n{lines}\n{note}",
        "no note": "old 0\n\n",
        "a note without signatures": "old 0\n\n" + TEXT,
        "a note that is no checkpoint": "old 0\n\nhello\n\n" + signed_by(ORIGIN, 1, "hello\n"),
    }
    made = [{"name": name, "body": body, "says": says} for name, (body, says) in good.items()]
    return [*made, *({"name": name, "body": body, "says": None} for name, body in bad.items())]


if __name__ == "__main__":
    sizes = (0, 1, 2, 3, 7, 8, 9, 63, 64, 65, 255, 256, 257, 511, 512, 513, 1000)
    widths = (1, 255, 256, 257, 600, 65_536, 70_000)
    vectors = {
        "roots": [{"size": size, "root": mth(entries(size)).hex()} for size in sizes],
        "tiles": [
            {
                "size": size,
                "tiles": len(tiles(entries(size))),
                "sha256": sha(json.dumps(texts(tiles(entries(size)))).encode()).hex(),
            }
            for size in widths
        ],
        "inclusion": inclusion(),
        "consistency": consistency(),
        "notes": notes(),
        "checkpoints": checkpoints(),
        "vkeys": vkeys(),
        "requests": requests(),
    }
    lines = (
        f' "{kind}": [\n' + ",\n".join("  " + json.dumps(one) for one in some) + "\n ]"
        for kind, some in vectors.items()
    )
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
