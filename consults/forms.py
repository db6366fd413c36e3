import base64
import json
from typing import Any

from django import forms

from consults.confirming import ConfirmedForm
from consults.consent import PATIENT
from consults.models import SCOPES, Concern
from vault.core.evidence import MOST_BYTES, NAME_MOST, ROLES
from vault.core.fields import KINDS
from vault.patients import NEEDED, PURPOSES


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


class ChangeForm(ConfirmedForm):
    """Corrections: what is left empty stays, what is ticked goes."""

    name = forms.CharField(required=False, max_length=120)
    birth_date = forms.DateField(label="Date of birth", required=False, widget=forms.DateInput(attrs={"type": "date"}))
    phone = forms.CharField(required=False, max_length=40, widget=forms.TextInput(attrs={"type": "tel"}))
    email = forms.EmailField(label="E-mail", required=False)
    national_id = forms.CharField(label="National id", required=False, max_length=40)
    address = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 2}), max_length=1000)
    notes = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 3}), max_length=8000)
    remove = forms.MultipleChoiceField(
        required=False, choices=[(f, k.label) for f, k in KINDS.items() if f not in NEEDED]
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs.setdefault("autocomplete", "off")

    def values(self) -> dict[str, str]:
        typed = {f: str(self.cleaned_data[f]) for f in KINDS if self.cleaned_data.get(f)}
        return {**dict.fromkeys(self.cleaned_data["remove"], ""), **typed}


class EmergencyForm(ConfirmedForm):
    reason = forms.CharField(
        label="Why can it not wait?",
        help_text="Your privacy officer reads this. At least ten letters.",
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 3, "autocomplete": "off"}),
        error_messages={"required": "Say in a few words why it cannot wait."},
    )


class SignForm(forms.Form):
    """A review signed off."""

    finding = forms.ChoiceField(choices=Concern.Finding.choices, error_messages={"required": "Choose what you found."})
    note = forms.CharField(
        label="Note",
        help_text="Sealed with the record. Name nobody who does not belong here.",
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 3, "autocomplete": "off"}),
    )


class DecoyForm(ConfirmedForm, PatientForm):
    """A patient, or a made-up one: nobody has a reason to read her."""

    decoy = forms.BooleanField(label="Made up: tell me when somebody reads this record", required=False, initial=True)


class RevealForm(ConfirmedForm):
    fields = forms.MultipleChoiceField(choices=[(f, k.label) for f, k in KINDS.items()])  # type: ignore[assignment]
    purpose = forms.ChoiceField(choices=list(PURPOSES.items()))
    #: the visit in whose room the values are read, for the log
    consult = forms.UUIDField(required=False)


class NoteForm(forms.Form):
    text = forms.CharField(max_length=8000, strip=True, widget=forms.Textarea(attrs={"rows": 5}))


class DevicesForm(forms.Form):
    """What the device test found, as the page reports it."""

    camera = forms.BooleanField(required=False)
    microphone = forms.BooleanField(required=False)
    speaker = forms.BooleanField(required=False)


_ROLES = [(role, role) for role in ROLES]


class ConsentForm(forms.Form):
    """What was chosen and typed at the consent step, before anything is signed."""

    locale = forms.CharField(max_length=12)
    agreed = forms.MultipleChoiceField(choices=list(SCOPES.items()))
    name = forms.CharField(max_length=NAME_MOST)
    role = forms.ChoiceField(choices=_ROLES)
    by_name = forms.CharField(required=False, max_length=NAME_MOST)
    relation = forms.CharField(required=False, max_length=NAME_MOST)
    witness = forms.ChoiceField(choices=[("", ""), *_ROLES[1:]], required=False)
    witness_name = forms.CharField(required=False, max_length=NAME_MOST)
    witness_relation = forms.CharField(required=False, max_length=NAME_MOST)
    recording = forms.RegexField(r"\A[0-9a-f]{64}\Z", required=False)
    worker = forms.CharField(required=False, max_length=1000)
    key = forms.CharField(max_length=200)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("role") != "patient" and not data.get("by_name"):
            raise forms.ValidationError("Type the name of who agrees for the patient.")
        if data.get("witness") and not data.get("witness_name"):
            raise forms.ValidationError("Type the name of who is with you.")
        return data

    @property
    def by(self) -> dict[str, str]:
        """Who agrees. The patient herself is named by what she types as her signature."""
        data = self.cleaned_data
        if data["role"] == "patient":
            return dict(PATIENT)
        return {"role": data["role"], "name": data["by_name"], "relation": data["relation"]}

    @property
    def witness_named(self) -> dict[str, str] | None:
        data = self.cleaned_data
        if not data["witness"]:
            return None
        return {"role": data["witness"], "name": data["witness_name"], "relation": data["witness_relation"]}


class SignedForm(forms.Form):
    """What her browser signed: canonical JSON, and r | s in base64."""

    evidence = forms.CharField(max_length=MOST_BYTES, strip=False)
    signature = forms.RegexField(r"\A[A-Za-z0-9+/]{86}==\Z")

    def clean_evidence(self) -> bytes:
        return str(self.cleaned_data["evidence"]).encode()

    def clean_signature(self) -> bytes:
        return base64.b64decode(self.cleaned_data["signature"])


def first_error(form: forms.BaseForm, *, named: bool = True) -> str:
    """One sentence for a page that shows one; `named`: which field it is about comes first."""
    errors = json.loads(form.errors.as_json())
    for field, found in errors.items():
        label = form.fields[field].label if named and field in form.fields else ""
        return f"{label}: {found[0]['message']}" if label else str(found[0]["message"])
    return "Check what you typed and try again."
