"""A receipt: acts of consent with all that is needed to check them away from here (FORMAT.md, "Receipt"). Pure.

`verify` looks at every part and names each that does not hold. No byte of a receipt is free: each is signed, hashed
into something signed, or has no second spelling.
"""

import base64
import json
import re
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Any

import msgspec

from vault.core import evidence as acts
from vault.core.canonical import NotCanonical, canonical, parse
from vault.core.entries import values_of
from vault.core.evidence import BadEvidence
from vault.core.notes import (
    COSIGNATURE,
    ED25519,
    BadNote,
    Checkpoint,
    Key,
    parse_checkpoint,
    parse_note,
    parse_vkey,
)
from vault.core.notes import verify as verify_note
from vault.core.tlog import NotProven, leaf_hash, verify_inclusion

FORMAT = "telehealth/1/receipt"
MEMBERS = {"acts", "checkpoint", "format", "log", "recording", "statements", "witnesses"}
#: there only where the clinic erased the recording: the place in the log that says so
ERASED = "erased"
PLACE_MEMBERS = {"index", "leaf", "proof"}
ACT_MEMBERS = {"evidence", "signature", *PLACE_MEMBERS}
WORDS = ("locale", "scope", "text", "title", "version")
ACTIONS = {acts.GIVE: "consent.give", acts.WITHDRAW: "consent.withdraw"}
ERASING = "consent.erase"
MOST_BYTES = 16 << 20
#: a log's clock and an act's may differ by this much before it is remarked on
CLOCKS = timedelta(minutes=10)


class Wrong(Exception):
    """A part does not hold; the message says how, in words for the person who checks."""


@dataclass
class Finding:
    """One part of the receipt: whether it holds, and a sentence about it."""

    part: str
    holds: bool
    says: str


@dataclass
class Report:
    findings: list[Finding] = field(default_factory=list)
    #: the acts as they were read, the first the consent, the second its withdrawal; shown only where all holds
    acts: list[dict[str, Any]] = field(default_factory=list)
    statements: list[dict[str, Any]] = field(default_factory=list)
    log: Key | None = None
    checkpoint: Checkpoint | None = None
    #: of each act, when the log says that it was written down
    logged: list[datetime] = field(default_factory=list)
    #: witness -> when it saw the log as it is here
    witnessed: dict[str, datetime] = field(default_factory=dict)
    #: those of them whose keys the person who checks had from elsewhere
    known: list[str] = field(default_factory=list)
    withdrawn: bool = False
    #: when the log says that the recording was erased
    erased: datetime | None = None

    @property
    def holds(self) -> bool:
        return bool(self.findings) and all(one.holds for one in self.findings)

    @property
    def withdrawal_is_signed(self) -> bool:
        return len(self.acts) > 1


def build(
    *,
    proven: Sequence[Mapping[str, Any]],
    checkpoint: str,
    log: Key,
    statements: Sequence[Mapping[str, Any]],
    recording: bytes | None,
    witnesses: Sequence[Key] = (),
    erased: Mapping[str, Any] | None = None,
) -> bytes:
    """`proven`: for each act `evidence` (bytes), `signature` (bytes), and `leaf`, `index`, `proof` as a log's proof has
    them; both empty for a withdrawal that nobody signed. `statements`: the words of the first act, in its order.
    `erased`: `leaf`, `index`, `proof` of the entry that says that the recording was erased."""
    made = [
        {
            "evidence": one["evidence"].decode(),
            "signature": _to_base64(one["signature"]),
            **{name: one[name] for name in ("leaf", "index", "proof")},
        }
        for one in proven
    ]
    return canonical(
        {
            "format": FORMAT,
            "acts": made,
            "checkpoint": checkpoint,
            "log": log.vkey,
            "witnesses": [one.vkey for one in witnesses],
            "statements": [{name: one[name] for name in WORDS} for one in statements],
            "recording": None if recording is None else _to_base64(recording),
            **({ERASED: {name: erased[name] for name in PLACE_MEMBERS}} if erased else {}),
        }
    )


