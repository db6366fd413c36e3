"""Stands in for the writer of FHIR events."""


def event(entry):
    return {"resourceType": "AuditEvent", "action": entry.action}
