"""The demo clinic: made-up people and patients, so that the product can be tried at once. Demo mode only."""

import os

from django.conf import settings
from django.db import transaction

from accounts.models import Authenticator, Clinic, User
from accounts.second_factor import SEED_BYTES
from vault import audit
from vault import patients as vault_patients

CLINIC = "Riverside Practice"
PEOPLE = [
    ("garcia@riverside.example", "Dr Elena García", User.Role.CLINICIAN),
    ("okafor@riverside.example", "Dr Amara Okafor", User.Role.CLINICIAN),
    ("lindqvist@riverside.example", "Ruth Lindqvist", User.Role.PRIVACY_OFFICER),
    ("nowak@riverside.example", "Tomasz Nowak", User.Role.OPERATOR),
]
PATIENTS = [
    (
        "Maria Gonzalez",
        "1984-03-17",
        "020 7946 0142",
        "maria.gonzalez@mail.example",
        "QQ 12 34 56 C",
        "14 Mill Lane, Riverside",
        "Asthma since childhood. Uses a salbutamol inhaler.",
    ),
    (
        "Jun Watanabe",
        "1991-11-02",
        "020 7946 0187",
        "jun.watanabe@mail.example",
        "JW 45 10 92 A",
        "3 Station Road, Riverside",
        "Penicillin allergy (rash).",
    ),
    (
        "Aoife O'Connell",
        "1957-06-29",
        "020 7946 0119",
        "",
        "AO 77 20 13 B",
        "The Old Forge, Church Street",
        "Hypertension; amlodipine 5 mg.",
    ),
    (
        "Samuel Adeyemi",
        "2001-01-15",
        "020 7946 0163",
        "sam.adeyemi@mail.example",
        "SA 30 81 44 D",
        "Flat 9, 22 Quay Street",
        "",
    ),
    (
        "Ingrid Sørensen",
        "1949-09-08",
        "020 7946 0105",
        "",
        "IS 08 64 27 A",
        "2 Orchard Close",
        "Hard of hearing: speak slowly, look into the camera.",
    ),
    (
        "Rahul Mehta",
        "1978-12-21",
        "020 7946 0171",
        "rahul.mehta@mail.example",
        "RM 56 19 83 C",
        "41 High Street",
        "Type 2 diabetes; metformin.",
    ),
    (
        "Chloé Dubois",
        "1996-04-30",
        "020 7946 0134",
        "chloe.dubois@mail.example",
        "CD 62 05 38 B",
        "7 Canal View",
        "",
    ),
    (
        "Tariq Hassan",
        "1969-08-11",
        "020 7946 0158",
        "tariq.hassan@mail.example",
        "TH 91 47 02 D",
        "18 Park Avenue",
        "Lower back pain, physiotherapy started.",
    ),
    (
        "Li Na",
        "1988-02-14",
        "020 7946 0126",
        "li.na@mail.example",
        "LN 23 70 65 A",
        "5 Garden Walk",
        "Pregnant, second trimester.",
    ),
    (
        "Petra Novák",
        "1973-10-05",
        "020 7946 0195",
        "petra.novak@mail.example",
        "PN 84 36 51 C",
        "29 Bridge Street",
        "",
    ),
    (
        "George Whitfield",
        "1938-05-23",
        "020 7946 0112",
        "",
        "GW 15 92 70 B",
        "Rose Cottage, West Lane",
        "Daughter helps with the phone.",
    ),
    (
        "Fatima Al-Sayed",
        "2010-07-19",
        "020 7946 0149",
        "alsayed.family@mail.example",
        "FA 40 28 96 D",
        "11 Meadow Rise",
        "Minor; mother attends. Eczema.",
    ),
]


@transaction.atomic
def seed() -> None:
    """Fill an empty database; an already seeded one is left alone."""
    if not settings.DEMO or Clinic.objects.exists():
        return
    clinic = Clinic.objects.create(name=CLINIC, phone="020 7946 0100")
    password = (settings.DATA_DIR / "keys" / "demo_password").read_text().strip()
    for email, name, role in PEOPLE:
        user = User.objects.create_user(email, password, name=name, role=role, clinic=clinic)
        Authenticator.objects.create(user=user, name="Authenticator app", seed=os.urandom(SEED_BYTES))
    by = audit.Actor(role="system", person="demo", clinic=clinic.id)
    fields = ("name", "birth_date", "phone", "email", "national_id", "address", "notes")
    for row in PATIENTS:
        vault_patients.create(clinic.id, dict(zip(fields, row, strict=True)), by)


def accounts() -> list[User]:
    return list(User.objects.filter(email__in=[email for email, _, _ in PEOPLE]).order_by("created_at"))
