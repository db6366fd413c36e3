"""Receipts for tests, made of a small log that nobody's database holds; and receipts that every reader must refuse.

`python -m tests.receipts` makes tests/vectors/receipts.json anew; only a mistake in it is a reason to. `wrong` is the
first part that every reader must name, null where all holds. Bytes are hex.
"""

import base64
import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.vectors import make_evidence as made
from tests.vectors import make_tlog as naive
from vault.core import receipt
from vault.core.entries import leaf_bytes
from vault.core.notes import COSIGNATURE, Checkpoint, Note, Signer

FILE = Path(__file__).parent / "vectors" / "receipts.json"
LOG = Signer("clinic.example/audit", Ed25519PrivateKey.from_private_bytes(b"\x01" * 32))
OTHER_LOG = Signer("clinic.example/audit", Ed25519PrivateKey.from_private_bytes(b"\x02" * 32))
WITNESS = Signer("witness.example/w1", Ed25519PrivateKey.from_private_bytes(b"\x03" * 32), COSIGNATURE)
AT = datetime(2026, 11, 25, 10, 15, 31, tzinfo=UTC)
SOUND = b"her voice"


def words(scope: str, text: str = "") -> dict[str, Any]:
    said = text or f"I agree to {scope}."
    return {"scope": scope, "locale": "en", "version": 3, "title": f"About {scope}", "text": said}


STATEMENTS = [words("video_visit"), words("sharing")]


def act(evidence: dict[str, Any], key: Any = made.KEY) -> dict[str, bytes]:
    data = made.text(evidence)
    return {"evidence": data, "signature": made.sign(data, key)}


def digest(one: dict[str, bytes]) -> str:
    return sha256(one["evidence"] + one["signature"]).hexdigest()


def withdrawal(of: dict[str, bytes], **members: Any) -> dict[str, bytes]:
    evidence = made.changed(act="withdraw", withdraws=digest(of), expires=None, name="", **members)
    for one in evidence["statements"]:
        one["agreed"] = False
    return act(evidence)


def unsigned(of: dict[str, bytes]) -> dict[str, bytes]:
    """A withdrawal that nobody signed: the log's entry is all there is."""
    return {"evidence": b"", "signature": b"", "of": of["evidence"], "withdraws": digest(of).encode()}


def leaf(number: int, one: dict[str, bytes], **values: Any) -> bytes:
    evidence = json.loads(one["evidence"] or one["of"])
    given = bool(one["evidence"]) and evidence["act"] == "give"
    detail = {"evidence": digest(one)} if one["evidence"] else {"evidence": "", "withdraws": one["withdraws"].decode()}
    row = {
        "id": number,
        "at": AT,
        "action": "consent.give" if given else "consent.withdraw",
        "outcome": "done",
        "clinic_id": UUID(evidence["clinic"]["id"]),
        "person": evidence["patient"],
        "person_name": "",
        "role": "patient",
        "patient": evidence["patient"],
        "consult": evidence["consult"],
        "purpose": "",
        "source": "",
        "session": "",
        "detail": detail,
    }
    return leaf_bytes(list((row | values).values()))


def issue(
    acts: list[dict[str, bytes]],
    *,
    leaves: list[bytes] | None = None,
    log: Signer = LOG,
    witnesses: tuple[Signer, ...] = (WITNESS,),
    statements: list[dict[str, Any]] = STATEMENTS,
    recording: bytes | None = SOUND,
    erased: bytes | None = None,
) -> bytes:
    """A receipt whose log has other entries before, between and after. `erased`: the leaf of what erased its sound."""
    about = leaves or [leaf(10 + n, one) for n, one in enumerate(acts)]
    log_leaves = [b"before", b"too", about[0], b"between", *about[1:], b"after", erased or b"and after"]
    checkpoint = Checkpoint(log.key.name, len(log_leaves), naive.mth(log_leaves)).text()
    signatures = [log.sign(checkpoint), *(one.cosign(checkpoint, int(AT.timestamp()) + 5) for one in witnesses)]
    return receipt.build(
        proven=[one | _place(about[n], log_leaves) for n, one in enumerate(acts)],
        checkpoint=Note(checkpoint, tuple(signatures)).encode().decode(),
        log=log.key,
        witnesses=[one.key for one in witnesses],
        statements=statements,
        recording=recording,
        erased=_place(erased, log_leaves) if erased else None,
    )


