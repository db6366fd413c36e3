"""The link of a receipt opens the patient's own page, for her alone; the file holds away from here."""

import base64
import json
import subprocess

import pytest
from django.db import connection
from django.urls import reverse

from accounts import sessions
from consults import consent, export_check, invitations, receipt_forms, receipts, statements, visit, voice
from consults.models import Consent, Participant
from tests.cast import BY, MARIA, OTHER, Browser, agree, bring_to, open_receipt, receipt_form, sign_in
from tests.signer import as_form
from vault import audit_key, audit_seal, audit_sealing, patients
from vault.append_only import lift_statements
from vault.core import evidence, receipt
from vault.core.notes import Checkpoint, parse_checkpoint, parse_note, verify
from vault.core.tlog import leaf_hash, verify_inclusion
from vault.models import AuditEntry


@pytest.fixture(autouse=True)
def key(settings, tmp_path, monkeypatch):
    """The log is sealed by a key of its own, at once: ids that tests before this one used up are awaited by nobody."""
    monkeypatch.setattr(audit_seal, "_transactions", lambda: (0, 0))
    settings.AUDIT_KEY_FILE = str(tmp_path / "audit_key")
    return audit_key.create("clinic.example/audit").key


@pytest.fixture
def waiting(cast):
    return bring_to("waiting", cast.clinician, cast.patient)


def _open(now, **changes):
    return Browser().post(reverse("receipt-open"), receipt_form(now) | changes)


def _page(browser):
    return browser.get(reverse("receipt-yours"))


def _file(browser, given):
    return browser.get(reverse("receipt-file", args=[given.pk]))


def _given(now):
    return Consent.objects.get(consult=now.consult, act="given")


# -- the link ----------------------------------------------------------------------------------------------


def test_her_own_browser_finds_the_link_again_and_the_database_cannot_make_it(waiting):
    link = receipts.link(waiting.seat, waiting.secret)
    assert link.partition("#")[2] == invitations.receipt_token(waiting.secret)
    assert receipts.link(waiting.seat, "another secret") == ""
    token = link.partition("#")[2]
    assert token not in {str(value) for value in Participant.objects.filter(pk=waiting.seat.pk).values_list()[0]}
    assert receipts.find(token) == waiting.seat
    assert receipts.find(waiting.seat.receipt_digest) is None
    assert receipts.find("") is None


def test_whoever_has_the_link_says_who_she_is(waiting):
    assert _open(waiting).json() == {"url": reverse("receipt-yours")}
    assert _open(waiting, birth_date="1984-03-18").status_code == 403
    assert _open(waiting, name=OTHER["name"]).status_code == 403
    assert _open(waiting, birth_date="").status_code == 400
    outcomes = AuditEntry.objects.filter(action="receipt.open").order_by("id").values_list("outcome", flat=True)
    assert list(outcomes) == ["done", "failed", "failed"]


def test_a_stranger_guesses_ten_times_a_day(waiting):
    wrong = [_open(waiting, birth_date=f"1984-01-{day:02}").status_code for day in range(1, 12)]
    assert wrong == [403] * 10 + [429]
    # Not even the right date helps then: guesses are all there would be.
    assert _open(waiting).status_code == 429


def test_without_its_token_nothing_opens(waiting):
    for token in ("", "x", "x" * 5000, waiting.token, waiting.secret, waiting.seat.receipt_digest, "\0"):
        assert _open(waiting, token=token).status_code == 404


def test_the_page_closes_itself(waiting, clock):
    browser = open_receipt(Browser(), waiting)
    assert _page(browser).status_code == 200
    clock.move(31 * 60)
    answer = _page(browser)
    assert answer.status_code == 403
    assert "Open your link again" in answer.content.decode()


def test_she_closes_her_link_for_good(waiting):
    browser = open_receipt(Browser(), waiting)
    before = browser.cookies["__Host-receipt"].value
    assert browser.post(reverse("receipt-yours-close")).json() == {"ok": True}
    browser.cookies["__Host-receipt"] = before
    assert _page(browser).status_code == 403
    assert _open(waiting).status_code == 404
    assert receipts.link(Participant.objects.get(pk=waiting.seat.pk), waiting.secret) == ""
    assert consent.standing(waiting.consult.id)


def test_the_link_outlives_seat_and_visit(waiting):
    visit.end(waiting.consult, BY)
    assert reverse("receipt") in waiting.browser().get(reverse("visit", args=[waiting.consult.id])).content.decode()
    Participant.objects.filter(pk=waiting.seat.pk).update(left_at=waiting.seat.joined_at)
    page = _page(open_receipt(Browser(), waiting)).content.decode()
    assert "Withdraw consent" in page


