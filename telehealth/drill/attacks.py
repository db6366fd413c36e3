"""What the thief tries. Each attack says what it tried, what it could read, and whether that is within the budget.

Findings name the place, the field and a count, never a value.
"""

import base64
import hashlib
import hmac
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from telehealth.drill import budget
from telehealth.drill.thief import Loot, Table, Truth
from vault.core.fields import fold
from vault.core.terms import digest_text, terms

#: patients whose values are looked for letter by letter
SAMPLE = 40
#: a shorter text stands anywhere by chance
SHORTEST = 6


@dataclass(frozen=True, slots=True)
class Result:
    attack: str
    tried: str
    read: str
    within: bool


PROPERTIES: dict[str, Callable[[dict[str, str]], str]] = {
    "first name": lambda v: fold(v["name"]).split()[0],
    "last name": lambda v: fold(v["name"]).split()[-1],
    "first letters": lambda v: fold(v["name"])[0] + fold(v["name"]).split()[-1][0],
    "birth date": lambda v: v["birth_date"],
    "birth year": lambda v: v["birth_date"][:4],
    "national_id": lambda v: v.get("national_id", ""),
    "phone": lambda v: v.get("phone", ""),
    "email": lambda v: v.get("email", ""),
    "mail domain": lambda v: v.get("email", "").rpartition("@")[2],
}


def all_of_them(loot: Loot, truth: Truth) -> Iterator[Result]:
    yield sweep_for_values(loot, truth)
    yield sweep_for_keys(loot, truth)
    yield dictionary(loot, truth)
    yield from frequency(loot, truth)
    yield length(loot)
    yield correlation(loot)
    yield tokens(loot)


# -- sweeps ----------------------------------------------------------------------------------------------


def forms(text: str) -> set[bytes]:
    """A text as it could stand in a file."""
    found = {text, text.casefold(), text.upper(), text[::-1], json.dumps(text)[1:-1], quote(text)}
    digits = re.sub(r"\D", "", text)
    if len(digits) >= SHORTEST + 1:
        found.add(digits)
    written = {form.encode() for form in found} | {text.encode("utf-16-le"), text.encode("utf-16-be")}
    written |= {text.encode().hex().encode()}
    for shift in range(3):  # base64 looks different at each offset; its ragged ends are cut off
        written.add(base64.b64encode(b"\0" * shift + text.encode())[4 if shift else 0 : -4])
    return {form for form in written if len(form) >= SHORTEST}


def sweep_for_values(loot: Loot, truth: Truth) -> Result:
    chosen = random.Random(1).sample(sorted(truth.values), min(SAMPLE, len(truth.values)))  # noqa: S311
    found: Counter[str] = Counter()
    for patient in chosen:
        for field, value in truth.values[patient].items():
            if len(value) < SHORTEST:
                continue
            for form in forms(value[:200]):
                found.update(f"{field} in {place}" for place, data in loot.bytes.items() if form in data)
    return _swept("plaintext", f"every value of {len(chosen)} patients in {len(loot.bytes)} places", found)


def sweep_for_keys(loot: Loot, truth: Truth) -> Result:
    found: Counter[str] = Counter()
    for name, key in truth.keys.items():
        for form in {key, key.hex().encode(), key.hex().upper().encode(), base64.b64encode(key)[:-2]}:
            found.update(f"{name} in {place}" for place, data in loot.bytes.items() if form in data)
    return _swept("keys", f"{len(truth.keys)} keys, raw, hex and base64", found)


def _swept(attack: str, tried: str, found: Counter[str]) -> Result:
    read = "; ".join(f"{what} ({count})" for what, count in found.most_common(5)) or "nothing"
    return Result(f"Sweep for {attack}", tried, read, not found)


# -- dictionary ------------------------------------------------------------------------------------------

HASHES = ("md5", "sha1", "sha256", "sha512", "blake2b")


