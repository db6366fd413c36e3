"""Acts that need a second factor younger than five minutes ask for the code themselves, so nothing typed is lost."""

from django import forms
from django.http import HttpRequest

from accounts import sessions, signin
from accounts.access import person
from vault import audit


class ConfirmedForm(forms.Form):
    code = forms.CharField(
        label="One-time code",
        help_text="The current code from your authenticator app.",
        required=False,
        max_length=48,
        widget=forms.TextInput(
            attrs={"autocomplete": "one-time-code", "spellcheck": "false", "autocapitalize": "none"}
        ),
    )


def confirmed(request: HttpRequest, form: ConfirmedForm) -> bool:
    """A second factor younger than the limit, or a right code typed just now; else the form says what is missing."""
    if sessions.confirmed_recently(request.session):
        return True
    try:
        right = signin.judge(request, person(request), form.cleaned_data["code"], action="signin.stepup")
    except signin.Throttled:
        form.add_error(None, "Too many tries. Wait 15 minutes, then try again.")
        return False
    if not right:
        form.add_error("code", "Type the current code from your authenticator app.")
        return False
    sessions.confirm(request)
    audit.record("signin.stepup", sessions.actor(request))
    return True
