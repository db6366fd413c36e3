"""One cast for all tests, and the ways to sign them in and to bring a consult to any stage.

patient     the record of Maria, at the Harbour clinic
clinician   hers
colleague   a clinician of the same clinic; Maria is not his patient
outsider    a clinician of another clinic
officer     a privacy officer of the Harbour clinic
operator    an operator of the Harbour clinic
nobody      a browser without any cookie
"""

import copy
import itertools
import os
import time
from dataclasses import dataclass, field, fields
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.db.models import AutoField, Model
from django.db.models.base import ModelState
from django.http import HttpRequest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import sessions
from accounts.models import Authenticator, Clinic, User
from accounts.second_factor import SEED_BYTES, authenticator_of
from accounts.totp import code_at, step_of
from consults import consent, invitations, seats, statements, visit, voice
from consults.models import ConsentStatement, Consult, Participant, StatementDraft
from tests.signer import Signer
from vault import audit
from vault import patients as vault_patients
from vault.models import AuditEntry, ClinicIndex, DataKey, IndexBlock, IndexKey, Patient, SealedRecord

PASSWORD = "correct horse battery staple"
BY = audit.Actor(role="system", person="tests")

#: Made up so that no part of a value can stand anywhere by chance: what leaks is found by searching for it.
MARIA = {
    "name": "Maria José Quixplotz",
    "birth_date": "1984-03-17",
    "phone": "020 7946 0142",
    "email": "maria.quixplotz@canary.example",
    "national_id": "QX 83 61 97 Z",
    "address": "14 Zanzibarlane, Glimmerton",
    "notes": "Glorbthroat since childhood",
}
OTHER = {
    "name": "Wendel Otherwise",
    "birth_date": "1971-12-05",
    "phone": "020 7946 0999",
}
#: what must not be readable anywhere outside the vault, however it is written
CANARIES = (
    "Quixplotz",
    "1984-03-17",
    "7946 0142",
    "79460142",
    "maria.quixplotz",
    "QX 83 61 97 Z",
    "QX836197Z",
    "Zanzibarlane",
    "Glorbthroat",
)


class Browser(Client):
    """A browser: everything it asks for goes over TLS."""

    def generic(self, *args, **kwargs):
        kwargs["secure"] = True
        return super().generic(*args, **kwargs)


@dataclass
class Cast:
    clinic: Clinic
    other_clinic: Clinic
    clinician: User
    colleague: User
    outsider: User
    officer: User
    operator: User
    patient: Patient
    colleagues_patient: Patient
    outsiders_patient: Patient

    @property
    def staff(self) -> dict[str, User]:
        return {n: getattr(self, n) for n in ("clinician", "colleague", "outsider", "officer", "operator")}


def assemble() -> Cast:
    """Everybody, in an empty database. The product's verbs make them once; later tests get the same rows again."""
    if not _kept:
        cast = _make()
        _kept.update(cast=cast, rows=[(model, list(model._default_manager.all())) for model in _MODELS])
        return cast
    return _put_back(_kept["cast"], _kept["rows"])


_kept: dict[str, Any] = {}
_MODELS = (Clinic, User, Authenticator, Patient, DataKey, SealedRecord, ClinicIndex, IndexKey, IndexBlock, AuditEntry)


def _put_back(cast: Cast, rows: list[tuple[type[Model], list[Model]]]) -> Cast:
    made: dict[Any, Any] = {}
    renumbered: dict[type[Model], dict[Any, Any]] = {}
    for model, kept in rows:
        fresh = [copy.copy(row) for row in kept]
        for row in fresh:
            row._state = ModelState()
            for key in (f for f in model._meta.concrete_fields if f.related_model in renumbered):
                setattr(row, key.attname, renumbered[key.related_model][getattr(row, key.attname)])
            if isinstance(model._meta.pk, AutoField):
                row.pk = None  # the database numbers it, or its sequence would meet the number later
            made[model, row.pk] = row
        model._default_manager.bulk_create(fresh)
        if isinstance(model._meta.pk, AutoField):
            renumbered[model] = {old.pk: new.pk for old, new in zip(kept, fresh, strict=True)}
    for user in made.values():
        if isinstance(user, User):
            user.clinic = made[Clinic, user.clinic_id]
    return Cast(
        **{field.name: made[type(getattr(cast, field.name)), getattr(cast, field.name).pk] for field in fields(Cast)}
    )


def _make() -> Cast:
    clinic = Clinic.objects.create(name="Harbour Practice", phone="020 7946 0100")
    other = Clinic.objects.create(name="Hilltop Surgery")
    return Cast(
        clinic=clinic,
        other_clinic=other,
        clinician=person(clinic, "clinician", User.Role.CLINICIAN),
        colleague=person(clinic, "colleague", User.Role.CLINICIAN),
        outsider=person(other, "outsider", User.Role.CLINICIAN),
        officer=person(clinic, "officer", User.Role.PRIVACY_OFFICER),
        operator=person(clinic, "operator", User.Role.OPERATOR),
        patient=vault_patients.create(clinic.id, MARIA, BY),
        colleagues_patient=vault_patients.create(clinic.id, OTHER, BY),
        outsiders_patient=vault_patients.create(other.id, OTHER, BY),
    )


def person(clinic: Clinic, name: str, role: str, *, enrolled: bool = True) -> User:
    user = User.objects.create_user(f"{name}@staff.example", PASSWORD, name=name.title(), role=role, clinic=clinic)
    if enrolled:
        Authenticator.objects.create(user=user, name="Authenticator app", seed=os.urandom(SEED_BYTES))
    return user


