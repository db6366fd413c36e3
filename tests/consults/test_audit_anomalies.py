"""What stands out in the log: the rules, their edges, and what a page shows of it."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from accounts.models import User
from consults import audit_anomalies, audit_lists, concerns
from tests.cast import BY, person
from tests.consults.audit_log import LIST, entry, shown
from vault import shredding
from vault.models import AuditEntry

NINE = datetime(2026, 5, 5, 9, tzinfo=UTC)


def rows_of(user, minutes, *, outcome="done", start=NINE, action="patient.reveal"):
    return [
        AuditEntry(
            id=n + 1,
            at=start + timedelta(minutes=m),
            action=action,
            outcome=outcome,
            person=str(user),
            person_name="X",
            patient=str(n),
        )
        for n, m in enumerate(minutes)
    ]


@pytest.mark.parametrize(
    ("minutes", "stands_out"),
    [
        (range(0, 60, 3), True),  # twenty in an hour
        (range(0, 57, 3), False),  # nineteen
        (range(0, 80, 4), False),  # twenty in eighty minutes
        ([*range(0, 300, 60), *range(400, 440, 2)], True),  # after a quiet morning
    ],
)
def test_many_patients_within_an_hour_stand_out(minutes, stands_out):
    assert bool(list(audit_anomalies.many_patients(rows_of("a", minutes)))) == stands_out


def test_the_same_patient_again_and_again_is_one_patient():
    rows = rows_of("a", range(40))
    for row in rows:
        row.patient = "1"
    assert not list(audit_anomalies.many_patients(rows))


@pytest.mark.parametrize(("minutes", "stands_out"), [(range(5), True), (range(4), False), (range(0, 50, 10), False)])
def test_refusals_in_a_burst_stand_out(minutes, stands_out):
    assert bool(list(audit_anomalies.refusals(rows_of("a", minutes, outcome="refused")))) == stands_out
    assert not list(audit_anomalies.refusals(rows_of("a", minutes)))


@pytest.mark.parametrize(("minutes", "stands_out"), [(range(5), True), (range(4), False), (range(0, 50, 10), False)])
def test_wrong_passwords_in_a_burst_stand_out(minutes, stands_out):
    rows = rows_of("a", minutes, outcome="failed", action="signin.password")
    assert bool(list(audit_anomalies.guesses(rows))) == stands_out
    assert not list(audit_anomalies.guesses(rows_of("a", minutes, outcome="failed")))
    assert not list(audit_anomalies.refusals(rows))


def test_guesses_at_an_account_are_shown(cast, office):
    for _ in range(5):
        entry(cast.clinician, "signin.password", outcome="failed")
    (one,) = unusual(office)["guess"]
    assert (one.who, one.wanted.outcome) == (cast.clinician.name, "failed")


@pytest.mark.parametrize("action", ["patient.view", "consult.note.read"])
def test_a_namesakes_masked_record_and_notes_are_looked_at_too(cast, office, action):
    namesake = person(cast.clinic, "namesake", User.Role.CLINICIAN)
    namesake.name = "Dr Ana Quixplotz"
    namesake.save()
    entry(namesake, action, patient=cast.patient.pk)
    (one,) = unusual(office)["relative"]
    assert one.who == "Dr Ana Quixplotz"


@pytest.mark.parametrize(("hour", "stands_out"), [(6, True), (7, False), (19, False), (20, True), (23, True)])
def test_reading_outside_opening_hours_stands_out(hour, stands_out):
    rows = rows_of("a", [0, 1, 2], start=NINE.replace(hour=hour))
    found = list(audit_anomalies.after_hours(rows, 7, 20, range(1, 8)))
    assert bool(found) == stands_out
    if found:
        assert "3 patients" in found[0].sentence


@pytest.mark.parametrize(("day", "stands_out"), [(8, False), (9, True), (10, True), (11, False)])
def test_reading_on_a_day_off_stands_out(day, stands_out):
    rows = rows_of("a", [0], start=NINE.replace(day=day))  # the 9th of May 2026 is a Saturday
    assert bool(list(audit_anomalies.after_hours(rows, 7, 20, {1, 2, 3, 4, 5}))) == stands_out


def test_opening_hours_are_the_clinics(settings):
    with timezone.override("Asia/Tokyo"):
        assert list(audit_anomalies.after_hours(rows_of("a", [0], start=NINE.replace(hour=12)), 7, 20, range(1, 8)))


def unusual(office, **query):
    answer = office.get(LIST, query)
    return {kind: list(found) for kind, found in answer.context.get("unusual", [])}


def test_emergency_access_and_decoys_stand_on_top_until_they_are_signed_off(cast, office):
    concern = concerns.break_glass(cast.colleague, cast.patient, "Collapsed on the phone", BY)
    concerns.decoy_read(cast.colleague, cast.patient, BY)
    assert list(unusual(office)) == ["decoy", "break_glass"]
    concerns.sign(concern, cast.officer, finding="justified", note="", by=BY)
    assert list(unusual(office)) == ["decoy"]


def test_a_patient_of_the_readers_surname_stands_out_and_her_name_is_not_shown(cast, office):
    namesake = person(cast.clinic, "namesake", User.Role.CLINICIAN)
    namesake.name = "Dr Ana Quixplotz-Berg"
    namesake.save()
    entry(namesake, "patient.reveal", patient=cast.patient.pk)
    entry(cast.clinician, "patient.reveal", patient=cast.patient.pk)
    answer = office.get(LIST)
    found = {kind: list(rows) for kind, rows in answer.context["unusual"]}
    assert [one.who for one in found["relative"]] == ["Dr Ana Quixplotz-Berg"]
    assert "Maria" not in answer.content.decode()
    assert "1984" not in answer.content.decode()


def test_a_name_is_compared_without_accents_and_never_by_first_name(cast):
    from consults.audit_relatives import own, possible

    assert own("Dr José Núñez") & possible("Ana Maria Nunez Lopez")
    assert own("Fatima Al-Sayed") & possible("Omar al sayed")
    assert not own("Peter Thomas") & possible("Thomas Miller")
    assert not own("Li") & possible("Li Na")


def test_a_record_that_does_not_open_is_left_out_and_noted(cast, office):
    from vault.models import SealedRecord

    entry(cast.clinician, "patient.reveal", patient=cast.patient.pk)
    SealedRecord.objects.filter(patient=cast.patient).update(sealed=b"broken")
    assert office.get(LIST).status_code == 200
    assert AuditEntry.objects.filter(action="vault.tamper", patient=str(cast.patient.pk)).count() == 1


def test_an_erased_patient_is_not_compared(cast, office):
    entry(cast.clinician, "patient.reveal", patient=cast.patient.pk)
    shredding.shred(cast.patient, BY, reason="request")
    assert office.get(LIST).status_code == 200
    assert not AuditEntry.objects.filter(action="vault.tamper").exists()


def test_names_are_compared_for_so_many_patients_and_no_more(cast, office, monkeypatch):
    from consults import audit_relatives

    monkeypatch.setattr(audit_relatives, "MOST_OPENED", 1)
    entry(cast.clinician, "patient.reveal", patient=cast.patient.pk)
    entry(cast.clinician, "patient.reveal", patient=cast.colleagues_patient.pk)
    answer = office.get(LIST)
    assert (answer.context["found"].compared, answer.context["found"].left_out) == (1, 1)
    assert "newest 1 patients only" in " ".join(answer.content.decode().split())


def test_what_stands_out_is_looked_for_in_a_stretch_that_ends(cast, office, monkeypatch):
    for _ in range(30):
        entry(cast.clinician, "patient.view")
    assert office.get(LIST).context["found"].looked_to is None
    monkeypatch.setattr(audit_lists, "NEWEST", 10)
    assert office.get(LIST).context["found"].looked_to is not None


def test_what_stands_out_leads_to_its_entries(cast, office):
    late = timezone.now().replace(hour=2, minute=0) - timedelta(days=1)
    rows = [entry(cast.clinician, "patient.reveal", at=late, patient=cast.patient.pk) for _ in range(3)]
    later = entry(cast.clinician)
    (one,) = unusual(office)["hours"]
    ids = shown(office.get(f"{LIST}?{one.wanted.query}&before={one.before}"))
    assert ids[:3] == [row.pk for row in reversed(rows)]
    assert later.pk not in ids
