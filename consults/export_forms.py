from django import forms

from consults import erasing, export


class ConfirmedForm(forms.Form):
    """A form for an act that needs a fresh second factor: it asks for the code itself, so nothing typed is lost."""

    code = forms.CharField(
        label="One-time code",
        help_text="The current code from your authenticator app.",
        required=False,
        max_length=48,
        widget=forms.TextInput(
            attrs={"autocomplete": "one-time-code", "spellcheck": "false", "autocapitalize": "none"}
        ),
    )


class ExportForm(ConfirmedForm):
    reason = forms.ChoiceField(
        choices=list(export.REASONS.items()), error_messages={"required": "Choose why the record leaves the clinic."}
    )
    form = forms.ChoiceField(
        choices=[(key, form.label) for key, form in export.FORMS.items()],
        error_messages={"required": "Choose a form."},
    )


class EraseForm(ConfirmedForm):
    reason = forms.ChoiceField(
        choices=list(erasing.REASONS.items()), error_messages={"required": "Choose why the record is erased."}
    )
    record_number = forms.CharField(
        label="Record number",
        help_text="Type it again, so that it is certain which record goes.",
        max_length=24,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        error_messages={"required": "Type the record number."},
    )
