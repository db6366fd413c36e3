import json
from typing import Any

from django import forms

from vault.core.fields import KINDS
from vault.patients import PURPOSES


class PatientForm(forms.Form):
    """A new record. The vault normalises and checks the values; its sentences are shown beside the fields."""

    name = forms.CharField(max_length=120, help_text="As the patient writes it.")
    birth_date = forms.DateField(label="Date of birth", widget=forms.DateInput(attrs={"type": "date"}))
    phone = forms.CharField(required=False, max_length=40, widget=forms.TextInput(attrs={"type": "tel"}))
    email = forms.EmailField(label="E-mail", required=False)
    national_id = forms.CharField(label="National id", required=False, max_length=40)
    address = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 2}), max_length=1000)
    notes = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 3}), max_length=8000)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            # Browsers must not offer one patient's data while another's is typed.
            field.widget.attrs["autocomplete"] = "off"

    def values(self) -> dict[str, str]:
        return {f: str(v) for f, v in self.cleaned_data.items() if v}


class IdentityForm(forms.Form):
    name = forms.CharField(
        label="Your full name", max_length=120, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    birth_date = forms.DateField(
        label="Your date of birth", widget=forms.DateInput(attrs={"type": "date", "autocomplete": "bday"})
    )


class RevealForm(forms.Form):
    fields = forms.MultipleChoiceField(choices=[(f, k.label) for f, k in KINDS.items()])  # type: ignore[assignment]
    purpose = forms.ChoiceField(choices=list(PURPOSES.items()))
    code = forms.CharField(required=False, max_length=48)


class NoteForm(forms.Form):
    text = forms.CharField(max_length=8000, strip=True, widget=forms.Textarea(attrs={"rows": 5}))


class DevicesForm(forms.Form):
    """What the device test found, as the page reports it."""

    camera = forms.BooleanField(required=False)
    microphone = forms.BooleanField(required=False)
    speaker = forms.BooleanField(required=False)


class ConsentForm(forms.Form):
    shown = forms.CharField(max_length=64)
    name = forms.CharField(max_length=120)
    agree = forms.BooleanField()
    recording = forms.IntegerField(required=False)


def first_error(form: forms.BaseForm) -> str:
    """One sentence for a page that shows one."""
    errors = json.loads(form.errors.as_json())
    for field, found in errors.items():
        label = form.fields[field].label if field in form.fields else ""
        return f"{label}: {found[0]['message']}" if label else str(found[0]["message"])
    return "Check what you typed and try again."
