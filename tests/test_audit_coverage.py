"""Every address that shows or changes something of a person writes an entry, and opens nothing when it cannot.

An address that is in neither table below fails a test, so a new one cannot go without a decision.
"""

import pytest
from django.db import OperationalError, transaction

from tests.cast import bring_to, receipt_form
from tests.test_refusals import EVERYBODY, ROUTES, UNUSED, Scene, _may, _state
from vault import audit
from vault.models import AuditEntry

#: (address, method) -> the action it writes first. "get" of an evidence page in the admin: see `_promised`.
WRITES = {
    ("dashboard", "get"): "consult.list",
    ("patient-search", "post"): "patient.search",
    ("patient-new", "post"): "patient.create",
    ("patient", "get"): "patient.view",
    ("reveal", "post"): "patient.reveal",
    ("emergency", "get"): "patient.view",
    ("emergency", "post"): "patient.break_glass",
    ("change", "get"): "patient.view",
    ("change", "post"): "patient.change",
    ("review", "get"): "review.view",
    ("review-one", "get"): "review.view",
    ("review-one", "post"): "review.sign",
    ("review-search", "post"): "patient.search",
    ("review-patient", "get"): "patient.view",
    ("review-decoy", "post"): "patient.create",
    ("keeping", "get"): "review.view",
    ("keeping", "post"): "retention.choose",
    ("hold", "get"): "hold.view",
    ("hold", "post"): "hold.place",
    ("hold-lift", "post"): "hold.lift",
    ("links-close", "post"): "receipt.close",
    ("export", "get"): "patient.view",
    ("export", "post"): "patient.export",
    ("erase", "get"): "patient.view",
    ("erase", "post"): "consult.end",
    ("board", "get"): "board.view",
    ("board-visit", "get"): "board.visit",
    ("reliability", "get"): "board.reliability",
    ("consult-start", "post"): "consult.create",
    ("room", "get"): "consult.view",
    ("invite", "post"): "invite.create",
    ("invite-mail", "post"): "invite.create",
    ("invite-revoke", "post"): "invite.revoke",
    ("admit", "post"): "consult.admit",
    ("end", "post"): "consult.end",
    ("note", "post"): "consult.note",
    ("recording", "get"): "consent.voice.play",
    ("identity", "post"): "identity.check",
    ("devices", "post"): "consult.devices",
    ("withdraw", "post"): "consent.withdraw",
    ("consent-voice", "post"): "consent.voice.agree",
    ("receipt-open", "post"): "receipt.open",
    ("receipt-file", "get"): "receipt.take",
    ("receipt-file-pdf", "get"): "receipt.take",
    ("receipt-file-fhir", "get"): "receipt.take",
    ("receipt-proof", "get"): "receipt.proof",
    ("receipt-withdraw", "post"): "consent.withdraw",
    ("receipt-yours-close", "post"): "receipt.close",
    ("join-look", "post"): "invite.view",
    ("join-redeem", "post"): "invite.redeem",
    ("recovery-codes", "post"): "account.recovery_codes",
    ("admin:consults_statementdraft_preview", "post"): "consent.statement",
    ("admin:vault_auditentry_narrow", "post"): "audit.view",
    ("admin:vault_auditentry_views", "post"): "audit.saved_view",
    ("admin:vault_auditentry_reviews", "post"): "audit.review",
    ("admin:vault_auditentry_verify", "post"): "audit.verify",
    ("admin:vault_auditentry_export", "post"): "audit.export",
}
#: pages of the log's own room that fetch their progress
PROGRESS = {"admin:vault_auditentry_progress", "admin:vault_auditentry_verifying"}
#: address, or (address, method) -> why it writes nothing here. What it answers is looked through for a patient.
NOTHING = {
    "account": "her own account",
    "confirm": "a form; a right code writes signin.stepup (tests/accounts)",
    "change-password": "a form; the right password writes account.password (tests/accounts)",
    ("recovery-codes", "get"): "a form",
    ("patient-new", "get"): "an empty form",
    ("review-decoy", "get"): "an empty form",
    ("consent", "post"): "no second consent; the first writes consent.give (tests/consults)",
    ("consent-voice", "get"): "no recording that is not used; hearing one writes consent.voice.play (tests/consults)",
    "consent-words": "the words that anybody invited is asked to agree to",
    "signin": "a form; signin.password (tests/accounts)",
    "signin-code": "a form; signin (tests/accounts)",
    "enrol": "a form; account.enrol (tests/accounts)",
    "signout": "nobody is signed in; signout (tests/accounts)",
    "activate": "a form; account.activate (tests/accounts)",
    "join": "static: the invite is in the fragment, which no server sees",
    "receipt": "static: the link's token is in the fragment, which no server sees",
    "receipt-check": "static: the page that checks a receipt",
    "healthz": "one word",
    "admin:index": "names of lists",
    "admin:app_list": "names of lists",
    "admin:login": "leads to the sign-in",
    "admin:logout": "leads to the sign-out",
    "admin:password_change": "leads to the account",
    "admin:password_change_done": "static",
    "admin:jsi18n": "static",
    "admin:None": "leads to a page of the admin",
    **dict.fromkeys(PROGRESS, "how far a work is"),
}
#: polled by a page whose opening is the entry
POLLED = {"room-status", "dashboard-lists", "board-sessions", "board-visit-now", "visit", "receipt-yours"}
ORDER = ("clinician", "officer", "operator", "colleague", "seat", "nobody")
LOG = "admin:vault_auditentry_"