def dictionary(loot: Loot, truth: Truth) -> Result:
    """Hashes without a key, or under keys that a fool would choose, against every number and byte string at rest."""
    kept = _digest_like(loot)
    foolish = [
        b"",
        b"{}",
        b"secret",
        b"key",
        b"telehealth",
        *(name.encode() for name in ("SECRET_KEY", "phone", "email")),
    ]
    foolish += [bytes.fromhex(clinic) for clinic in set(truth.clinic_of.values())]
    found: Counter[str] = Counter()
    for values in truth.values.values():
        for what, text in _guessable(values):
            for digest in _hashes(text.encode(), foolish):
                if digest in kept or digest[:16] in kept or digest[:8] in kept or digest[:8][::-1] in kept:
                    found[what] += 1
                    break
        if sum(found.values()) > 1000 or len(found) > 20:
            break
    read = "; ".join(f"{what} of {count} patients" for what, count in found.items()) or "nothing"
    return Result(
        "Dictionary", f"{len(HASHES)} hashes, {len(foolish)} keys, every value and search term", read, not found
    )


def _guessable(values: dict[str, str]) -> Iterator[tuple[str, str]]:
    for field, value in values.items():
        yield field, value
        yield field, digest_text(value)
    for index, term in terms(values["name"], values["birth_date"]):
        if len(term) > 3:
            yield index, term


def _hashes(text: bytes, keys: list[bytes]) -> Iterator[bytes]:
    for name in HASHES:
        yield hashlib.new(name, text, usedforsecurity=False).digest()
    for key in keys:
        yield hmac.digest(key, text, "sha256")