def verify(data: bytes, *, log: str | None = None, witnesses: Collection[str] = ()) -> Report:
    """`log`, `witnesses`: keys as the person who checks has them from elsewhere; else any in the receipt are taken.

    Of the witnesses whose keys are given, one at least must have signed.
    """
    report = Report()
    receipt = _looked_at(report, "the file", lambda: _read(data))
    if not isinstance(receipt, dict):
        return report
    _looked_at(report, "the log's key", lambda: _log_key(report, receipt, log))
    _looked_at(report, "the log's checkpoint", lambda: _checkpoint(report, receipt, witnesses))
    report.withdrawn = len(receipt["acts"]) > 1
    for number, act in enumerate(receipt["acts"]):
        which = "the withdrawal" if number else "the consent"
        signed = not number or bool(act["evidence"])
        if signed:
            _looked_at(report, which, partial(_evidence, report, act))
        look = partial(_entry, report, act, number) if signed else partial(_unsigned, report, receipt, act)
        _looked_at(report, f"the log's entry of {which}", look)
    if report.acts and len(report.acts) == sum(1 for act in receipt["acts"] if act["evidence"]):
        _looked_at(report, "which act belongs to which", lambda: _belong(report, receipt))
        _looked_at(report, "the words", lambda: _words(report, receipt))
        _looked_at(report, "the recording", lambda: _recording(report, receipt))
    return report


def _looked_at(report: Report, part: str, look: Callable[[], Any]) -> Any:
    try:
        found = look()
    except (Wrong, BadEvidence, BadNote) as error:
        report.findings.append(Finding(part, False, str(error)))
        return None
    says = found if isinstance(found, str) else "It is written in the one form there is."
    report.findings.append(Finding(part, True, says))
    return found


# -- parts -------------------------------------------------------------------------------------------------


def _read(data: bytes) -> dict[str, Any]:
    if len(data) > MOST_BYTES:
        raise Wrong("A receipt this long is not read.")
    try:
        receipt = parse(data)
    except NotCanonical:
        raise Wrong(f"It was changed{_near(data)}: it is not in the one form that a receipt has.") from None
    if not isinstance(receipt, dict) or receipt.get("format") != FORMAT:
        raise Wrong("This is not a receipt of the kind that is known here.")
    if receipt.keys() - {ERASED} != MEMBERS:
        raise Wrong("A member of it was renamed, added or taken away.")
    if not _has_shape(receipt):
        raise Wrong("A member of it is not of the kind that belongs there.")
    return receipt


def _has_shape(receipt: Mapping[str, Any]) -> bool:
    lists = [receipt[name] for name in ("acts", "statements", "witnesses")]
    if not all(isinstance(one, list) for one in lists) or not 1 <= len(receipt["acts"]) <= 2:
        return False
    texts = [receipt["checkpoint"], receipt["log"], *receipt["witnesses"], receipt["recording"] or ""]
    for act in receipt["acts"]:
        if not _is_place(act, ACT_MEMBERS):
            return False
        texts += [act["evidence"], act["leaf"], act["signature"], *act["proof"]]
    if ERASED in receipt:
        place = receipt[ERASED]
        if not _is_place(place, PLACE_MEMBERS):
            return False
        texts += [place["leaf"], *place["proof"]]
    if any(not isinstance(one, dict) or one.keys() != set(WORDS) for one in receipt["statements"]):
        return False
    return all(isinstance(one, str) for one in texts)


def _is_place(value: Any, members: set[str]) -> bool:
    """With a place in the log: an index and a list."""
    if not isinstance(value, dict) or value.keys() != members:
        return False
    return isinstance(value["proof"], list) and type(value["index"]) is int


