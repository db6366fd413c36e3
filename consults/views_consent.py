"""The consent step as the patient's browser asks for it: the words, what to sign, what was signed, her own voice."""

from typing import Any

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation.trans_real import parse_accept_lang_header
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.sessions import source_of
from consults import consent, consent_phrases, statements, visit, voice
from consults.answers import sorry
from consults.forms import ConsentForm, SignedForm, first_error
from consults.models import Participant
from consults.seated import with_seat
from vault.core import evidence


def step(request: HttpRequest, seat: Participant) -> dict[str, Any]:
    """What the consent step shows, in the language asked for, or the first of the browser's that the clinic has."""
    clinic = seat.consult.clinic
    offered = statements.languages(clinic)
    # Only a language that there is goes on to the database, whatever an address says.
    asked = next((locale for locale, _ in offered if locale == request.GET.get("locale")), "")
    locale = asked or _preferred(request, offered)
    phrases, spoken_in = consent_phrases.of(locale, settings.CONSENT_LIFETIME_HOURS)
    return {
        "shown": statements.shown(clinic, locale),
        "locale": locale,
        "phrases": phrases,
        "said": consent_phrases.said_by_script(phrases),
        "phrases_locale": spoken_in,
        "direction": statements.direction(spoken_in),
        "languages": offered,
        "purpose": consent.PURPOSE,
        "hours": settings.CONSENT_LIFETIME_HOURS,
        "consult": seat.consult,
        "clinic": clinic,
    }


def _preferred(request: HttpRequest, offered: list[tuple[str, str]]) -> str:
    known = {locale.lower(): locale for locale, _ in offered}
    for wanted, _ in parse_accept_lang_header(request.headers.get("Accept-Language", "")[:200]):
        for one in (wanted, wanted.partition("-")[0]):
            if one in known:
                return known[one]
    return statements.FALLBACK


@require_GET
@with_seat
def consent_words(request: HttpRequest, seat: Participant) -> HttpResponse:
    """The step's inside in another language, or again where the words were renewed."""
    try:
        return render(request, "consults/_consent_words.html", step(request, seat))
    except statements.NoWords as error:
        return sorry(str(error), status=409)


@require_POST
@with_seat
def give_consent(request: HttpRequest, seat: Participant) -> HttpResponse:
    """Twice for one consent: first what was chosen, answered by what is to be signed; then what was signed."""
    if "evidence" in request.POST:
        return _record(request, seat)
    form = ConsentForm(request.POST)
    if not form.is_valid():
        return sorry(first_error(form, named=False))
    try:
        choice = _chosen(seat, form)
        consent.check_choice(seat, choice)
        drawn_up = consent.draw_up(seat, choice, timezone.now())
        return JsonResponse({"sign": evidence.evidence_bytes(drawn_up).decode()})
    except (consent.NotConsented, statements.NoWords) as error:
        return _refused(request, seat, error)
    except evidence.BadEvidence:
        return sorry("Something typed is not what it may be. Check the names and try again.")


def _chosen(seat: Participant, form: ConsentForm) -> consent.Choice:
    data = form.cleaned_data
    recording = seat.voice_recordings.filter(sha256=data["recording"], consent=None).first()
    if data["recording"] and recording is None:
        raise consent.NotConsented("The recording was not found. Record it again or go on without it.")
    shown = statements.shown(seat.consult.clinic, data["locale"])
    return consent.Choice(
        locales={one.scope: one.statement.locale for one in shown},
        agreed=frozenset(data["agreed"]),
        name=data["name"],
        by=form.by,
        witness=form.witness_named,
        recording=recording,
        worker=tuple(line for line in data["worker"].split("\n") if line) if recording else (),
        key=data["key"],
    )


def _record(request: HttpRequest, seat: Participant) -> HttpResponse:
    """Take consent, then to the waiting room: the patient has nothing left to do."""
    form = SignedForm(request.POST)
    if not form.is_valid():
        return sorry("What your browser signed did not arrive whole. Try again.")
    signed = form.cleaned_data
    try:
        # Both or neither: whoever had agreed and did not wait could neither agree again nor be admitted.
        with transaction.atomic():
            given = consent.give(seat, signed["evidence"], signed["signature"], source=source_of(request))
            visit.wait(seat, source=source_of(request))
    except (consent.NotConsented, visit.NotNow) as error:
        return _refused(request, seat, error)
    answer = {"ok": True, "consent": str(given.id), "at": given.at.isoformat(), "digest": given.evidence_digest}
    return JsonResponse(answer)


def _refused(request: HttpRequest, seat: Participant, error: Exception) -> HttpResponse:
    if isinstance(error, consent.OtherRecorder):
        consent.record_refusal(seat, source=source_of(request))
    return sorry(str(error), status=409)


@require_POST
@with_seat
def withdraw(request: HttpRequest, seat: Participant) -> HttpResponse:
    return withdrawn(request, seat)


def withdrawn(request: HttpRequest, seat: Participant) -> HttpResponse:
    """With a key: what is to be signed. With what was signed, or with nothing: withdrawn."""
    if key := request.POST.get("key", ""):
        return _withdrawal_to_sign(request, seat, key)
    signed: dict[str, Any] = {}
    if "evidence" in request.POST:
        form = SignedForm(request.POST)
        if not form.is_valid():
            return sorry("What your browser signed did not arrive whole. Try again.")
        signed = {"data": form.cleaned_data["evidence"], "signature": form.cleaned_data["signature"]}
    try:
        consent.withdraw(seat, source=source_of(request), **signed)
    except consent.NotConsented as error:
        return sorry(str(error), status=409)
    return JsonResponse({"ok": True})


def _withdrawal_to_sign(request: HttpRequest, seat: Participant, key: str) -> HttpResponse:
    try:
        drawn_up = consent.withdrawal_to_sign(seat, key[:200], source=source_of(request))
        return JsonResponse({"sign": evidence.evidence_bytes(drawn_up).decode() if drawn_up else ""})
    except evidence.BadEvidence:
        return JsonResponse({"sign": ""})


@require_http_methods(["GET", "POST"])
@with_seat
def own_voice(request: HttpRequest, seat: Participant) -> HttpResponse:
    """POST: whether she may be recorded. GET: what was recorded, for her to hear and to take the digest of."""
    if request.method == "POST":
        voice.agree(seat, yes=request.POST.get("yes") == "1", source=source_of(request))
        return JsonResponse({"ok": True})
    found = voice.own(seat, source_of(request))
    if found is None:
        return sorry("There is no recording. Record it again or go on without it.", status=409)
    recording, sound = found
    seconds = str(consent.whole_seconds(recording))
    return HttpResponse(sound, content_type="audio/ogg", headers={"X-Recording-Seconds": seconds})
