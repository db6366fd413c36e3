"""Admin pages by role and clinic: who may look, who may change, and an audit entry for every look at evidence."""

from typing import Any

from django.contrib.admin import ModelAdmin, ShowFacets
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.text import capfirst

from accounts.models import User
from accounts.sessions import actor
from vault import audit


def _parameter(offer: Any) -> str:
    """The name by which an entry of `list_filter` stands in an address."""
    return str(offer[0] if isinstance(offer, tuple) else getattr(offer, "parameter_name", offer))


class RoleAdmin(ModelAdmin):  # type: ignore[type-arg]
    """Base of every admin page here. Nobody deletes; what is not allowed does not show."""

    view_roles: tuple[str, ...] = ()
    add_roles: tuple[str, ...] = ()
    change_roles: tuple[str, ...] = ()
    #: lookup from the model to its clinic's id
    clinic_lookup = "clinic_id"
    actions: Any = None
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    list_per_page = 50

    def _is(self, request: HttpRequest, roles: tuple[str, ...]) -> bool:
        return isinstance(request.user, User) and request.user.role in roles

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._is(request, self.view_roles + self.change_roles)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._is(request, self.add_roles)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._is(request, self.change_roles)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        assert isinstance(request.user, User)  # noqa: S101  (the site lets nobody else this far)
        return super().get_queryset(request).filter(**{self.clinic_lookup: request.user.clinic_id})

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Only what the page offers to filter by. Any other column could be guessed letter by letter, hashes too."""
        offered = [_parameter(offer) for offer in self.get_list_filter(request)]
        return lookup.partition("__")[0] in offered and super().lookup_allowed(lookup, value, request)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        title = {"title": capfirst(str(self.opts.verbose_name_plural))}
        response = super().changelist_view(request, {**title, **(extra_context or {})})
        self._shown(request, response, "list")
        return response

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        response: HttpResponse = super().changeform_view(request, object_id, form_url, extra_context)
        if object_id:
            self._shown(request, response, object_id)
        return response

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        response = super().history_view(request, object_id, extra_context)
        self._shown(request, response, object_id)
        return response

    def _shown(self, request: HttpRequest, response: HttpResponse, what: str) -> None:
        # By what came of it: a POST that changes nothing shows the same page as a GET.
        if response.status_code == 200:
            self._looked(request, what)

    def _looked(self, request: HttpRequest, what: str) -> None:
        if isinstance(request.user, User):
            audit.record("admin.view", actor(request), page=self.opts.label_lower, object=what[:40])
