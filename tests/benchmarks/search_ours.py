"""Our side of `search`: fills a clinic, asks it questions of every kind, prints the milliseconds of each as JSON."""

import json
import random
import sys
import time
from collections.abc import Callable
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

from tests.benchmarks.names import people
from tests.benchmarks.vault_ours import ready

BATCH = 20_000
ASKED = 150
FIELDS = ("name", "birth_date", "national_id", "phone", "email")


def main(count: int) -> dict[str, list[float]]:
    ready()
    return asked(*filled(count))


def filled(count: int) -> tuple[UUID, Any, list[dict[str, str]]]:
    """A clinic of so many patients, the same people in plain columns, and some of them to ask for."""
    from django.db import connection, models

    from vault import bulk
    from vault.audit import SYSTEM
    from vault.rows import add_many

    meta = type("Meta", (), {"app_label": "vault", "db_table": "bench_plain"})
    columns = {f: models.TextField(db_index=f in ("national_id", "phone")) for f in FIELDS}
    plain = type("Plain", (models.Model,), {**columns, "Meta": meta, "__module__": __name__})
    with connection.schema_editor() as editor:
        editor.create_model(plain)
    clinic, pick, known = uuid4(), random.Random(11), []
    crowd = people(count)
    for at in range(0, count, BATCH):
        some = list(islice(crowd, BATCH))
        rows = [bulk.NewRecord(values, f"B{number}") for number, values in enumerate(some, at)]
        bulk.create_many(clinic, rows, SYSTEM)
        add_many(plain, FIELDS, [tuple(values[f] for f in FIELDS) for values in some])
        known += pick.sample(some, max(1, len(some) // 400))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")
    pick.shuffle(known)
    return clinic, plain, known


def asked(clinic: UUID, plain: Any, known: list[dict[str, str]]) -> dict[str, list[float]]:
    from vault import search

    pick = random.Random(12)

    def ours(query: str) -> None:
        found, _ = search.look(clinic, query)
        assert found.patients or found.similar, query

    def beside(phone: str) -> None:
        assert len(list(plain.objects.filter(phone=phone))) == 1

    took = {
        "exact": timed(ours, [one["phone"] for one in known]),
        "plain": timed(beside, [one["phone"] for one in known]),
        "birth_date": timed(ours, [one["birth_date"] for one in known]),
    }
    return took | {kind: timed(ours, [make(one, pick) for one in known]) for kind, make in KINDS.items()}


def timed(ask: Callable[[Any], None], questions: list[Any]) -> list[float]:
    for question in questions[:10]:  # connections and caches
        ask(question)
    took = []
    for question in questions[10 : 10 + ASKED]:
        started = time.perf_counter()
        ask(question)
        took.append((time.perf_counter() - started) * 1e3)
    return took


def _words(one: dict[str, str]) -> list[str]:
    words = one["name"].lower().split()
    return [words[0], words[-1]]


def prefix(one: dict[str, str], pick: random.Random) -> str:
    return pick.choice(_words(one))[: pick.randint(2, 5)]


def several(one: dict[str, str], pick: random.Random) -> str:
    first, last = _words(one)
    return pick.choice(
        [f"{first[:2]} {last[:3]}", f"{last[:2]} {first[:2]}", f"{first} {last}", f"{last[:4]} {first[:3]}"]
    )


def with_year(one: dict[str, str], pick: random.Random) -> str:
    return f"{several(one, pick)} {one['birth_date'][:4]}"


def typo(one: dict[str, str], pick: random.Random) -> str:
    first, last = _words(one)
    at = pick.randrange(1, len(last))
    wrong = last[:at] + pick.choice("aeinrst") + last[at + pick.randint(0, 1) :]
    return pick.choice([wrong, f"{first} {wrong}", f"{first[:3]} {wrong}"]) if len(wrong) > 3 else f"{first} {last}"


KINDS = {"prefix": prefix, "several words": several, "with a year": with_year, "typo": typo}

if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
