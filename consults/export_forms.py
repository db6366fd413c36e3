from django import forms

from consults import erasing, export
from consults.confirming import ConfirmedForm


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
