"""Forms of the log's pages. What is typed goes by POST: no address has it."""

from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator

from accounts.models import User
from consults import audit_files
from consults.audit_filters import ABOUT, FIRST_DAY, LAST_DAY, ROLES
from consults.audit_lines import WHY
from consults.audit_models import AuditReview
from consults.confirming import ConfirmedForm
from vault.audit import ACTIONS
from vault.models import AuditEntry


class Day(forms.DateField):
    def __init__(self, **given: Any) -> None:
        shape = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
        super().__init__(widget=shape, validators=[MinValueValidator(FIRST_DAY), MaxValueValidator(LAST_DAY)], **given)


class OwnPeople(forms.ModelChoiceField):  # type: ignore[type-arg]  # it cannot be subscripted at run time
    """Staff of the officer's own clinic."""

    def __init__(self, **given: Any) -> None:
        super().__init__(User.objects.none(), required=False, **given)

    def of(self, officer: User) -> None:
        self.queryset = User.objects.filter(clinic=officer.clinic_id).order_by("name")


class NarrowForm(forms.Form):
    """The filters beside the list, and the search box above it."""

    q = forms.CharField(required=False, max_length=80)
    person = OwnPeople(empty_label="Everybody")
    role = forms.ChoiceField(required=False, choices=[("", "Any"), *ROLES.items()])
    what = forms.ChoiceField(required=False, label="What")
    outcome = forms.ChoiceField(required=False, label="Result", choices=[("", "Any"), *AuditEntry.Outcome.choices])
    purpose = forms.ChoiceField(required=False, label="To what end", choices=[("", "Any"), *WHY.items()])
    since = Day(required=False, label="From")
    until = Day(required=False, label="Up to")
    record_number = forms.CharField(required=False, max_length=40, label="Patient’s record number")
    consult = forms.UUIDField(required=False, label="Consult’s id", widget=forms.TextInput)
    source = forms.GenericIPAddressField(required=False, label="Network address")
    session = forms.RegexField("^[0-9a-f]{16}$", required=False, label="Session")

    def __init__(self, officer: User, data: Any = None, **kwargs: Any) -> None:
        super().__init__(data, auto_id="filter_%s", **kwargs)
        self.fields["person"].of(officer)  # type: ignore[attr-defined]
        groups = [(f"about:{key}", label) for key, (label, _) in ABOUT.items()]
        actions = [(f"action:{action}", sentence.capitalize()) for action, sentence in ACTIONS.items()]
        self.fields["what"].choices = [  # type: ignore[attr-defined]
            ("", "Anything"),
            ("All about", groups),
            ("Only", sorted(actions, key=lambda one: one[1])),
        ]
        for name in ("q", "record_number", "consult", "source", "session"):
            self.fields[name].widget.attrs.update(autocomplete="off", spellcheck="false", autocapitalize="none")


class ReviewForm(forms.Form):
    since = Day(label="From")
    until = Day(label="Up to", help_text="This day included.")
    person = OwnPeople(label="About", empty_label="Everybody")
    finding = forms.ChoiceField(
        label="What you found",
        choices=AuditReview.Finding.choices,
        widget=forms.RadioSelect,
        error_messages={"required": "Choose what you found."},
    )
    note = forms.CharField(
        required=False, max_length=1000, widget=forms.Textarea(attrs={"rows": 4, "autocomplete": "off"})
    )

    def __init__(self, officer: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["person"].of(officer)  # type: ignore[attr-defined]


class LogExportForm(ConfirmedForm):
    form = forms.ChoiceField(label="Form", widget=forms.RadioSelect, error_messages={"required": "Choose a form."})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["form"].choices = [  # type: ignore[attr-defined]
            (name, f"{form.label}. {form.help}") for name, form in audit_files.FORMS.items()
        ]


class SaveViewForm(forms.Form):
    name = forms.CharField(max_length=40, label="Save this filter as")
