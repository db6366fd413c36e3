"""Admin pages for consults and consent: evidence is read-only, statements are added and never changed."""

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import Max, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accounts.models import User
from accounts.role_admin import RoleAdmin
from accounts.sessions import actor
from consults import audit_admin
from consults.models import Consent, ConsentStatement, Consult
from vault import audit

__all__ = ["audit_admin"]

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
        "scopes",
        "purpose",
        "statement",
        "statement_digest",
        "words",
        "signed_name",
        "expires_at",
        "withdraws",
    )
    readonly_fields = fields

    @admin.display(description="record")
    def record(self, consent: Consent) -> str:
        return consent.consult.patient.record_number

    @admin.display(description="the words shown")
    def words(self, consent: Consent) -> str:
        return consent.statement.text


@admin.register(ConsentStatement)
class ConsentStatementAdmin(RoleAdmin):
    """The words patients agree to. A better wording is a new version; a published one stays as it is."""

    view_roles = (OPERATOR,)
    add_roles = (PRIVACY_OFFICER,)
    list_display = ("title", "scope", "locale", "version", "published_at", "everywhere")
    list_filter = ("scope", "locale")
    fields = ("scope", "locale", "title", "text")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is(request, (*self.view_roles, *self.add_roles))

    def get_queryset(self, request: HttpRequest) -> QuerySet[ConsentStatement]:
        assert isinstance(request.user, User)  # noqa: S101
        return ConsentStatement.objects.filter(Q(clinic=request.user.clinic_id) | Q(clinic=None)).order_by(
            "scope", "locale", "-version"
        )

    @admin.display(boolean=True, description="comes with the product")
    def everywhere(self, statement: ConsentStatement) -> bool:
        return statement.clinic_id is None

    def save_model(self, request: HttpRequest, obj: ConsentStatement, form: Any, change: bool) -> None:
        assert isinstance(request.user, User)  # noqa: S101
        with transaction.atomic():
            same = ConsentStatement.objects.filter(
                Q(clinic=request.user.clinic_id) | Q(clinic=None), scope=obj.scope, locale=obj.locale
            )
            obj.clinic = request.user.clinic
            obj.version = (same.aggregate(newest=Max("version"))["newest"] or 0) + 1
            obj.published_at = timezone.now()
            obj.save(force_insert=True)
            audit.record("consent.statement", actor(request), statement=obj.pk, version=obj.version)
