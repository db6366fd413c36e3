"""A patient's data on its way out: complete, valid FHIR R4, readable PDF, and in the log before anything is opened."""

import base64
import copy
import hashlib
import json
import re
import subprocess

import pytest
from django.utils import timezone

from accounts import sessions
from consults import concerns, consent, export, export_fhir, statements, visit, voice
from consults.export_check import NotValid, check
from consults.models import QualitySample
from tests.cast import BY, MARIA, Visit, agree, bring_to
from vault import patients as vault_patients
from vault.models import AuditEntry

SOUND = b"OggS" + bytes(range(256))


@pytest.fixture
def told(cast) -> Visit:
    """A visit that left every kind of trace: spoken consent, two notes, samples, a withdrawal."""
    now = bring_to("tested", cast.clinician, cast.patient)
    agree(now, recording=voice.keep(now.seat, SOUND, seconds=4.2))
    visit.wait(now.seat, source="test")
    visit.admit(now.consult, BY)
    by = sessions.staff_actor(cast.clinician)
    visit.write_note(now.consult, cast.clinician, "Cough for two weeks.\nNo fever <b>today</b> & #no markup[].", by)
    visit.write_note(now.consult, cast.clinician, "Второе замечание", by)
    vault_patients.reveal(cast.patient, ["phone", "email"], by, purpose="contact")
    for rtt in (20.0, 40.0):
        QualitySample.objects.create(consult=now.consult, participant=now.seat, at=timezone.now(), rtt_ms=rtt)
    consent.withdraw(now.seat, source="test")
    visit.end(now.consult, BY)
    return now


@pytest.fixture
def by(cast):
    return sessions.staff_actor(cast.officer)


@pytest.fixture
def bundle(cast, told, by):
    return json.loads(export.export(cast.patient, by, form="fhir", reason="subject").content)


def of_kind(bundle, kind):
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]


def text_of(attachment):
    return base64.b64decode(attachment["data"]).decode()


def test_the_entry_says_who_exported_what_and_why(cast, told, by):
    export.export(cast.patient, by, form="fhir", reason="authority")
    entry = AuditEntry.objects.get(action="patient.export")
    assert (entry.person, entry.purpose, entry.patient) == (str(cast.officer.pk), "authority", str(cast.patient.id))
    counted = {"values": 7, "visits": 1, "notes": 2, "consents": 2, "recordings": 1}
    assert counted.items() <= entry.detail.items()
    assert entry.detail["format"] == "fhir"


def test_nothing_is_opened_when_the_entry_cannot_be_written(cast, by, monkeypatch):
    opened = []
    monkeypatch.setattr(vault_patients, "unseal", lambda *a: opened.append(a))
    monkeypatch.setattr("vault.audit.record", _no_entry)
    with pytest.raises(OSError, match="full"):
        export.export(cast.patient, by, form="fhir", reason="subject")
    assert opened == []


def _no_entry(*_args, **_more):
    raise OSError("the disk is full")


@pytest.mark.parametrize(("form", "reason"), [("docx", "subject"), ("pdf", "curiosity"), ("", "")])
def test_an_unknown_form_or_reason_exports_nothing(cast, by, form, reason):
    with pytest.raises(export.NotExported):
        export.export(cast.patient, by, form=form, reason=reason)
    assert not AuditEntry.objects.filter(action="patient.export").exists()


def test_the_file_name_holds_the_record_number_and_nothing_else_of_hers(cast, by):
    cast.patient.record_number = "A/12 ü"
    name = export.export(cast.patient, by, form="fhir", reason="subject").name
    assert name == f"record-A-12---{timezone.localtime():%Y-%m-%d}.json"


def test_the_bundle_holds_who_she_is(bundle, cast):
    [patient] = of_kind(bundle, "Patient")
    assert patient["name"][0]["text"] == MARIA["name"]
    assert patient["birthDate"] == MARIA["birth_date"]
    assert {t["system"]: t["value"] for t in patient["telecom"]} == {"phone": "+442079460142", "email": MARIA["email"]}
    assert [i["value"] for i in patient["identifier"]] == [cast.patient.record_number, "QX836197Z"]
    assert patient["address"] == [{"text": MARIA["address"]}]


def test_the_bundle_holds_the_notes_word_for_word(bundle):
    texts = [text_of(d["content"][0]["attachment"]) for d in of_kind(bundle, "DocumentReference")]
    assert "Cough for two weeks.\nNo fever <b>today</b> & #no markup[]." in texts
    assert {"Второе замечание", MARIA["notes"]} < set(texts)


def test_the_bundle_holds_both_acts_of_consent_with_the_words(bundle, told):
    given, withdrawn = sorted(of_kind(bundle, "Consent"), key=lambda c: c["dateTime"])
    words = told.consult.consents.first().statement
    assert text_of(given["sourceAttachment"]) == words.text
    assert (given["status"], given["provision"]["type"]) == ("inactive", "permit")
    assert (withdrawn["status"], withdrawn["provision"]["type"]) == ("active", "deny")
    facts = {e["url"].rpartition("/")[2]: list(e.values())[-1] for e in given["extension"]}
    assert facts["consent-statement-digest"] == f"sha-256:{statements.digest_of(words)}"
    assert facts["consent-method"] == "in writing and aloud"
    signers = [a["who"].get("display") for p in of_kind(bundle, "Provenance") for a in p["agent"]]
    assert MARIA["name"] in signers