def _place(leaf: bytes, leaves: list[bytes]) -> dict[str, Any]:
    index = leaves.index(leaf)
    proof = [base64.b64encode(line).decode() for line in naive.path(index, leaves)]
    return {"leaf": base64.b64encode(leaf).decode(), "index": index, "proof": proof}


def erasing(of: dict[str, bytes], *, sound: bytes = SOUND, **values: Any) -> bytes:
    """The leaf of the entry by which the recording of an act was erased."""
    detail = {"evidence": digest(of), "sound": sha256(sound).hexdigest()}
    return leaf(90, of, **{"action": "consent.erase", "detail": detail, "role": "system", **values})


GIVEN = act(made.given())
#: the plain ones: consent, consent that was withdrawn, and consent in writing that no witness saw
RIGHT = {
    "given": issue([GIVEN]),
    "withdrawn": issue([GIVEN, withdrawal(GIVEN)]),
    "withdrawn, unsigned": issue([GIVEN, unsigned(GIVEN)]),
    "recording erased": issue([GIVEN], recording=None, erased=erasing(GIVEN)),
    "recording erased, withdrawn": issue([GIVEN, withdrawal(GIVEN)], recording=None, erased=erasing(GIVEN)),
    "in writing": issue([act(made.changed(recording=None, worker=[]))], recording=None, witnesses=()),
}


def changed(data: bytes, **members: Any) -> bytes:
    return made.text(json.loads(data) | members)


def act_changed(data: bytes, number: int = 0, **members: Any) -> bytes:
    value = json.loads(data)
    value["acts"][number] |= members
    return made.text(value)


def hostile() -> dict[str, tuple[bytes, str]]:
    """name -> (file, the part that must be named)."""
    good, gone = RIGHT["given"], RIGHT["withdrawn"]
    first, second = json.loads(gone)["acts"]
    other = act(made.changed(name="Somebody Else"))
    stranger = act(made.given(), made.OTHER_KEY)
    foreign = json.loads(issue([GIVEN], log=OTHER_LOG))
    alone = json.loads(issue([GIVEN], witnesses=()))
    entry, withdrawn = "the log's entry of the consent", "the log's entry of the withdrawal"
    later = withdrawal(GIVEN)
    checkpoint = json.loads(good)["checkpoint"]
    foreign_line = OTHER_LOG.sign(checkpoint.partition("\n\n")[0] + "\n").line
    return {
        "signatures swapped": (act_changed(gone, signature=second["signature"]), "the consent"),
        "signed by another key": (issue([stranger]), "the consent"),
        "other words": (
            issue([GIVEN], statements=[words("video_visit", "I sell all."), words("sharing")]),
            "the words",
        ),
        "words in another order": (issue([GIVEN], statements=STATEMENTS[::-1]), "the words"),
        "words left out": (issue([GIVEN], statements=STATEMENTS[:1]), "the words"),
        "another recording": (issue([GIVEN], recording=b"another voice"), "the recording"),
        "no recording": (changed(good, recording=None), "the recording"),
        "a recording that nobody signed": (changed(RIGHT["in writing"], recording="eA=="), "the recording"),
        **_said_to_be_erased(other),
        "the proof of another leaf": (act_changed(gone, proof=second["proof"]), entry),
        "the entry of another act": (issue([GIVEN], leaves=[leaf(10, other)]), entry),
        "an entry of another kind": (issue([GIVEN], leaves=[leaf(10, GIVEN, action="consent.voice")]), entry),
        "an entry that was refused": (issue([GIVEN], leaves=[leaf(10, GIVEN, outcome="refused")]), entry),
        "another patient's entry": (issue([GIVEN], leaves=[leaf(10, GIVEN, patient="x")]), entry),
        "another visit's entry": (issue([GIVEN], leaves=[leaf(10, GIVEN, consult="x")]), entry),
        "another clinic's entry": (issue([GIVEN], leaves=[leaf(10, GIVEN, clinic_id=None)]), entry),
        "an entry that is none": (issue([GIVEN], leaves=[b"\0\x0e"]), entry),
        "a checkpoint of another log": (changed(good, checkpoint=foreign["checkpoint"]), "the log's checkpoint"),
        "another log's key": (changed(good, log=OTHER_LOG.key.vkey), "the log's checkpoint"),
        "a witness as the log": (changed(good, log=WITNESS.key.vkey), "the log's key"),
        "a witness who is not named": (changed(good, witnesses=[]), "the log's checkpoint"),
        "a witness who did not sign": (changed(good, checkpoint=alone["checkpoint"]), "the log's checkpoint"),
        "a signature too many": (changed(good, checkpoint=f"{checkpoint}{foreign_line}\n"), "the log's checkpoint"),
        "a withdrawal of another consent": (issue([GIVEN, withdrawal(other)]), "which act belongs to which"),
        "a withdrawal in another visit": (
            issue([GIVEN, withdrawal(GIVEN, consult="00000000-0000-4000-8000-000000000000")]),
            "which act belongs to which",
        ),
        "a withdrawal as consent": (issue([later]), "which act belongs to which"),
        "two consents": (issue([GIVEN, other]), "which act belongs to which"),
        "a withdrawal before the consent": (_reversed(later), "which act belongs to which"),
        "withdrawn, said to be standing": (act_changed(gone, 1, leaf=first["leaf"]), withdrawn),
        "an unsigned withdrawal of another consent": (
            issue([GIVEN, unsigned(GIVEN) | {"withdraws": digest(other).encode()}]),
            withdrawn,
        ),
        "an unsigned withdrawal with a signature": (
            act_changed(RIGHT["withdrawn, unsigned"], 1, signature=second["signature"]),
            withdrawn,
        ),
        "a withdrawal without its signature and words": (act_changed(gone, 1, evidence="", signature=""), withdrawn),
        "an unsigned consent": (act_changed(good, evidence="", signature=""), "the consent"),
        "a member twice": (good.replace(b'"log":', b'"log":"","log":', 1), "the file"),
        "an act's member twice": (good.replace(b'"index":', b'"index":0,"index":', 1), "the file"),
        "a member more": (changed(good, note="x"), "the file"),
        "a member less": (made.text({k: v for k, v in json.loads(good).items() if k != "recording"}), "the file"),
        "no acts": (changed(good, acts=[]), "the file"),
        "three acts": (changed(gone, acts=[first, second, second]), "the file"),
        "a truth as a place": (act_changed(good, index=True), "the file"),
        "a newline at the end": (good + b"\n", "the file"),
        "nothing": (b"", "the file"),
        "a list": (b"[]", "the file"),
        "nested without end": (b"[" * 50000, "the file"),
        "half a character": (good.replace(b"Zo\xc3\xab", b"Zo\xc3"), "the file"),
    }


