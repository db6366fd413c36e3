"""Any entry of the log as a FHIR R4 AuditEvent, shaped by IHE's Basic Audit Log Patterns (BALP 1.1) where one fits.

https://profiles.ihe.net/ITI/BALP. A profile is claimed only of what meets it: done, over a network, with its patient
where the profile wants one. What was refused or failed has the same shape and claims none, as BALP says.
"""

import base64
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from django.conf import settings

from accounts.models import User
from consults.audit_lines import WHY
from consults.export_coding import DICOM, URI, Json, coding, concept, moment, plain, terminology
from vault.audit import ACTIONS
from vault.models import AuditEntry

BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
DONE = AuditEntry.Outcome.DONE
OUTCOMES: dict[str, str] = {DONE: "0", AuditEntry.Outcome.REFUSED: "4", AuditEntry.Outcome.FAILED: "8"}

#: resource type and id -> what stands in a Reference, or "" where the reader has no such resource
Refer = Callable[[str, str], str]


# -- kinds of events ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kind:
    """`action`: FHIR's audit-event-action. `client`, `server`, `user`: the agents' types. `profile`: BALP's, if any."""

    type: Json
    action: str
    subtype: tuple[Json, ...] = ()
    profile: str = ""
    client: Json | None = None
    server: Json | None = None
    user: Json | None = None


def _dicom(code: str, display: str) -> Json:
    return coding(DICOM, code, display)


SOURCE, DESTINATION = _dicom("110153", "Source Role ID"), _dicom("110152", "Destination Role ID")
RECIPIENT = coding(terminology("v3-ParticipationType"), "IRCP", "information recipient")
AUTHOR = coding(terminology("v3-ParticipationType"), "AUT", "author (originator)")
CUSTODIAN = coding(terminology("provenance-participant-type"), "custodian", "Custodian")
CLINIC = coding(terminology("v3-RoleClass"), "PROV", "healthcare provider")
DISCLOSED = coding(terminology("iso-21089-lifecycle"), "disclose", "Disclose Record Lifecycle Event")
BROKE_GLASS = coding(terminology("v3-ActReason"), "BTG", "break the glass")


def _rest(interaction: str, action: str, profile: str, client: Json, server: Json, user: Json) -> Kind:
    subtype = coding("http://hl7.org/fhir/restful-interaction", interaction, interaction)
    kind = coding(terminology("audit-event-type"), "rest", "Restful Operation")
    return Kind(kind, action, (subtype,), profile, client, server, user)


def _other(code: str, display: str, action: str, *subtype: Json) -> Kind:
    return Kind(_dicom(code, display), action, subtype, "", SOURCE, DESTINATION, AUTHOR)


# Who sends and who gets: what is read goes to the browser, all else comes from it. So BALP has it, a query included.
READ = _rest("read", "R", "Read", DESTINATION, SOURCE, RECIPIENT)
QUERY = _rest("search", "E", "Query", SOURCE, DESTINATION, RECIPIENT)
CREATE = _rest("create", "C", "Create", SOURCE, DESTINATION, AUTHOR)
UPDATE = _rest("update", "U", "Update", SOURCE, DESTINATION, AUTHOR)
DELETE = _rest("delete", "D", "Delete", _dicom("110150", "Application"), CUSTODIAN, AUTHOR)
DISCLOSURE = Kind(
    _dicom("110106", "Export"), "R", (DISCLOSED,), "PrivacyDisclosure.Source", DESTINATION, SOURCE, RECIPIENT
)
IMPORT = _other("110107", "Import", "C")
AUTHENTICATION = _other("110114", "User Authentication", "E")
LOGIN = _other("110114", "User Authentication", "E", _dicom("110122", "Login"))
LOGOUT = _other("110114", "User Authentication", "E", _dicom("110123", "Logout"))
ALERT = _other("110113", "Security Alert", "E")
DENIED = _other("110113", "Security Alert", "E", _dicom("110132", "Use of Restricted Function"))
EMERGENCY = _other("110113", "Security Alert", "E", _dicom("110127", "Emergency Override Started"))
ACCOUNT = _other("110113", "Security Alert", "U", _dicom("110137", "User Security Attributes Changed"))
KEYS = _other("110113", "Security Alert", "U", _dicom("110129", "Security Configuration"))
ACTIVITY = _other("110100", "Application Activity", "E")
LOG_USED = _other("110101", "Audit Log Used", "R")

