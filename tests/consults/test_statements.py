"""The words patients agree to: by clinic, scope and language, drafted, compared, published, and then never changed."""

import datetime as dt
import json
from hashlib import sha256
from importlib import import_module

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.urls import reverse
from django.utils import timezone

from consults import consent_phrases, statements
from consults.models import SCOPES, ConsentStatement, StatementDraft
from tests.cast import BY, bring_to, publish, sign_in
from vault.models import AuditEntry

LANGUAGES = {"en", "es", "fr", "de", "ar"}


def _draft(clinic, **changes):
    words = {"scope": "records", "locale": "en", "title": "Sharing", "text": "May we share?", **changes}
    return StatementDraft.objects.create(clinic=clinic, changed_at=timezone.now(), **words)


def _seen(draft):
    return statements.digest_of(statements.as_published(draft))


# -- which words are in force ------------------------------------------------------------------------------


def test_every_scope_comes_with_words_in_every_language(cast):
    assert {locale for locale, _ in statements.languages(cast.clinic)} == LANGUAGES
    for locale in LANGUAGES:
        shown = statements.shown(cast.clinic, locale)
        assert {one.scope for one in shown} == set(SCOPES)
        assert not [one.scope for one in shown if one.fell_back]
        assert 10 < len(shown[-1].sentence) < statements.SENTENCE_MOST
    assert statements.shown(cast.clinic, "ar")[0].direction == "rtl"


def test_the_words_of_two_languages_are_never_the_same(cast):
    for scope in SCOPES:
        texts = [statements.in_force(cast.clinic, scope, locale).text for locale in LANGUAGES]
        assert len(set(texts)) == len(LANGUAGES)


def test_the_words_for_the_visit_say_that_it_may_pass_through_the_relay_and_those_before_stand(cast):
    said = import_module("consults.migrations.0019_words_about_the_relay").SAID
    assert set(said) == LANGUAGES
    for locale, (before, after) in said.items():
        first, second = ConsentStatement.objects.filter(scope="video_visit", locale=locale).order_by("version")
        assert statements.in_force(cast.clinic, "video_visit", locale) == second
        assert before in first.text
        assert second.text == first.text.replace(before, after)


def test_the_steps_own_phrases_are_whole_in_every_language():
    names = {locale: set(phrases) for locale, phrases in consent_phrases.PHRASES.items()}
    assert set(names) == LANGUAGES
    assert all(one == names["en"] for one in names.values())
    assert all(phrase.strip() for phrases in consent_phrases.PHRASES.values() for phrase in phrases.values())
    english = consent_phrases.PHRASES["en"]
    for locale in LANGUAGES - {"en"}:
        phrases = consent_phrases.PHRASES[locale]
        assert not {name for name in english if english[name] == phrases[name]}, locale


def test_the_nearest_language_of_the_phrases(cast):
    assert consent_phrases.of("es-mx", 24)[1] == "es"
    assert consent_phrases.of("fi", 24)[1] == "en"
    assert "12" in consent_phrases.of("de", 12)[0]["hours"]


def test_the_clinics_own_newest_words_come_first(cast):
    own = publish(cast.clinic)
    publish(cast.other_clinic, title="Foreign words")
    assert statements.in_force(cast.clinic, "video_visit", "en") == own
    newer = publish(cast.clinic, title="Newest")
    assert statements.in_force(cast.clinic, "video_visit", "en") == newer
    assert (own.version, newer.version) == (3, 4)


def test_words_for_later_are_not_in_force_yet(cast):
    later = timezone.now() + dt.timedelta(days=1)
    fields = {"scope": "others", "locale": "en", "version": 9, "title": "Not yet", "text": "?", "published_at": later}
    ConsentStatement.objects.create(clinic=cast.clinic, **fields)
    assert statements.in_force(cast.clinic, "others", "en").version == 1


