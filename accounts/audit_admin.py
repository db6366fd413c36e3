"""The audit log in the admin: read-only for everyone, filtered by person, patient, consult, action and time."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.models import User
from accounts.role_admin import RoleAdmin
from vault.audit import ACTIONS, ERASURE_REASONS, EXPORT_REASONS
from vault.models import AuditEntry, Patient
from vault.patients import PURPOSES

WHY = {**PURPOSES, **EXPORT_REASONS, **ERASURE_REASONS}
LINKED = ("person", "patient", "consult", "action")
#: the first word of an action, by what a reviewer would call it
ABOUT = {
    "records": ("Patient records", ("patient", "vault")),
    "consents": ("Consent", ("consent",)),
    "consults": ("Consults and notes", ("consult", "worker")),
    "invites": ("Invites and identity", ("invite", "identity")),
    "signin": ("Sign-in", ("signin", "signout")),
    "accounts": ("Accounts", ("account",)),
    "reviews": ("Reviews", ("review",)),
    "refusals": ("Refusals", ("access",)),
    "admin": ("Looks at evidence", ("admin",)),
}


class PersonFilter(admin.SimpleListFilter):
    title = "person"
    parameter_name = "person"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        people = User.objects.filter(clinic_id=request.user.clinic_id).order_by("name")  # type: ignore[union-attr]
        return [(str(user.pk), user.name) for user in people]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(person=self.value()) if self.value() else queryset


class AboutFilter(admin.SimpleListFilter):
    """Actions by what they are about; a click on one action in a row narrows to just that."""

    title = "what it is about"
    parameter_name = "about"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(key, label) for key, (label, _) in ABOUT.items()]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        _, kinds = ABOUT.get(self.value() or "", ("", ()))
        wanted = [action for action in ACTIONS if action.partition(".")[0] in kinds]
        return queryset.filter(action__in=wanted) if kinds else queryset


class WithPatients(ChangeList):
    """Reads the masked patients of a page in one query, so that a row can name hers."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        ids = {UUID(entry.patient) for entry in self.result_list if entry.patient}
        known = {str(p.pk): str(p) for p in Patient.objects.filter(pk__in=ids)}
        for entry in self.result_list:
            entry.patient_label = known.get(entry.patient, "")


@admin.register(AuditEntry)
class AuditEntryAdmin(RoleAdmin):
    view_roles = (User.Role.PRIVACY_OFFICER,)
    list_display = ("moment", "who", "what", "result", "whom", "visit", "source")
    list_display_links = ("moment",)
    list_filter = (("at", admin.DateFieldListFilter), AboutFilter, "outcome", PersonFilter, "role")
    search_fields = ("person_name__icontains", "=patient", "=consult", "=person", "=source")
    search_help_text = "Search by a person's name, or by the id of a patient or consult."
    fields = ("moment", "who", "role", "what", "result", "whom", "visit", "purpose", "source", "session", "detail")
    readonly_fields = fields
    ordering = ("-id",)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup in LINKED or super().lookup_allowed(lookup, value, request)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return WithPatients

    @admin.display(description="when", ordering="id")
    def moment(self, entry: AuditEntry) -> str:
        return timezone.localtime(entry.at).strftime("%Y-%m-%d %H:%M:%S")

    @admin.display(description="who", ordering="person_name")
    def who(self, entry: AuditEntry) -> SafeString | str:
        name = entry.person_name or ("the patient" if entry.role == "patient" else entry.role)
        return _narrow("person", entry.person, name) if entry.person else name

    @admin.display(description="did what")
    def what(self, entry: AuditEntry) -> SafeString:
        sentence = ACTIONS.get(entry.action, entry.action)
        why = WHY.get(entry.purpose, entry.purpose)
        return format_html("{}{}", _narrow("action", entry.action, sentence), f" ({why.lower()})" if why else "")

    @admin.display(description="result", ordering="outcome")
    def result(self, entry: AuditEntry) -> SafeString:
        return format_html('<span class="outcome outcome-{}">{}</span>', entry.outcome, entry.get_outcome_display())

    @admin.display(description="patient")
    def whom(self, entry: AuditEntry) -> SafeString | str:
        label = getattr(entry, "patient_label", "") or entry.patient[:8]
        return _narrow("patient", entry.patient, label) if entry.patient else ""

    @admin.display(description="consult")
    def visit(self, entry: AuditEntry) -> SafeString | str:
        return _narrow("consult", entry.consult, entry.consult[:8]) if entry.consult else ""


def _narrow(parameter: str, value: str, label: str) -> SafeString:
    """A link to the entries of the same person, patient or consult."""
    return format_html('<a href="../auditentry/?{}={}" title="Only these">{}</a>', parameter, value, label)