def _near(data: bytes) -> str:
    """Where a file that does not read was changed, as far as it can be told."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return _place(data[: error.start].decode(), error.start)
    try:
        value = json.loads(text)
    except RecursionError:
        return ""
    except ValueError as error:
        at = getattr(error, "pos", 0)
        return _place(text[:at], len(text[:at].encode()))
    try:
        again = canonical(value)
    except NotCanonical:
        return ""
    at = next((n for n, (a, b) in enumerate(zip(again, data, strict=False)) if a != b), min(len(again), len(data)))
    return _place(data[:at].decode(errors="ignore"), at)


def _place(before: str, at: int) -> str:
    named = re.findall(r'(?:^\{|,)"(acts|checkpoint|erased|format|log|recording|statements|witnesses)":', before)
    return f" at byte {at}" + (f", in its part “{named[-1]}”" if named else "")


def _log_key(report: Report, receipt: Mapping[str, Any], known: str | None) -> str:
    report.log = parse_vkey(receipt["log"])
    if report.log.kind != ED25519:
        raise Wrong("This is not the key of a log.")
    if known is not None and known != receipt["log"]:
        raise Wrong("The receipt's log has another key than the one you gave.")
    return "It is the key you gave." if known else "The key is the receipt's own: compare it with your clinic's."


def _checkpoint(report: Report, receipt: Mapping[str, Any], known: Collection[str]) -> str:
    if report.log is None:
        raise Wrong("Without the log's key, its signature cannot be checked.")
    witnesses = [parse_vkey(one) for one in receipt["witnesses"]]
    if any(one.kind != COSIGNATURE for one in witnesses) or len(set(witnesses)) != len(witnesses):
        raise Wrong("The keys of the witnesses are not what they should be.")
    note = parse_note(receipt["checkpoint"].encode())
    verified = verify_note(note, [report.log, *witnesses])
    # A line that nobody vouches for could be changed unseen.
    if [one.key for one in verified] != [report.log, *witnesses] or len(note.signatures) != len(verified):
        raise Wrong("It has a signature too many, or lacks one.")
    checkpoint = parse_checkpoint(note.text)
    if checkpoint.origin != report.log.name or checkpoint.extensions:
        raise Wrong("It is the checkpoint of another log.")
    report.checkpoint = checkpoint
    for one in verified[1:]:
        assert one.at is not None  # noqa: S101  (a cosignature has its time)
        if one.at >= 1 << 36:
            raise Wrong("A witness's time is none.")
        report.witnessed[one.key.name] = datetime.fromtimestamp(one.at, UTC)
    report.known = [one.name for one in witnesses if one.vkey in known]
    if known and not report.known:
        raise Wrong("No witness whose key you gave saw it.")
    seen = f", and {_counted(len(witnesses), 'witness', 'witnesses')} saw it" if witnesses else "; no witness saw it"
    return f"The log signed that it had {checkpoint.size} entries{seen}."


def _evidence(report: Report, act: Mapping[str, Any]) -> str:
    evidence = acts.verify(act["evidence"].encode(), _from_base64(act["signature"]))
    report.acts.append(evidence)
    return "The patient's key signed these words; nothing in them was changed."


def _entry(report: Report, act: Mapping[str, Any], number: int) -> str:
    if report.checkpoint is None:
        raise Wrong("Without a checkpoint, nothing shows that it is in the log.")
    entry, detail = _in_log(report.checkpoint, act)
    if len(report.acts) != number + 1:
        raise Wrong("The act that it is about does not hold.")
    evidence = report.acts[number]
    if detail.get("evidence") != _digest(act):
        raise Wrong("This entry of the log is about another act.")
    _binds(entry, ACTIONS[evidence["act"]], evidence)
    gap = abs(entry["at"] - datetime.fromisoformat(evidence["time"]))
    apart = "" if gap <= CLOCKS else f" Its time and the one that was signed are {gap.total_seconds():.0f} s apart."
    return _stands(report, act, entry) + apart


def _unsigned(report: Report, receipt: Mapping[str, Any], act: Mapping[str, Any]) -> str:
    """A withdrawal of which there is the log's entry only: nobody is kept from withdrawing by a lost key."""
    if report.checkpoint is None:
        raise Wrong("Without a checkpoint, nothing shows that it is in the log.")
    if act["signature"]:
        raise Wrong("There is a signature, and nothing that it signs.")
    entry, detail = _in_log(report.checkpoint, act)
    if len(report.acts) != 1:
        raise Wrong("The act that it takes back does not hold.")
    if detail.get("evidence") != "" or detail.get("withdraws") != _digest(receipt["acts"][0]):
        raise Wrong("This entry of the log is about another act.")
    _binds(entry, ACTIONS[acts.WITHDRAW], report.acts[0])
    return f"{_stands(report, act, entry)} Nobody signed the withdrawal: the log alone says so."


