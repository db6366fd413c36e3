from typing import Any

from django import forms

from consults import holds, retention
from consults.confirming import ConfirmedForm
from consults.models import SCOPES
from consults.retention import Period


class KeepingForm(ConfirmedForm):
    """One choice for each scope; empty is "until we choose otherwise"."""

    def __init__(self, *args: Any, chosen: dict[str, Period], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for scope, label in SCOPES.items():
            offered = [("", retention.KEPT), *((str(days), said) for days, said in retention.CHOICES[scope].items())]
            newest = chosen[scope].newest
            self.fields[scope] = forms.ChoiceField(
                label=label,
                choices=offered,
                required=False,
                initial="" if newest is None else str(newest),
                error_messages={"invalid_choice": "Choose one of the periods that are offered."},
            )

    def days(self) -> dict[str, int | None]:
        return {scope: int(self.cleaned_data[scope]) if self.cleaned_data[scope] else None for scope in SCOPES}


class HoldForm(ConfirmedForm):
    reason = forms.CharField(
        label="Why",
        help_text="Which matter, who asked, who ends it. It is sealed under the patient's key.",
        max_length=holds.LONGEST_REASON,
        widget=forms.Textarea(attrs={"rows": 3, "autocomplete": "off"}),
        error_messages={"required": "Say in a few words why."},
    )


class LiftForm(HoldForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].help_text = "How the matter ended, and who says so. It is sealed as well."
