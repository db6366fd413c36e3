"""Who is refused where: every address of the product, every stranger, every method.

The expectations below name everybody who may; all others are refused. An address that is not named fails a test, so
a new one cannot go without a decision.
"""

import re
from datetime import timedelta
from functools import cached_property

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from accounts.models import Clinic, User
from consults import audit_reviews, concerns, holds, seats, voice
from consults.models import StatementDraft
from consults.statements import as_published, digest_of
from tests.cast import BY, MARIA, Browser, bring_to, open_receipt, person, sign_in, type_password
from tests.signer import as_form
from tests.urls import every_route, fill_in
from vault import patients
from vault.models import AuditEntry

METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
REFUSALS = {401, 403, 404, 405}

EVERYBODY = {"everybody"}
STAFF = {"clinician", "colleague", "outsider", "officer", "operator"}
CLINICIANS = {"clinician", "colleague", "outsider"}
OF_THE_CLINIC = {"clinician", "colleague"}
HERS = {"clinician"}
SEAT = {"seat"}
OFFICE = {"officer", "operator"}

MAY = {
    "dashboard": CLINICIANS,
    "dashboard-lists": CLINICIANS,
    "patient-search": CLINICIANS,
    "patient-new": CLINICIANS,
    "patient": OF_THE_CLINIC,
    "reveal": HERS,
    "emergency": OF_THE_CLINIC,
    "change": HERS,
    "review": {"officer"},
    "review-one": {"officer"},
    "review-search": {"officer"},
    "review-patient": {"officer"},
    "review-decoy": {"officer"},
    "keeping": {"officer"},
    "hold": {"officer"},
    "hold-lift": {"officer"},
    "links-close": {"officer"},
    "export": {"officer"},
    "erase": {"officer"},
    "erasure": {"officer"},
    "erasure-pdf": {"officer"},
    "board": {*CLINICIANS, "operator"},
    "board-sessions": {*CLINICIANS, "operator"},
    "board-visit": {"operator"},
    "board-visit-now": {"operator"},
    "reliability": {"operator"},
    "consult-start": OF_THE_CLINIC,
    "room": HERS,
    "room-status": HERS,
    "invite": HERS,
    "invite-mail": HERS,
    "invite-revoke": HERS,
    "admit": HERS,
    "end": HERS,
    "note": HERS,
    "recording": HERS,
    "visit": SEAT,
    "identity": SEAT,
    "devices": SEAT,
    "consent": SEAT,
    "consent-words": SEAT,
    "consent-voice": SEAT,
    "withdraw": SEAT,
    "receipt-yours": SEAT,  # whose link is open in that browser
    "receipt-file": SEAT,
    "receipt-file-pdf": SEAT,
    "receipt-file-fhir": SEAT,
    "receipt-proof": SEAT,
    "receipt-withdraw": SEAT,
    "receipt-yours-close": SEAT,
    "receipt": EVERYBODY,
    "receipt-open": EVERYBODY,
    "receipt-check": EVERYBODY,
    "account": STAFF,
    "confirm": STAFF,
    "change-password": STAFF,
    "recovery-codes": STAFF,
    "join": EVERYBODY,
    "join-look": EVERYBODY,
    "join-redeem": EVERYBODY,
    "signin": EVERYBODY,
    "signin-code": EVERYBODY,
    "enrol": EVERYBODY,
    "signout": EVERYBODY,
    "activate": EVERYBODY,
    "healthz": EVERYBODY,
    "admin:index": OFFICE,
    "admin:login": EVERYBODY,  # leads to our own sign-in
    "admin:logout": EVERYBODY,
    "admin:password_change": OFFICE,
    "admin:password_change_done": OFFICE,
    "admin:autocomplete": OFFICE,
    "admin:jsi18n": OFFICE,
    "admin:view_on_site": OFFICE,
    "admin:app_list": OFFICE,
}
#: the admin's pages by model: who may look at the list and at one, who may add; nobody removes anything
ADMIN_MAY_LOOK = {
    "consults_consult": OFFICE,
    "consults_consent": {"officer"},
    "consults_consentstatement": OFFICE,
    "consults_statementdraft": {"officer"},
    "vault_auditentry": {"officer"},
    "accounts_clinic": OFFICE,
    "accounts_user": OFFICE,
    "auth_group": set(),
}
ADMIN_MAY_ADD = {"consults_statementdraft": {"officer"}, "accounts_user": {"operator"}}
#: allowed in, and still nothing there: Django's machinery that no page of ours uses, certificates before an erasure,
#: the proof of an entry before it is sealed, and of a look before there was one
UNUSED = {"admin:autocomplete", "admin:view_on_site", "admin:None", "erasure", "erasure-pdf"}
UNUSED |= {"admin:vault_auditentry_proof", "receipt-proof"}

