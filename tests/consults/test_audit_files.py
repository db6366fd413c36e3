"""What an officer makes of the log: saved views, reviews signed off, files that are whole and do no harm."""

import csv
import hashlib
import io
import json

import pytest
from django.db import DatabaseError, transaction
from django.urls import reverse
from django.utils import timezone
from fhir.resources.R4B.auditevent import AuditEvent

from accounts.models import User
from consults import audit_files, audit_lists, audit_reviews
from consults.audit_models import AuditExport, AuditReview, AuditView
from tests.cast import BY, person, sign_in
from tests.consults.audit_log import LIST, of
from vault import audit, shredding
from vault.models import AuditEntry

# -- saved views ----------------------------------------------------------------------------------------------------

VIEWS = "admin:vault_auditentry_views"


def test_a_view_is_saved_used_and_removed_by_its_owner(cast, office):
    office.post(reverse(VIEWS), {"name": "Refusals\u202e of clinicians", "query": "outcome=refused&role=clinician"})
    view = AuditView.objects.get()
    assert (view.owner, view.name, view.query) == (
        cast.officer,
        "Refusals of clinicians",
        "outcome=refused&role=clinician",
    )
    page = office.get(LIST).content.decode()
    assert "Refusals of clinicians" in page
    other = person(cast.clinic, "second", User.Role.PRIVACY_OFFICER)
    assert "Refusals of clinicians" not in sign_in(other).get(LIST).content.decode()
    sign_in(other).post(reverse(VIEWS), {"remove": str(view.pk)})
    assert AuditView.objects.exists()
    office.post(reverse(VIEWS), {"remove": str(view.pk)})
    assert not AuditView.objects.exists()
    assert AuditEntry.objects.filter(action="audit.saved_view").count() == 2


@pytest.mark.parametrize(
    "posted",
    [{}, {"name": "x"}, {"query": "outcome=refused"}, {"name": " \u202e", "query": "outcome=refused"}, {"remove": "x"}],
)
def test_a_view_needs_a_name_and_a_filter(office, posted):
    assert office.post(reverse(VIEWS), posted).status_code == 302
    assert not AuditView.objects.exists()


def test_a_view_keeps_filters_that_pages_make_and_nothing_else(office):
    assert office.post(reverse(VIEWS), {"name": "x", "query": "person=quixplotz"}).status_code == 404
    office.post(reverse(VIEWS), {"name": "x", "query": "outcome=refused&q=Quixplotz"})
    assert AuditView.objects.get().query == "outcome=refused"


def test_there_are_only_so_many_views(cast):
    for n in range(audit_reviews.MOST_VIEWS):
        audit_reviews.save_view(cast.officer, BY, name=f"view {n}", query="outcome=refused")
    audit_reviews.save_view(cast.officer, BY, name="view 1", query="outcome=failed")
    with pytest.raises(audit_reviews.NotDone):
        audit_reviews.save_view(cast.officer, BY, name="one more", query="outcome=refused")


# -- signing off ----------------------------------------------------------------------------------------------------

REVIEWS = "admin:vault_auditentry_reviews"


def sign(office, query="", **changes):
    today = timezone.localdate().isoformat()
    posted = {"since": today, "until": today, "finding": "clear", "note": "", **changes}
    return office.post(f"{reverse(REVIEWS)}?{query}", posted)


def test_a_sign_off_is_kept_is_an_entry_and_shows_on_the_log(cast, office):
    before = audit_lists.newest_id()
    assert sign(office, note="All  as it should be.").status_code == 302
    review = AuditReview.objects.get()
    assert (review.officer, review.finding, review.note) == (cast.officer, "clear", "All as it should be.")
    assert review.newest == before
    assert review.until <= timezone.now()
    entry = AuditEntry.objects.get(action="audit.review")
    assert entry.detail["review"] == str(review.pk)
    assert "All as" not in json.dumps(entry.detail)
    assert "by Officer" in " ".join(office.get(LIST).content.decode().split())
    assert (
        "All as it should be."
        in office.get(reverse("admin:vault_auditentry_review", args=[review.pk])).content.decode()
    )


def test_a_note_about_a_patient_is_sealed_and_goes_with_the_record(cast, office):
    assert sign(office, f"patient={cast.patient.pk}", note="She is the reader's aunt.").status_code == 302
    review = AuditReview.objects.get()
    assert review.patient_id == cast.patient.pk
    assert review.note == ""
    assert review.sealed_note.startswith("rvn_")
    address = reverse("admin:vault_auditentry_review", args=[review.pk])
    assert "reader&#x27;s aunt" in office.get(address).content.decode()
    shredding.shred(cast.patient, BY, reason="request")
    assert "aunt" not in office.get(address).content.decode()
    assert sign(office, f"patient={cast.patient.pk}", note="Later").status_code == 200
    assert sign(office, f"patient={cast.patient.pk}").status_code == 302


@pytest.mark.parametrize(
    "changes",
    [
        {"finding": ""},
        {"finding": "whatever"},
        {"since": "2027-01-01", "until": "2027-02-01"},
        {"since": "2026-02-02", "until": "2026-02-01"},
        {"since": ""},
        {"until": "9999-12-31"},
        {"note": "x" * 1001},
    ],
)
def test_what_cannot_be_signed_off_is_refused(cast, office, changes, clock):
    assert sign(office, **changes).status_code == 200
    assert not AuditReview.objects.exists()


def test_nobody_signs_off_what_is_about_herself(cast, office):
    assert sign(office, person=str(cast.officer.pk)).status_code == 200
    assert "Another privacy officer" in sign(office, person=str(cast.officer.pk)).content.decode()
    assert sign(office, person=str(cast.outsider.pk)).status_code == 200
    assert not AuditReview.objects.exists()
    assert sign(office, person=str(cast.colleague.pk)).status_code == 302


