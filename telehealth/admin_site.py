"""The admin: behind two factors like every page, with its own role per model (accounts/admin.py and others)."""

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode

from accounts import views
from accounts.models import User


class StaffAdminSite(AdminSite):
    site_header = "Clinic administration"
    site_title = "Clinic administration"
    index_title = "What would you like to look at?"
    site_url = None
    enable_nav_sidebar = False

    def has_permission(self, request: HttpRequest) -> bool:
        # request.user is a User only when both factors hold (accounts.sessions).
        return isinstance(request.user, User) and request.user.is_staff

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Django's own form knows no second factor; ours does."""
        if isinstance(request.user, User):
            return redirect(views.home_of(request.user))
        return redirect(f"{reverse('signin')}?{urlencode({'next': request.GET.get('next', '')})}")

    def logout(  # type: ignore[override]
        self, request: HttpRequest, extra_context: Any = None
    ) -> HttpResponse:
        """Django's own leaves no entry in the log and nothing cleared in the browser."""
        return views.signout(request)

    def password_change(  # type: ignore[override]
        self, request: HttpRequest, extra_context: Any = None
    ) -> HttpResponse:
        """Django's own asks for no fresh second factor and leaves no entry in the log."""
        return redirect("change-password")
