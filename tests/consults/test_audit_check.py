"""An officer has the log verified on a page, sees what was found, and takes an entry's proof away."""

import base64
import json

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts import sessions
from consults import audit_check
from consults.audit_models import AuditCheck
from tests.cast import BY, sign_in
from tests.consults.audit_log import LIST
from tests.vault.test_audit_verify import as_thief
from vault import audit_key, audit_sealing, audit_tree
from vault.audit import record
from vault.core.notes import parse_checkpoint, parse_note, verify
from vault.core.tlog import leaf_hash, verify_inclusion
from vault.models import AuditArchive, AuditEntry

PAGE = reverse("admin:vault_auditentry_verify")


@pytest.fixture
def key(settings, tmp_path):
    settings.AUDIT_KEY_FILE, settings.AUDIT_PUBLISH = str(tmp_path / "audit_key"), []
    return audit_key.create("clinic.example/audit").key


@pytest.fixture
def officer(cast, key):
    return sign_in(cast.officer)


def _checked(officer):
    assert officer.post(PAGE).status_code == 302
    check = AuditCheck.objects.first()
    audit_check.run(check.pk)
    return officer.get(PAGE).content.decode()


def test_a_whole_log_holds(cast, officer):
    for n in range(5):
        record("patient.view", BY, n=n)
    audit_sealing.catch_up()
    page = _checked(officer)
    assert "The log holds" in page
    assert "does not hold" not in page
    assert AuditEntry.objects.get(action="audit.verify").person == str(cast.officer.pk)
    check = AuditCheck.objects.get()
    assert check.looked_at == check.total == audit_tree.head().size > 5


def test_the_page_says_which_months_are_in_files(cast, officer):
    row = {"month": "2025-03", "first": 0, "size": 1234, "digest": "ab" * 32, "at": timezone.now()}
    AuditArchive.objects.create(**row)
    assert "also in the database" in officer.get(reverse("admin:vault_auditentry_verify")).content.decode()
    AuditArchive.objects.create(**row, dropped=True)
    page = officer.get(reverse("admin:vault_auditentry_verify")).content.decode()
    assert "in its file only" in page
    assert "1,234 entries, SHA-256 abababab" in page
    assert "months up to 2025-03 are kept as files" in officer.get(f"{LIST}?oldest").content.decode()


def test_the_first_bad_entry_is_named_on_the_page(cast, officer):
    bad = record("patient.view", BY, n=1).pk
    record("patient.view", BY, n=2)
    audit_sealing.catch_up()
    with as_thief() as cursor:
        cursor.execute("UPDATE vault_auditentry SET person = 'somebody else' WHERE id = %s", [bad])
    page = _checked(officer)
    assert "The log does not hold" in page
    assert f"Entry {bad}: An entry was changed." in page


def test_a_witness_that_was_cut_off_is_said_on_the_page(cast, officer, settings, tmp_path):
    record("patient.view", BY)
    audit_sealing.catch_up()
    settings.AUDIT_PUBLISH = [f"file:{tmp_path / 'gone.jsonl'}"]
    page = _checked(officer)
    assert "The log holds" in page
    assert "compared with 0 checkpoints" in page
    assert "gone.jsonl was not compared: it is not there." in page


def test_without_a_key_the_page_says_so(cast, officer, settings, tmp_path):
    settings.AUDIT_KEY_FILE = str(tmp_path / "gone")
    assert "missing" in _checked(officer)


def test_a_check_under_way_is_not_doubled(cast, officer):
    for _ in range(2):
        officer.post(PAGE)
    assert AuditCheck.objects.count() == 1
    assert "data-under-way" in officer.get(reverse("admin:vault_auditentry_verifying")).content.decode()


def test_nobody_has_it_verified_all_day(cast, officer, monkeypatch):
    monkeypatch.setattr("consults.views_audit_verify.CHECKS", 1)
    officer.post(PAGE)
    answer = officer.post(PAGE)
    assert "Wait 15 minutes" in answer.content.decode()


def test_the_proof_of_an_entry_needs_nothing_but_the_key(cast, officer, key):
    entry = record("patient.view", sessions.staff_actor(cast.clinician), patient=cast.patient.id)
    where = reverse("admin:vault_auditentry_proof", args=[entry.pk])
    assert officer.get(where).status_code == 404  # not sealed yet
    audit_sealing.catch_up()
    answer = officer.get(where)
    assert answer.headers["Content-Disposition"] == f'attachment; filename="entry-{entry.pk}-proof.json"'
    proof = json.loads(answer.content)
    note = parse_note(proof["checkpoint"].encode())
    verify(note, [key])
    head = parse_checkpoint(note.text)
    leaf = base64.b64decode(proof["leaf"])
    path = [base64.b64decode(one) for one in proof["proof"]]
    verify_inclusion(leaf_hash(leaf), proof["index"], head.size, path, head.root)
    assert entry.action.encode() in leaf


def test_the_proof_of_another_clinics_entry_is_not_found(cast, officer):
    with as_thief() as cursor:
        entry = record("signin", BY).pk
        cursor.execute("UPDATE vault_auditentry SET clinic_id = NULL WHERE id = %s", [entry])
    audit_sealing.catch_up()
    assert officer.get(reverse("admin:vault_auditentry_proof", args=[entry])).status_code == 404


def test_an_entrys_page_says_where_it_is(cast, officer):
    entry = record("patient.view", sessions.staff_actor(cast.clinician), patient=cast.patient.id)
    page = reverse("admin:vault_auditentry_change", args=[entry.pk])
    assert "Not yet" in officer.get(page).content.decode()
    audit_sealing.catch_up()
    text = officer.get(page).content.decode()
    assert " of the log, sealed on " in text
    assert "Patient:" in text
    assert "Consult:" not in text  # it is about none, and no row says so


def test_a_colleague_without_the_role_gets_nothing(cast, key):
    for who in (cast.clinician, cast.operator):
        assert sign_in(who).get(PAGE).status_code in (302, 403, 404)
        assert sign_in(who).post(PAGE).status_code in (302, 403, 404)
    assert not AuditCheck.objects.exists()
