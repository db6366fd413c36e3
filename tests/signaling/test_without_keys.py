"""The vault's keys go away in the middle of a call: the call goes on and can be ended, what needs a key answers 503."""

import pytest
from channels.db import database_sync_to_async
from django.urls import reverse

from consults import consent
from consults.models import Consent
from tests.cast import MARIA, sign_in
from tests.signaling.sockets import offer
from vault import keyring, keywatch

pytestmark = pytest.mark.django_db(transaction=True)


def _forget():
    keywatch.forget()
    keyring._opener.cache_clear()
    keyring._index_tools.cache_clear()


@pytest.fixture
def take_keys_away(settings, tmp_path):
    """A verb: from then on the key file is missing, and nothing of the keys is in memory."""

    def take():
        settings.VAULT_KEY_FILE = str(tmp_path / "gone.json")
        _forget()

    yield take
    _forget()


async def test_a_call_goes_on_without_the_keys_and_what_needs_them_answers_503(sockets, take_keys_away):
    now = await sockets.visit("admitted")
    clinician, patient = await sockets.in_call(now)
    desk, guest = await database_sync_to_async(sign_in)(now.consult.clinician), now.browser()
    take_keys_away()

    def pages():
        consult, her = [now.consult.id], [now.consult.patient_id]
        needed = {
            desk.get(reverse("room", args=consult)): 200,  # a reload in mid-call shows masks, and they need no key
            desk.get(reverse("room-status", args=consult)): 200,
            guest.get(reverse("visit", args=consult)): 200,
            desk.post(reverse("reveal", args=her), {"fields": ["phone"], "purpose": "treat"}): 503,
            desk.post(reverse("note", args=consult), {"text": "Glorbthroat"}): 503,
            desk.post(reverse("patient-search"), {"q": "quixplotz"}): 503,
        }
        for answer, status in needed.items():
            assert answer.status_code == status, answer.request["PATH_INFO"]
            assert not [value for value in MARIA.values() if value in answer.content.decode()]

    await database_sync_to_async(pages)()
    for one, other in ((clinician, patient), (patient, clinician)):
        await one.send(offer())
        await other.until("description")
    await database_sync_to_async(consent.withdraw)(now.seat, source="test")
    for socket in (clinician, patient):
        await socket.until("state", gate=False)
    assert await database_sync_to_async(Consent.objects.filter(act="withdrawn").exists)()
    ended = await database_sync_to_async(desk.post)(reverse("end", args=[now.consult.id]))
    assert ended.status_code in (200, 302)