ROUTES = sorted({(name, route) for name, route in every_route()})


def _may(name):
    if name in MAY:
        return MAY[name]
    if name == "admin:None":  # redirects to a page of the admin, or its catch-all
        return OFFICE
    model, _, page = name.removeprefix("admin:").rpartition("_")
    if page == "delete":
        return set()
    return ADMIN_MAY_ADD.get(model, set()) if page == "add" else ADMIN_MAY_LOOK[model]


def test_every_address_is_decided():
    undecided = []
    for name, _ in ROUTES:
        try:
            _may(name)
        except KeyError:
            undecided.append(name)
    assert undecided == [], "say in MAY who may open these"


def test_no_decision_is_about_an_address_that_is_gone():
    names = {name for name, _ in ROUTES}
    assert set(MAY) <= names
    assert {f"admin:{model}_changelist" for model in ADMIN_MAY_LOOK} <= names


@pytest.fixture
def scene(cast):
    """Maria waits for her clinician; everybody else stands by with a browser each."""
    return Scene(cast)


class Scene:
    def __init__(self, cast):
        self.cast = cast
        tested = bring_to("tested", cast.clinician, cast.patient)
        self.recording = voice.keep(tested.seat, b"OggS", seconds=2)
        self.visit = tested
        _wait(tested, self.recording)
        other = patients.create(cast.clinic.id, {"name": "Third Person", "birth_date": "1990-01-01"}, BY)
        self.concern = concerns.break_glass(cast.colleague, other, "Collapsed on the phone", BY)
        now = timezone.now()
        self.hold = holds.place(cast.colleagues_patient, cast.officer, "Until the claim is settled", BY)
        self.review = audit_reviews.sign(
            cast.officer, BY, since=now - timedelta(days=1), until=now, finding="clear", patient=cast.patient
        )
        self.draft = StatementDraft.objects.create(
            clinic=cast.clinic, scope="others", locale="en", title="Draft", text="Who may be there?", changed_at=now
        )
        self.others_visit = bring_to("waiting", cast.colleague, cast.colleagues_patient)
        self.browsers = {name: sign_in(user) for name, user in cast.staff.items()}
        self.browsers |= {
            "nobody": Browser(),
            "half signed in": type_password(cast.clinician),
            "seat": self.visit.browser(),
            "seat elsewhere": self._seat_elsewhere(),
            "seat given up": self._seat_given_up(),
        }
        open_receipt(self.browsers["seat"], self.visit)

    def _seat_elsewhere(self):
        """Another patient, who also tries her own secret under the name of this consult's cookie."""
        browser = self.others_visit.browser()
        browser.cookies[seats.cookie_name(self.visit.consult.id)] = self.others_visit.secret
        return browser

    def _seat_given_up(self):
        """The browser that had a seat in this consult before a newer invite was used."""
        consult, old = self.visit.consult, bring_to("seated", self.cast.clinician, self.cast.patient)
        type(old.seat).objects.filter(pk=old.seat.pk).update(consult=consult, left_at=old.seat.joined_at)
        browser = Browser()
        browser.cookies[seats.cookie_name(consult.id)] = old.secret
        return browser

    def path(self, route, **other):
        ids = {
            "consult_id": self.visit.consult.id,
            "patient_id": self.hold.patient_id if "hold_id" in route else self.cast.patient.id,
            "recording_id": self.recording.pk,
            "consent_id": self._given.pk,
            "concern_id": self.concern.pk,
            "person_id": self.cast.clinician.pk,
            "review_id": self.review.pk,
            "hold_id": self.hold.pk,
            "object_id": next((row.pk for part, row in self._objects.items() if part in route), 1),
        }
        return fill_in(route, **{**ids, **other})

    @cached_property
    def _given(self):
        return self.visit.consult.consents.get()

    @cached_property
    def _objects(self):
        return {
            "/consult/": self.visit.consult,
            "/consent/": self._given,
            "/statementdraft/": self.draft,
            "/consentstatement/": self._given.statement,
            "/auditentry/": AuditEntry.objects.filter(clinic_id=self.cast.clinic.id).first(),
            "/user/": self.cast.clinician,
            "/clinic/": self.cast.clinic,
            "/group/": Group.objects.get_or_create(name="unused")[0],
        }

    @property
    def secrets(self):
        return ["M. Q.", "Quixplotz", self.cast.clinician.email, self.cast.clinic.name, self.cast.patient.record_number]

    @cached_property
    def _consent(self):
        """Signed by her own key, for another moment than her own act: whoever sends it would add a second one."""
        signer = self.visit.signer
        return as_form(signer.signed(signer.giving(self.visit.seat, MARIA["name"])))

    @cached_property
    def bodies(self):
        """What each form wants, so that a missing check would really do something."""
        identity = {"name": MARIA["name"], "birth_date": MARIA["birth_date"]}
        return {
            "consult-start": {"patient": str(self.cast.patient.id)},
            "reveal": {"fields": ["phone"], "purpose": "treat"},
            "export": {"reason": "subject", "form": "fhir"},
            "erase": {"reason": "request", "record_number": self.cast.patient.record_number},
            "emergency": {"reason": "She fell and does not answer"},
            "change": {"phone": "020 7946 0777"},
            "review-one": {"finding": "justified"},
            "review-search": {"q": "quixplotz"},
            "keeping": {"video_visit": "366"},
            "hold": {"reason": "Until the claim is settled"},
            "hold-lift": {"reason": "The claim is settled"},
            "review-decoy": {"name": "Decoy Person", "birth_date": "1990-01-01", "decoy": "on"},
            "note": {"text": "a stranger's note"},
            "identity": identity,
            "devices": {"camera": "on"},
            "consent": self._consent,
            "consent-voice": {"yes": "0"},
            "patient-new": {"name": "New Person", "birth_date": "1990-01-01"},
            "patient-search": {"q": "quixplotz"},
            "admin:consults_statementdraft_preview": {
                "seen": digest_of(as_published(self.draft)),
                "publish": "Publish",
            },
            "admin:vault_auditentry_narrow": {"q": self.cast.patient.record_number},
            "admin:vault_auditentry_views": {"name": "mine", "query": "outcome=refused"},
            "admin:vault_auditentry_reviews": {"since": "2026-01-01", "until": "2026-01-02", "finding": "clear"},
            "admin:vault_auditentry_export": {"form": "csv"},
        }

    def ask(self, who, method, name, path):
        data = self.bodies.get(name, {}) if method == "post" else None
        return getattr(self.browsers[who], method)(path, data)


