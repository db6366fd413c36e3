"""The audit log as a privacy officer reads it: paged, filtered, by person and patient; by nobody else, and noted."""

from datetime import timedelta

import pytest
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from consults import audit_filters, audit_lists
from consults.audit_filters import Wanted
from consults.audit_lists import Cursor
from tests.cast import bring_to, sign_in
from tests.consults.audit_log import LIST, entry, of, shown
from vault import audit
from vault.models import AuditEntry

ALL, NEWEST = Wanted(), Cursor()


def page(clinic, wanted=ALL, cursor=NEWEST, **more):
    return audit_lists.page(audit_lists.scope(clinic.pk, wanted), cursor, **more)


# -- pages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stretch", [7, 50, 20_000])
@pytest.mark.parametrize("action", ["", "patient.change", "consult.end"])
def test_older_and_newer_pages_have_every_entry_once(cast, many, monkeypatch, stretch, action):
    monkeypatch.setattr(audit_lists, "STRETCH", stretch)
    wanted = Wanted(action=action)
    all_of_them = [i for i in many if not action or AuditEntry.objects.get(pk=i).action == action]
    down, cursor = [], Cursor()
    while True:
        found = page(cast.clinic, wanted, cursor, size=20, patience=60)
        down += [e.pk for e in found.entries]
        assert found.looked_to is None
        if found.older is None:
            break
        cursor = Cursor(before=found.older)
    assert down == all_of_them
    up, cursor = [], Cursor(oldest=True)
    while True:
        found = page(cast.clinic, wanted, cursor, size=20, patience=60)
        up = [e.pk for e in found.entries] + up
        if found.newer is None:
            break
        cursor = Cursor(after=found.newer)
    assert up == all_of_them


def test_there_and_back_is_the_same_page(cast, many):
    first = page(cast.clinic)
    second = page(cast.clinic, cursor=Cursor(before=first.older))
    assert [e.pk for e in page(cast.clinic, cursor=Cursor(after=second.newer)).entries] == [e.pk for e in first.entries]


def test_what_has_an_index_is_found_at_once(cast, many, monkeypatch):
    monkeypatch.setattr(audit_lists, "STRETCH", 3)
    for wanted in (Wanted(action="patient.change"), Wanted(outcome="refused")):
        got = page(cast.clinic, wanted, Cursor(), patience=-1)
        assert got.looked_to is None
        rows = AuditEntry.objects.filter(clinic_id=cast.clinic.pk)
        rows = rows.filter(action=wanted.action) if wanted.action else rows.filter(outcome="refused")
        assert [e.pk for e in got.entries] == list(
            rows.order_by("-id").values_list("pk", flat=True)[: audit_lists.PAGE]
        )


def test_an_entry_without_an_index_is_looked_for_in_steps_that_end(cast, many, monkeypatch):
    """Without patience one stretch is all; the page says how far it came, and the next goes on there."""
    monkeypatch.setattr(audit_lists, "FREQUENT", (*audit_lists.FREQUENT, "patient.change"))
    monkeypatch.setattr(audit_lists, "STRETCH", 30)
    wanted, cursor, steps, found = Wanted(action="patient.change"), Cursor(), 0, []
    while cursor:
        got = page(cast.clinic, wanted, cursor, patience=-1)
        found += [e.pk for e in got.entries]
        steps += 1
        assert (got.looked_to is None) == (got.older is None)
        cursor = Cursor(before=got.older) if got.older is not None else None
    assert steps > 3
    assert found == [i for i in many if AuditEntry.objects.get(pk=i).action == "patient.change"]


@pytest.mark.parametrize("where", ["", "?oldest", "?before=150", "?after=150", "?before=x", "?before=" + "9" * 30])
def test_no_page_counts_the_log(cast, office, many, where):
    from django.db import connection

    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert office.get(LIST + where).status_code == 200
    on_log = [q["sql"] for q in queries if "vault_auditentry" in q["sql"]]
    assert on_log
    assert not [sql for sql in on_log if "COUNT(" in sql.upper()]
    assert not [sql for sql in on_log if sql.startswith("SELECT") and "LIMIT" not in sql]


