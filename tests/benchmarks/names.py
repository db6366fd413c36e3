"""Made-up people with names as unevenly spread as real ones: few names are common, most are rare."""

import random
from collections.abc import Iterator
from pathlib import Path

PARTS: dict[str, list[str]] = {}
for line in Path(__file__).with_suffix(".txt").read_text().splitlines():
    if line.startswith("["):
        words = PARTS.setdefault(line.strip("[]"), [])
    else:
        words += line.split()
FAMILY_NAMES = 20_000


def _family_names(count: int, pick: random.Random) -> list[str]:
    """The common ones first, then as many rare ones as asked for."""
    made = dict.fromkeys(PARTS["family"])
    while len(made) < count:
        middle, more = pick.choice(PARTS["middles"]), pick.choice(("", *PARTS["middles"]))
        made[f"{pick.choice(PARTS['starts'])}{middle}{more}{pick.choice(PARTS['ends'])}".title()] = None
    return list(made)


def _weights(count: int) -> list[float]:
    """Zipf's law: the n-th name is 1/n as common as the first."""
    total, weights = 0.0, []
    for rank in range(1, count + 1):
        total += 1 / (rank + 3)
        weights.append(total)
    return weights


def people(count: int, seed: int = 3) -> Iterator[dict[str, str]]:
    """Values of patients, normalised, without notes."""
    pick = random.Random(seed)
    family = _family_names(FAMILY_NAMES, pick)
    given = PARTS["given"]
    given_weights, family_weights = _weights(len(given)), _weights(len(family))
    for number in range(count):
        (first,) = pick.choices(given, cum_weights=given_weights)
        (last,) = pick.choices(family, cum_weights=family_weights)
        second = f" {pick.choice(given)}" if number % 4 == 0 else ""
        yield {
            "name": f"{first}{second} {last}",
            "birth_date": f"{1930 + pick.randrange(90)}-{1 + pick.randrange(12):02d}-{1 + pick.randrange(28):02d}",
            "national_id": f"{pick.randrange(10**9):09d}{number:07d}",
            "phone": f"+4420{number:08d}",
            "email": f"{first}.{last}.{number}@mail.example".lower(),
        }
