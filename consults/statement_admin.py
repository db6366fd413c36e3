"""The words patients agree to, in the admin: drafts are written, compared and published; what is published stays."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.utils import timezone

from accounts.access import person, requires
from accounts.models import Clinic, User
from accounts.role_admin import RoleAdmin
from accounts.sessions import actor
from consults import consent_phrases, statements
from consults.models import ConsentStatement, StatementDraft
from consults.statements import BadWords, Shown
from vault import audit

PRIVACY_OFFICER, OPERATOR = User.Role.PRIVACY_OFFICER, User.Role.OPERATOR


def _clinic(request: HttpRequest) -> Clinic:
    clinic = person(request).clinic
    assert clinic is not None  # noqa: S101  (the admin's people all have one)
    return clinic


@admin.register(ConsentStatement)
class ConsentStatementAdmin(RoleAdmin):
    """What is in force and what was. Nobody changes it; a better wording is a draft, and then a new version."""

    view_roles = (PRIVACY_OFFICER, OPERATOR)
    list_display = ("title", "scope", "locale", "version", "published_at", "in_force", "everywhere")
    list_filter = ("scope", "locale")
    fields = ("scope", "locale", "version", "published_at", "title", "text", "digest")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[ConsentStatement]:
        return statements.visible(_clinic(request)).order_by("scope", "locale", "-version")

    @admin.display(boolean=True, description="comes with the product")
    def everywhere(self, statement: ConsentStatement) -> bool:
        return statement.clinic_id is None

    @admin.display(boolean=True, description="newest version")
    def in_force(self, statement: ConsentStatement) -> bool:
        return statements.in_force(statement.clinic, statement.scope, statement.locale) == statement

    @admin.display(description="SHA-256")
    def digest(self, statement: ConsentStatement) -> str:
        return statements.digest_of(statement)


class DraftForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = StatementDraft
        fields = ("scope", "locale", "title", "text")
        widgets = {"text": forms.Textarea(attrs={"rows": 18})}

    def clean_title(self) -> str:
        return statements.tidy(self.cleaned_data["title"])

    def clean_text(self) -> str:
        return statements.tidy(self.cleaned_data["text"])

    def clean(self) -> dict[str, Any]:
        typed = super().clean() or {}
        try:
            statements.check(typed.get("scope", ""), f"{typed.get('title', '')}\n{typed.get('text', '')}")
        except BadWords as error:
            self.add_error("text", str(error))
        return typed


@admin.register(StatementDraft)
class StatementDraftAdmin(RoleAdmin):
    """Words in preparation. Saving leads to the preview, and only there they are published."""

    add_roles = change_roles = (PRIVACY_OFFICER,)
    list_display = ("title", "scope", "locale", "changed_at")
    form = DraftForm

    def get_urls(self) -> list[URLPattern]:
        return [path("<int:object_id>/preview/", preview, name="consults_statementdraft_preview"), *super().get_urls()]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A new version begins with the words that it is to take the place of."""
        number = request.GET.get("from", "")
        words = statements.visible(_clinic(request)).filter(pk=number).first() if number.isdecimal() else None
        if words is None:
            return {"locale": statements.FALLBACK}
        return {"scope": words.scope, "locale": words.locale, "title": words.title, "text": words.text}

    def save_model(self, request: HttpRequest, obj: StatementDraft, form: Any, change: bool) -> None:
        obj.clinic, obj.changed_at = _clinic(request), timezone.now()
        with transaction.atomic():
            obj.save()
            audit.record("consent.draft", actor(request), draft=obj.pk, scope=obj.scope, locale=obj.locale)

    def response_add(self, request: HttpRequest, obj: StatementDraft, post_url_continue: Any = None) -> HttpResponse:
        return redirect("admin:consults_statementdraft_preview", obj.pk)

    def response_change(self, request: HttpRequest, obj: StatementDraft) -> HttpResponse:
        return redirect("admin:consults_statementdraft_preview", obj.pk)


@requires(PRIVACY_OFFICER)
def preview(request: HttpRequest, object_id: int) -> HttpResponse:
    """The draft as patients would see it, beside what it would take the place of. POST: publish, or throw away."""
    draft = StatementDraft.objects.select_related("clinic").filter(pk=object_id, clinic=_clinic(request)).first()
    if draft is None:
        messages.warning(request, "This draft is gone: it was published or thrown away.")
        return redirect("admin:index")
    if request.method == "POST" and (answer := _decided(request, draft)):
        return answer
    audit.record("admin.view", actor(request), page="consults.statementdraft", object=f"preview {draft.pk}")
    return render(request, "admin/consults/statementdraft/preview.html", _context(request, draft))


def _decided(request: HttpRequest, draft: StatementDraft) -> HttpResponse | None:
    try:
        if "discard" in request.POST:
            statements.discard(draft, actor(request))
            messages.success(request, "Thrown away.")
            return redirect("admin:consults_statementdraft_changelist")
        words = statements.publish(draft, actor(request), seen=request.POST.get("seen", ""))
    except BadWords as error:
        messages.warning(request, str(error))
        return None
    messages.success(request, f"Published as version {words.version}. Patients are asked with these words from now on.")
    return redirect("admin:consults_consentstatement_change", words.pk)


def _context(request: HttpRequest, draft: StatementDraft) -> dict[str, Any]:
    words, before = statements.as_published(draft), statements.compared_with(draft)
    phrases, spoken_in = consent_phrases.of(draft.locale, settings.CONSENT_LIFETIME_HOURS)
    return {
        **admin.site.each_context(request),
        "opts": StatementDraft._meta,
        "title": "Preview",
        "draft": draft,
        "one": Shown(words, draft.locale),
        "before": before,
        "titles": statements.changes(before.title, words.title) if before else [],
        "texts": statements.changes(before.text, words.text) if before else [],
        "phrases": phrases,
        "phrases_locale": spoken_in,
        "direction": statements.direction(spoken_in),
        "language": statements.language_name(draft.locale),
    }
