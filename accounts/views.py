"""Pages about the account: signing in and out, setting up and confirming the second factor."""

from django.contrib import auth, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import second_factor, sessions, signin
from accounts.access import person, staff
from accounts.forms import CodeForm, NewPasswordForm, PasswordForm
from accounts.models import User
from vault import audit

#: in the session: which authenticator this sign-in sets up
ENROLLING = "enrolling"
THROTTLED = "Too many tries. Wait 15 minutes, then try again. Your account is safe."
WRONG_CODE = "That code is not right. Wait for the next code in your app and type it in."
WRONG_PASSWORD = "E-mail or password is not right. Check both and try again."  # noqa: S105


def _next(request: HttpRequest) -> str:
    target = request.POST.get("next") or request.GET.get("next") or ""
    safe = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=True)
    return target if safe and target.startswith("/") else ""


def home_of(user: User) -> str:
    homes = {User.Role.CLINICIAN: "dashboard", User.Role.PRIVACY_OFFICER: "review"}
    return reverse(homes.get(User.Role(user.role), "admin:index"))


@require_http_methods(["GET", "POST"])
def password(request: HttpRequest) -> HttpResponse:
    if isinstance(request.user, User):
        return redirect(home_of(request.user))
    form = PasswordForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            user = signin.check_password(request, form.cleaned_data["email"], form.cleaned_data["password"])
        except signin.Throttled:
            user = None
            form.add_error(None, THROTTLED)
        else:
            if user is None:
                form.add_error(None, WRONG_PASSWORD)
        if user:
            request.session["next"] = _next(request)
            return redirect("signin-code" if second_factor.authenticator_of(user) else "enrol")
    return render(request, "accounts/signin.html", {"form": form, "next": _next(request)})


@require_http_methods(["GET", "POST"])
def code(request: HttpRequest) -> HttpResponse:
    user = signin.pending_user(request)
    if user is None:
        return redirect("signin")
    target = request.session.get("next") or home_of(user)
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            if signin.check_second_factor(request, user, form.cleaned_data["code"]):
                return redirect(target)
            form.add_error("code", WRONG_CODE)
        except signin.Throttled:
            form.add_error(None, THROTTLED)
    return render(request, "accounts/code.html", {"form": form})


@require_http_methods(["GET", "POST"])
def enrol(request: HttpRequest) -> HttpResponse:
    """Set up the authenticator at first sign-in. Whoever has one already is sent to use it."""
    user = signin.pending_user(request)
    if user is None or second_factor.authenticator_of(user):
        return redirect("signin")
    device = second_factor.begin_enrolment(user, request.session.get(ENROLLING))
    request.session[ENROLLING] = device.pk
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        with transaction.atomic():
            codes = second_factor.confirm_enrolment(device, form.cleaned_data["code"])
            if codes:
                signin.begin(request, user, device)
                audit.record("account.enrol", sessions.actor(request))
        if codes:
            return _show_codes(request, codes, user)
        form.add_error("code", WRONG_CODE)
    context = {
        "form": form,
        "qr": second_factor.qr_svg(second_factor.provisioning_uri(device, user.clinic.name)),
        "seed": second_factor.spelled_seed(device),
    }
    return render(request, "accounts/enrol.html", context)


def _show_codes(request: HttpRequest, codes: list[str], user: User) -> HttpResponse:
    return render(request, "accounts/recovery_codes.html", {"codes": codes, "next": home_of(user)})


@require_POST
def signout(request: HttpRequest) -> HttpResponse:
    if isinstance(request.user, User):
        audit.record("signout", sessions.actor(request))
    auth.logout(request)
    response = redirect("signin")
    response["Clear-Site-Data"] = '"cache", "storage"'
    return response


@require_http_methods(["GET", "POST"])
def activate(request: HttpRequest) -> HttpResponse:
    """Set a password by activation link. The secret is in the link's fragment, so no server log ever has it."""
    user = signin.activating_user(request.POST.get("token", "")) if request.method == "POST" else None
    form = NewPasswordForm(request.POST or None, user=user)
    if request.method == "POST" and form.is_valid():
        if user:
            signin.activate(request, user, form.cleaned_data["password"])
            messages.success(request, "Your password is set. Sign in with it now.")
            return redirect("signin")
        form.add_error(None, "This link does not work any more. Ask your operator for a new one.")
    return render(request, "accounts/activate.html", {"form": form})


@staff
@require_GET
def account(request: HttpRequest) -> HttpResponse:
    codes_left = person(request).recovery_codes.filter(used_at=None).count()
    return render(request, "accounts/account.html", {"codes_left": codes_left})


@staff
@require_http_methods(["GET", "POST"])
def confirm(request: HttpRequest) -> HttpResponse:
    """Ask for the second factor again before something sensitive."""
    form = CodeForm(request.POST or None)
    target = _next(request) or home_of(person(request))
    if request.method == "POST" and form.is_valid():
        try:
            if signin.judge(request, person(request), form.cleaned_data["code"], action="signin.stepup"):
                sessions.confirm(request)
                audit.record("signin.stepup", sessions.actor(request))
                return redirect(target)
            form.add_error("code", WRONG_CODE)
        except signin.Throttled:
            form.add_error(None, THROTTLED)
    return render(request, "accounts/confirm.html", {"form": form, "next": target})


def _needs_confirmation(request: HttpRequest) -> HttpResponse | None:
    if sessions.confirmed_recently(request.session):
        return None
    return redirect(f"{reverse('confirm')}?next={request.path}")


@staff
@require_http_methods(["GET", "POST"])
def change_password(request: HttpRequest) -> HttpResponse:
    if response := _needs_confirmation(request):
        return response
    user = person(request)
    form = NewPasswordForm(request.POST or None, user=user)
    if request.method == "POST" and form.is_valid():
        with transaction.atomic():
            user.set_password(form.cleaned_data["password"])
            user.save()
            audit.record("account.password", sessions.actor(request))
        # Other sessions of this account end here: their hash no longer fits.
        auth.update_session_auth_hash(request, user)
        messages.success(request, "Your password is changed. Other devices were signed out.")
        return redirect("account")
    return render(request, "accounts/change_password.html", {"form": form})


@staff
@require_http_methods(["GET", "POST"])
def recovery_codes(request: HttpRequest) -> HttpResponse:
    """New recovery codes; the old ones stop working."""
    if response := _needs_confirmation(request):
        return response
    if request.method == "GET":
        return render(request, "accounts/recovery_codes_confirm.html")
    with transaction.atomic():
        codes = second_factor.new_recovery_codes(person(request))
        audit.record("account.recovery_codes", sessions.actor(request))
    return _show_codes(request, codes, person(request))