# -- signing in --------------------------------------------------------------------------------------------


def code_of(user: User, *, steps: int = 0) -> str:
    """The person's one-time code, so many 30-second steps from now."""
    device = authenticator_of(user)
    return code_at(bytes(device.seed), step_of(time.time()) + steps)


def session_key(user: User) -> str:
    """A session signed in with both factors, made the way the product makes it."""
    request = HttpRequest()
    request.session = SessionStore()
    sessions.begin(request, user, authenticator_of(user))
    request.session.save()
    return request.session.session_key


def sign_in(user: User, **options) -> Browser:
    """A signed-in browser, without the two forms: quick."""
    browser = Browser(**options)
    browser.cookies[settings.SESSION_COOKIE_NAME] = session_key(user)
    return browser


def type_password(user: User, browser: Browser | None = None, *, password: str = PASSWORD) -> Browser:
    """A browser that has given the password and not yet the code."""
    browser = browser or Browser()
    browser.post(reverse("signin"), {"email": user.email, "password": password})
    return browser


def sign_in_by_form(user: User, browser: Browser | None = None) -> Browser:
    """Both steps as a person does them."""
    browser = type_password(user, browser)
    answer = browser.post(reverse("signin-code"), {"code": code_of(user)})
    assert answer.status_code == 302, "the sign-in of a test did not work"
    return browser


def is_signed_in(browser: Browser) -> bool:
    return browser.get(reverse("account")).status_code == 200


# -- visits ------------------------------------------------------------------------------------------------

STAGES = ("started", "invited", "seated", "identified", "tested", "consented", "waiting", "admitted", "ended")


@dataclass
class Visit:
    """A consult at some stage, with what the patient's browser holds by then."""

    consult: Consult
    token: str = ""
    seat: Participant | None = None
    secret: str = ""
    signer: Signer = field(default_factory=Signer)

    @property
    def patients_cookie(self) -> tuple[str, str]:
        return seats.cookie_name(self.consult.id), self.secret

    def browser(self, **options) -> Browser:
        """The patient's browser."""
        browser = Browser(**options)
        name, secret = self.patients_cookie
        browser.cookies[name] = secret
        return browser

    def fresh(self) -> visit.View:
        return visit.look(self.consult.id)


def bring_to(stage: str, clinician: User, patient: Patient, typed: dict[str, str] | None = None) -> Visit:
    """A consult at `stage` (one of STAGES), every step before it done by the product's own verbs."""
    typed = typed or (MARIA if patient.masks["name"] == "M. Q." else OTHER)
    now = Visit(visit.start(clinician, patient, BY))
    steps = {
        "invited": lambda: _invited(now),
        "seated": lambda: _seated(now),
        "identified": lambda: _identified(now, typed),
        "tested": lambda: _tested(now),
        "consented": lambda: agree(now, typed["name"]),
        "waiting": lambda: visit.wait(now.seat, source="test"),
        "admitted": lambda: visit.admit(now.consult, BY),
        "ended": lambda: visit.end(now.consult, BY),
    }
    for name in itertools.takewhile(lambda s: STAGES.index(s) <= STAGES.index(stage), STAGES[1:]):
        steps[name]()
    now.consult.refresh_from_db()
    if now.seat:
        now.seat.refresh_from_db()
    return now


def _invited(now: Visit) -> None:
    _, now.token = invitations.invite(now.consult, BY)


def _seated(now: Visit) -> None:
    seat = invitations.redeem(now.token, source="test")
    now.seat, now.secret = seat.participant, seat.secret


def _identified(now: Visit, typed: dict[str, str]) -> None:
    assert visit.confirm_identity(now.seat, name=typed["name"], birth_date=typed["birth_date"], source="test")
    now.seat.refresh_from_db()


def _tested(now: Visit) -> None:
    """At the consent step, where she chose to say it aloud as well."""
    visit.devices_tested(now.seat, {"camera": True, "microphone": True, "speaker": True}, source="test")
    voice.agree(now.seat, yes=True, source="test")
    now.seat.refresh_from_db()


def agree(now: Visit, name: str = MARIA["name"], **choice):
    """Give consent from the patient's seat, signed by her browser; `choice`: what she chose (tests/signer.py)."""
    now.seat.refresh_from_db()
    evidence = now.signer.giving(now.seat, name, **choice)
    return consent.give(now.seat, **now.signer.signed(evidence), source="test")


def receipt_form(now: Visit, typed: dict[str, str] = MARIA) -> dict[str, str]:
    """What is posted to open her own page by the link of her receipt."""
    token = invitations.receipt_token(now.secret)
    return {"token": token, "name": typed["name"], "birth_date": typed["birth_date"]}


def open_receipt(browser: Browser, now: Visit) -> Browser:
    """A browser in which the patient's own page is open."""
    answer = browser.post(reverse("receipt-open"), receipt_form(now))
    assert answer.status_code == 200, "her own page did not open"
    return browser


def publish(clinic: Clinic, **changes: str) -> ConsentStatement:
    """New words of a clinic, in force."""
    words = {"scope": "video_visit", "locale": "en", "title": "Newer words", "text": "Yes?", **changes}
    draft = StatementDraft.objects.create(clinic=clinic, changed_at=timezone.now(), **words)
    return statements.publish(draft, BY, seen=statements.digest_of(statements.as_published(draft)))
