"""The words patients agree to: which are in force for what in which language, drafts, publishing."""

import difflib
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction
from django.db.models import F, Max, Q, QuerySet
from django.utils import timezone
from django.utils.translation import get_language_info

from accounts.models import Clinic
from consults.models import SCOPES, ConsentStatement, StatementDraft
from vault import audit
from vault.core.evidence import statement_bytes

MAIN, VOICE, RECORDS, OTHERS = SCOPES
#: without these there is no visit; everything else is the patient's to leave
REQUIRED = frozenset({MAIN})
FALLBACK = "en"
SENTENCE_MOST = 160
#: what turns a line round or hides in it, so that words would read otherwise than they are
_HIDDEN = re.compile("[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b\u202a-\u202e\u2060-\u2069\ufeff]")


class NoWords(Exception):
    """The clinic has no words for what has to be asked; the message says what to do, in words for the patient."""


class BadWords(Exception):
    """The draft cannot be published; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One scope as a patient sees it."""

    statement: ConsentStatement
    #: the language that was asked for; the statement's own where there is no better
    wanted: str

    @property
    def scope(self) -> str:
        return self.statement.scope

    @property
    def required(self) -> bool:
        return self.scope in REQUIRED

    @property
    def digest(self) -> str:
        return digest_of(self.statement)

    @property
    def fell_back(self) -> bool:
        return self.statement.locale != self.wanted

    @property
    def direction(self) -> str:
        return direction(self.statement.locale)

    @property
    def sentence(self) -> str:
        """What is said aloud: the last paragraph of the words about it."""
        return sentence_of(self.statement.text) if self.scope == VOICE else ""


def scopes_of(clinic: Clinic) -> list[str]:
    """What this clinic asks, in the order shown. What is said aloud comes last, after all that was read."""
    return [MAIN, RECORDS, OTHERS, *([VOICE] if clinic.offers_voice_consent else [])]


def in_force(clinic: Clinic | None, scope: str, locale: str) -> ConsentStatement | None:
    """The newest published words of this scope in this language: the clinic's own, else those for every clinic."""
    return (
        visible(clinic)
        .filter(scope=scope, locale=locale, published_at__lte=timezone.now())
        .order_by(F("clinic_id").desc(nulls_last=True), "-version")
        .first()
    )


def shown(clinic: Clinic, locale: str) -> list[Shown]:
    """Everything this clinic asks in one language. A scope without words in it is shown in English, and says so."""
    published = visible(clinic).filter(locale__in={locale, FALLBACK}, published_at__lte=timezone.now())
    best: dict[tuple[str, str], ConsentStatement] = {}
    for words in published.order_by(F("clinic_id").desc(nulls_last=True), "-version"):
        best.setdefault((words.scope, words.locale), words)
    found = [best.get((scope, locale)) or best.get((scope, FALLBACK)) for scope in scopes_of(clinic)]
    if None in found:
        raise NoWords("Your clinic has not set up its consent text yet. Please call your clinic.")
    return [Shown(words, locale) for words in found if words]


def languages(clinic: Clinic) -> list[tuple[str, str]]:
    """(locale, its own name) of every language in which the visit itself has words, English first."""
    published = visible(clinic).filter(scope=MAIN, published_at__lte=timezone.now())
    found = set(published.values_list("locale", flat=True))
    return [(one, language_name(one)) for one in sorted(found, key=lambda one: (one != FALLBACK, language_name(one)))]


def visible(clinic: Clinic | None) -> QuerySet[ConsentStatement]:
    return ConsentStatement.objects.filter(Q(clinic=clinic) | Q(clinic=None))


def language_name(locale: str) -> str:
    try:
        return str(get_language_info(locale)["name_local"]).capitalize()
    except KeyError:
        return locale


def direction(locale: str) -> str:
    try:
        return "rtl" if get_language_info(locale)["bidi"] else "ltr"
    except KeyError:
        return "ltr"


def digest_of(words: ConsentStatement) -> str:
    """SHA-256 over the statement's canonical JSON (vault/FORMAT.md)."""
    data = statement_bytes(
        scope=words.scope, locale=words.locale, version=words.version, title=words.title, text=words.text
    )
    return hashlib.sha256(data).hexdigest()


def sentence_of(text: str) -> str:
    return text.strip().rpartition("\n\n")[2].strip()


# -- drafts ------------------------------------------------------------------------------------------------


def tidy(text: str) -> str:
    """One spelling of line ends and edges, so that what is shown is what is hashed."""
    return re.sub(r"[ \t]+\n", "\n", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def check(scope: str, text: str) -> None:
    if _HIDDEN.search(text):
        raise BadWords("The text holds letters that cannot be seen or turn the line round. Type that place again.")
    if scope == VOICE and len(sentence_of(text)) > SENTENCE_MOST:
        raise BadWords("The last paragraph is what the patient says aloud. Make it one short sentence of its own.")


def compared_with(draft: StatementDraft) -> ConsentStatement | None:
    """What the draft would take the place of."""
    return in_force(draft.clinic, draft.scope, draft.locale)


def as_published(draft: StatementDraft) -> ConsentStatement:
    """The draft as it would be once published; not saved."""
    return ConsentStatement(
        clinic=draft.clinic,
        scope=draft.scope,
        locale=draft.locale,
        title=draft.title,
        text=draft.text,
        version=_next_version(draft),
    )


def _next_version(draft: StatementDraft) -> int:
    same = visible(draft.clinic).filter(scope=draft.scope, locale=draft.locale)
    return int(same.aggregate(newest=Max("version"))["newest"] or 0) + 1


@transaction.atomic
def publish(draft: StatementDraft, by: audit.Actor, *, seen: str) -> ConsentStatement:
    """Put the draft in force, for good. `seen`: digest of the words as previewed; others are not published."""
    Clinic.objects.select_for_update().get(pk=draft.clinic_id)
    found = StatementDraft.objects.select_related("clinic").filter(pk=draft.pk).first()
    if found is None:
        raise BadWords("This draft is gone: it was published or thrown away.")
    draft = found
    check(draft.scope, f"{draft.title}\n{draft.text}")
    words = as_published(draft)
    if digest_of(words) != seen:
        raise BadWords("The draft was changed while you read it. Read it once more, then publish.")
    words.published_at = timezone.now()
    words.save(force_insert=True)
    draft.delete()
    audit.record("consent.statement", by, statement=words.pk, version=words.version, words=digest_of(words))
    return words


@transaction.atomic
def discard(draft: StatementDraft, by: audit.Actor) -> None:
    audit.record("consent.draft", by, draft=draft.pk, scope=draft.scope, locale=draft.locale, discarded=True)
    draft.delete()


def changes(before: str, after: str) -> list[tuple[str, str]]:
    """Pieces of text in order, each with "same", "gone" or "new": by words, so that a changed comma is seen."""
    old, new = _words(before), _words(after)
    pieces: list[tuple[str, str]] = []
    for tag, a1, a2, b1, b2 in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            pieces.append(("same", "".join(old[a1:a2])))
            continue
        pieces += _piece("gone", old[a1:a2]) + _piece("new", new[b1:b2])
    return pieces


def _piece(kind: str, words: Iterable[str]) -> list[tuple[str, str]]:
    text = "".join(words)
    return [(kind, text)] if text else []


def _words(text: str) -> list[str]:
    return re.findall(r"\s+|\w+|[^\w\s]", text)
