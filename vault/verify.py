"""`python -m vault.verify FILE ...`: checks receipts of consent, offline. Needs the libraries `cryptography` and
`msgspec` and nothing else: no server, no database, no Django.

Ends with 0 where every part of every receipt holds, 1 where one does not, 2 where something could not be looked at.
"""

import argparse
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from vault.core import receipt
from vault.core.notes import BadNote, parse_vkey
from vault.core.receipt import Report

#: what no receipt can show
NEVER = (
    "Who sat at the keyboard: the name was typed, and the key was made, by whoever had the link to the visit.",
    "That consent was not withdrawn after this receipt was made: ask for a new one.",
)
#: so many files are worth a process each
MANY = 64
HOLDS, WRONG, UNREAD = 0, 1, 2


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m vault.verify", description="Check receipts of consent, offline.")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="a receipt, or a folder of them")
    parser.add_argument("--key", help="the key of your clinic's log, as the clinic told you (name+id+base64)")
    parser.add_argument(
        "--witness", action="append", default=[], help="a witness's key; of those given, one must have seen the log"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes, for many files")
    given = parser.parse_args(arguments)
    try:
        for text in filter(None, (given.key, *given.witness)):
            parse_vkey(text)
    except BadNote as error:
        _say([f"A key that you gave cannot be used: {error}"])
        return UNREAD
    if len(given.files) == 1 and not given.files[0].is_dir():
        return _one(given.files[0], given.key, given.witness)
    return _many(given.files, given.key, given.witness, given.jobs)


def _one(file: Path, key: str | None, witnesses: Sequence[str]) -> int:
    try:
        report = receipt.verify(_data(file), log=key, witnesses=witnesses)
    except OSError as error:
        _say([f"The file cannot be read: {error.strerror}."])
        return UNREAD
    _say(lines(report, key_given=key is not None))
    return HOLDS if report.holds else WRONG


def _data(file: Path) -> bytes:
    with file.open("rb") as opened:
        found = os.fstat(opened.fileno())
        # As much as there is: room for the most that may be is 16 MiB anew for every file.
        most = min(found.st_size, receipt.MOST_BYTES) if stat.S_ISREG(found.st_mode) else receipt.MOST_BYTES
        return opened.read(most + 1)


# -- many files --------------------------------------------------------------------------------------------


def _many(paths: Sequence[Path], key: str | None, witnesses: Sequence[str], jobs: int) -> int:
    files = list(_files(paths))
    if not files:
        _say(["There is no receipt: no file whose name ends with .json."])
        return UNREAD
    found = {HOLDS: 0, WRONG: 0, UNREAD: 0}
    for ends, line in outcomes(files, key, witnesses, jobs):
        found[ends] += 1
        _say([line])
    _say([f"{found[HOLDS]} hold, {found[WRONG]} do not, {found[UNREAD]} could not be read."])
    if key is None:
        _say(["Any log's key was taken, each receipt's own: give your clinic's with --key."])
    return max(ends for ends, count in found.items() if count)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(path.rglob("*.json")) if path.is_dir() else [path]


def outcomes(files: Sequence[Path], key: str | None, witnesses: Sequence[str], jobs: int) -> Iterator[tuple[int, str]]:
    """For each file in order, how it ends and a line about it."""
    look = partial(outcome, key=key, witnesses=witnesses)
    if jobs < 2 or len(files) < MANY:
        yield from map(look, files)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(look, files, chunksize=16)


def outcome(file: Path, key: str | None = None, witnesses: Sequence[str] = ()) -> tuple[int, str]:
    try:
        report = receipt.verify(_data(file), log=key, witnesses=witnesses)
    except OSError as error:
        return UNREAD, f"UNREAD {file}: {error.strerror}."
    if report.holds:
        return HOLDS, f"ok     {file}: {'given, and withdrawn later' if report.withdrawn else 'given'}"
    return WRONG, f"WRONG  {file}: {', '.join(one.part for one in report.findings if not one.holds)}"


# -- in words ----------------------------------------------------------------------------------------------


def _say(said: list[str]) -> None:
    # Names come from the file: what a terminal would take for a command is left out.
    text = "\n".join("".join(c if c.isprintable() else " " for c in line) for line in said)
    sys.stdout.buffer.write(f"{text}\n".encode(errors="replace"))


def lines(report: Report, *, key_given: bool) -> list[str]:
    marks = [f"  {'ok   ' if one.holds else 'WRONG'}  {one.part}: {one.says}" for one in report.findings]
    if not report.holds:
        wrong = ", ".join(one.part for one in report.findings if not one.holds)
        return [f"THIS RECEIPT DOES NOT HOLD. Wrong: {wrong}.", *marks, "Nothing else in it should be relied on."]
    state = "consent was given, and withdrawn later" if report.withdrawn else "consent was given"
    return [
        f"This receipt holds: {state}.",
        *marks,
        "",
        "What was agreed",
        *_agreed(report),
        "",
        "What is proven",
        *(f"  - {one}" for one in proven(report, key_given=key_given)),
        "",
        "What is not proven",
        *(f"  - {one}" for one in not_proven(report, key_given=key_given)),
    ]


def _agreed(report: Report) -> list[str]:
    given = report.acts[0]
    by = given["by"]
    who = "the patient" if by["role"] == "patient" else " ".join(filter(None, (by["role"], by["name"], by["relation"])))
    said = [f"  At {given['clinic']['name']}, on {given['time']}, signed as “{given['name']}”, by {who}."]
    if witness := given["witness"]:
        said.append(f"  Witness: {witness['role']} {witness['name']} {witness['relation']}".rstrip() + ".")
    for one, words in zip(given["statements"], report.statements, strict=True):
        answer = "agreed" if one["agreed"] else "not agreed"
        said += [f"  {words['title']} (version {words['version']}, {words['locale']}): {answer}"]
        said += [f"      {line}" for line in words["text"].splitlines()]
    said += [f"  It holds until {given['expires']}."] if given["expires"] else []
    return said + ([f"  Withdrawn on {report.logged[1]:%Y-%m-%dT%H:%M:%SZ}."] if report.withdrawn else [])


def proven(report: Report, *, key_given: bool) -> list[str]:
    log = "your clinic's log" if key_given else f"the log {report.log.name if report.log else ''}"
    said = [
        "Whoever held the patient's key signed exactly these words, choices, name and time.",
        f"The act stands in {log}, and cannot be taken out or changed there without this receipt showing it.",
    ]
    said += [f"The witness {name} saw that log by {at:%Y-%m-%d %H:%M:%S} UTC." for name, at in report.witnessed.items()]
    return said


def not_proven(report: Report, *, key_given: bool) -> list[str]:
    said = list(NEVER)
    if not key_given and report.log:
        said.append(f"That the log is your clinic's: compare its key with the one the clinic gives: {report.log.vkey}")
    if not report.witnessed:
        said.append("The time: it is that of the clinic's own clock, and no witness confirms it.")
    if unknown := [name for name in report.witnessed if name not in report.known]:
        said.append(f"That a witness is who its name says: {', '.join(unknown)}. Compare the keys of the witnesses.")
    if report.erased:
        said.append("What was said aloud: the clinic erased the recording, and only its digest was signed.")
    if report.withdrawn and not report.withdrawal_is_signed:
        said.append("Who withdrew: nobody signed the withdrawal, and only the clinic's log says that it took place.")
    elif report.withdrawn and report.acts[0]["key"] != report.acts[1]["key"]:
        said.append("That the same browser withdrew: another key signed the withdrawal than the consent.")
    return said


if __name__ == "__main__":
    sys.exit(main())
