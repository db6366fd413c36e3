"""Whether a bundle is FHIR R4: structure and types by fhir.resources, and the rules that it does not know.

The resources used here are the same in R4 (4.0.1) and R4B (4.3.0), which is the release that the library has.
What is wrong is told by its path, never by its value.
"""

from collections.abc import Iterator
from typing import Any

from fhir.resources.R4B.bundle import Bundle
from pydantic import BaseModel, ValidationError

from consults.export_coding import Json

#: how many faults one message names
NAMED = 5


class NotValid(Exception):
    """The message names the places."""


def check(bundle: Json) -> None:
    """Raises `NotValid` unless everything holds."""
    try:
        model = Bundle.model_validate(bundle)
    except ValidationError as error:
        raise NotValid(_listed([".".join(map(str, fault["loc"])) for fault in error.errors()])) from None
    faults = list(_codes(model, "Bundle"))
    faults += _entries(bundle)
    faults += [fault for entry in bundle["entry"] for fault in _rules(entry["resource"])]
    if faults:
        raise NotValid(_listed(faults))


def _listed(faults: list[str]) -> str:
    more = f" and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
    return ", ".join(faults[:NAMED]) + more


def _codes(model: BaseModel, path: str) -> Iterator[str]:
    """Codes outside their required value set: the library knows the sets and does not compare."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if value is None:
            continue
        extra = field.json_schema_extra
        allowed = extra.get("enum_values") if isinstance(extra, dict) else None
        if isinstance(allowed, list) and value not in allowed:
            yield f"{path}.{name}"
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, BaseModel):
                yield from _codes(item, f"{path}.{name}")


def _entries(bundle: Json) -> Iterator[str]:
    """bdl-7, and every reference leads to an entry."""
    addresses = [entry["fullUrl"] for entry in bundle["entry"]]
    if len(set(addresses)) < len(addresses):
        yield "Bundle.entry.fullUrl: twice"
    for entry in bundle["entry"]:
        kind = entry["resource"]["resourceType"]
        if entry["fullUrl"] != f"urn:uuid:{entry['resource']['id']}":
            yield f"{kind}.id: not its fullUrl"
        if not set(_references(entry["resource"])) <= set(addresses):
            yield f"{kind}: a reference leads nowhere"


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("reference"), str):
            yield node["reference"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _rules(resource: Json) -> Iterator[str]:
    kind = resource["resourceType"]
    if kind == "Consent" and not (resource.get("policy") or resource.get("policyRule")):
        yield "ppc-1"
    if kind == "Consent" and "patient" not in resource:
        yield "ppc-2, ppc-5"
    if kind == "AuditEvent" and any("name" in e and "query" in e for e in resource.get("entity", [])):
        yield "sev-1"
    if kind == "Organization" and not (resource.get("name") or resource.get("identifier")):
        yield "org-1"
    yield from _shapes(resource, kind)


def _shapes(node: Any, path: str) -> Iterator[str]:
    """Rules of datatypes: no empty element, an extension says something, a period runs forward, data has a type."""
    if node in ({}, [], "", None):
        yield f"{path}: empty"
    elif isinstance(node, dict):
        if "url" in node and not any(name.startswith("value") for name in node):
            yield f"{path}: ext-1"
        if "start" in node and "end" in node and node["start"] > node["end"]:
            yield f"{path}: per-1"
        if "data" in node and not {"contentType", "sigFormat"} & node.keys():
            yield f"{path}: att-1"
        for name, value in node.items():
            yield from _shapes(value, f"{path}.{name}")
    elif isinstance(node, list):
        for value in node:
            yield from _shapes(value, path)