def test_a_scope_without_words_in_a_language_is_shown_in_english_and_says_so(cast):
    publish(cast.clinic, locale="fi", title="Videokäynti", text="Sopiiko?")
    shown = {one.scope: one for one in statements.shown(cast.clinic, "fi")}
    assert (shown["video_visit"].statement.locale, shown["video_visit"].fell_back) == ("fi", False)
    assert (shown["records"].statement.locale, shown["records"].fell_back) == ("en", True)


def test_a_clinic_without_spoken_consent_does_not_ask_for_it(cast):
    cast.clinic.offers_voice_consent = False
    assert "voice" not in {one.scope for one in statements.shown(cast.clinic, "en")}


@pytest.mark.parametrize(
    ("accepts", "locale"),
    [("es-MX,es;q=0.9,en;q=0.8", "es"), ("fi, de;q=0.5", "de"), ("fi", "en"), ("", "en"), ("q=;;;,,", "en")],
)
def test_the_step_opens_in_the_browsers_language(cast, accepts, locale):
    now = bring_to("tested", cast.clinician, cast.patient)
    browser = now.browser()
    page = browser.get(reverse("visit", args=[now.consult.id]), headers={"Accept-Language": accepts}).content.decode()
    words = statements.in_force(cast.clinic, "video_visit", locale)
    assert words.text.split("\n")[0] in page
    other = browser.get(reverse("consent-words", args=[now.consult.id]), {"locale": "fr"}).content.decode()
    assert statements.in_force(cast.clinic, "video_visit", "fr").title in other


def test_all_words_of_a_step_are_one_query(cast, django_assert_num_queries):
    with django_assert_num_queries(1):
        found = statements.shown(cast.clinic, "fr")
    publish(cast.clinic, scope="records", locale="fr", title="Les nôtres", text="Oui ?")
    again = statements.shown(cast.clinic, "fr")
    assert [one.scope for one in again] == [one.scope for one in found] == statements.scopes_of(cast.clinic)
    assert [one.statement.title for one in again if one.scope == "records"] == ["Les nôtres"]
    assert {one.statement.locale for one in again} == {"fr"}


@pytest.mark.parametrize("locale", ["x\0y", "x" * 10_000, "tlh", "EN'--", "../en"])
def test_a_language_that_there_is_not_is_the_browsers(cast, locale, monkeypatch):
    asked, shown = [], statements.shown
    monkeypatch.setattr(statements, "shown", lambda clinic, locale: asked.append(locale) or shown(clinic, locale))
    now = bring_to("tested", cast.clinician, cast.patient)
    answer = now.browser().get(reverse("consent-words", args=[now.consult.id]), {"locale": locale})
    assert answer.status_code == 200
    # A database would refuse some of these, and none has to be asked.
    assert asked == ["en"]


# -- a published one never changes -------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["text = 'Other'", "title = 'Other'", "version = 9", "published_at = NULL"])
def test_the_database_refuses_to_change_what_was_published(cast, change):
    words = publish(cast.clinic)
    for statement in (f"UPDATE consults_consentstatement SET {change}", "DELETE FROM consults_consentstatement"):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"{statement} WHERE id = {words.pk}")


def test_one_version_is_there_once(cast):
    words = publish(cast.clinic)
    words.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        words.save(force_insert=True)


def test_the_digest_covers_everything_that_is_shown(cast):
    words = statements.as_published(_draft(cast.clinic))
    before = statements.digest_of(words)
    for name, other in {"text": "May we?", "title": "Other", "version": 7, "locale": "fr", "scope": "others"}.items():
        kept = getattr(words, name)
        setattr(words, name, other)
        assert statements.digest_of(words) != before, name
        setattr(words, name, kept)
    canonical = {f: getattr(words, f) for f in ("locale", "scope", "text", "title", "version")}
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert sha256(text.encode()).hexdigest() == before


# -- drafts ------------------------------------------------------------------------------------------------