KIND_OF = {
    "signin.password": AUTHENTICATION,
    "signin": LOGIN,
    "signout": LOGOUT,
    "signin.stepup": AUTHENTICATION,
    "account.activate": ACCOUNT,
    "account.enrol": ACCOUNT,
    "account.recovery_codes": ACCOUNT,
    "account.password": ACCOUNT,
    "account.link": ACCOUNT,
    "account.change": ACCOUNT,
    "access.denied": DENIED,
    "patient.create": CREATE,
    "patient.search": QUERY,
    "patient.view": READ,
    "patient.change": UPDATE,
    "patient.reveal": READ,
    "patient.break_glass": EMERGENCY,
    "patient.canary": ALERT,
    "review.told": ALERT,
    "review.view": READ,
    "review.sign": UPDATE,
    "patient.shred": DELETE,
    "patient.export": DISCLOSURE,
    "patient.import": IMPORT,
    "consult.create": CREATE,
    "consult.list": QUERY,
    "consult.view": READ,
    "consult.devices": UPDATE,
    "consult.waiting": UPDATE,
    "consult.admit": UPDATE,
    "consult.connect": ACTIVITY,
    "consult.phone": UPDATE,
    "consult.proof": AUTHENTICATION,
    "consult.proof.differ": ALERT,
    "consult.end": UPDATE,
    "consult.note": CREATE,
    "consult.note.read": READ,
    "invite.create": CREATE,
    "invite.mail": CREATE,
    "invite.sent": ACTIVITY,
    "invite.revoke": UPDATE,
    "invite.view": READ,
    "invite.redeem": LOGIN,
    "identity.check": AUTHENTICATION,
    "consent.voice.agree": UPDATE,
    "consent.voice": CREATE,
    "consent.voice.drop": DELETE,
    "consent.voice.play": READ,
    "consent.draft": UPDATE,
    "consent.statement": CREATE,
    "consent.give": CREATE,
    "consent.withdraw": CREATE,
    "consent.withdraw.ask": READ,
    "consent.erase": DELETE,
    "retention.choose": UPDATE,
    "hold.place": CREATE,
    "hold.view": READ,
    "hold.lift": UPDATE,
    "receipt.open": READ,
    "receipt.take": READ,
    "receipt.proof": READ,
    "receipt.close": UPDATE,
    "vault.keys": KEYS,
    "vault.tamper": ALERT,
    "admin.view": READ,
    "audit.view": LOG_USED,
    "audit.verify": LOG_USED,
    "audit.review": LOG_USED,
    "audit.saved_view": LOG_USED,
    "audit.export": LOG_USED,
    "audit.export.done": LOG_USED,
    "audit.month": LOG_USED,
    "audit.archive": LOG_USED,
    "audit.drop": LOG_USED,
    "board.view": QUERY,
    "board.visit": READ,
    "board.reliability": QUERY,
    "watch.raise": ALERT,
    "watch.clear": ACTIVITY,
    "watch.told": ACTIVITY,
    "worker.monitor": ACTIVITY,
    "worker.close": ACTIVITY,
}


def kind_of(entry: AuditEntry) -> Kind:
    return KIND_OF.get(entry.action, ACTIVITY)


def profile_of(entry: AuditEntry) -> str:
    """The BALP profile that this entry's event meets, or ""."""
    name = kind_of(entry).profile
    if not name or entry.outcome != DONE or not entry.source:
        return ""
    if kind_of(entry) is DISCLOSURE:
        return f"{BALP}{name}" if entry.patient else ""
    return f"{BALP}{'Patient' if entry.patient else ''}{name}"


# -- one event ----------------------------------------------------------------------------------------------------


def relative(kind: str, number: str) -> str:
    """A reference as it stands in a file of many resources."""
    return f"{kind}/{number}"