def _in_log(checkpoint: Checkpoint, act: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The entry and its detail."""
    leaf, proof = _from_base64(act["leaf"]), [_from_base64(one) for one in act["proof"]]
    try:
        verify_inclusion(leaf_hash(leaf), act["index"], checkpoint.size, proof, checkpoint.root)
    except NotProven:
        raise Wrong("The proof does not show that this entry is in the log.") from None
    try:
        entry = values_of(leaf)
    except (ValueError, OverflowError, RecursionError, struct.error):
        raise Wrong("This is no entry of a log.") from None
    if not isinstance(entry["at"], datetime) or not isinstance(entry["detail"], dict):
        raise Wrong("This is no entry of a log.")
    return entry, entry["detail"]


def _binds(entry: Mapping[str, Any], action: str, evidence: Mapping[str, Any]) -> None:
    binds = {
        "something else": entry["action"] == action and entry["outcome"] == "done",
        "another patient": entry["patient"] == evidence["patient"],
        "another visit": entry["consult"] == evidence["consult"],
        "another clinic": str(entry["clinic_id"]) == evidence["clinic"]["id"],
    }
    for what, right in binds.items():
        if not right:
            raise Wrong(f"This entry of the log is about {what}.")


def _stands(report: Report, act: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    report.logged.append(entry["at"])
    return f"It is entry {act['index'] + 1} of the log, written {entry['at']:%Y-%m-%d %H:%M:%S} UTC."


def _digest(act: Mapping[str, Any]) -> str:
    return acts.digest(act["evidence"].encode(), _from_base64(act["signature"]))


def _belong(report: Report, receipt: Mapping[str, Any]) -> str:
    given = report.acts[0]
    if given["act"] != acts.GIVE:
        raise Wrong("The first act is not one by which consent was given.")
    if not report.withdrawn:
        return "There is one act: consent was given."
    first, second = receipt["acts"]
    if report.withdrawal_is_signed:
        withdrawal = report.acts[1]
        if withdrawal["withdraws"] != _digest(first):
            raise Wrong("The withdrawal is of another consent.")
        if any(withdrawal[name] != given[name] for name in ("patient", "consult", "clinic")):
            raise Wrong("The withdrawal is of another patient, visit or clinic.")
    if second["index"] <= first["index"]:
        raise Wrong("The withdrawal stands in the log before the consent.")
    return "Consent was given, and withdrawn later."


def _words(report: Report, receipt: Mapping[str, Any]) -> str:
    shown = report.acts[0]["statements"]
    if len(shown) != len(receipt["statements"]):
        raise Wrong("There are more or fewer texts than were agreed on.")
    for words, named in zip(receipt["statements"], shown, strict=True):
        if any(words[name] != named[name] for name in ("scope", "locale", "version")):
            raise Wrong(f"The text for {named['scope']} is another.")
        if sha256(canonical(words)).hexdigest() != named["digest"]:
            raise Wrong(f"The text for {named['scope']} is not the one that was signed.")
    report.statements = receipt["statements"]
    return "They are the exact words that were signed."


def _recording(report: Report, receipt: Mapping[str, Any]) -> str:
    named, sound = report.acts[0]["recording"], receipt["recording"]
    if ERASED in receipt and (named is None or sound is not None):
        raise Wrong("An erased recording is spoken of, and there is none, or it is here.")
    if named is None:
        if sound is not None:
            raise Wrong("There is a recording, and none was signed.")
        return "None was made."
    if ERASED in receipt:
        return _erased(report, receipt, named)
    if sound is None:
        raise Wrong("A recording was signed, and it is not here.")
    if sha256(_from_base64(sound)).hexdigest() != named["sha256"]:
        raise Wrong("This is not the recording that was signed.")
    return f"It is the one that was signed, {_counted(named['seconds'], 'second', 'seconds')} long."


def _erased(report: Report, receipt: Mapping[str, Any], named: Mapping[str, Any]) -> str:
    """The recording was signed and is gone: the log has to say so, of this very act and this very sound."""
    if report.checkpoint is None:
        raise Wrong("Without a checkpoint, nothing shows that it is in the log.")
    first, place = receipt["acts"][0], receipt[ERASED]
    entry, detail = _in_log(report.checkpoint, place)
    _binds(entry, ERASING, report.acts[0])
    if detail.get("evidence") != _digest(first) or detail.get("sound") != named["sha256"]:
        raise Wrong("This entry of the log is about another recording.")
    if place["index"] <= first["index"]:
        raise Wrong("It stands in the log before the consent.")
    report.erased = entry["at"]
    where = f"entry {place['index'] + 1} of the log, written {entry['at']:%Y-%m-%d %H:%M:%S} UTC"
    return f"The clinic erased the one that was signed, when its time was over: {where}."


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _from_base64(text: str) -> bytes:
    try:
        # Four times as fast as the standard library's strict reading, and a voice is long.
        data = msgspec.convert(text, bytes)
    except (ValueError, msgspec.ValidationError):
        raise Wrong("It was changed: this is not base64.") from None
    # Only the last letters can have two spellings, by bits that decoding drops.
    if len(text) % 4 or _to_base64(data[len(text) // 4 * 3 - 3 :]) != text[-4:]:
        raise Wrong("It was changed: this is base64 in another spelling.")
    return data
