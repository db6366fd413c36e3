"""Admin pages for clinics and staff (the operator's)."""

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from accounts import signin
from accounts.models import Authenticator, Clinic, RecoveryCode, User
from accounts.role_admin import RoleAdmin
from accounts.sessions import actor, confirmed_recently
from vault import audit

OPERATOR, PRIVACY_OFFICER = (User.Role.OPERATOR,), (User.Role.PRIVACY_OFFICER,)


@admin.register(Clinic)
class ClinicAdmin(RoleAdmin):
    view_roles = PRIVACY_OFFICER
    change_roles = OPERATOR
    clinic_lookup = "id"
    list_display = ("name", "phone", "offers_voice_consent", "relay_only")

    def save_model(self, request: HttpRequest, obj: Clinic, form: Any, change: bool) -> None:
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            audit.record("account.change", actor(request), clinic=str(obj.pk), changed=form.changed_data)


@admin.register(User)
class UserAdmin(RoleAdmin):
    """Staff of the clinic. New people get an activation link; nobody types another's password."""

    view_roles = PRIVACY_OFFICER
    add_roles = change_roles = OPERATOR
    list_display = ("name", "email", "role", "is_active", "second_factor", "last_login")
    list_filter = ("role", "is_active")
    search_fields = ("name", "email")
    fields = ("name", "email", "role", "is_active")
    actions = ("make_link", "reset_second_factor")

    @admin.display(boolean=True, description="second factor")
    def second_factor(self, user: User) -> bool:
        return bool(Authenticator.objects.filter(user=user, confirmed=True).exists())

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        assert isinstance(request.user, User)  # noqa: S101
        with transaction.atomic():
            if not change:
                obj.clinic = request.user.clinic
                obj.set_unusable_password()
            super().save_model(request, obj, form, change)
            audit.record("account.change", actor(request), account=str(obj.pk), changed=form.changed_data)
        if not change:
            self._show_link(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Nobody changes her own role, or locks herself out.
        herself = bool(obj is not None and obj == request.user)
        return self._is(request, self.change_roles) and not herself

    @admin.action(description="Make a new activation link (password reset)", permissions=["change"])
    def make_link(self, request: HttpRequest, chosen: QuerySet[User]) -> None:
        if self._confirmed(request):
            for user in chosen.filter(is_active=True):
                self._show_link(request, user)

    @admin.action(description="Remove the second factor, so that a new one is set up", permissions=["change"])
    def reset_second_factor(self, request: HttpRequest, chosen: QuerySet[User]) -> None:
        if not self._confirmed(request):
            return
        for user in chosen:
            if user == request.user:
                continue
            with transaction.atomic():
                Authenticator.objects.filter(user=user).delete()
                RecoveryCode.objects.filter(user=user).delete()
                audit.record("account.change", actor(request), account=str(user.pk), changed=["second factor"])
            self.message_user(request, f"{user.name} sets up a new second factor at the next sign-in.")

    def _show_link(self, request: HttpRequest, user: User) -> None:
        secret = signin.make_activation(user, actor(request))
        link = f"{settings.PUBLIC_ORIGIN}{reverse('activate')}#{secret}"
        text = "Give this link to {} in person; it works once, for 48 hours: {}"
        self.message_user(request, format_html(text, user.name, link), messages.SUCCESS)

    def _confirmed(self, request: HttpRequest) -> bool:
        if confirmed_recently(request.session):
            return True
        page = f"{reverse('confirm')}?next={request.path}"
        text = 'Confirm your second factor first, then repeat this: <a href="{}">confirm now</a>.'
        self.message_user(request, format_html(text, page), messages.WARNING)
        return False