def event(entry: AuditEntry, refer: Refer = relative) -> Json:
    """The entry as an AuditEvent. Its own code is the first subtype; its details are on the first entity."""
    kind, profile = kind_of(entry), profile_of(entry)
    purposes = _purposes(entry)
    return {
        "resourceType": "AuditEvent",
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{settings.PUBLIC_ORIGIN}/fhir/AuditEvent/{entry.pk}")),
        **({"meta": {"profile": [profile]}} if profile else {}),
        "type": kind.type,
        "subtype": [_own(entry), *kind.subtype],
        "action": kind.action,
        "recorded": moment(entry.at),
        "outcome": OUTCOMES.get(entry.outcome, "8"),
        **_described(entry),
        **({"purposeOfEvent": purposes} if purposes else {}),
        "agent": _agents(entry, kind, refer),
        "source": {
            "observer": _server(),
            "type": [coding(terminology("security-source-type"), "4", "Application Server")],
        },
        "entity": _entities(entry, kind, refer),
    }


def _own(entry: AuditEntry) -> Json:
    said = ACTIONS.get(entry.action, entry.action)
    return coding(f"{settings.PUBLIC_ORIGIN}/fhir/audit-action", plain(entry.action).strip(), plain(said))


def _detail(entry: AuditEntry) -> dict[str, Any]:
    # Entries are as others wrote them: a detail may be of any shape.
    return entry.detail if isinstance(entry.detail, dict) else {"detail": entry.detail}


def _described(entry: AuditEntry) -> Json:
    if entry.outcome == DONE:
        return {}
    why = next((said for name in ("why", "reason") if isinstance(said := _detail(entry).get(name), str)), "")
    return {"outcomeDesc": plain(f"{entry.outcome}: {why}" if why else entry.outcome)}


#: purposes and reasons of the log -> HL7's purposes of use
PURPOSES_OF_USE = {
    "identify": coding(terminology("v3-ActReason"), "TREAT", "treatment"),
    "contact": coding(terminology("v3-ActReason"), "TREAT", "treatment"),
    "treat": coding(terminology("v3-ActReason"), "TREAT", "treatment"),
    "correct": coding(terminology("v3-ActReason"), "PATADMIN", "patient administration"),
    "subject": coding(terminology("v3-ActReason"), "PATRQT", "patient requested"),
    "transfer": coding(terminology("v3-ActReason"), "TREAT", "treatment"),
    "authority": coding(terminology("v3-ActReason"), "LEGAL", "legal"),
}


def _purposes(entry: AuditEntry) -> list[Json]:
    if entry.action == "patient.break_glass":
        return [concept(BROKE_GLASS)]
    if not entry.purpose:
        return []
    known = [PURPOSES_OF_USE[entry.purpose]] if entry.purpose in PURPOSES_OF_USE else []
    return [concept(*known, text=plain(WHY.get(entry.purpose, entry.purpose)))]


# -- who ----------------------------------------------------------------------------------------------------------

#: what a FHIR id may be (R4, 2.24.0.1)
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


def _named(kind: str, number: str, refer: Refer, display: str = "") -> Json:
    """A reference to a resource, or its number alone where the reader has no such resource."""
    said = {"display": plain(display)} if display else {}
    address = refer(kind, number) if _ID.fullmatch(number) else ""
    if address:
        return {"reference": address, **said}
    return {"type": kind, "identifier": _identifier(kind, number), **said}


def _identifier(kind: str, number: str) -> Json:
    return {"system": f"{settings.PUBLIC_ORIGIN}/fhir/{kind}", "value": plain(number)}


def _server() -> Json:
    """This installation; the agent that is the server must be the same as the event's source."""
    origin = settings.PUBLIC_ORIGIN
    return {"type": "Device", "identifier": {"system": URI, "value": origin}, "display": origin}