# -- filters --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (lambda c, t: Wanted(action="patient.reveal"), ["refused", "read"]),
        (lambda c, t: Wanted(outcome="refused"), ["refused"]),
        (lambda c, t: Wanted(about="consents"), ["older", "old"]),
        (lambda c, t: Wanted(role="clinician", action="consult.view"), ["visit"]),
        (lambda c, t: Wanted(person=str(c.colleague.pk)), ["older", "old", "refused"]),
        (lambda c, t: Wanted(patient=str(c.patient.pk), person=str(c.colleague.pk)), ["refused"]),
        (lambda c, t: Wanted(consult=str(t["consult"].pk), action="consult.view"), ["visit"]),
        (lambda c, t: Wanted(since="2026-03-10", until="2026-03-10"), ["old"]),
        (lambda c, t: Wanted(since="2026-03-08", until="2026-03-09"), ["older"]),
        (lambda c, t: Wanted(until="2026-03-01"), []),
        (lambda c, t: Wanted(purpose="treat"), ["read"]),
        (lambda c, t: Wanted(source="192.0.2.9"), ["visit", "refused"]),
        (lambda c, t: Wanted(person=str(c.colleague.pk), session="0123456789abcdef"), ["refused"]),
    ],
)
def test_a_filter_shows_its_entries_and_no_others(cast, office, told, wanted, names):
    wanted = wanted(cast, told)
    answer = office.get(LIST, dict(x.split("=") for x in wanted.query.split("&")))
    assert answer.status_code == 200
    assert shown(answer) == [told[name].pk for name in names]
    assert len(answer.context["chips"]) == wanted.query.count("=")


@pytest.mark.parametrize(
    "odd",
    [
        {"action": "no.such"},
        {"outcome": "x"},
        {"about": "x"},
        {"role": "x"},
        {"person": "x"},
        {"patient": "00000000-0000-4000-8000-000000000000"},
        {"since": "yesterday"},
        {"since": "0001-01-01"},
        {"until": "9999-12-31"},
        {"purpose": "x"},
        {"source": "nowhere"},
        {"source": "192.0.2.09"},
        {"session": "0123456789ABCDEF"},
    ],
)
def test_an_address_that_no_page_makes_finds_nothing(office, odd):
    """Rather than everything, which an officer would take for what she asked for."""
    assert office.get(LIST, odd).status_code == 404


def test_another_clinics_people_patients_and_visits_are_no_filter(cast, office):
    visit = bring_to("started", cast.outsider, cast.outsiders_patient).consult
    for name, key in {"person": cast.outsider.pk, "patient": cast.outsiders_patient.pk, "consult": visit.pk}.items():
        assert office.get(LIST, {name: str(key)}).status_code == 404


def narrowed(browser, **typed):
    answer = browser.post(reverse("admin:vault_auditentry_narrow"), typed)
    assert answer.status_code == 302
    return answer.headers["Location"]


def test_typed_filters_become_ids_in_the_address(cast, office):
    number = cast.patient.record_number
    assert narrowed(office, record_number=f" {number.lower()} ") == f"{LIST}?patient={cast.patient.pk}"
    assert narrowed(office, what="about:consents", since="2026-01-01") == f"{LIST}?about=consents&since=2026-01-01"
    assert narrowed(office, what="action:signin", outcome="failed", person=str(cast.clinician.pk)) == (
        f"{LIST}?person={cast.clinician.pk}&action=signin&outcome=failed"
    )


def test_a_typed_filter_that_fits_nothing_is_left_out_and_said(cast, office):
    for typed in (
        {"record_number": "Quixplotz"},
        {"record_number": cast.outsiders_patient.record_number},
        {"consult": "x"},
        {"consult": "00000000-0000-4000-8000-000000000000"},
        {"since": "soon"},
        {"person": str(cast.outsider.pk)},
        {"what": "action:no.such"},
        {"source": "the hospital"},
        {"session": "x"},
        {"purpose": "no.such"},
    ):
        to = narrowed(office, **typed)
        assert "uixplotz" not in to
        assert to == LIST
        assert office.get(to).context["messages"], typed


def test_search_finds_record_numbers_people_ids_and_acts(cast, office):
    visit = bring_to("started", cast.clinician, cast.patient).consult
    hers = reverse("admin:vault_auditentry_patient", args=[cast.patient.pk])
    assert narrowed(office, q=cast.patient.record_number) == hers
    assert narrowed(office, q="coll") == f"{LIST}?person={cast.colleague.pk}"
    assert narrowed(office, q=str(visit.pk)) == f"{LIST}?consult={visit.pk}"
    assert narrowed(office, q="emergency access") == f"{LIST}?action=patient.break_glass"
    assert narrowed(office, q="court authority") == f"{LIST}?purpose=authority"
    assert narrowed(office, q=" 192.0.2.9 ") == f"{LIST}?source=192.0.2.9"
    assert narrowed(office, q="0123456789abcdef") == f"{LIST}?session=0123456789abcdef"
    own, other = entry(cast.clinician), entry(cast.outsider)
    assert narrowed(office, q=str(own.pk)) == reverse("admin:vault_auditentry_change", args=[own.pk])
    assert narrowed(office, q=str(other.pk)) == LIST
    choices = office.post(reverse("admin:vault_auditentry_narrow"), {"q": "consent"}).context["choices"]
    assert len(choices) > 3
    # what belongs to another clinic, and what is protected, is not found
    for typed in ("Outsider", "Quixplotz", cast.outsiders_patient.record_number, str(cast.outsiders_patient.pk)):
        assert narrowed(office, q=typed) == LIST


