"""The patient's own page behind her receipt's link: what she agreed to, who looked, withdraw, take it with her."""

from collections.abc import Callable
from functools import wraps
from uuid import UUID

from django.core import signing
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from accounts import attempts
from accounts.sessions import source_of
from consults import consent, receipt_forms, receipts, views_consent
from consults.answers import sorry
from consults.forms import IdentityForm, first_error
from consults.models import Consent, Participant
from consults.typesetting import CannotSet
from vault import audit_key
from vault.check_page import page as check_page_file
from vault.models import AuditEntry

COOKIE = "__Host-receipt"
SALT = "consults.receipt"
#: how long the page stays open without being loaded again
SECONDS = 30 * 60
#: links one address may try in 15 minutes
LINKS_PER_ADDRESS = 60
UNKNOWN = "This link does not work. Copy all of it, or call your clinic."
OPEN_AGAIN = "Your page was open for a long time, so it was closed. Open your link again."


@require_GET
def entrance(request: HttpRequest) -> HttpResponse:
    """The page behind every receipt's link. The token is in the fragment; looking changes nothing."""
    return render(request, "consults/receipt.html", {"form": IdentityForm()})


@require_POST
def open_page(request: HttpRequest) -> HttpResponse:
    if not attempts.allowed("receipt-link", source_of(request), limit=LINKS_PER_ADDRESS):
        return sorry("Too many links were tried from here. Wait 15 minutes.", status=429)
    seat = receipts.find(request.POST.get("token", ""))
    if seat is None:
        return sorry(UNKNOWN, status=404)
    form = IdentityForm(request.POST)
    if not form.is_valid():
        return sorry(first_error(form))
    typed = {name: str(form.cleaned_data[name]) for name in ("name", "birth_date")}
    try:
        if not receipts.confirm(seat, **typed, source=source_of(request)):
            return sorry("That does not match what your clinic has. Check both and try again.", status=403)
    except receipts.TooMany as error:
        return sorry(str(error), status=429)
    return _remember(JsonResponse({"url": reverse("receipt-yours")}), seat)


def _remember(response: HttpResponse, seat: Participant) -> HttpResponse:
    response.set_cookie(
        COOKIE,
        signing.dumps([str(seat.pk), seat.receipt_digest], salt=SALT),
        max_age=SECONDS,
        secure=True,
        httponly=True,
        samesite="Strict",
        path="/",
    )
    return response


def _opened(request: HttpRequest) -> Participant | None:
    try:
        seat, receipt_digest = signing.loads(request.COOKIES.get(COOKIE, ""), salt=SALT, max_age=SECONDS)
    except signing.BadSignature:
        return None
    return receipts.by_id(seat, receipt_digest)


def with_receipt(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Pass the seat in whose link was opened in this browser, within the last half hour."""

    @wraps(view)
    def opened(request: HttpRequest, **parts: object) -> HttpResponse:
        seat = _opened(request)
        if seat is None and request.method == "POST":
            return sorry(OPEN_AGAIN, status=403)
        if seat is None:
            return render(request, "consults/receipt_closed.html", {"reason": OPEN_AGAIN}, status=403)
        return view(request, seat, **parts)

    return opened


@require_GET
@with_receipt
def own_page(request: HttpRequest, seat: Participant) -> HttpResponse:
    return _remember(_own_page(request, seat), seat)


def _own_page(request: HttpRequest, seat: Participant, trouble: str = "", status: int = 200) -> HttpResponse:
    context = {
        "consult": seat.consult,
        "clinic": seat.consult.clinic,
        "agreements": receipts.agreements(seat),
        "standing": consent.to_withdraw(seat),
        "looks": receipts.looks(seat),
        "most_looks": receipts.MOST_LOOKS,
        "log_key": _log_key(),
        "trouble": trouble,
    }
    return render(request, "consults/receipt_yours.html", context, status=status)


def _log_key() -> str:
    """Empty while the log is not sealed on this server: there is nothing to check against then."""
    try:
        return audit_key.load_public().vkey
    except audit_key.NoKey:
        return ""


#: form -> ending, content type, how it is made from the file
FORMS: dict[str, tuple[str, str, Callable[[bytes], bytes]]] = {
    "json": ("json", "application/json", bytes),
    "pdf": ("pdf", "application/pdf", receipt_forms.as_pdf),
    "fhir": ("fhir.json", "application/fhir+json", receipt_forms.as_fhir),
}


@require_GET
@with_receipt
def file(request: HttpRequest, seat: Participant, consent_id: UUID, form: str = "json") -> HttpResponse:
    given = Consent.objects.filter(pk=consent_id, participant=seat, act=Consent.Act.GIVEN).first()
    if given is None:
        raise Http404
    ending, content_type, made_from = FORMS[form]
    try:
        made = made_from(receipts.make(seat, given, source_of(request), form=form))
    except receipts.NoReceipt as error:
        return _own_page(request, seat, str(error), status=503 if isinstance(error, receipts.NotYet) else 409)
    except CannotSet as error:
        return _own_page(request, seat, f"{error} Take the receipt itself: it says the same.", status=500)
    except receipt_forms.DoesNotHold as error:
        return _own_page(request, seat, f"This receipt does not hold. Please tell your clinic: {error}.", status=500)
    return _download(made, f"consent-receipt-{given.at:%Y-%m-%d}.{ending}", content_type)


@require_GET
@with_receipt
def proof(request: HttpRequest, seat: Participant, entry: int) -> HttpResponse:
    """By which somebody who has this file and the log's key can check that the look is in the log."""
    try:
        proof_file = receipts.proof(seat, entry, source_of(request))
    except AuditEntry.DoesNotExist:
        raise Http404 from None
    except receipts.NoReceipt as error:
        return _own_page(request, seat, str(error), status=503 if isinstance(error, receipts.NotYet) else 409)
    return _download(proof_file, f"entry-{entry}-proof.json")


@require_POST
@with_receipt
def withdraw(request: HttpRequest, seat: Participant) -> HttpResponse:
    return views_consent.withdrawn(request, seat)


@require_POST
@with_receipt
def close(request: HttpRequest, seat: Participant) -> HttpResponse:
    receipts.close(seat, source_of(request))
    response = JsonResponse({"ok": True})
    response.delete_cookie(COOKIE, path="/", samesite="Strict")
    return response


@require_GET
def check_page(_request: HttpRequest) -> HttpResponse:
    """The page that checks a receipt without any server, to keep beside it."""
    return _download(check_page_file().encode(), "check-receipt.html", "text/html; charset=utf-8")


def _download(content: bytes, name: str, content_type: str = "application/json") -> HttpResponse:
    return HttpResponse(
        content, content_type=content_type, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