def test_a_link_opens_its_own_visit_only(cast, waiting):
    other = bring_to("waiting", cast.colleague, cast.colleagues_patient)
    browser = open_receipt(Browser(), waiting)
    assert _file(browser, _given(other)).status_code == 404
    assert _open(other).status_code == 403


def test_whose_record_was_erased_has_no_page(waiting, cast):
    from consults import erasing

    visit.end(waiting.consult, BY)
    erasing.erase(cast.patient, BY, reason="request", typed_number=cast.patient.record_number)
    assert _open(waiting).status_code == 403


# -- her page ----------------------------------------------------------------------------------------------


def test_she_sees_the_words_and_her_answers(waiting):
    page = " ".join(_page(open_receipt(Browser(), waiting)).content.decode().split())
    asked = statements.shown(waiting.consult.clinic, "en")
    for one in asked:
        answer = "you agreed" if one.required else "you did not agree"
        assert f"{one.statement.title}</span>: {answer}" in page
        assert one.statement.text.splitlines()[0] in page


def test_she_sees_who_looked_and_why(cast, waiting):
    by = sessions.staff_actor(cast.clinician)
    sign_in(cast.clinician).get(reverse("room", args=[waiting.consult.id]))
    patients.reveal(cast.patient, ["phone"], by, purpose="contact")
    patients.reveal(cast.outsiders_patient, ["phone"], sessions.staff_actor(cast.outsider), purpose="treat")
    page = " ".join(_page(open_receipt(Browser(), waiting)).content.decode().split())
    assert "<strong>Clinician</strong> read phone" in page
    assert "Reach the patient" in page
    assert " her " not in page.partition("Who looked at your record")[2].partition("</section>")[0]
    assert "opened your visit" in page
    assert "Outsider" not in page
    assert MARIA["phone"] not in page


def test_each_line_has_its_proof(cast, waiting, key):
    patients.reveal(cast.patient, ["phone"], sessions.staff_actor(cast.clinician), purpose="contact")
    looked = AuditEntry.objects.get(action="patient.reveal")
    browser = open_receipt(Browser(), waiting)
    assert browser.get(reverse("receipt-proof", args=[looked.pk])).status_code == 503
    audit_sealing.catch_up()
    told = json.loads(browser.get(reverse("receipt-proof", args=[looked.pk])).content)
    note = parse_note(told["checkpoint"].encode())
    assert verify(note, [key])
    checkpoint = parse_checkpoint(note.text)
    leaf, path = base64.b64decode(told["leaf"]), [base64.b64decode(one) for one in told["proof"]]
    verify_inclusion(leaf_hash(leaf), told["index"], checkpoint.size, path, checkpoint.root)
    assert b"patient.reveal" in leaf


def test_what_is_no_look_at_her_has_no_proof_for_her(cast, waiting):
    patients.reveal(cast.outsiders_patient, ["phone"], sessions.staff_actor(cast.outsider), purpose="treat")
    audit_sealing.catch_up()
    browser = open_receipt(Browser(), waiting)
    for entry in AuditEntry.objects.exclude(patient=str(cast.patient.pk)):
        assert browser.get(reverse("receipt-proof", args=[entry.pk])).status_code == 404
    hers = AuditEntry.objects.filter(patient=str(cast.patient.pk), role="patient")
    for entry in hers.exclude(action__in=receipts.LEFT):
        assert browser.get(reverse("receipt-proof", args=[entry.pk])).status_code == 404


# -- withdrawing -------------------------------------------------------------------------------------------


def test_she_withdraws_by_her_link_after_the_visit_signed(waiting):
    visit.end(waiting.consult, BY)
    browser = open_receipt(Browser(), waiting)
    address = reverse("receipt-withdraw")
    asked = json.loads(browser.post(address, {"key": waiting.signer.key}).json()["sign"])
    assert browser.post(address, as_form(waiting.signer.signed(asked))).json() == {"ok": True}
    withdrawn = Consent.objects.get(act="withdrawn")
    assert (withdrawn.withdraws, bool(withdrawn.evidence)) == (_given(waiting), True)
    assert "You withdrew it" in _page(browser).content.decode()
    assert browser.post(address).json() == {"ok": True}
    assert Consent.objects.filter(act="withdrawn").count() == 1