def test_publishing_takes_the_draft_away_and_is_in_the_log(cast):
    draft = _draft(cast.clinic)
    words = statements.publish(draft, BY, seen=_seen(draft))
    assert (words.version, words.text, words.clinic) == (2, "May we share?", cast.clinic)
    assert not StatementDraft.objects.exists()
    entry = AuditEntry.objects.get(action="consent.statement")
    assert entry.detail["words"] == statements.digest_of(words)


def test_what_was_changed_after_the_preview_is_not_published(cast):
    draft = _draft(cast.clinic)
    seen = _seen(draft)
    StatementDraft.objects.filter(pk=draft.pk).update(text="Something else")
    with pytest.raises(statements.BadWords, match="changed while you read"):
        statements.publish(draft, BY, seen=seen)
    assert StatementDraft.objects.exists()


def test_a_draft_is_published_once(cast):
    draft = _draft(cast.clinic)
    seen = _seen(draft)
    statements.publish(StatementDraft.objects.get(), BY, seen=seen)
    with pytest.raises(statements.BadWords, match="gone"):
        statements.publish(draft, BY, seen=seen)


def test_two_officers_publish_at_once_and_one_of_them_reads_again(committed_cast):
    from tests.at_once import at_once

    drafts = [_draft(committed_cast.clinic, title=f"By {n}") for n in range(2)]
    calls = [lambda one=one: statements.publish(one, BY, seen=_seen(one)) for one in drafts]
    answers = at_once(calls)
    published = [one for one in answers if isinstance(one, ConsentStatement)]
    # Whoever came second had previewed version 2, which is taken; or began after the first, and is version 3.
    assert published
    assert {type(one) for one in answers} <= {ConsentStatement, statements.BadWords}
    assert sorted(one.version for one in published) == list(range(2, 2 + len(published)))


@pytest.mark.parametrize("letter", ["\u202e", "\u2066", "\u200b", "\u2060", "\ufeff", "\x00", "\x1b", "\t"])
def test_letters_that_hide_or_turn_round_are_refused(letter):
    with pytest.raises(statements.BadWords):
        statements.check("records", f"You may{letter} share")


def test_the_sentence_to_be_said_is_short(cast):
    statements.check("voice", "Words.\n\nI agree.")
    with pytest.raises(statements.BadWords, match="one short sentence"):
        statements.check("voice", "Words.\n\n" + "I agree and " * 20)


def test_line_ends_have_one_spelling():
    assert statements.tidy("  a \r\nb\t\rc\n\n") == "a\nb\nc"


@pytest.mark.parametrize(
    ("before", "after"),
    [("Is it so?", "Is it not so?"), ("A, b", "A; b"), ("same", "same"), ("", "new"), ("gone", ""), ("a\n\nb", "a\nb")],
)
def test_a_comparison_holds_all_of_both(before, after):
    pieces = statements.changes(before, after)
    assert "".join(text for kind, text in pieces if kind != "new") == before
    assert "".join(text for kind, text in pieces if kind != "gone") == after
    assert all(text for _, text in pieces)
    assert (before == after) == all(kind == "same" for kind, _ in pieces)


# -- in the admin ------------------------------------------------------------------------------------------


@pytest.fixture
def office(cast):
    return sign_in(cast.officer)


ADD = "admin:consults_statementdraft_add"
PREVIEW = "admin:consults_statementdraft_preview"
TYPED = {"scope": "records", "locale": "en", "title": "Sharing ", "text": "May we share?\r\n\r\nYou decide. "}


