"""An invite by e-mail goes out once, whatever happens, and leaves nothing readable behind."""

import re

import pytest
from django.core import mail as outbox_of
from django.urls import reverse
from django.utils import timezone

from consults import invitations, mail, tasks
from consults.models import Invitation, InvitationMail
from tests.cast import BY, MARIA, bring_to, sign_in
from vault.models import SealedValue


@pytest.fixture
def queued(cast):
    return mail.mail_invitation(bring_to("started", cast.clinician, cast.patient).consult, BY)


@pytest.fixture
def outbox():
    return outbox_of.outbox


def test_it_goes_to_the_patients_own_address_with_a_link_that_works(queued, outbox):
    mail.send(queued.pk)
    (letter,) = outbox
    assert letter.to == [MARIA["email"].lower()] or letter.to == [MARIA["email"]]
    assert "Harbour Practice" in letter.subject
    texts = [letter.body, letter.alternatives[0][0]]
    tokens = {re.search(r"/join/#([\w-]{43})", text).group(1) for text in texts}
    assert len(tokens) == 1
    assert invitations.find(tokens.pop()).consult == queued.invitation.consult


def test_the_letter_names_the_patient_nowhere(queued, outbox):
    mail.send(queued.pk)
    text = outbox[0].subject + outbox[0].body + outbox[0].alternatives[0][0]
    for secret in ("Quixplotz", "1984", "7946 0142", "Glorb"):
        assert secret not in text


def test_running_the_task_twice_sends_once(queued, outbox):
    tasks.send_invitation(queued.pk)
    tasks.send_invitation(queued.pk)
    tasks.sweep()
    assert len(outbox) == 1


def test_running_it_side_by_side_sends_once(committed_cast):
    from tests.at_once import at_once

    queued = mail.mail_invitation(bring_to("started", committed_cast.clinician, committed_cast.patient).consult, BY)
    assert at_once([lambda: mail.send(queued.pk)] * 4) == [None] * 4
    assert len(outbox_of.outbox) == 1


def test_once_sent_the_letter_is_erased(queued, outbox):
    token = queued.letter
    assert SealedValue.objects.filter(token=token).exists()
    mail.send(queued.pk)
    queued.refresh_from_db()
    assert (queued.letter, bool(queued.sent_at)) == ("", True)
    assert not SealedValue.objects.filter(token=token).exists()


def test_a_page_loaded_later_says_that_the_server_knows_a_mailed_link(cast):
    now = bring_to("started", cast.clinician, cast.patient)
    desk, room = sign_in(cast.clinician), reverse("room", args=[now.consult.id])
    known = b"The server knows a link that it sends by e-mail"
    mail.mail_invitation(now.consult, BY)
    assert known in desk.get(room).content
    Invitation.objects.update(redeemed_at=timezone.now())
    assert known in desk.get(room).content
    assert known in desk.get(reverse("room-status", args=[now.consult.id])).content
    invitations.revoke(now.consult, BY)
    assert known not in desk.get(room).content
    invitations.invite(now.consult, BY)  # handed over
    assert known not in desk.get(room).content


def test_a_task_carries_an_id_and_nothing_else(cast, monkeypatch):
    handed = []
    monkeypatch.setattr(tasks.send_invitation, "delay", lambda *args, **kwargs: handed.append((args, kwargs)))
    now = bring_to("started", cast.clinician, cast.patient)
    answer = sign_in(cast.clinician).post(reverse("invite-mail", args=[now.consult.id]))
    assert answer.json() == {"sent_to": "•••@canary.example"}
    assert handed == [((InvitationMail.objects.get().pk,), {})]


def _failing(monkeypatch, error):
    def fail(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(mail.EmailMultiAlternatives, "send", fail)


def test_a_failure_keeps_it_for_the_sweep(queued, outbox, monkeypatch):
    with monkeypatch.context() as patch:
        _failing(patch, ConnectionRefusedError())
        mail.send(queued.pk)
    queued.refresh_from_db()
    assert (queued.failures, queued.sent_at) == (1, None)
    tasks.sweep()
    assert len(outbox) == 1


def test_a_refusal_by_the_mail_server_keeps_it_too(queued, outbox, monkeypatch):
    import smtplib

    with monkeypatch.context() as patch:
        _failing(patch, smtplib.SMTPRecipientsRefused({}))
        mail.send(queued.pk)
    assert mail.unsent() == [queued.pk]


def test_after_eight_failures_it_is_given_up(queued, outbox, monkeypatch):
    with monkeypatch.context() as patch:
        _failing(patch, TimeoutError())
        for _ in range(mail.GIVE_UP_AFTER + 3):
            mail.send(queued.pk)
    queued.refresh_from_db()
    assert queued.failures == mail.GIVE_UP_AFTER
    tasks.sweep()
    assert outbox == []


def test_a_revoked_invite_is_not_sent(queued, outbox):
    invitations.revoke(queued.invitation.consult, BY)
    mail.send(queued.pk)
    tasks.sweep()
    assert outbox == []


def test_when_the_queue_is_away_the_page_still_answers_and_the_sweep_sends(cast, outbox, monkeypatch):
    from kombu.exceptions import OperationalError

    def away(*_args):
        raise OperationalError

    monkeypatch.setattr(tasks.send_invitation, "delay", away)
    now = bring_to("started", cast.clinician, cast.patient)
    assert sign_in(cast.clinician).post(reverse("invite-mail", args=[now.consult.id])).status_code == 200
    tasks.sweep()
    assert len(outbox) == 1


def test_without_an_address_or_a_mail_server_the_page_says_what_to_do(cast, settings):
    from vault import patients

    nameless = patients.create(cast.clinic.id, {"name": "No Mail", "birth_date": "1990-01-01"}, BY)
    browser = sign_in(cast.clinician)
    now = bring_to("started", cast.clinician, nameless)
    answer = browser.post(reverse("invite-mail", args=[now.consult.id]))
    assert (answer.status_code, "no e-mail address" in answer.json()["error"]) == (409, True)
    settings.MAIL_WORKS = False
    now = bring_to("started", cast.clinician, cast.patient)
    answer = browser.post(reverse("invite-mail", args=[now.consult.id]))
    assert (answer.status_code, "Copy the link" in answer.json()["error"]) == (409, True)
