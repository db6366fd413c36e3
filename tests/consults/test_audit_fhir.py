"""Every kind of entry as a FHIR R4 AuditEvent: valid, and shaped as IHE's Basic Audit Log Patterns 1.1 ask."""

import base64
import datetime as dt
import json
import uuid

import pytest
from django.conf import settings
from fhir.resources.R4B.auditevent import AuditEvent

from accounts.models import User
from consults.audit_fhir import BALP, KIND_OF, PURPOSES_OF_USE, event, profile_of
from vault.audit import ACTIONS
from vault.models import AuditEntry
from vault.patients import PURPOSES

CLINIC, PATIENT, CONSULT = uuid.UUID(int=1), str(uuid.UUID(int=2)), str(uuid.UUID(int=3))
WHO = [("clinician", "17", "Dr Ana Ruiz"), ("patient", PATIENT, ""), ("nobody", "", ""), ("system", "sealer", "")]
AUT, IRCP, INF, CST = "AUT", "IRCP", "INF", "CST"
#: profile -> subtype, action, type of the client's agent, of the server's, those a user's may have. From the profiles'
#: sources, https://github.com/IHE/ITI.BasicAudit (1.1)
REST = {
    "Create": ("create", "C", "110153", "110152", {AUT, INF, CST}),
    "Read": ("read", "R", "110152", "110153", {IRCP}),
    "Update": ("update", "U", "110153", "110152", {AUT, INF, CST}),
    "Delete": ("delete", "D", "110150", "custodian", {AUT, INF, CST}),
    "Query": ("search", "E", "110153", "110152", {IRCP}),
}
DISCLOSURE = "PrivacyDisclosure.Source"


def entry(action="patient.view", **more):
    given = {
        "pk": 41,
        "at": dt.datetime(2026, 5, 12, 10, 2, 3, 456789, tzinfo=dt.UTC),
        "outcome": "done",
        "clinic_id": CLINIC,
        "person": "17",
        "person_name": "Dr Ana Ruiz",
        "role": User.Role.CLINICIAN,
        "patient": PATIENT,
        "source": "192.0.2.7",
        "session": "a1b2c3d4e5f60718",
        "detail": {"fields": ["phone"], "found": 3},
    }
    return AuditEntry(action=action, **(given | more))


def codes(elements, system=""):
    return [one["code"] for one in elements if system in one["system"]]


def agent(made, code):
    (found,) = [one for one in made["agent"] if codes(one["type"]["coding"]) == [code]]
    return found


def of_type(made, code):
    return [one for one in made["entity"] if one["type"]["code"] == code]


def meets(made, profile):
    """Fails where the event is not what this profile of BALP asks for."""
    name = profile.removeprefix(BALP)
    assert made["outcome"] == "0"
    if name == DISCLOSURE:
        assert (made["type"]["code"], made["action"]) == ("110106", "R")
        assert "disclose" in codes(made["subtype"])
        source, recipient = agent(made, "110153"), agent(made, "110152")
        assert source["who"] == made["source"]["observer"]
        assert source["network"]
        assert recipient["network"]
        patients = of_type(made, "1")
    else:
        subtype, action, client, server, users = REST[name.removeprefix("Patient")]
        assert (made["type"]["code"], made["action"]) == ("rest", action)
        assert codes(made["subtype"], "restful-interaction") == [subtype]
        for one in (agent(made, client), agent(made, server)):
            assert one["who"]
            assert one["network"]
            assert "media" not in one
        assert agent(made, server)["who"] == made["source"]["observer"] != agent(made, client)["who"]
        for one in made["agent"]:
            if one["requestor"] and codes(one["type"]["coding"])[0] not in (client, server):
                assert codes(one["type"]["coding"])[0] in users
                assert one["who"]
                assert "network" not in one
        (data,) = of_type(made, "2")
        if subtype == "search":
            assert data["role"]["code"] == "24"
            assert base64.b64decode(data["query"])
            assert not {"what", "lifecycle", "detail", "name"} & data.keys()
        else:
            assert data["what"]
            assert data["role"]["code"] in ("3", "4", "20")
        patients = of_type(made, "1") if name.startswith("Patient") else []
        assert name.startswith("Patient") == bool(of_type(made, "1"))
    for one in patients:
        assert one["role"]["code"] == "1"
        assert one["what"].get("type") == "Patient" or one["what"]["reference"].startswith("Patient/")
    if name.startswith("Patient") or name == DISCLOSURE:
        assert len(patients) == 1