def test_an_officer_writes_previews_compares_and_publishes(cast, office):
    answer = office.post(reverse(ADD), TYPED)
    draft = StatementDraft.objects.get()
    assert answer.headers["Location"] == reverse(PREVIEW, args=[draft.pk])
    assert (draft.clinic, draft.title, draft.text) == (cast.clinic, "Sharing", "May we share?\n\nYou decide.")
    assert AuditEntry.objects.get(action="consent.draft").person == str(cast.officer.pk)
    page = office.get(reverse(PREVIEW, args=[draft.pk])).content.decode()
    assert "<ins>May</ins>" in page
    assert "<del>" in page
    assert "May we share?\n\nYou decide." in page
    seen = _seen(draft)
    assert seen in page
    answer = office.post(reverse(PREVIEW, args=[draft.pk]), {"seen": seen, "publish": "1"})
    words = ConsentStatement.objects.get(clinic=cast.clinic)
    assert answer.headers["Location"] == reverse("admin:consults_consentstatement_change", args=[words.pk])
    assert statements.in_force(cast.clinic, "records", "en") == words


def test_a_preview_that_is_stale_publishes_nothing(cast, office):
    draft = _draft(cast.clinic)
    answer = office.post(reverse(PREVIEW, args=[draft.pk]), {"seen": "0" * 64, "publish": "1"})
    assert answer.status_code == 200
    assert "changed while you read" in answer.content.decode()
    assert not ConsentStatement.objects.filter(clinic=cast.clinic).exists()


def test_a_draft_can_be_thrown_away(cast, office):
    draft = _draft(cast.clinic)
    office.post(reverse(PREVIEW, args=[draft.pk]), {"discard": "1"})
    assert not StatementDraft.objects.exists()
    assert AuditEntry.objects.get(action="consent.draft").detail["discarded"] is True


def test_a_new_version_begins_with_the_old_words(cast, office):
    words = statements.in_force(cast.clinic, "records", "es")
    page = office.get(reverse(ADD), {"from": words.pk}).content.decode()
    assert words.text.split("\n")[0] in page


def test_words_of_another_clinic_are_neither_a_beginning_nor_to_be_seen(cast, office):
    foreign = publish(cast.other_clinic, title="Foreign words")
    assert "Foreign words" not in office.get(reverse(ADD), {"from": foreign.pk}).content.decode()
    theirs = _draft(cast.other_clinic, title="Foreign draft")
    for method in ("get", "post"):
        answer = getattr(office, method)(reverse(PREVIEW, args=[theirs.pk]), {"seen": _seen(theirs), "publish": "1"})
        assert answer.status_code == 302
    assert office.get(reverse("admin:consults_statementdraft_change", args=[theirs.pk])).status_code in (302, 404)
    assert StatementDraft.objects.filter(pk=theirs.pk).exists()
    assert "Foreign draft" not in office.get(reverse("admin:consults_statementdraft_changelist")).content.decode()


@pytest.mark.parametrize(
    "wrong",
    [{"text": "You may\u202e share"}, {"locale": "English"}, {"scope": "everything"}, {"title": ""}, {"text": " "}],
    ids=lambda wrong: "-".join(wrong),
)
def test_what_cannot_be_published_is_said_while_writing(office, wrong):
    answer = office.post(reverse(ADD), {**TYPED, **wrong})
    assert answer.status_code == 200
    assert "errorlist" in answer.content.decode()
    assert not StatementDraft.objects.exists()


def test_nobody_changes_a_published_one_in_the_admin(cast, office):
    words = publish(cast.clinic)
    page = reverse("admin:consults_consentstatement_change", args=[words.pk])
    office.post(page, {"text": "Other", "title": "Other", "scope": "records", "locale": "en"})
    office.post(reverse("admin:consults_consentstatement_delete", args=[words.pk]), {"post": "yes"})
    words.refresh_from_db()
    assert words.text == "Yes?"


def test_the_operator_reads_them_and_writes_none(cast):
    operator = sign_in(cast.operator)
    words = publish(cast.clinic)
    page = operator.get(reverse("admin:consults_consentstatement_change", args=[words.pk])).content.decode()
    assert "Write a new version" not in page
    assert operator.get(reverse(ADD)).status_code in (403, 404)
