"""Steps that belong together happen together; one bad letter holds up nobody else's."""

from django.urls import reverse

from consults import mail, tasks, visit
from consults.models import Consent
from tests.cast import BY, MARIA, bring_to, sign_in
from tests.signer import as_form


def test_consent_without_a_place_in_the_waiting_room_is_not_taken(cast, monkeypatch):
    now = bring_to("tested", cast.clinician, cast.patient)

    def fails(*_args, **_more):
        raise visit.NotNow("Try again.")

    form = as_form(now.signer.signed(now.signer.giving(now.seat, MARIA["name"])))
    with monkeypatch.context() as patch:
        patch.setattr(visit, "wait", fails)
        assert now.browser().post(reverse("consent", args=[now.consult.id]), form).status_code == 409
    assert not Consent.objects.exists()
    assert now.browser().post(reverse("consent", args=[now.consult.id]), form).status_code == 200
    assert now.fresh().stage == "waiting"


def test_identity_is_not_asked_after_the_end(cast):
    now = bring_to("seated", cast.clinician, cast.patient)
    visit.end(now.consult, BY)
    typed = {"name": MARIA["name"], "birth_date": MARIA["birth_date"]}
    assert now.browser().post(reverse("identity", args=[now.consult.id]), typed).status_code == 403


def test_no_mail_goes_out_for_a_consult_that_is_over(cast, mailoutbox, settings):
    settings.MAIL_WORKS = True
    now = bring_to("ended", cast.clinician, cast.patient)
    answer = sign_in(cast.clinician).post(reverse("invite-mail", args=[now.consult.id]))
    assert answer.status_code == 409
    assert now.consult.invitations.filter(revoked_at=None, redeemed_at=None).count() == 0


def test_one_letter_that_cannot_be_made_holds_up_no_other(db, monkeypatch):
    sent = []

    def send(mail_id):
        if mail_id == 1:
            raise ValueError("a line end in a header")
        sent.append(mail_id)

    monkeypatch.setattr(mail, "unsent", lambda: [1, 2, 3])
    monkeypatch.setattr(mail, "send", send)
    tasks.sweep()
    assert sent == [2, 3]