def test_the_bundle_holds_the_recording_itself(bundle):
    [media] = of_kind(bundle, "Media")
    assert base64.b64decode(media["content"]["data"]) == SOUND
    digest = base64.urlsafe_b64encode(hashlib.sha256(SOUND).digest()).decode().rstrip("=")
    assert media["identifier"][0]["value"] == f"ni:///sha-256;{digest}"


def test_the_bundle_says_who_read_what_and_why(bundle, cast):
    [read] = [e for e in of_kind(bundle, "AuditEvent") if e["subtype"][0]["code"] == "patient.reveal"]
    assert read["agent"][0]["who"]["reference"] == f"urn:uuid:{cast.clinician.pk}"
    assert read["purposeOfEvent"][0]["text"] == "Reach the patient"
    details = {d["type"]: d["valueString"] for d in read["entity"][0]["detail"]}
    assert json.loads(details["fields"]) == ["phone", "email"]
    codes = [e["subtype"][0]["code"] for e in of_kind(bundle, "AuditEvent")]
    assert codes[-1] == "patient.export", "the export itself is part of what was done with her record"


def test_the_bundle_sums_up_the_quality_of_the_call(bundle):
    [quality] = of_kind(bundle, "Observation")
    assert quality["component"][0]["valueQuantity"]["value"] == 30.0


def test_nobody_else_is_in_the_bundle(cast, told, by):
    other = bring_to("ended", cast.colleague, cast.colleagues_patient)
    text = export.export(cast.patient, by, form="fhir", reason="subject").content.decode()
    assert str(other.consult.id) not in text
    assert str(cast.colleagues_patient.id) not in text


def test_two_exports_give_the_same_ids(cast, told, by):
    first, second = (
        json.loads(export.export(cast.patient, by, form="fhir", reason="subject").content)["entry"] for _ in range(2)
    )
    kept = {e["fullUrl"] for e in first if e["resource"]["resourceType"] != "Provenance"}
    assert kept < {e["fullUrl"] for e in second}


def test_a_record_with_nothing_but_a_name_is_valid_too(cast, by):
    bare = vault_patients.create(cast.clinic.id, {"name": "李 \u2067Ⲁ", "birth_date": "2001-02-03"}, BY)
    for form in export.FORMS:
        assert export.export(bare, by, form=form, reason="transfer").content


def _broken(bundle, kind, change):
    bundle = copy.deepcopy(bundle)
    change(of_kind(bundle, kind)[0])
    return bundle


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("Patient", lambda r: r.update(birthDate="17/03/1984")),
        ("Patient", lambda r: r.update(gender="f")),
        ("Patient", lambda r: r.update(nickname="M")),
        ("Patient", lambda r: r.update(id="00000000-0000-4000-8000-000000000000")),
        ("Encounter", lambda r: r.update(status="done")),
        ("Encounter", lambda r: r["period"].update(start="2999-01-01T00:00:00.000+00:00")),
        ("Encounter", lambda r: r["subject"].update(reference="urn:uuid:00000000-0000-4000-8000-000000000000")),
        ("Consent", lambda r: r.pop("policyRule")),
        ("Consent", lambda r: r.pop("scope")),
        ("Consent", lambda r: r["extension"].append({"url": "https://x.example/y"})),
        ("Media", lambda r: r["content"].pop("contentType")),
        ("Media", lambda r: r.update(status="kept")),
        ("AuditEvent", lambda r: r["entity"][0].update(name="x", query="eA==")),
        ("AuditEvent", lambda r: r.update(recorded="2026-01-01")),
        ("Organization", lambda r: r.pop("name")),
    ],
)
def test_a_bundle_that_breaks_a_rule_does_not_pass(bundle, kind, change):
    check(bundle)
    with pytest.raises(NotValid) as refused:
        check(_broken(bundle, kind, change))
    assert "Quixplotz" not in str(refused.value)


def test_an_entry_twice_does_not_pass(bundle):
    bundle["entry"].append(bundle["entry"][0])
    with pytest.raises(NotValid):
        check(bundle)


def test_what_does_not_pass_its_check_is_not_sent(cast, by, monkeypatch):
    monkeypatch.setattr(
        export_fhir, "_organization", lambda facts: {"resourceType": "Organization", "id": str(cast.clinic.pk)}
    )
    with pytest.raises(export.NotExported):
        export.export(cast.patient, by, form="fhir", reason="subject")
    outcomes = AuditEntry.objects.filter(action="patient.export").values_list("outcome", flat=True)
    assert sorted(outcomes) == ["done", "failed"]


# -- on paper ----------------------------------------------------------------------------------------------


def read_pdf(content, *tools):
    return subprocess.run(tools, input=content, capture_output=True, check=True, timeout=60).stdout.decode()


@pytest.fixture
def paper(cast, told, by):
    return export.export(cast.patient, by, form="pdf", reason="subject").content


