"""What a patient is found by: the terms of names and dates, and how a typed query is read. Pure."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from jellyfish import metaphone, nysiis

from vault.core.fields import KINDS, BadValue, fold

#: (index, text)
Term = tuple[str, str]
PREFIX_LETTERS = range(2, 9)
LONGEST_PREFIX = PREFIX_LETTERS.stop - 1
#: values that hardly two patients share have digests in the patient's row
DIGESTED = ("national_id", "phone", "email")
#: below this a word with a letter changed is like too many others
TYPO_LETTERS = 4
SOUND_LETTERS = 3
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SORT_LETTERS = 12
_CODE = {" ": 1, **{letter: 2 + i for i, letter in enumerate(_LETTERS)}, **{d: 28 + int(d) // 3 for d in "0123456789"}}
MOST_WORDS = 8
#: where year, month and day may stand
_ORDERS = ((0, 1, 2), (2, 1, 0), (2, 0, 1))


@lru_cache(maxsize=20_000)
def _sounds(word: str) -> frozenset[str]:
    if len(word) < SOUND_LETTERS or not word.isalpha():
        return frozenset()
    return frozenset(code for code in ("m" + metaphone(word), "n" + nysiis(word)) if len(code) > 1)


def terms(name: str, birth_date: str) -> set[Term]:
    """The terms under which the sealed index lists a patient."""
    found: set[Term] = {("birth_date", birth_date)}
    for word in set(fold(name).split()):
        found.update(("name_prefix", word[:n]) for n in PREFIX_LETTERS if len(word) >= n)
        found.update(("name_sound", code) for code in _sounds(word))
    return found


def sort_key(name: str) -> int:
    """Last word first, its first letters as one number: what results are sorted by (FORMAT.md)."""
    words = fold(name).split()
    text = " ".join(words[-1:] + words[:-1])[:_SORT_LETTERS]
    key = 0
    for at in range(_SORT_LETTERS):
        key = key << 5 | (_CODE.get(text[at], 31) if at < len(text) else 0)
    return key


def digest_text(value: str) -> str:
    return value.casefold()


def near(word: str) -> set[str]:
    """The word's prefixes with one letter left out, changed, added, or swapped with its neighbour."""
    if len(word) < TYPO_LETTERS or not word.isalpha():
        return set()
    found: set[str] = set()
    for at in range(len(word) + 1):
        head, tail = word[:at], word[at:]
        found.update(head + letter + tail for letter in _LETTERS)
        if tail:
            found.add(head + tail[1:])
            found.update(head + letter + tail[1:] for letter in _LETTERS)
        if len(tail) > 1:
            found.add(head + tail[1] + tail[0] + tail[2:])
    return {w[:LONGEST_PREFIX] for w in found} - {word[:LONGEST_PREFIX]}


@dataclass(frozen=True, slots=True, repr=False)
class Word:
    """One thing asked for: a patient matches by any of `terms`; the others are tried when few match so."""

    terms: frozenset[Term]
    typos: frozenset[Term] = frozenset()
    sounds: frozenset[Term] = frozenset()


@dataclass(frozen=True, slots=True, repr=False)
class Question:
    """A query, read. All of it must match: every word, every digest, the year."""

    words: tuple[Word, ...] = ()
    digests: tuple[tuple[tuple[str, str], ...], ...] = ()  # each: alternatives (index, value)
    year: int | None = None

    @property
    def asks(self) -> bool:
        """A year by itself is no question: it has few values, and half a clinic would answer."""
        return bool(self.words or self.digests)


def questions(query: str, region: str) -> Iterator[Question]:
    """What a typed search could mean, likeliest first.

    First the query as one date, phone number, e-mail, id or record number, spaces and all; then word by word:
    "maria 1984-03-17" could be an id too, and is none. Last, where a word has digits, as names: "Ann Lee 2nd".
    """
    for whole in (_date(query), _value(query, region)):
        if whole.asks:
            yield whole
    parts = [part for word in query.split()[:MOST_WORDS] for part in _one(word, region)]
    if parts:
        years = {p.year for p in parts if p.year is not None}
        merged = Question(
            words=tuple(w for p in parts for w in p.words),
            digests=tuple(d for p in parts for d in p.digests),
            year=years.pop() if len(years) == 1 else None,
        )
        if merged.asks and not years:
            yield merged
    if any(c.isdigit() for c in query):
        pieces = [piece for word in query.split()[:MOST_WORDS] for piece in _pieces(word)]
        if any(c.isalpha() for c in query) and pieces:
            yield Question(words=tuple(map(_name, pieces)))


def _date(text: str) -> Question:
    """The text as a date of birth: 1984-03-17, 17.3.1984, or 03/04/1984, which is two dates."""
    parts = [part.zfill(2) for part in re.split(r"[-./]", text.strip())]
    written = [text, *("-".join((parts[y], parts[m], parts[d])) for y, m, d in _ORDERS if len(parts) == 3)]
    dates = set()
    for form in written:
        with suppress(BadValue):
            dates.add(KINDS["birth_date"].normalise(form, ""))
    return Question(words=(Word(frozenset(("birth_date", date) for date in dates)),)) if dates else Question()


def _value(text: str, region: str) -> Question:
    """The text as one value that has a digest. What has digits may be a phone number or an id."""
    found: list[tuple[str, str]] = []
    for field in DIGESTED:
        if field != "email" and not any(c.isdigit() for c in text):
            continue
        if field == "phone" and any(c.isalpha() for c in text):  # or "maria 020…" would be a number
            continue
        try:
            found.append((field, digest_text(KINDS[field].normalise(text, region))))
        except BadValue:
            continue
    if any(c.isdigit() for c in text):  # a name is no record number, or each would be looked up as both
        found.append(("record_number", record_number(text)))
    return Question(digests=(tuple(found),)) if found else Question()


def record_number(text: str) -> str:
    """A record number as it is looked up: without spaces, in capitals."""
    return "".join(text.split()).upper()


def _one(word: str, region: str) -> list[Question]:
    if len(word) == 4 and word.isdecimal() and 1900 <= int(word) <= 2155:
        return [Question(year=int(word))]
    for whole in (_date(word), _value(word, region)):
        if whole.asks:
            return [whole]
    return [Question(words=(_name(piece),)) for piece in _pieces(word)]


def _pieces(word: str) -> list[str]:
    """ "anna-maria" is two names."""
    return [piece for piece in fold(word).split() if len(piece) >= PREFIX_LETTERS.start]


def _name(word: str) -> Word:
    return Word(
        terms=frozenset({("name_prefix", word[:LONGEST_PREFIX])}),
        typos=frozenset(("name_prefix", near_word) for near_word in near(word)),
        sounds=frozenset(("name_sound", code) for code in _sounds(word)),
    )