def _digest_like(loot: Loot) -> set[bytes]:
    """Every number and byte string in the tables that could be a digest, and texts in hex that could."""
    kept: set[bytes] = set()
    for table in loot.tables.values():
        for row in table.rows:
            for value in row:
                if isinstance(value, bytes) and 4 <= len(value) <= 64:
                    kept |= {value, value[:16], value[:8]}
                elif isinstance(value, int) and abs(value) > 1 << 32:
                    kept.add(value.to_bytes(9, "big", signed=True)[-8:])
                elif isinstance(value, str) and re.fullmatch(r"[0-9a-f]{32,128}", value):
                    kept |= {
                        bytes.fromhex(value[: len(value) // 2 * 2]),
                        bytes.fromhex(value)[:16],
                        bytes.fromhex(value)[:8],
                    }
    return kept


# -- frequency -------------------------------------------------------------------------------------------


def frequency(loot: Loot, truth: Truth) -> Iterator[Result]:
    """Every column of every table that names a patient: do equal entries betray equal values, common ones common?"""
    bad: list[str] = []
    columns = 0
    for table in loot.tables.values():
        for column, grouped in _by_patient(table, truth):
            columns += 1
            allowed = budget.SHOWN.get((table.name, column), set())
            for name, read in PROPERTIES.items():
                gain = guessed(grouped, {p: read(v) for p, v in truth.values.items()})
                if name not in allowed and gain > budget.LUCK:
                    bad.append(f"{name} from {table.name}.{column}: {gain:.0f} % more than by chance")
    yield Result(
        "Frequency", f"{columns} columns against {len(PROPERTIES)} properties", "; ".join(bad[:5]) or "nothing", not bad
    )


def _by_patient(table: Table, truth: Truth) -> Iterator[tuple[str, dict[str, Any]]]:
    """Column -> patient -> what it says of her."""
    own = "id" if table.name == "vault_patient" else "patient_id" if "patient_id" in table.columns else "patient"
    if own not in table.columns:
        return
    patients = [str(value).replace("-", "") for value in table.column(own)]
    for column in table.columns:
        if column == own:
            continue
        said = {p: repr(v) for p, v in zip(patients, table.column(column), strict=True) if p in truth.values}
        if len(said) > 20 and len(set(said.values())) > 1:
            yield column, said


def guessed(said: dict[str, str], true: dict[str, str]) -> float:
    """Patients in a hundred whom a guesser, who knows how common each value is, gets right beyond the commonest answer.

    She gives the commonest entry the commonest value, and so on; and within one entry's patients, once one is known
    to her, she guesses that all are alike.
    """
    patients = [patient for patient in said if true.get(patient)]
    if len(patients) < 20:
        return 0.0
    # Only what repeats can be ranked. Of equally common ones the order is nobody's, least of all the table's.
    values, entries = Counter(true[p] for p in patients), Counter(said[p] for p in patients)
    guess = dict(zip(_ranked(entries), _ranked(values), strict=False))
    by_rank = sum(guess.get(said[p]) == true[p] for p in patients)
    groups: dict[str, list[str]] = defaultdict(list)
    for patient in patients:
        groups[said[patient]].append(true[patient])
    # One of each group is told to her; the commonest answer is what she would say anyway.
    told = sum(Counter(group).most_common(1)[0][1] - 1 for group in groups.values() if len(group) > 1)
    chance = _by_chance(patients, said, true)
    luck = values.most_common(1)[0][1]
    return 100 * max(by_rank - luck, told - chance) / len(patients)


def _ranked(counted: Counter[str]) -> list[str]:
    repeated = sorted(text for text, count in counted.items() if count > 1)
    random.Random(len(counted)).shuffle(repeated)  # noqa: S311
    return sorted(repeated, key=lambda text: -counted[text])


def _by_chance(patients: list[str], said: dict[str, str], true: dict[str, str]) -> int:
    """What the same groups would tell if they had nothing to do with the values."""
    shuffled = [true[p] for p in patients]
    random.Random(2).shuffle(shuffled)  # noqa: S311
    groups: dict[str, list[str]] = defaultdict(list)
    for patient, value in zip(patients, shuffled, strict=True):
        groups[said[patient]].append(value)
    return sum(Counter(group).most_common(1)[0][1] - 1 for group in groups.values() if len(group) > 1)


# -- lengths, links, tokens ------------------------------------------------------------------------------


def length(loot: Loot) -> Result:
    sealed = loot.tables["vault_sealedrecord"].column("sealed")
    odd = sum((len(value) - budget.RECORD_FRAME) % budget.RECORD_BLOCK != 0 for value in sealed)
    read = f"{odd} records show their exact length" if odd else f"{len(set(map(len, sealed)))} lengths, to 64 bytes"
    return Result("Length", f"{len(sealed)} sealed records", read, not odd)


def correlation(loot: Loot) -> Result:
    """Do digests of two fields or two clinics coincide, and do blocks or sealed bytes repeat?"""
    patients = loot.tables["vault_patient"]
    seen: dict[Any, str] = {}
    bad: Counter[str] = Counter()
    for column in ("national_id_digest", "phone_digest", "email_digest"):
        for row, digest in zip(patients.rows, patients.column(column), strict=True):
            if digest is None:
                continue
            where = f"{column} of clinic {row[patients.columns.index('clinic_id')]}"
            if seen.setdefault(digest, where) != where:
                bad["equal digests in two fields or clinics"] += 1
    for name, column in (
        ("vault_indexblock", "sealed"),
        ("vault_sealedrecord", "sealed"),
        ("vault_datakey", "wrapped"),
    ):
        values = loot.tables[name].column(column)
        repeated = len(values) - len(set(values)) + len(values) - len({value[-28:] for value in values})
        if repeated:
            bad[f"repeated bytes in {name}"] += repeated
    read = "; ".join(f"{what} ({count})" for what, count in bad.items()) or "nothing"
    return Result(
        "Index correlation", f"{len(seen)} digests, {len(loot.tables['vault_indexblock'].rows)} blocks", read, not bad
    )


def tokens(loot: Loot) -> Result:
    """Are tokens random: none twice, and no letter likelier than another?"""
    found: list[str] = []
    for table in loot.tables.values():
        for row in table.rows:
            found += [
                value for value in row if isinstance(value, str) and re.fullmatch(r"[a-z]{3}_[a-z2-7]{26}", value)
            ]
    own = loot.tables["vault_patient"]
    listed = [t for c in ("name", "birth_date", "phone", "email", "national_id") for t in own.column(c) if t]
    letters = Counter("".join(token[4:] for token in found))
    mean = sum(letters.values()) / 32
    spread = sum((letters[letter] - mean) ** 2 / mean for letter in letters) if mean else 0.0
    doubled = len(listed) - len(set(listed))
    # chi-square with 31 degrees of freedom: beyond 90 once in ten million
    bad = doubled > 0 or spread > 90 or len(letters) != 32
    read = f"{doubled} stand twice, letters uneven by {spread:.0f}" if bad else "nothing"
    return Result("Tokens", f"{len(found)} tokens", read, not bad)
