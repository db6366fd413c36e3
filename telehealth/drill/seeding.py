"""Made-up patients whose names and numbers are as unevenly spread as real ones."""

import random

from vault.bulk import NewRecord

GIVEN = "Maria Anna James John Mary Ahmed Fatima Wei Elena Piotr Ines Kofi Priya Luca Greta Omar Aoife Sven Yuki Carmen"
FAMILY = (
    "Smith Jones Garcia Khan Muller Rossi Novak Okafor Tanaka Silva Patel Kowalski Jensen Dubois Murphy Haddad Chen"
    " Andersen Lopez Popescu Weber Nagy Moreau Sato Larsen Byrne Conti Fischer Mensah Petrov"
)
DOMAINS = "mail.example post.example clinic.example home.example"


def people(count: int) -> list[NewRecord]:
    """The n-th name is about 1/n as common as the first; families share phones."""
    pick = random.Random(7)  # noqa: S311  (made-up people, not keys)
    given, family, domains = GIVEN.split(), FAMILY.split(), DOMAINS.split()
    made = []
    for number in range(count):
        first = pick.choices(given, [1 / (n + 1) for n in range(len(given))])[0]
        last = pick.choices(family, [1 / (n + 1) for n in range(len(family))])[0]
        date = f"{pick.randint(1930, 2015)}-{pick.randint(1, 12):02d}-{pick.randint(1, 28):02d}"
        values = {
            "name": f"{first} {last}",
            "birth_date": date,
            "phone": f"+4420795{number - number % 3 * (number % 7 == 0):05d}",
            "email": f"{first}.{last}{number}@{pick.choice(domains)}".lower(),
            "national_id": f"{pick.randrange(10**9):09d}{number % 97:02d}",
            "notes": "Seen for " + pick.choice(["back pain", "asthma review", "a rash", "follow-up after surgery"]),
        }
        made.append(NewRecord(values, f"D{number:06d}"))
    return made
