"""The audit log in the admin: read by the clinic's privacy officers, changed by nobody. Its pages: views_audit.py."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from accounts.models import User
from accounts.role_admin import RoleAdmin
from consults import audit_lines, views_audit, views_audit_verify, views_audit_work
from vault import audit_tree
from vault.models import AuditEntry, Patient


@admin.register(AuditEntry)
class AuditEntryAdmin(RoleAdmin):
    view_roles = (User.Role.PRIVACY_OFFICER,)
    fields = ("moment", "who", "role", "what", "result", "whom", "consult", "origin", "sitting", "more", "sealed")
    readonly_fields = fields
    #: what not every entry has -> the column it stands in
    optional = {"whom": "patient", "consult": "consult", "origin": "source", "sitting": "session", "more": "detail"}

    def get_fields(self, request: HttpRequest, obj: AuditEntry | None = None) -> tuple[str, ...]:
        there = {name for name, column in self.optional.items() if getattr(obj, column, None)}
        return tuple(name for name in self.readonly_fields if name not in self.optional or name in there)

    def get_urls(self) -> list[URLPattern]:
        """Django's own last: theirs take any address for an entry's."""
        pages = {
            "narrow": ("narrow/", views_audit.narrow),
            "views": ("views/", views_audit_work.views),
            "patient": ("patients/<uuid:patient_id>/", views_audit.patient),
            "person": ("people/<uuid:person_id>/", views_audit.person_page),
            "consult": ("consults/<uuid:consult_id>/", views_audit.consult),
            "activity": ("activity/", views_audit.activity),
            "reviews": ("reviews/", views_audit_work.reviews),
            "review": ("reviews/<uuid:review_id>/", views_audit_work.review),
            "export": ("export/", views_audit_work.export),
            "progress": ("export/progress/", views_audit_work.progress),
            "verify": ("verify/", views_audit_verify.verify),
            "verifying": ("verify/progress/", views_audit_verify.progress),
            "proof": ("proofs/<int:entry>/", views_audit_verify.proof),
        }
        own = [path(route, view, name=f"vault_auditentry_{name}") for name, (route, view) in pages.items()]
        return own + super().get_urls()

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return views_audit.log(request)

    def changeform_view(self, request: HttpRequest, *given: Any, **named: Any) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        return super().changeform_view(request, *given, **named)

    def render_change_form(self, request: HttpRequest, context: Any, *given: Any, **named: Any) -> HttpResponse:
        entry = named.get("obj")
        context |= {"title": f"Entry {entry.pk}" if entry else "", "subtitle": None}
        return super().render_change_form(request, context, *given, **named)

    def _looked(self, request: HttpRequest, what: str) -> None:
        entry = self.get_queryset(request).filter(pk=what).first()
        if entry is not None:
            views_audit.looked(request, "entry", patient=entry.patient, consult=entry.consult, entry=entry.pk)

    @admin.display(description="when")
    def moment(self, entry: AuditEntry) -> str:
        return timezone.localtime(entry.at).strftime("%Y-%m-%d %H:%M:%S.%f %Z")

    @admin.display(description="who")
    def who(self, entry: AuditEntry) -> SafeString:
        name = audit_lines.who_of(entry)
        return _link("people", entry.person, name) if entry.role in User.Role.values else format_html("{}", name)

    @admin.display(description="did what")
    def what(self, entry: AuditEntry) -> SafeString:
        return format_html("{} <code>{}</code>", audit_lines.sentence_of(entry), entry.action)

    @admin.display(description="result")
    def result(self, entry: AuditEntry) -> SafeString:
        return format_html('<span class="outcome outcome-{}">{}</span>', entry.outcome, entry.get_outcome_display())

    @admin.display(description="patient")
    def whom(self, entry: AuditEntry) -> SafeString | str:
        if not entry.patient:
            return "-"
        assert entry.clinic_id  # noqa: S101  (entries of no clinic have no page)
        known = Patient.objects.filter(pk=entry.patient, clinic_id=entry.clinic_id).first()
        return _link("patients", entry.patient, str(known)) if known else entry.patient

    @admin.display(description="consult")
    def consult(self, entry: AuditEntry) -> SafeString | str:
        return _link("consults", entry.consult, entry.consult) if entry.consult else "-"

    @admin.display(description="from where")
    def origin(self, entry: AuditEntry) -> SafeString | str:
        return _filtered({"source": entry.source}, entry.source, "All from there") if entry.source else "-"

    @admin.display(description="session")
    def sitting(self, entry: AuditEntry) -> SafeString | str:
        if not entry.session:
            return "-"
        of_her = {"person": entry.person} if entry.role in User.Role.values and entry.person else {}
        return _filtered({**of_her, "session": entry.session}, entry.session, "All in this session")

    @admin.display(description="in the tree")
    def sealed(self, entry: AuditEntry) -> SafeString | str:
        place = audit_tree.find(entry.pk)
        if place is None:
            return "Not yet. An entry is sealed within a second; if this stays, tell your operator."
        return format_html(
            'Number {} of the log, sealed on {}. <a href="../../proofs/{}/">Download the proof</a>',
            f"{place.index + 1:,}",
            timezone.localtime(place.batch.at).strftime("%Y-%m-%d %H:%M:%S %Z"),
            entry.pk,
        )

    @admin.display(description="more")
    def more(self, entry: AuditEntry) -> SafeString | str:
        said = audit_lines.particulars(entry)
        return format_html("<dl>{}</dl>", format_html_join("", "<dt>{}</dt><dd>{}</dd>", said)) if said else "-"


def _filtered(query: dict[str, str], label: str, invitation: str) -> SafeString:
    return format_html('{} <a href="../../?{}">{}</a>', label, urlencode(query), invitation)


def _link(kind: str, key: str, label: str) -> SafeString:
    """To what the log has of the same person, patient or consult, from an entry's own page."""
    return format_html('<a href="../../{}/{}/">{}</a>', kind, key, label)