def test_every_action_has_its_kind():
    assert set(KIND_OF) == set(ACTIONS)


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_every_entry_is_a_valid_event_and_what_its_profile_asks(action):
    for outcome in AuditEntry.Outcome.values:
        for role, person, name in WHO:
            for more in ({}, {"patient": "", "source": "", "session": "", "clinic_id": None}, {"consult": CONSULT}):
                one = entry(action, outcome=outcome, role=role, person=person, person_name=name, **more)
                made = event(one)
                AuditEvent.model_validate_json(json.dumps(made))
                assert sum(agent["requestor"] for agent in made["agent"]) == 1
                assert all(not ("name" in e and "query" in e) for e in made["entity"])  # sev-1
                claimed = made.get("meta", {}).get("profile", [])
                assert claimed == ([profile_of(one)] if profile_of(one) else [])
                for profile in claimed:
                    meets(made, profile)


def test_profiles_are_claimed_where_they_fit():
    claims = {action: profile_of(entry(action)).removeprefix(BALP) for action in ACTIONS}
    assert claims["patient.view"] == claims["patient.reveal"] == "PatientRead"
    assert claims["patient.search"] == "PatientQuery"
    assert claims["patient.create"] == "PatientCreate"
    assert claims["patient.change"] == "PatientUpdate"
    assert claims["patient.shred"] == "PatientDelete"
    assert claims["patient.export"] == DISCLOSURE
    assert profile_of(entry("patient.search", patient="")).removeprefix(BALP) == "Query"
    assert profile_of(entry("patient.export", patient="")) == ""


@pytest.mark.parametrize("spoil", [{"outcome": "refused"}, {"outcome": "failed"}, {"source": ""}])
def test_no_profile_is_claimed_of_what_was_refused_or_came_over_no_network(spoil):
    assert profile_of(entry("patient.view", **spoil)) == ""


def test_it_says_who_where_from_why_and_what():
    made = event(entry("patient.reveal", purpose="contact", consult=CONSULT))
    user = agent(made, IRCP)
    assert user["who"] == {"reference": "Practitioner/17", "display": "Dr Ana Ruiz"}
    assert user["role"] == [{"text": "clinician"}]
    assert agent(made, "110152")["network"] == {"address": "192.0.2.7", "type": "2"}
    assert agent(made, "110152")["who"]["identifier"]["value"] == "a1b2c3d4e5f60718"
    assert made["recorded"] == "2026-05-12T10:02:03.456+00:00"
    assert made["purposeOfEvent"][0]["coding"] == [PURPOSES_OF_USE["contact"]]
    assert {"type": "fields", "valueString": '["phone"]'} in of_type(made, "2")[0]["detail"]
    assert of_type(made, "2")[0]["what"] == {"reference": f"Encounter/{CONSULT}"}
    assert of_type(made, "1")[0]["what"] == {"reference": f"Patient/{PATIENT}"}
    assert "patient.reveal" in codes(made["subtype"])


def test_the_same_entry_has_the_same_id_every_time():
    assert event(entry())["id"] == event(entry())["id"] != event(entry(pk=42))["id"]


def test_every_purpose_has_its_code():
    assert set(PURPOSES) <= set(PURPOSES_OF_USE)


@pytest.mark.parametrize(
    "odd",
    [
        {"detail": ["not", "an", "object"]},
        {"detail": {"": "", "deep": {"a": [1, None]}}},
        {"detail": None},
        {"person_name": "\x00\x1b[31m\ud800", "person": "../../etc"},
        {"purpose": "something of one's own"},
        {"source": "not an address"},
        {"action": "no.such.action"},
        {"role": "no_such_role", "person": ""},
        {"patient": "x" * 65},
    ],
)
def test_an_entry_of_any_shape_is_a_valid_event(odd):
    for action in ("patient.search", "patient.reveal", "access.denied"):
        text = json.dumps(event(entry(**({"action": action} | odd))), ensure_ascii=False)
        AuditEvent.model_validate_json(text.encode())


def test_the_written_table_lists_every_event():
    text = (settings.BASE_DIR / "vault" / "AUDIT.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:3] == "| `"]
    events = [row for row in rows if len(row) == 4]
    assert {row[0].strip("`"): row[1] for row in events} == ACTIONS
    claims = {action: profile_of(entry(action)).removeprefix(BALP).removeprefix("Patient") for action in ACTIONS}
    assert {row[0].strip("`"): row[3] for row in events} == claims