def _wait(tested, recording):
    from consults import visit
    from tests.cast import agree

    agree(tested, recording=recording)
    visit.wait(tested.seat, source="test")


def _is_refusal(answer):
    if answer.status_code in REFUSALS:
        return True
    to = answer.headers.get("Location", "")
    return answer.status_code == 302 and to.startswith(("/signin/", "/admin/login/"))


WATCHED = ("consults_consult", "consults_participant", "consults_invitation", "consults_consent", "consults_note")
WATCHED += ("consults_auditreview", "consults_auditview", "consults_auditexport")
WATCHED += ("vault_patient", "consults_invitationmail", "consults_consentstatement", "consults_statementdraft")
WATCHED += ("accounts_user", "accounts_clinic")
WATCHED += ("consults_retentionperiod", "consults_legalhold", "consults_holdlift")


def _state():
    rows = []
    with connection.cursor() as cursor:
        for table in WATCHED:
            cursor.execute(f"SELECT * FROM {table}")
            rows.append(sorted(map(str, cursor.fetchall())))
    return rows


STRANGERS = ["nobody", "clinician", "colleague", "outsider", "officer", "operator"]
STRANGERS += ["seat", "seat elsewhere", "seat given up"]


@pytest.mark.parametrize("who", STRANGERS)
def test_strangers_are_refused_and_change_nothing(scene, who):
    before = _state()
    # The methods that no page has are refused for all alike, so two strangers are enough to see it.
    methods = METHODS if who in ("nobody", "colleague") else ("get", "post")
    let_in = [
        (name, method, answer.status_code, answer.headers.get("Location"))
        for name, route in ROUTES
        if who not in _may(name) and _may(name) != EVERYBODY
        # A patient's cookie means nothing to the admin: one kind of it is enough there.
        if not (who.startswith("seat ") and name.startswith("admin:"))
        for method in methods
        if not _is_refusal(answer := scene.ask(who, method, name, scene.path(route)))
    ]
    assert let_in == []
    assert _state() == before


