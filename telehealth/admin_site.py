"""The admin: behind two factors like every page, with its own role per model (accounts/admin.py and others)."""

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from accounts.models import User


class StaffAdminSite(AdminSite):
    site_header = "Clinic administration"
    site_title = "Clinic administration"
    index_title = "What would you like to look at?"
    site_url = None

    def has_permission(self, request: HttpRequest) -> bool:
        # request.user is a User only when both factors hold (accounts.sessions).
        return isinstance(request.user, User) and request.user.is_staff

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Django's own form knows no second factor; ours does."""
        if isinstance(request.user, User):
            return redirect("dashboard")
        return redirect(f"{reverse('signin')}?next={request.path if 'login' not in request.path else ''}")