def _said_to_be_erased(other: dict[str, bytes]) -> dict[str, tuple[bytes, str]]:
    """A recording that is left out, with an entry of the log that does not say that it was erased."""
    wrong = {
        "of another act": erasing(other),
        "of another sound": erasing(GIVEN, sound=b"another voice"),
        "in another visit": erasing(GIVEN, consult="x"),
        "of another kind": erasing(GIVEN, action="consent.voice.drop"),
        "refused": erasing(GIVEN, outcome="refused"),
    }
    files = {f"erased, {name}": issue([GIVEN], recording=None, erased=one) for name, one in wrong.items()}
    gone = json.loads(RIGHT["recording erased"])
    first = gone["acts"][0]
    early = {name: first[name] for name in ("leaf", "index", "proof")}
    files["erased, by the act's own entry"] = made.text(gone | {"erased": early})
    files["erased, not in the log"] = made.text(gone | {"erased": gone["erased"] | {"index": 0}})
    files["erased, and here"] = issue([GIVEN], erased=erasing(GIVEN))
    files["erased, and none was made"] = changed(RIGHT["in writing"], erased=gone["erased"])
    return {name: (data, "the recording") for name, data in files.items()} | {
        "erased, by nothing": (changed(RIGHT["recording erased"], erased=None), "the file"),
        "erased, by an act": (changed(RIGHT["recording erased"], erased=first), "the file"),
    }


def _reversed(later: dict[str, bytes]) -> bytes:
    """Both acts are in the log, in the wrong order."""
    value = json.loads(issue([later, GIVEN]))
    return made.text(value | {"acts": value["acts"][::-1]})


HOSTILE = hostile()


if __name__ == "__main__":
    vectors = [{"name": name, "wrong": None, "bytes": data.hex()} for name, data in RIGHT.items()]
    vectors += [{"name": name, "wrong": part, "bytes": data.hex()} for name, (data, part) in HOSTILE.items()]
    FILE.write_text(json.dumps(vectors, indent=1, ensure_ascii=False) + "\n")