def test_the_pdf_holds_everything_in_words(paper, cast):
    text = " ".join(read_pdf(paper, "pdftotext", "-layout", "-", "-").split())
    for said in (*MARIA.values(), "Cough for two weeks.", "No fever <b>today</b> & #no markup[].", "Второе замечание"):
        assert said in text or said in ("020 7946 0142", "QX 83 61 97 Z"), said
    for said in ("+442079460142", "QX836197Z", "Consent given, in writing and aloud", "Consent withdrawn"):
        assert said in text
    for said in (
        "Reach the patient",
        "The patient asked for the data",
        "read protected fields",
        "Officer",
        "Page 1 of ",
    ):
        assert said in text


def test_the_pdf_is_tagged_and_its_properties_tell_nothing_of_her(paper, cast):
    told = read_pdf(paper, "pdfinfo", "-")
    assert "Tagged:          yes" in told
    assert "Title:           Patient record" in told
    for canary in (MARIA["name"], MARIA["birth_date"], "Quixplotz"):
        assert canary not in told


def test_a_name_in_any_script_comes_out_readable(cast, by):
    names = [
        "Ζωή Παπαδοπούλου",
        "Дарья Щёлкина",
        "मीरा शर्मा",
        "สมชาย",
        "田中 花子",
        "김민서",
        "王小明",
        "Nguyễn Thị Hồng",
    ]
    for name in names:
        her = vault_patients.create(cast.clinic.id, {"name": name, "birth_date": "2001-02-03"}, BY)
        text = read_pdf(export.export(her, by, form="pdf", reason="subject").content, "pdftotext", "-", "-")
        assert name in text.replace("\n", " "), name


def test_letters_that_no_font_has_are_spelled_and_the_document_says_so(cast, by):
    her = vault_patients.create(cast.clinic.id, {"name": "ნინო 🙂", "birth_date": "2001-02-03"}, BY)
    text = read_pdf(export.export(her, by, form="pdf", reason="subject").content, "pdftotext", "-", "-")
    assert "[nino] [:slightly_smiling_face:]" in text or "[nino]" in text
    assert "spelled in Latin" in " ".join(text.split())


def test_invisible_characters_cannot_turn_a_line_around(cast, by):
    her = vault_patients.create(cast.clinic.id, {"name": "Anna \u202eliveD\u202c", "birth_date": "2001-02-03"}, BY)
    text = read_pdf(export.export(her, by, form="pdf", reason="subject").content, "pdftotext", "-", "-")
    assert "Anna liveD" in text


def test_no_letter_makes_the_document_fail(cast, by):
    """Marks from one script on letters of another, unassigned and private letters, joiners alone."""
    odd = "a\u0903\u200d\u200d \ue000 \U000e0041 \u0378 \u0e31\u0e31 \ufdfd \u1ab0 e\u0301\u0e49 \u20dd \ufffd"
    her = vault_patients.create(cast.clinic.id, {"name": f"Ann {odd}", "birth_date": "2001-02-03", "notes": odd}, BY)
    assert export.export(her, by, form="pdf", reason="subject").content.startswith(b"%PDF")


def test_nothing_runs_off_the_paper(cast, by):
    """An endless word, and a note of many pages."""
    notes = "x" * 3000 + "\n" + "a line of a long note\n" * 200 + "the end"
    her = vault_patients.create(cast.clinic.id, {"name": "A B", "birth_date": "2001-02-03", "notes": notes}, BY)
    paper = export.export(her, by, form="pdf", reason="subject").content
    boxes = re.findall(r'<word xMin="([\d.]+)" yMin="([\d.]+)" xMax="([\d.]+)" yMax="([\d.]+)"', _boxes(paper))
    assert len(boxes) > 1000
    assert all(float(x2) < 595 - 40 and float(y2) < 842 - 20 for _, _, x2, y2 in boxes)
    assert read_pdf(paper, "pdftotext", "-", "-").count("x") >= 3000


def _boxes(paper):
    return read_pdf(paper, "pdftotext", "-bbox", "-", "-")


def test_emergency_access_is_in_both_with_its_reason_and_review(cast, told, by):
    concern = concerns.break_glass(cast.colleague, cast.patient, "Collapsed on the phone", by)
    note = "Called the ambulance, and rightly so"
    officers = sessions.staff_actor(cast.officer)
    concerns.sign(concern, cast.officer, finding="justified", note=note, by=officers)
    bundle = json.loads(export.export(cast.patient, by, form="fhir", reason="subject").content)
    events = of_kind(bundle, "AuditEvent")
    (reason,) = [e["purposeOfEvent"][0] for e in events if e["subtype"][0]["code"] == "patient.break_glass"]
    assert (reason["text"], reason["coding"][0]["code"]) == ("Collapsed on the phone", "BTG")
    assert [e["outcomeDesc"] for e in events if e["subtype"][0]["code"] == "review.sign"] == [note]
    paper = export.export(cast.patient, by, form="pdf", reason="subject").content
    text = " ".join(read_pdf(paper, "pdftotext", "-layout", "-", "-").split())
    assert "Collapsed on the phone" in text
    assert note in text
