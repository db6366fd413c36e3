"""How long consent is kept, by clinic and scope, and the erasing of what has been kept long enough.

What is erased is readable no more: the signed act with her name, or her recording. That it was there stays: the
act's own row with its digests, its entry in the log, and the entry of the erasing (`ConsentErasure`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from accounts.models import Clinic, User
from consults import holds, statements
from consults.models import SCOPES, Consent, Consult
from consults.retention_models import ConsentErasure, LegalHold, RetentionPeriod
from vault import audit
from vault import patients as vault_patients
from vault.audit import Actor
from vault.models import Patient

What = ConsentErasure.What
#: a shorter period waits so long before it counts
TAKE_BACK = timedelta(days=7)
#: acts that one run erases at most; the next one goes on
MOST_AT_ONCE = 2_000
#: how far ahead an officer is told what is due
LOOK_AHEAD = timedelta(days=30)
#: acts looked at together
CHUNK = 200


def _years(years: int) -> int:
    """Days that are never less than so many years of the calendar."""
    return -(-years * 1461 // 4)


#: days -> what a person calls them
SHORT = {30: "30 days", 90: "90 days", 180: "180 days"}
LONG = {_years(n): f"{n} year{'' if n == 1 else 's'}" for n in (1, 2, 3, 5, 6, 7, 8, 10, 15, 20, 25, 30)}
KEPT = "Until we choose otherwise"
#: what only her voice may be kept for so short a time: it proves nothing that the signed act does not
CHOICES: dict[str, dict[int, str]] = {
    scope: {**(SHORT if scope == statements.VOICE else {}), **LONG} for scope in SCOPES
}


class NotChosen(Exception):
    """The period was not taken; the message says why."""


# -- periods -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Period:
    """What a clinic has chosen for one scope."""

    scope: str
    #: None: kept until it chooses one
    days: int | None
    #: chosen, and not in force yet
    coming: RetentionPeriod | None

    @property
    def newest(self) -> int | None:
        return self.coming.days if self.coming else self.days


def said(scope: str, days: int | None) -> str:
    return KEPT if days is None else CHOICES[scope].get(days, f"{days} days")


def periods(clinic: UUID, now: datetime) -> dict[str, Period]:
    """Scope -> what counts now, in the order in which patients are asked."""
    found = {}
    rows = list(RetentionPeriod.objects.filter(clinic=clinic).order_by("-id"))
    for scope in SCOPES:
        own = [row for row in rows if row.scope == scope]
        current = next((row for row in own if row.in_force_at <= now), None)
        # An older choice that was still to come is overruled by a newer one.
        coming = own[0] if own and own[0] is not current else None
        found[scope] = Period(scope, current.days if current else None, coming)
    return found


@transaction.atomic
def choose(officer: User, scope: str, days: int | None, by: Actor) -> RetentionPeriod | None:
    """Choose how long one scope is kept; None where that is what was chosen last. A longer period counts at once."""
    if scope not in CHOICES or (days is not None and days not in CHOICES[scope]):
        raise NotChosen("Choose one of the periods that are offered.")
    Clinic.objects.select_for_update().get(pk=officer.clinic_id)
    now = timezone.now()
    before = periods(officer.clinic_id, now)[scope]
    if days == before.newest:
        return None
    shorter = days is not None and (before.days is None or days < before.days)
    row = RetentionPeriod.objects.create(
        clinic=officer.clinic,
        scope=scope,
        days=days,
        chosen_by=officer,
        chosen_at=now,
        in_force_at=now + TAKE_BACK if shorter else now,
    )
    audit.record(
        "retention.choose", by, scope=scope, days=days, before=before.days, in_force=row.in_force_at.isoformat()
    )
    return row


# -- what is due -------------------------------------------------------------------------------------------


def acts() -> QuerySet[Consent]:
    """Consents with all that tells whether their time is over: `answered_anew_at`, when she gave the next one."""
    newer = Consent.objects.filter(
        consult__patient=OuterRef("consult__patient"), act=Consent.Act.GIVEN, at__gt=OuterRef("at")
    )
    rows = Consent.objects.filter(act=Consent.Act.GIVEN).select_related("consult", "withdrawal")
    return rows.annotate(answered_anew_at=Subquery(newer.order_by("at").values("at")[:1]))


def counts_from(given: Any) -> datetime | None:
    """The moment from which nothing of this consent (of `acts`) held any longer; None while something of it does.

    What was for the visit ends by itself. That records may be shared ends when she says so, or answers anew.
    """
    withdrawal: Consent | None = getattr(given, "withdrawal", None)
    if withdrawal is not None:
        return withdrawal.at
    ended: datetime = given.expires_at or given.at
    anew: datetime | None = given.answered_anew_at
    if statements.RECORDS not in given.scopes:
        return ended
    return max(ended, anew) if anew else None


def kept_for(given: Consent, what: str, chosen: Mapping[str, Period]) -> int | None:
    """Days; None: without end. An act is kept as long as the longest of what was agreed to in it."""
    scopes = [statements.VOICE] if what == What.RECORDING else given.scopes
    days = [chosen[scope].days for scope in scopes if scope in chosen]
    return max((one for one in days if one is not None), default=None) if None not in days else None


def due(given: Consent, what: str, chosen: Mapping[str, Period], now: datetime) -> tuple[int, datetime] | None:
    """(days, since when) where the time of it is over."""
    days, since = kept_for(given, what, chosen), counts_from(given)
    return (days, since) if days is not None and since is not None and since + timedelta(days=days) <= now else None


def erased(given: Consent, what: str = What.ACT) -> ConsentErasure | None:
    return next((one for one in given.erasures.all() if one.what == what), None)


def _candidates(clinic: UUID, what: str, before: datetime) -> QuerySet[Consent]:
    """Oldest first. Whether their time is really over is looked at one by one."""
    gone = ConsentErasure.objects.filter(consent=OuterRef("pk"), what=what)
    held = LegalHold.objects.filter(patient=OuterRef("consult__patient"), lift=None)
    rows = acts().filter(
        Q(expires_at__lte=before) | Q(expires_at=None, at__lte=before) | Q(withdrawal__at__lte=before),
        ~Exists(gone),
        ~Exists(held),
        consult__clinic=clinic,
        consult__patient__shredded_at=None,
    )
    if what == What.RECORDING:
        rows = rows.exclude(recording=None)
    return rows.order_by("at", "pk")


def coming_up(clinic: UUID, now: datetime, *, most: int = 1_000) -> int:
    """How many consents lose something by `now` as the periods stand; counting ends at `most`."""
    chosen, found = periods(clinic, now), set()
    for given, what in _due(clinic, chosen, now):
        found.add((given.pk, what))
        if len(found) >= most:
            break
    return len(found)


def _due(clinic: UUID, chosen: Mapping[str, Period], now: datetime) -> Iterator[tuple[Consent, str]]:
    for what in (What.RECORDING, What.ACT):
        scopes = [statements.VOICE] if what == What.RECORDING else list(SCOPES)
        days = [period.days for scope, period in chosen.items() if scope in scopes and period.days is not None]
        if not days:
            continue
        rows = _candidates(clinic, what, now - timedelta(days=min(days)))
        for given in rows.iterator(chunk_size=CHUNK):
            if due(given, what, chosen, now):
                yield given, what


# -- erasing -----------------------------------------------------------------------------------------------


def erase_due(*, most: int = MOST_AT_ONCE) -> int:
    """Erase what has been kept long enough, each act in a transaction of its own. Returns how many."""
    count = 0
    for clinic in list(RetentionPeriod.objects.values_list("clinic", flat=True).distinct()):
        now = timezone.now()
        found = islice(_due(clinic, periods(clinic, now), now), most - count)
        for pk, what in [(given.pk, what) for given, what in found]:
            count += erase(pk, what)
        if count >= most:
            break
    return count


@transaction.atomic
def erase(consent_id: UUID, what: str) -> bool:
    """Erase one act, or one recording, if its time is over now and nobody forbids it. Twice does nothing."""
    consult_id = Consent.objects.values_list("consult", flat=True).get(pk=consent_id, act=Consent.Act.GIVEN)
    # In the order of whoever withdraws: the visit, then the patient.
    consult = Consult.objects.select_for_update().get(pk=consult_id)
    patient = Patient.objects.select_for_update(no_key=True).get(pk=consult.patient_id)
    given = acts().select_related("recording").get(pk=consent_id)
    now = timezone.now()
    over = due(given, what, periods(consult.clinic_id, now), now)
    if over is None or erased(given, what) or patient.shredded_at or holds.standing(patient.pk).exists():
        return False
    days, since = over
    ConsentErasure.objects.create(consent=given, what=what, at=now, days=days, since=since)
    recording, withdrawal = given.recording, getattr(given, "withdrawal", None)
    if recording is not None and recording.sound:
        vault_patients.erase(recording.sound)
        recording.sound = ""
        recording.save(update_fields=["sound"])
        if what == What.ACT and not erased(given, What.RECORDING):
            ConsentErasure.objects.create(consent=given, what=What.RECORDING, at=now, days=days, since=since)
    if what == What.ACT:
        for token in (given.evidence, given.signed_name, withdrawal.evidence if withdrawal else ""):
            if token:
                vault_patients.erase(token)
    audit.record(
        "consent.erase",
        audit.Actor(role="system", person="system", clinic=consult.clinic_id),
        patient=patient.pk,
        consult=consult.pk,
        consent=str(given.pk),
        what=what,
        evidence=given.evidence_digest,
        withdrawal=withdrawal.evidence_digest if withdrawal else "",
        sound=recording.sha256 if recording else "",
        days=days,
        since=since.isoformat(),
    )
    return True