@pytest.mark.parametrize("who", ["clinician", "colleague", "outsider", "officer", "operator", "seat"])
def test_whoever_may_is_let_in(scene, who):
    """Else the test above would pass with every door walled up."""
    walled = []
    for name, route in ROUTES:
        if who not in _may(name) or name in UNUSED:
            continue
        answers = [scene.ask(who, method, name, scene.path(route)).status_code for method in ("get", "post")]
        if not set(answers) - REFUSALS - {302} and answers[1] != 302:
            walled.append((name, answers))
    assert walled == []


@pytest.mark.parametrize("who", ["nobody", "half signed in", "seat elsewhere"])
def test_open_addresses_give_strangers_nothing(scene, who):
    """Open to everybody: a form, a word, never data, and no change without its secret."""
    before = _state()
    for name in sorted(n for n, may in MAY.items() if may == EVERYBODY):
        for method in METHODS:
            answer = scene.ask(who, method, name, reverse(name))
            assert answer.status_code < 500
            text = answer.content.decode()
            assert not [secret for secret in scene.secrets if secret in text], name
    assert _state() == before


# -- missing and forbidden look alike ----------------------------------------------------------------------


def _bytes_of(answer):
    text = re.sub(rb'(csrfmiddlewaretoken" value=")\w+', rb"\1", answer.content)
    return answer.status_code, re.sub(rb"[0-9a-f]{8}-[0-9a-f-]{27}", b"ID", text)


OBJECTS = sorted((n, r) for n, r in ROUTES if "_id>" in r and not n.startswith("admin"))


@pytest.mark.parametrize("who", STRANGERS)
def test_forbidden_looks_like_missing(scene, who):
    missing = dict.fromkeys(
        ("consult_id", "patient_id", "concern_id", "consent_id"), "11111111-1111-4111-8111-111111111111"
    )
    told_apart = [
        (name, method)
        for name, route in OBJECTS
        # A colleague may open the masked record, so the refused reveal may say what to do.
        if who not in _may(name) and (who, name) != ("colleague", "reveal")
        for method in ("get", "post")
        if _bytes_of(scene.ask(who, method, name, scene.path(route)))
        != _bytes_of(scene.ask(who, method, name, scene.path(route, **missing)))
    ]
    assert told_apart == []


def test_a_recording_is_found_in_its_own_consult_only(scene):
    """An own consult's address does not lead to another's recording."""
    own = bring_to("waiting", scene.cast.clinician, scene.cast.patient)
    others = voice.keep(scene.others_visit.seat, b"OggS", seconds=2)
    browser = scene.browsers["clinician"]
    assert browser.get(reverse("recording", args=[scene.visit.consult.id, scene.recording.pk])).content == b"OggS"
    for recording in (others, scene.recording):
        assert browser.get(reverse("recording", args=[own.consult.id, recording.pk])).status_code == 404