def _agents(entry: AuditEntry, kind: Kind, refer: Refer) -> list[Json]:
    user = _user(entry, kind, refer)
    agents = [*user, _client(entry, kind, requestor=not user)]
    network = {"address": settings.PUBLIC_ORIGIN, "type": "5"}
    agents.append({"type": concept(kind.server or {}), "who": _server(), "requestor": False, "network": network})
    if entry.clinic_id:
        clinic = _named("Organization", str(entry.clinic_id), refer)
        agents.append({"type": concept(CLINIC), "who": clinic, "requestor": False})
    return agents


def _user(entry: AuditEntry, kind: Kind, refer: Refer) -> list[Json]:
    """The person, if one acted. Processes act as the client."""
    if entry.role in User.Role.values:
        who = _named("Practitioner", entry.person, refer, entry.person_name)
    elif entry.role == "patient":
        who = _named("Patient", entry.person or entry.patient, refer)
    elif entry.role == "nobody":
        who = {"display": plain(entry.person or "nobody signed in")}
    else:
        return []
    name = {"name": plain(entry.person_name)} if entry.person_name else {}
    role = [concept(text=plain(entry.role.replace("_", " ")))]
    return [{"type": concept(kind.user or {}), "role": role, "who": who, **name, "requestor": True}]


def _client(entry: AuditEntry, kind: Kind, *, requestor: bool) -> Json:
    """The browser, known by its session and where it came from; or the process."""
    who: Json = {"display": plain(entry.person or entry.role) if requestor else "browser"}
    if entry.session:
        who["identifier"] = _identifier("session", entry.session)
    network = {"network": _network(entry.source)} if entry.source else {}
    return {"type": concept(kind.client or {}), "who": who, "requestor": requestor, **network}


def _network(source: str) -> Json:
    try:
        ip_address(source)
    except ValueError:
        return {"address": plain(source), "type": "1"}
    return {"address": source, "type": "2"}


# -- what ---------------------------------------------------------------------------------------------------------

PERSON, SYSTEM_OBJECT, OTHER = (
    coding(terminology("audit-entity-type"), *pair)
    for pair in (("1", "Person"), ("2", "System Object"), ("4", "Other"))
)
PATIENT, DOMAIN_RESOURCE, ASKED = (
    coding(terminology("object-role"), *pair) for pair in (("1", "Patient"), ("4", "Domain Resource"), ("24", "Query"))
)


def _entities(entry: AuditEntry, kind: Kind, refer: Refer) -> list[Json]:
    details = _details(entry)
    if kind is QUERY:
        # BALP lets no detail stand beside a query.
        entities = [{"type": OTHER, "name": "what was found", **details}] if details else []
        entities.append({"type": SYSTEM_OBJECT, "role": ASKED, "query": _asked(entry)})
    else:
        what = _object(entry, refer)
        entities = [{"what": what, "type": SYSTEM_OBJECT, "role": DOMAIN_RESOURCE, **details}]
    if entry.patient:
        entities.append({"what": _named("Patient", entry.patient, refer), "type": PERSON, "role": PATIENT})
    return entities


def _object(entry: AuditEntry, refer: Refer) -> Json:
    """What it was done to: the visit, else the record, else the account or clinic that the entry names."""
    detail = _detail(entry)
    if entry.consult:
        return _named("Encounter", entry.consult, refer)
    if entry.patient:
        return _named("Patient", entry.patient, refer)
    for name, kind in (("account", "Practitioner"), ("clinic", "Organization")):
        if isinstance(number := detail.get(name), str) and number:
            return {"type": kind, "identifier": _identifier(kind, number)}
    said = [str(part) for name in ("page", "object", "path", "what") if (part := detail.get(name))]
    return {"display": plain(" ".join(said) or entry.action)}


def _asked(entry: AuditEntry) -> str:
    """The search without what was typed, which is patient data and in no log."""
    said = "&".join(f"{name}={_text(value)}" for name, value in sorted(_detail(entry).items()))
    return base64.b64encode(f"{entry.action}?{said}".encode("utf-8", "replace")).decode()


def _details(entry: AuditEntry) -> Json:
    said = [{"type": plain(str(name)), "valueString": plain(_text(value))} for name, value in _detail(entry).items()]
    return {"detail": said} if said else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