def test_a_sign_off_cannot_be_rewritten(cast, office):
    sign(office)
    review = AuditReview.objects.get()
    review.finding = "breach"
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        review.save()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        review.delete()


def test_another_clinics_sign_off_is_not_there(cast, office):
    sign(office)
    other = sign_in(person(cast.other_clinic, "other", User.Role.PRIVACY_OFFICER))
    address = reverse("admin:vault_auditentry_review", args=[AuditReview.objects.get().pk])
    assert other.get(address).status_code == 404
    assert not other.get(reverse(REVIEWS)).context["signed"]


# -- files ----------------------------------------------------------------------------------------------------------

EXPORT = "admin:vault_auditentry_export"


def exported(office, form="csv", query=""):
    answer = office.post(f"{reverse(EXPORT)}?{query}", {"form": form})
    assert answer.status_code == 200
    return b"".join(answer.streaming_content).decode()


def test_a_csv_file_holds_what_is_filtered(cast, office, told):
    rows = list(csv.DictReader(io.StringIO(exported(office, query="action=patient.reveal"))))
    assert [int(row["id"]) for row in rows] == [told["refused"].pk, told["read"].pk]
    assert rows[0]["record_number"] == cast.patient.record_number
    assert rows[0]["outcome"] == "refused"


def test_json_lines_are_exact(cast, office):
    audit.record("signin", of(cast.clinician, source="=1+1"), path="=cmd|' /C calc'!A0")
    (row,) = [json.loads(line) for line in exported(office, "jsonl", "action=signin").splitlines()]
    assert (row["source"], row["detail"]) == ("=1+1", {"path": "=cmd|' /C calc'!A0"})


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "＝1+1", '=HYPERLINK("http://x","y")'])
def test_no_cell_is_a_formula(cast, office, name):
    cast.clinician.name = name
    audit.record("signin", of(cast.clinician))
    (row,) = csv.DictReader(io.StringIO(exported(office, query="action=signin")))
    assert row["person_name"] == f"'{name}"


@pytest.mark.parametrize("cell", ["\t=1", "\r=1", "\n=1"])
def test_white_space_hides_no_formula(cell):
    assert audit_files.harmless(cell).startswith("'")


def test_an_export_is_an_entry_before_it_begins_and_another_with_its_digest(cast, office, told):
    answer = office.post(f"{reverse(EXPORT)}?outcome=refused", {"form": "jsonl"})
    began = AuditEntry.objects.get(action="audit.export")
    assert (began.detail["filter"], began.detail["form"]) == ("outcome=refused", "jsonl")
    assert not AuditEntry.objects.filter(action="audit.export.done").exists()
    content = b"".join(answer.streaming_content)
    done = AuditEntry.objects.get(action="audit.export.done")
    kept = AuditExport.objects.get()
    assert done.detail["sha256"] == kept.digest == hashlib.sha256(content).hexdigest()
    assert done.detail["rows"] == kept.rows == len(content.splitlines()) == 1


def test_an_export_that_is_broken_off_is_seen(cast, office, clock):
    answer = office.post(reverse(EXPORT), {"form": "jsonl"})
    next(iter(answer.streaming_content))
    assert AuditExport.objects.get().is_under_way
    clock.move(120)
    assert "broken off" in office.get(reverse("admin:vault_auditentry_progress")).content.decode()
    assert not AuditEntry.objects.filter(action="audit.export.done").exists()


def test_a_file_holds_so_many_rows_and_says_when_there_are_more(cast, office, many, monkeypatch):
    monkeypatch.setattr(audit_files, "MOST_ROWS", 100)
    monkeypatch.setattr(audit_files, "BATCH", 30)
    ids = [json.loads(line)["id"] for line in exported(office, "jsonl").splitlines()]
    assert len(ids) == 100
    assert ids == sorted(ids, reverse=True)
    assert AuditExport.objects.get().capped
    assert "There are more" in office.get(reverse(EXPORT)).content.decode()


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_a_file_holds_every_entry_once(cast, office, many, monkeypatch, batch):
    monkeypatch.setattr(audit_files, "BATCH", batch)
    monkeypatch.setattr(audit_lists, "STRETCH", 20)
    ids = [json.loads(line)["id"] for line in exported(office, "jsonl", "action=patient.change").splitlines()]
    assert ids == [i for i in many if AuditEntry.objects.get(pk=i).action == "patient.change"]
    assert not AuditExport.objects.get().capped


def test_an_export_takes_a_fresh_second_factor(cast, office, clock):
    clock.move(6 * 60)
    answer = office.post(reverse(EXPORT), {"form": "csv"})
    assert not answer.streaming
    assert "current code" in answer.content.decode()
    assert not AuditExport.objects.exists()


def test_only_so_many_exports_a_quarter_of_an_hour(cast, office, monkeypatch):
    from consults import views_audit_work

    monkeypatch.setattr(views_audit_work, "EXPORTS", 1)
    exported(office)
    assert "Wait 15 minutes" in office.post(reverse(EXPORT), {"form": "csv"}).content.decode()


def test_fhir_is_one_valid_event_a_line(cast, office, many):
    lines = exported(office, "fhir").splitlines()
    events = [AuditEvent.model_validate_json(line) for line in lines]
    assert (
        len(events) == len(exported(office, "jsonl").splitlines()) - 2
    )  # the second export has two entries of the first
    assert {"audit.export", "patient.change"} <= {e.subtype[0].code for e in events}


async def test_an_asgi_server_gets_the_file_in_pieces():
    pieces = iter([b"a", b"b"])
    assert [piece async for piece in audit_files.in_pieces(pieces)] == [b"a", b"b"]
