"""Admin pages for consults and consent: evidence is read-only. The words patients agree to: statement_admin.py."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from accounts.models import User
from accounts.role_admin import RoleAdmin
from consults import audit_admin, statement_admin
from consults.models import Consent, Consult

__all__ = ["audit_admin", "statement_admin"]

PRIVACY_OFFICER, OPERATOR = User.Role.PRIVACY_OFFICER, User.Role.OPERATOR


class ClinicianFilter(admin.SimpleListFilter):
    """The clinicians of the officer's own clinic; Django's own filter would name everybody's."""

    title = "clinician"
    parameter_name = "clinician"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        assert isinstance(request.user, User)  # noqa: S101
        people = User.objects.filter(clinic=request.user.clinic_id, role=User.Role.CLINICIAN).order_by("name")
        return [(str(user.pk), user.name) for user in people]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        chosen = self.value()
        known = chosen in {str(key) for key, _ in self.lookup_choices}
        return queryset.filter(clinician=chosen) if known else queryset


@admin.register(Consult)
class ConsultAdmin(RoleAdmin):
    """Sessions as the operator sees them: when, whose, how it went; of the patient the record number only."""

    view_roles = (PRIVACY_OFFICER, OPERATOR)
    list_display = ("created_at", "clinician", "record", "state", "minutes", "samples", "worker")
    list_select_related = ("clinician", "patient")
    list_filter = (ClinicianFilter, ("created_at", admin.DateFieldListFilter))
    search_fields = ("=id", "=patient__record_number")
    fields = ("id", "created_at", "admitted_at", "ended_at", "clinician", "record", "state", "minutes", "samples")
    readonly_fields = fields

    @admin.display(description="record")
    def record(self, consult: Consult) -> str:
        return consult.patient.record_number

    @admin.display(description="state")
    def state(self, consult: Consult) -> str:
        if consult.is_over:
            return "ended"
        return "in the call" if consult.is_live else "invited"

    @admin.display(description="minutes")
    def minutes(self, consult: Consult) -> int | None:
        if consult.admitted_at is None:
            return None
        return round(((consult.ended_at or timezone.now()) - consult.admitted_at).total_seconds() / 60)

    @admin.display(description="quality samples")
    def samples(self, consult: Consult) -> int:
        return consult.quality.count()


@admin.register(Consent)
class ConsentAdmin(RoleAdmin):
    view_roles = (PRIVACY_OFFICER,)
    clinic_lookup = "consult__clinic_id"
    list_display = ("at", "act", "record", "method", "statement", "expires_at")
    list_select_related = ("consult__patient", "statement")
    list_filter = ("act", "method", ("at", admin.DateFieldListFilter))
    search_fields = ("=consult__id", "=consult__patient__record_number")
    fields = (
        "id",
        "at",
        "act",
        "record",
        "consult",
        "method",
        "by_role",
        "scopes",
        "purpose",
        "statement",
        "statement_digest",
        "words",
        "statements",
        "evidence",
        "evidence_digest",
        "signed_name",
        "expires_at",
        "withdraws",
        "erased",
    )
    readonly_fields = fields

    @admin.display(description="erased, when its time was over", empty_value="nothing")
    def erased(self, consent: Consent) -> str | None:
        return "; ".join(map(str, consent.erasures.all())) or None

    @admin.display(description="record")
    def record(self, consent: Consent) -> str:
        return consent.consult.patient.record_number

    @admin.display(description="the words shown")
    def words(self, consent: Consent) -> str:
        return consent.statement.text