def test_a_refusal_of_somebody_signed_in_is_in_the_log(scene):
    scene.browsers["colleague"].get(scene.path("/consults/<uuid:consult_id>/"))
    entry = AuditEntry.objects.get(action="access.denied")
    assert (entry.person, entry.outcome) == (str(scene.cast.colleague.pk), "refused")


# -- another clinic's office -------------------------------------------------------------------------------


@pytest.fixture
def other_office(scene):
    """A privacy officer and an operator of the other clinic."""
    clinic = Clinic.objects.get(pk=scene.cast.other_clinic.pk)
    return [sign_in(person(clinic, f"other-{role}", role)) for role in (User.Role.PRIVACY_OFFICER, User.Role.OPERATOR)]


ONES = sorted((n, r) for n, r in ROUTES if "object_id" in r and "consentstatement" not in n + r)


def test_another_clinics_office_finds_nothing(scene, other_office):
    before = _state()
    for browser in other_office:
        for name, route in ONES:
            for method in ("get", "post"):
                answer = getattr(browser, method)(scene.path(route))
                # Django's admin answers "no such object" by a redirect to its first page; its short addresses lead on.
                assert answer.status_code in (302, 403, 404), name
                assert answer.status_code != 302 or answer.headers["Location"] in (
                    "/admin/",
                    f"{answer.request['PATH_INFO']}change/",
                )
    assert _state() == before


def test_another_clinics_office_sees_nothing_of_ours_in_its_lists(scene, other_office):
    for browser in other_office:
        for model in ADMIN_MAY_LOOK:
            text = browser.get(reverse(f"admin:{model}_changelist")).content.decode()
            for secret in (scene.cast.clinician.email, scene.cast.patient.record_number, "M. Q.", "Harbour Practice"):
                assert secret not in text, model


def test_nobody_removes_anything_in_the_admin(scene):
    before = _state()
    for who in ("officer", "operator"):
        for model in ADMIN_MAY_LOOK:
            data = {"action": "delete_selected", "_selected_action": [str(scene.cast.clinician.pk)], "post": "yes"}
            scene.browsers[who].post(reverse(f"admin:{model}_changelist"), data)
    assert _state() == before


def test_nobody_changes_her_own_role_or_clinic(scene):
    browser, user = scene.browsers["operator"], scene.cast.operator
    path = reverse("admin:accounts_user_change", args=[user.pk])
    browser.post(path, {"name": "x", "email": user.email, "role": "privacy_officer", "is_active": "on"})
    user.refresh_from_db()
    assert user.role == User.Role.OPERATOR


def test_fields_that_no_form_has_are_not_taken(scene):
    """Mass assignment: clinic, password and the like cannot be posted into an account."""
    target = scene.cast.clinician
    path = reverse("admin:accounts_user_change", args=[target.pk])
    posted = {"name": "Renamed", "email": target.email, "role": "clinician", "is_active": "on"}
    extra = {"clinic": str(scene.cast.other_clinic.pk), "password": "x", "id": str(scene.cast.operator.pk)}
    scene.browsers["operator"].post(path, {**posted, **extra, "activation_digest": "x"})
    before = (target.password, target.clinic_id, "")
    target.refresh_from_db()
    assert target.name == "Renamed"
    assert (target.password, target.clinic_id, target.activation_digest) == before


def test_half_a_sign_in_opens_nothing_at_all(cast):
    """The walk of every address with the password alone: what it gets is what nobody gets."""
    half, nobody = type_password(cast.clinician), Browser()
    opened = []
    for name, route in ROUTES:
        for method in ("get", "post"):
            with_password = getattr(half, method)(fill_in(route))
            without = getattr(nobody, method)(fill_in(route))
            same = with_password.status_code == without.status_code
            if not same and name not in ("signin-code", "enrol", "signin"):
                opened.append((name, method, with_password.status_code))
            if name == "signout":
                half = type_password(cast.clinician)
    assert opened == []
    assert settings.SESSION_COOKIE_NAME in half.cookies