def test_an_entry_leads_to_what_came_from_the_same_place_and_session(cast, office):
    made = entry(cast.clinician, source="2001:db8::7", session="0123456789abcdef")
    text = office.get(reverse("admin:vault_auditentry_change", args=[made.pk])).content.decode()
    for query in ("source=2001%3Adb8%3A%3A7", f"person={cast.clinician.pk}&amp;session=0123456789abcdef"):
        assert f'href="../../?{query}"' in text
    assert shown(office.get(LIST, {"source": "2001:db8::7"})) == [made.pk]


def test_every_action_belongs_to_something():
    kinds = [kind for _, several in audit_filters.ABOUT.values() for kind in several]
    assert {action.partition(".")[0] for action in audit.ACTIONS} == set(kinds)
    assert len(kinds) == len(set(kinds))


# -- who sees it ----------------------------------------------------------------------------------------------------

PAGES = ["changelist", "activity", "reviews", "export", "progress"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_its_own_clinics_entries_only(cast, office, told, name):
    text = office.get(reverse(f"admin:vault_auditentry_{name}")).content.decode()
    for secret in ("Outsider", str(cast.outsider.pk), cast.outsiders_patient.record_number):
        assert secret not in text


def test_timelines_of_another_clinic_are_not_there(cast, office):
    visit = bring_to("started", cast.outsider, cast.outsiders_patient).consult
    theirs = {"patient": cast.outsiders_patient.pk, "person": cast.outsider.pk, "consult": visit.pk}
    for name, key in theirs.items():
        assert office.get(reverse(f"admin:vault_auditentry_{name}", args=[key])).status_code == 404
    assert AuditEntry.objects.filter(action="access.denied").count() == 3


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_nobody_changes_an_entry_in_the_admin(cast, method):
    mine = entry(cast.officer)
    before = list(AuditEntry.objects.filter(pk=mine.pk).values())
    for user in cast.staff.values():
        browser = sign_in(user)
        for part in ("change/", "delete/"):
            answer = getattr(browser, method)(f"{LIST}{mine.pk}/{part}", {"action": "signin", "post": "yes"})
            assert answer.status_code in (302, 403, 404, 405)
        assert getattr(browser, method)(LIST, {"action": "delete_selected"}).status_code in (302, 403, 404, 405)
    assert list(AuditEntry.objects.filter(pk=mine.pk).values()) == before


def test_there_is_no_account_above_the_roles(cast):
    """No flag opens what the role does not: there is none, and whoever may all else reads no log."""
    assert not {"is_superuser", "user_permissions", "groups"} & {field.name for field in User._meta.get_fields()}
    for name in PAGES:
        assert sign_in(cast.operator).get(reverse(f"admin:vault_auditentry_{name}")).status_code in (403, 404)
    assert sign_in(cast.officer).get(f"{LIST}add/").status_code in (403, 404)


def test_each_look_is_one_entry(cast, office, told):
    looks = {
        LIST: "list",
        f"{LIST}?action=patient.reveal": "list",
        reverse("admin:vault_auditentry_patient", args=[cast.patient.pk]): "timeline of a patient",
        reverse("admin:vault_auditentry_person", args=[cast.clinician.pk]): "timeline of a person",
        reverse("admin:vault_auditentry_consult", args=[told["consult"].pk]): "timeline of a consult",
        reverse("admin:vault_auditentry_activity"): "activity",
        reverse("admin:vault_auditentry_reviews"): "reviews",
        reverse("admin:vault_auditentry_export"): "export",
        reverse("admin:vault_auditentry_change", args=[told["read"].pk]): "entry",
    }
    for address, said in looks.items():
        newest = audit_lists.newest_id()
        assert office.get(address).status_code == 200
        new = AuditEntry.objects.filter(pk__gt=newest)
        assert [(e.action, e.detail["page"], e.person) for e in new] == [("audit.view", said, str(cast.officer.pk))]
    of_hers = AuditEntry.objects.filter(action="audit.view", patient=str(cast.patient.pk))
    assert {e.detail["page"] for e in of_hers} == {"timeline of a patient", "entry"}


# -- timelines ------------------------------------------------------------------------------------------------------


def test_a_timeline_has_both_orders_by_day(cast, office):
    noon = timezone.now().replace(hour=12, minute=0)
    rows = [entry(cast.clinician, at=noon - timedelta(days=4 - n // 2), patient=cast.patient.pk) for n in range(6)]
    address = reverse("admin:vault_auditentry_patient", args=[cast.patient.pk])
    newest = office.get(address)
    assert [i for i in shown(newest) if i >= rows[0].pk] == [r.pk for r in reversed(rows)]
    oldest = office.get(address, {"order": "oldest"})
    ids = shown(oldest)
    assert ids == sorted(ids)
    assert [len(day.lines) for day in newest.context["days"]][:3] == [2, 2, 2]


def test_a_timeline_of_a_patient_has_what_the_system_did(cast, office):
    """Processes belong to no clinic; what they did to the record is hers all the same. Another clinic's is not."""
    ours = audit.record("vault.tamper", audit.SYSTEM, patient=cast.patient.pk, outcome="failed")
    theirs = audit.record("patient.view", of(cast.outsider), patient=cast.patient.pk)
    ids = shown(office.get(reverse("admin:vault_auditentry_patient", args=[cast.patient.pk])))
    assert ours.pk in ids
    assert theirs.pk not in ids


def test_a_page_of_a_timeline_leads_on_in_either_order(cast, office):
    rows = [entry(cast.clinician).pk for _ in range(120)]
    address = reverse("admin:vault_auditentry_person", args=[cast.clinician.pk])
    for order, wanted in (("oldest", rows), ("newest", rows[::-1])):
        query, found = f"order={order}", []
        while query:
            answer = office.get(f"{address}?{query}")
            found += shown(answer)
            page = answer.context["page"]
            nexts = {"newest": ("before", page.older), "oldest": ("after", page.newer)}
            name, start = nexts[order]
            query = f"order={order}&{name}={start}" if start is not None else ""
        assert found == wanted


# -- activity -------------------------------------------------------------------------------------------------------


def test_activity_counts_by_hour_and_by_day(cast, office):
    now = timezone.now()
    for hours in (0, 0, 1, 3, 30):
        entry(cast.clinician, at=now - timedelta(hours=hours))
    entry(cast.clinician, at=now - timedelta(hours=3), outcome="refused")
    entry(cast.outsider, at=now - timedelta(hours=3))
    address = reverse("admin:vault_auditentry_activity")
    before = {s: office.get(address, {"span": s}).context["chart"] for s in ("day", "week", "month", "quarter", "year")}
    # what was made with the cast belongs to nobody's clinic; the looks at this page to ours
    assert [(c.refused, c.total - looks) for looks, c in enumerate(before.values())] == [(1, 5)] + [(1, 6)] * 4
    week = office.get(address, {"span": "week"}).context["bars"]
    assert (week[3].done, week[3].refused) == (1, 1)
    assert office.get(address, {"span": "century"}).status_code == 404


def test_hours_that_are_over_are_counted_once(cast, office, django_assert_num_queries):
    from consults import audit_activity
    from consults.audit_models import AuditHour

    now = timezone.now()
    entry(cast.clinician, at=now - timedelta(hours=50))
    audit_activity.keep_up()
    counted = AuditHour.objects.count()
    assert 47 <= counted <= 50
    audit_activity.keep_up()
    assert AuditHour.objects.count() == counted
    span = audit_activity.SPANS["week"]
    bars = audit_activity.bars(cast.clinic, span, now)
    assert sum(bar.total for bar in bars) == 1
    with django_assert_num_queries(2):  # what is kept, and the hours still open
        assert audit_activity.bars(cast.clinic, span, now) == bars


def test_what_is_not_counted_yet_is_said(cast, office, monkeypatch):
    from consults import audit_activity

    monkeypatch.setattr(audit_activity, "PATIENCE", -1)
    answer = office.get(reverse("admin:vault_auditentry_activity"), {"span": "month"})
    # In its first two hours, a day has no hour yet that is over for good.
    assert answer.context["uncounted"] == 30 - (timezone.localtime().hour < 2)
    assert "still being counted" in answer.content.decode()
