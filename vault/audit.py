"""The audit log: one entry per act, in the act's own transaction, so that neither exists without the other."""

import unicodedata
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from vault.core.entries import COLUMNS, canonical_json
from vault.models import AuditEntry
from vault.rows import moment, read, stored

#: Every action there is, and the sentence a reviewer reads. `record` takes no other.
ACTIONS = {
    "signin.password": "entered a password",
    "signin": "signed in with two factors",
    "signout": "signed out",
    "signin.stepup": "confirmed a second factor again",
    "account.activate": "set a password by activation link",
    "account.enrol": "set up a second factor",
    "account.recovery_codes": "made new recovery codes",
    "account.password": "changed the password",
    "account.link": "made an activation link",
    "account.change": "changed an account",
    "access.denied": "was refused a page or action",
    "patient.create": "added a patient",
    "patient.search": "searched patients",
    "patient.view": "opened a masked record",
    "patient.change": "corrected a record",
    "patient.reveal": "read protected fields",
    "patient.break_glass": "took emergency access to a record",
    "patient.canary": "read a decoy record",
    "review.told": "told the privacy officers of what needs a review",
    "review.view": "looked at what needs a review",
    "review.sign": "signed off a review",
    "patient.shred": "erased a patient for good",
    "patient.export": "exported the whole record",
    "patient.import": "imported patients from a file",
    "consult.create": "started a consult",
    "consult.list": "looked at the day's list",
    "consult.view": "opened a consult",
    "consult.devices": "tried camera and microphone",
    "consult.waiting": "began to wait",
    "consult.admit": "admitted the patient",
    "consult.connect": "connected to the visit",
    "consult.phone": "was told to go on by telephone",
    "consult.proof": "checked that nobody is in between",
    "consult.proof.differ": "found that the two ends see different certificates",
    "consult.end": "ended the consult",
    "consult.note": "wrote a note",
    "consult.note.read": "read a note",
    "invite.create": "made an invite link",
    "invite.mail": "sent an invite by e-mail",
    "invite.sent": "handed the invite to the mail server",
    "invite.revoke": "revoked an invite",
    "invite.view": "looked at an invite",
    "invite.redeem": "opened an invite",
    "identity.check": "confirmed name and date of birth",
    "consent.voice.agree": "chose whether to be recorded saying the consent",
    "consent.voice": "spoke the consent, recorded",
    "consent.voice.drop": "removed a recording that no consent uses",
    "consent.voice.play": "listened to a consent recording",
    "consent.draft": "wrote a draft of consent words",
    "consent.statement": "published new consent words",
    "consent.give": "gave consent",
    "consent.withdraw": "withdrew consent",
    "consent.withdraw.ask": "asked what to sign to withdraw consent",
    "consent.erase": "erased a consent that was kept long enough",
    "retention.choose": "chose how long consent is kept",
    "hold.place": "placed a legal hold: nothing is erased",
    "hold.view": "looked at the legal holds of a record",
    "hold.lift": "lifted a legal hold",
    "receipt.open": "opened the patient's own page by the link of the receipt",
    "receipt.take": "took the receipt of a consent",
    "receipt.proof": "took the proof that somebody looked at the record",
    "receipt.close": "closed the link of the receipt",
    "vault.keys": "changed the vault's keys",
    "vault.tamper": "found a protected value that does not open",
    "admin.view": "looked at evidence in the admin",
    "audit.view": "looked at the audit log",
    "audit.verify": "had the audit log verified",
    "audit.review": "signed off a review of the audit log",
    "audit.saved_view": "changed a saved view of the audit log",
    "audit.export": "began to export entries of the audit log",
    "audit.export.done": "got the whole export of the audit log",
    "audit.month": "closed a month of the audit log",
    "audit.archive": "archived a month of the audit log",
    "audit.drop": "let an archived month of the audit log leave the database",
    "board.view": "looked at the live board",
    "board.visit": "looked at how the call of a visit went",
    "board.reliability": "looked at how often calls fail",
    "watch.raise": "found something wrong with a visit",
    "watch.clear": "found that it is over",
    "watch.told": "told the operators of what is wrong with a visit",
    "worker.monitor": "began to monitor a session",
    "worker.close": "closed a connection to a participant",
}


#: Why a whole record left the clinic, or was erased; a reviewer reads the words, the log keeps the key.
EXPORT_REASONS = {
    "subject": "The patient asked for the data",
    "transfer": "Another provider takes over",
    "authority": "A court or authority asks",
}
ERASURE_REASONS = {
    "request": "The patient asked for it",
    "retention": "The time for keeping it is over",
    "mistake": "It was added by mistake",
}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. A patient is known by the record's id, staff by theirs, a process by its name."""

    role: str
    person: str = ""
    person_name: str = ""
    clinic: UUID | None = None
    source: str = ""
    session: str = ""


SYSTEM = Actor(role="system", person="system")


def clean(text: str, limit: int) -> str:
    """One line, no control or direction-changing characters: an entry cannot pretend to be two, or read backwards."""
    kept = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in text)
    return " ".join(kept.split())[:limit]


def record(
    action: str,
    actor: Actor,
    *,
    patient: UUID | None = None,
    consult: UUID | None = None,
    outcome: str = AuditEntry.Outcome.DONE,
    purpose: str = "",
    **detail: Any,
) -> AuditEntry:
    """Append one entry. `detail` holds tokens, counts and codes, never a protected value.

    Call it inside the transaction of the act. When it fails, the act fails with it.
    """
    if action not in ACTIONS:
        raise ValueError(f"unknown audit action {action!r}")
    entry = AuditEntry(
        at=timezone.now(),
        action=action,
        outcome=outcome,
        clinic_id=actor.clinic,
        person=actor.person,
        person_name=clean(actor.person_name, 120),
        role=actor.role,
        patient=str(patient or ""),
        consult=str(consult or ""),
        purpose=clean(purpose, 200),
        source=clean(actor.source, 64),
        session=actor.session,
        detail={name: clean(value, 200) if isinstance(value, str) else value for name, value in detail.items()},
    )
    _append(entry)
    return entry


_COLUMNS = COLUMNS[1:]  # the database gives the id
_MARKS = ", ".join(["%s"] * len(_COLUMNS))
_APPEND = f"INSERT INTO {AuditEntry._meta.db_table} ({', '.join(_COLUMNS)}) VALUES ({_MARKS}) RETURNING id"  # noqa: S608


def _append(entry: AuditEntry) -> None:
    """By hand: every act waits for it, and the ORM takes longer to write the statement than the database to run it."""
    values = [getattr(entry, column) for column in _COLUMNS]
    values[0] = moment(entry.at)
    values[3] = None if entry.clinic_id is None else stored(entry.clinic_id)
    values[-1] = canonical_json(entry.detail)
    ((entry.pk,),) = read(_APPEND, values)
    entry._state.adding, entry._state.db = False, connection.alias
