"""Makes evidence.json anew: `python -m tests.vectors.make_evidence`. Only a mistake in it is a reason to.

`canonical` holds bytes that are JSON in its one form, and others that every reader must refuse. `evidence` holds acts
of consent; `says` is what every reader must find: "signed", "not signed", or "malformed". Bytes are hex.
"""

import base64
import copy
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

FILE = Path(__file__).parent / "evidence.json"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
KEY = ec.derive_private_key(0x7465_6C65_6865_616C_7468, ec.SECP256R1())
OTHER_KEY = ec.derive_private_key(0x616E_6F74_6865_72, ec.SECP256R1())


def text(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def spki(key: ec.EllipticCurvePrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def sign(data: bytes, key: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def statement(scope: str, required: bool, agreed: bool) -> dict[str, Any]:
    words = {"scope": scope, "locale": "en", "version": 3, "title": f"About {scope}", "text": f"I agree to {scope}."}
    return {
        **{name: words[name] for name in ("scope", "locale", "version")},
        "digest": sha256(text(words)).hexdigest(),
        "required": required,
        "agreed": agreed,
    }


def given() -> dict[str, Any]:
    return {
        "format": "telehealth/1/consent",
        "act": "give",
        "consult": "5e9ad9f6-9c51-4c4e-8a7c-0d7a3f0b2c11",
        "clinic": {"id": "0b7f2f0e-6c1d-4d0a-9a44-6f1f3b7d9c22", "name": "Klinik am Fluß"},
        "patient": "c0ffee00-1111-4222-8333-444455556666",
        "statements": [statement("video_visit", True, True), statement("sharing", False, False)],
        "name": "Zoë O'Neill \U0001f44d",
        "by": {"role": "patient", "name": "", "relation": ""},
        "witness": None,
        "purpose": "Care by video in this visit",
        "time": "2026-11-25T10:15:30Z",
        "expires": "2026-11-26T10:15:30Z",
        "recording": {"sha256": sha256(b"her voice").hexdigest(), "seconds": 7},
        "worker": ["sha-256 " + ":".join(f"{n:02X}" for n in range(32))],
        "key": spki(KEY),
        "withdraws": None,
    }


def changed(**members: Any) -> dict[str, Any]:
    return {**copy.deepcopy(given()), **members}


def canonical() -> list[dict[str, Any]]:
    right = [
        *("{}", "[]", '""', "0", "-1", "9007199254740991", "true", "null", '{"a":1,"b":[true,null,"x"]}'),
        *('"ß\U0001f44d\u2028"', '"\\u0000\\b\\t\\n\\f\\r\\u001f\x7f/\\"\\\\"', '{"a":{"a1":1},"a_b":2,"ab":3}'),
        "[" * 14 + "]" * 14,
    ]
    wrong = [
        *("", " {}", "{} ", "{}\n", "\ufeff{}", '{"b":1,"a":2}', '{"a":1,"a":1}', '{"a":1,"a":2}', '{"a": 1}'),
        *(
            "1.0",
            "1.5",
            "1e2",
            "-0",
            "01",
            "+1",
            "9007199254740992",
            "-9007199254740992",
            "1" * 5000,
            "NaN",
            "Infinity",
        ),
        *('"\\u00df"', '"\\/"', '"\\u000A"', '"\\u001F"', '"\\ud800"', '"\n"', "'a'", '{"A":1}', '{"":1}', '{"é":1}'),
        *('{"__proto__":1}', '{"a":1,}', "[1,]", "{}{}", "tru", "[" * 17 + "]" * 17, "[" * 5000 + "]" * 5000),
    ]
    made = [{"bytes": one.encode().hex(), "right": True} for one in right]
    made += [{"bytes": one.encode().hex(), "right": False} for one in wrong]
    return made + [{"bytes": one.hex(), "right": False} for one in (b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b"\0")]


def one(name: str, says: str, data: bytes, signature: bytes | None = None) -> dict[str, str]:
    signature = sign(data) if signature is None else signature
    made = {"name": name, "says": says, "bytes": data.hex(), "signature": signature.hex()}
    return made | ({"digest": sha256(data + signature).hexdigest()} if says == "signed" else {})


def evidence() -> list[dict[str, str]]:
    data = text(given())
    signature = sign(data)
    r, s = signature[:32], signature[32:]
    mirrored = r + (ORDER - int.from_bytes(s, "big")).to_bytes(32, "big")
    withdrawal = changed(act="withdraw", withdraws=sha256(data + signature).hexdigest(), expires=None, name="")
    for words in withdrawal["statements"]:
        words["agreed"] = False
    guardian = {"role": "guardian", "name": "Ada Byron", "relation": "mother"}
    interpreter = {"role": "interpreter", "name": "Lin Wu", "relation": ""}
    good = [
        one("given", "signed", data, signature),
        one("the mirrored signature, with a digest of its own", "signed", data, mirrored),
        one("withdrawn", "signed", text(withdrawal)),
        one("by a guardian, before an interpreter", "signed", text(changed(by=guardian, witness=interpreter))),
        one("in writing only", "signed", text(changed(recording=None, worker=[]))),
    ]
    unsigned = {
        "r and s swapped": s + r,
        "nothing": bytes(64),
        "r is the order": ORDER.to_bytes(32, "big") + s,
        "s is nothing": r + bytes(32),
        "another key's": sign(data, OTHER_KEY),
        "of other bytes": sign(text(withdrawal)),
        "a byte short": signature[:-1],
        "a byte long": signature + b"\0",
        "DER": KEY.sign(data, ec.ECDSA(SHA256())),
    }
    made = good + [one(f"signature: {name}", "not signed", data, bad) for name, bad in unsigned.items()]
    return made + [one(name, "malformed", bad) for name, bad in malformed(data, withdrawal).items()]


def malformed(data: bytes, withdrawal: dict[str, Any]) -> dict[str, bytes]:
    video, sharing = given()["statements"]
    key = given()["key"]
    off_curve = base64.b64encode(base64.b64decode(key)[:-1] + b"\x01").decode()
    bent = {
        "another format": changed(format="telehealth/2/consent"),
        "another act": changed(act="lend"),
        "a member more": changed(note="x"),
        "a member less": {name: value for name, value in given().items() if name != "witness"},
        "no statements": changed(statements=[]),
        "a scope twice": changed(statements=[video, video]),
        "what is required was not agreed to": changed(statements=[{**video, "agreed": False}, sharing]),
        "a number where a truth belongs": changed(statements=[{**video, "agreed": 1}]),
        "a truth where a number belongs": changed(statements=[{**video, "version": True}]),
        "version 0": changed(statements=[{**video, "version": 0}]),
        "a digest in capitals": changed(statements=[{**video, "digest": video["digest"].upper()}]),
        "no name": changed(name=""),
        "a long name": changed(name="n" * 121),
        "a patient with another name": changed(by={"role": "patient", "name": "x", "relation": ""}),
        "a guardian without a name": changed(by={"role": "guardian", "name": "", "relation": "mother"}),
        "another role": changed(by={"role": "nurse", "name": "x", "relation": ""}),
        "a patient as her own witness": changed(witness={"role": "patient", "name": "x", "relation": ""}),
        "a time of another place": changed(time="2026-11-25T10:15:30+01:00"),
        "a time with parts of a second": changed(time="2026-11-25T10:15:30.000Z"),
        "a day that is none": changed(time="2026-02-30T10:15:30Z"),
        "a recording without a leg": changed(worker=[]),
        "a recording without an end": changed(recording={"sha256": "0" * 64, "seconds": 3601}),
        "a small fingerprint": changed(worker=[given()["worker"][0].lower()]),
        "a key off the curve": changed(key=off_curve),
        "a key with a space": changed(key=key + " "),
        "a key of nothing": changed(key=""),
        "a giving that withdraws": changed(withdraws="0" * 64),
        "a withdrawal of nothing": {**withdrawal, "withdraws": None},
        "a withdrawal that agrees": {**withdrawal, "statements": [video]},
        "a consult of another spelling": changed(consult=given()["consult"].upper()),
    }
    spelled = {
        "a member twice": data.replace(b'"act":"give",', b'"act":"give","act":"give",'),
        "a member twice, the other way": data.replace(b'"act":"give",', b'"act":"withdraw","act":"give",'),
        "a space": data.replace(b",", b", ", 1),
        "a newline at the end": data + b"\n",
        "escaped letters": json.dumps(given(), sort_keys=True, separators=(",", ":")).encode(),
        "a fraction": data.replace(b'"version":3', b'"version":3.0'),
        "a list": b"[]",
    }
    return {name: text(value) for name, value in bent.items()} | spelled


if __name__ == "__main__":
    vectors = {"canonical": canonical(), "evidence": evidence()}
    FILE.write_text(json.dumps(vectors, indent=1, ensure_ascii=False) + "\n")