def test_in_a_visit_the_gate_shuts(cast):
    now = bring_to("admitted", cast.clinician, cast.patient)
    assert now.fresh().gate_open
    open_receipt(Browser(), now).post(reverse("receipt-withdraw"))
    assert not now.fresh().gate_open


# -- the file ----------------------------------------------------------------------------------------------


def _receipt(now, browser=None):
    audit_sealing.catch_up()
    answer = _file(browser or open_receipt(Browser(), now), _given(now))
    assert answer.status_code == 200, answer.content.decode()
    return answer.content


def test_the_file_holds_away_from_here(waiting, key):
    report = receipt.verify(_receipt(waiting), log=key.vkey)
    assert report.holds, [one for one in report.findings if not one.holds]
    assert (report.withdrawn, report.acts[0]["name"]) == (False, MARIA["name"])


def test_her_voice_is_in_the_file(cast, key):
    now = bring_to("tested", cast.clinician, cast.patient)
    agree(now, recording=voice.keep(now.seat, b"OggS her voice", seconds=4.2))
    made = _receipt(now)
    assert receipt.verify(made, log=key.vkey).holds
    assert base64.b64decode(json.loads(made)["recording"]) == b"OggS her voice"


@pytest.mark.parametrize("signed", [True, False])
def test_a_withdrawal_is_in_the_file(waiting, key, signed):
    more = waiting.signer.withdrawal(_given(waiting)) if signed else {}
    consent.withdraw(waiting.seat, source="test", **more)
    report = receipt.verify(_receipt(waiting), log=key.vkey)
    assert report.holds, [one for one in report.findings if not one.holds]
    assert (report.withdrawn, report.withdrawal_is_signed) == (True, signed)


def test_a_file_of_another_log_does_not_hold(waiting):
    other = receipt.verify(_receipt(waiting), log="clinic.example/audit+00000000+AAAA")
    assert not other.holds


def test_the_entry_is_there_before_anything_is_opened(waiting, monkeypatch):
    audit_sealing.catch_up()
    seen = []
    opened = consent.opened
    monkeypatch.setattr(
        consent,
        "opened",
        lambda act: seen.append(AuditEntry.objects.filter(action="receipt.take").count()) or opened(act),
    )
    browser = open_receipt(Browser(), waiting)
    assert _file(browser, _given(waiting)).status_code == 200
    assert seen == [1]


def test_words_that_somebody_changed_make_no_receipt(waiting):
    audit_sealing.catch_up()
    with connection.cursor() as cursor:
        for statement in lift_statements("consults_consentstatement", connection.vendor):
            cursor.execute(statement)
        cursor.execute("UPDATE consults_consentstatement SET text = 'I sell all.' WHERE scope = 'video_visit'")
    answer = _file(open_receipt(Browser(), waiting), _given(waiting))
    assert answer.status_code == 409
    assert "not those that you agreed to" in answer.content.decode()


def test_a_file_asked_for_at_once_waits_for_the_seal(waiting, monkeypatch):
    monkeypatch.setattr(receipts, "sleep", lambda _seconds: audit_sealing.catch_up())
    assert _file(open_receipt(Browser(), waiting), _given(waiting)).status_code == 200


def test_before_the_log_is_sealed_the_page_says_wait(waiting, monkeypatch):
    monkeypatch.setattr(receipts, "PATIENCE", 0.2)
    answer = _file(open_receipt(Browser(), waiting), _given(waiting))
    assert answer.status_code == 503
    assert "Try again in a few seconds" in answer.content.decode()


def test_the_file_names_the_witnesses_who_saw_that_log(waiting, key, settings):
    from django.utils import timezone

    from tests.receipts import WITNESS
    from vault.audit_publish import note_of
    from vault.audit_tree import head
    from vault.models import AuditWitnessing

    settings.AUDIT_WITNESSES = [f"{WITNESS.key.vkey}@https://witness.example"]
    browser = open_receipt(Browser(), waiting)
    audit_sealing.catch_up()
    batch = head()
    line = WITNESS.cosign(note_of(key, batch).text, int(timezone.now().timestamp())).line
    AuditWitnessing.objects.create(size=batch.size, witness=WITNESS.key.name, line=line, at=timezone.now())
    report = receipt.verify(_receipt(waiting, browser), log=key.vkey, witnesses=[WITNESS.key.vkey])
    assert report.holds, [one for one in report.findings if not one.holds]
    assert list(report.witnessed) == [WITNESS.key.name]


