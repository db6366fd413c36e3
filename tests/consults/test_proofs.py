"""What both pages report about the other end: kept, in the log once, and held against each other."""

import pytest
from django.urls import reverse

from consults import proofs
from consults.models import Participant
from tests.cast import BY, bring_to, sign_in
from vault.models import AuditEntry

PAIR, SAME, OTHER = "1." + "a" * 16 + "." + "b" * 16, "d" * 64, "e" * 64


@pytest.fixture
def ends(cast):
    now = bring_to("admitted", cast.clinician, cast.patient)
    return [now.consult.participants.get(role=role, left_at=None) for role in Participant.Role.values]


def told():
    actions = AuditEntry.objects.filter(action__startswith="consult.proof").order_by("id")
    return [(e.action, e.outcome, e.detail) for e in actions]


def test_a_report_is_kept_and_in_the_log_once(ends):
    for _ in range(2):
        proofs.note(ends[0], proofs.Found(PAIR, "link", SAME), BY)
    kept = Participant.objects.get(pk=ends[0].pk)
    assert (kept.proof_state, kept.proof_digest, kept.proof_pair) == ("link", SAME, PAIR)
    assert kept.proof_at
    assert told() == [("consult.proof", "done", {"state": "link", "digest": SAME})]


def test_a_failure_is_a_failure_in_the_log(ends):
    proofs.note(ends[1], proofs.Found(PAIR, "failed", SAME, "certificate"), BY)
    assert told() == [("consult.proof", "failed", {"state": "failed", "digest": SAME, "why": "certificate"})]


def test_two_ends_that_see_different_certificates_are_an_entry_of_their_own(ends):
    proofs.note(ends[0], proofs.Found(PAIR, "none", SAME), BY)
    proofs.note(ends[1], proofs.Found(PAIR, "none", OTHER), BY)
    assert told()[-1] == ("consult.proof.differ", "failed", {"digest": OTHER, "other": SAME})


@pytest.mark.parametrize(("pair", "digest"), [(PAIR, SAME), (PAIR[:-1] + "c", OTHER), (PAIR, "")])
def test_ends_that_agree_or_speak_of_another_page_raise_no_alarm(ends, pair, digest):
    proofs.note(ends[0], proofs.Found(PAIR, "link", SAME), BY)
    proofs.note(ends[1], proofs.Found(pair, "link", digest), BY)
    assert {action for action, _, _ in told()} == {"consult.proof"}


def test_a_seat_that_was_left_reports_nothing(ends):
    Participant.objects.filter(pk=ends[1].pk).update(left_at=ends[1].joined_at)
    proofs.note(ends[1], proofs.Found(PAIR, "link", SAME), BY)
    assert told() == []


def test_what_both_pages_say_of_it_holds_over_a_relay_and_of_a_server_that_sends_other_pages(cast):
    now = bring_to("admitted", cast.clinician, cast.patient)
    for browser, page in ((sign_in(cast.clinician), "room"), (now.browser(), "visit")):
        text = browser.get(reverse(page, args=[now.consult.id])).content.decode()
        assert "words that are the same only when nobody is in between" in text
        assert "A link that came by e-mail is known to the clinic's server, and proves nothing by itself." in text
        assert "Encrypted<" in text  # the rest is said by what was found out
        for too_much in ("connected directly", "not even", "browser to browser"):
            assert too_much not in text