def _promised(name, method):
    """The action, or None where nothing is written."""
    if (name, method) in WRITES:
        return WRITES[name, method]
    if not name.startswith("admin:") or name in NOTHING:
        return None
    if name.startswith(LOG):
        return "audit.view"
    return None if name.endswith("_add") else "admin.view"


def _decided(name, method):
    return (
        _promised(name, method) is not None
        or name in NOTHING
        or (name, method) in NOTHING
        or name in POLLED
        or name.endswith("_add")  # an empty form; what it adds writes the action of tests/accounts and tests/consults
    )


def _walk(scene):
    """(name, method, who, answer, entries) of every address asked by somebody who may, each in a scene of its own."""
    for name, route in ROUTES:
        if name in UNUSED:
            continue
        may = _may(name)
        who = next((one for one in ORDER if one in may or may == EVERYBODY and one == "nobody"), None)
        if who is None:
            continue
        if name == "emergency":
            who = "colleague"  # the clinician needs none
        for method in ("get", "post"):
            point = transaction.savepoint()
            last = AuditEntry.objects.order_by("-id").values_list("id", flat=True).first() or 0
            yield name, method, who, lambda r=route, m=method, w=who, n=name: _ask(scene, w, m, n, r), last
            transaction.savepoint_rollback(point)


def _ask(scene, who, method, name, route):
    if name in ("join-look", "join-redeem"):
        invited = bring_to("invited", scene.cast.clinician, scene.cast.patient)
        scene.bodies[name] = {"token": invited.token}
    if name == "receipt-open":
        scene.bodies[name] = receipt_form(scene.visit)
    answer = scene.ask(who, method, name, scene.path(route))
    body = b"".join(answer) if answer.streaming else answer.content
    return answer, body.decode(errors="replace")


def _names_somebody(scene, body):
    return [one for one in ("M. Q.", "Quixplotz", scene.cast.patient.record_number) if one in body]


@pytest.fixture
def scene(cast):
    return Scene(cast)


def test_every_address_writes_what_it_promises(scene):
    wrong = []
    for name, method, who, ask, last in _walk(scene):
        answer, body = ask()
        if answer.status_code in (404, 405):
            continue
        if not _decided(name, method):
            wrong.append((name, method, "is in neither table"))
            continue
        entries = list(AuditEntry.objects.filter(id__gt=last, outcome="done").order_by("id"))
        if name in ("join-look", "join-redeem"):
            entries = [one for one in entries if one.action.startswith("invite.") and one.role != "clinician"]
        promised = _promised(name, method)
        if promised is None:
            if name not in POLLED and (entries or _names_somebody(scene, body)):
                wrong.append((name, method, "promises nothing", [one.action for one in entries]))
            continue
        if promised not in [one.action for one in entries]:
            wrong.append((name, method, promised, [one.action for one in entries]))
            continue
        entry = next(one for one in entries if one.action == promised)
        if not _says_who(scene, who, entry) or not _says_whose(scene, name, entry):
            wrong.append((name, method, promised, vars(entry)))
    assert wrong == []


def _says_who(scene, who, entry):
    if who == "nobody":
        return entry.role in ("nobody", "patient") and entry.source
    if who == "seat":
        return entry.role == "patient" and entry.source and entry.clinic_id == scene.cast.clinic.pk
    user = scene.cast.staff[who]
    return (entry.person, entry.role, entry.clinic_id) == (str(user.pk), user.role, user.clinic_id) and (
        entry.source and entry.session and entry.person_name
    )


#: addresses that are about one patient, or one consult
OF_PATIENT = {"patient", "reveal", "emergency", "change", "export", "review-patient", "consult-start"}
OF_CONSULT = {"room", "board-visit", "invite", "invite-mail", "invite-revoke", "admit", "end", "note", "recording"}
OF_CONSULT |= {"identity", "devices", "withdraw", "consent-voice", "join-look", "join-redeem"}
OF_CONSULT |= {
    "receipt-open",
    "receipt-file",
    "receipt-file-pdf",
    "receipt-file-fhir",
    "receipt-proof",
    "receipt-withdraw",
    "receipt-yours-close",
}


def _says_whose(scene, name, entry):
    if name in OF_PATIENT | OF_CONSULT and entry.patient != str(scene.cast.patient.pk):
        return False
    return bool(entry.consult) or name not in OF_CONSULT


def test_no_promise_is_about_an_address_that_is_gone():
    names = {name for name, _ in ROUTES}
    named = {one if isinstance(one, str) else one[0] for one in (*WRITES, *NOTHING)}
    assert named | POLLED <= names
    assert set(WRITES.values()) <= set(audit.ACTIONS)


def test_what_cannot_be_written_down_is_not_opened(scene, monkeypatch):
    """No audit, no access: a clear 503, nothing of the patient in it, and nothing changed."""

    def fails(_entry):
        raise OperationalError("the log's disk is full")

    before, wrong = _state(), []
    for name, method, _who, ask, _last in _walk(scene):
        if _promised(name, method) is None or name in ("join-look", "join-redeem"):
            continue
        with monkeypatch.context() as broken:
            broken.setattr(audit, "_append", fails)
            answer, body = ask()
        if answer.status_code in (404, 405):
            continue
        if answer.status_code != 503 or _names_somebody(scene, body) or _state() != before:
            wrong.append((name, method, answer.status_code))
    assert wrong == []