def test_a_line_that_no_witness_signed_is_left_out(waiting, key, settings):
    from django.utils import timezone

    from tests.receipts import WITNESS
    from vault.audit_tree import head
    from vault.models import AuditWitnessing

    settings.AUDIT_WITNESSES = [f"{WITNESS.key.vkey}@https://witness.example"]
    audit_sealing.catch_up()
    line = WITNESS.cosign(Checkpoint(key.name, head().size, b"another root" + bytes(20)).text(), 1_800_000_000).line
    AuditWitnessing.objects.create(size=head().size, witness=WITNESS.key.name, line=line, at=timezone.now())
    report = receipt.verify(_receipt(waiting), log=key.vkey)
    assert (report.holds, report.witnessed) == (True, {})


# -- the same in other forms -------------------------------------------------------------------------------


def _taken(now, form):
    audit_sealing.catch_up()
    answer = open_receipt(Browser(), now).get(reverse(f"receipt-file-{form}", args=[_given(now).pk]))
    assert answer.status_code == 200
    assert AuditEntry.objects.filter(action="receipt.take").latest("id").detail["form"] == form
    return answer.content


def _resources(now, kind):
    bundle = json.loads(_taken(now, "fhir"))
    export_check.check(bundle)
    return [one["resource"] for one in bundle["entry"] if one["resource"]["resourceType"] == kind]


@pytest.fixture
def by_a_guardian(cast):
    now = bring_to("tested", cast.clinician, cast.patient)
    by = {"role": "guardian", "name": "Ana Gonzalez", "relation": "mother"}
    witness = {"role": "interpreter", "name": "Ivo Berg", "relation": ""}
    agree(now, by=by, witness=witness, agreed=("records",))
    return now


def test_fhir_has_each_answer_and_who_signed(by_a_guardian):
    (told,) = _resources(by_a_guardian, "Consent")
    assert told["status"] == "active"
    assert [one["type"] for one in told["provision"]["provision"]] == ["permit", "permit", "deny", "deny"]
    assert told["performer"] == [{"display": "Ana Gonzalez, guardian, mother"}]
    (made,) = _resources(by_a_guardian, "Provenance")
    assert [one["who"].get("display") for one in made["agent"]] == [
        "Ana Gonzalez, guardian, mother",
        "Ivo Berg, interpreter",
    ]


def test_fhir_has_the_signed_bytes_the_signature_and_the_receipt(waiting, key):
    (made,), (signed,), (told,) = (_resources(waiting, kind) for kind in ("Provenance", "Binary", "Consent"))
    data, signature = base64.b64decode(signed["data"]), base64.b64decode(made["signature"][0]["data"])
    assert evidence.verify(data, signature)["name"] == MARIA["name"]
    assert made["entity"][0]["what"]["reference"] == f"urn:uuid:{signed['id']}"
    assert receipt.verify(base64.b64decode(told["sourceAttachment"]["data"]), log=key.vkey).holds


@pytest.mark.parametrize("signed", [True, False])
def test_fhir_tells_a_withdrawal_as_an_act_of_its_own(waiting, signed):
    more = waiting.signer.withdrawal(_given(waiting)) if signed else {}
    consent.withdraw(waiting.seat, source="test", **more)
    given, withdrawn = _resources(waiting, "Consent")
    assert (given["status"], withdrawn["status"]) == ("inactive", "active")
    assert (given["provision"]["type"], withdrawn["provision"]["type"]) == ("permit", "deny")
    assert ["signature" in one for one in _resources(waiting, "Provenance")] == [True, signed]


def test_the_pdf_says_the_same_to_people(by_a_guardian):
    consent.withdraw(by_a_guardian.seat, source="test")
    text = subprocess.run(
        ["pdftotext", "-layout", "-", "-"],
        input=_taken(by_a_guardian, "pdf"),
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout.decode()
    text = " ".join(text.split())
    for said in (
        MARIA["name"],
        "Ana Gonzalez, guardian, mother",
        "Ivo Berg",
        "Consent was given, and withdrawn later.",
    ):
        assert said in text, said
    titles = {one.scope: one.statement.title for one in statements.shown(by_a_guardian.consult.clinic, "en")}
    for said in (f"{titles['records']}: agreed", f"{titles['others']}: not agreed", "Who sat at the keyboard"):
        assert said in text, said


def test_a_file_that_does_not_hold_takes_no_other_form(waiting):
    made = json.loads(_receipt(waiting))
    made["acts"][0]["evidence"] = made["acts"][0]["evidence"].replace("patient", "parient", 1)
    for form in (receipt_forms.as_pdf, receipt_forms.as_fhir):
        with pytest.raises(receipt_forms.DoesNotHold):
            form(json.dumps(made).encode())
