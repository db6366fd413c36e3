"""A privacy officer has the log verified, and takes the proof of one entry."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from accounts import attempts, sessions
from accounts.access import person
from consults import audit_check, tasks
from consults.audit_models import AuditCheck
from consults.views_audit import looked, officer, one_of, page_of
from vault import audit_tree, proving
from vault.models import AuditArchive, AuditEntry

RECENT = 10
#: checks one person may begin in 15 minutes
CHECKS = 6


@officer
@require_http_methods(["GET", "POST"])
def verify(request: HttpRequest) -> HttpResponse:
    refused = ""
    if request.method == "POST":
        if attempts.allowed("audit-verify", str(person(request).pk), limit=CHECKS):
            check = audit_check.begin(person(request), sessions.actor(request))
            tasks.enqueue(tasks.check_log, str(check.pk))
            return redirect("admin:vault_auditentry_verify")
        refused = "You have begun very many checks. Wait 15 minutes, then go on."
    looked(request, "verify")
    last = audit_tree.head()
    context = {"checks": _checks(), "refused": refused, "head": last, "size": f"{last.size:,}" if last else ""}
    context["archives"] = _archives()
    return page_of(request, "verify", "Verify the log", context)


def _archives() -> list[dict[str, Any]]:
    """Each month once, the newest first."""
    gone = set(AuditArchive.objects.filter(dropped=True).values_list("month", flat=True))
    return [
        {"month": row.month, "digest": row.digest, "entries": f"{row.size - row.first:,}", "dropped": row.month in gone}
        for row in AuditArchive.objects.filter(dropped=False).order_by("-size")
    ]


def _checks() -> Any:
    # The log is one for all clinics of a server, and a check says nothing of what is in it.
    return AuditCheck.objects.all()[:RECENT]


@officer
@require_GET
def progress(request: HttpRequest) -> HttpResponse:
    return render(request, "admin/vault/auditentry/_checks.html", {"checks": _checks()})


@officer
@require_GET
def proof(request: HttpRequest, entry: int) -> HttpResponse:
    """By which somebody who has only this file and the log's public key can check that the entry is in it."""
    found: AuditEntry = one_of(request, AuditEntry.objects.filter(pk=entry, clinic_id=person(request).clinic_id))
    try:
        proof_file = proving.as_file(proving.prove([found.pk]))
    except (proving.NotSealed, proving.Gone):
        raise Http404 from None
    looked(request, "proof", patient=found.patient, consult=found.consult, entry=found.pk)
    return HttpResponse(
        proof_file,
        content_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="entry-{found.pk}-proof.json"'},
    )
