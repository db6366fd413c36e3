from typing import Any

from django import forms
from django.contrib.auth.password_validation import validate_password

from accounts.models import User


class PasswordForm(forms.Form):
    email = forms.EmailField(
        label="E-mail", widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True})
    )
    password = forms.CharField(
        strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}), max_length=256
    )


class CodeForm(forms.Form):
    code = forms.CharField(
        label="One-time code",
        max_length=48,
        widget=forms.TextInput(
            attrs={
                "autocomplete": "one-time-code",
                "autofocus": True,
                "spellcheck": "false",
                "autocapitalize": "none",
            }
        ),
    )


class NewPasswordForm(forms.Form):
    """A new password, judged against the person it is for."""

    password = forms.CharField(
        label="New password",
        strip=False,
        max_length=256,
        help_text="At least 12 letters. A few words in a row are easy to remember and hard to guess.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    token = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, user: User | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        validate_password(password, self.user)
        return password
