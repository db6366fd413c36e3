"""Who may open a socket: the right person, from our own page, and nobody else; every refusal is alike."""

import uuid

import pytest
from channels.db import database_sync_to_async
from django.conf import settings

from consults import invitations, seats
from tests.cast import BY, type_password

pytestmark = pytest.mark.django_db(transaction=True)

FOREIGN = [
    None,
    "",
    "null",
    "https://evil.example",
    "http://localhost:8443",
    "https://localhost",
    "https://localhost:8444",
    "https://localhost:8443.evil.example",
    "https://localhost.evil.example:8443",
    "https://evil-localhost:8443",
    "https://sub.localhost:8443",
    "wss://localhost:8443",
    "file://",
    "https://[::1]:8443",
    "https://[::1",
    "https://localhost:8443/",
    "https://somebody@localhost:8443",
    "https://localhost:8443, https://localhost:8443",
]


async def test_the_clinician_and_the_patient_are_let_in(sockets):
    visit = await sockets.visit("waiting")
    for socket, role in ((await sockets.staff(visit), "clinician"), (await sockets.patient(visit), "patient")):
        assert socket.accepted
        assert await socket.next() == {"kind": "welcome", "protocol": 1, "role": role}


async def test_a_page_from_elsewhere_is_refused_whoever_is_signed_in(sockets):
    visit = await sockets.visit("waiting")
    for origin in FOREIGN:
        for socket in (await sockets.staff(visit, origin=origin), await sockets.patient(visit, origin=origin)):
            assert not socket.accepted, origin


async def test_two_origins_are_none(sockets):
    visit = await sockets.visit("waiting")
    socket = await sockets.staff(visit, origin="https://localhost:8443", more=[(b"origin", b"https://evil.example")])
    assert not socket.accepted


async def test_the_default_port_is_left_out_as_browsers_do(sockets):
    from telehealth.origin import ExactOrigin

    assert ExactOrigin(None, ["https://Clinic.example:443", "https://x.example:8443"]).allowed == {
        b"https://clinic.example",
        b"https://x.example:8443",
    }


@pytest.mark.parametrize("who", ["colleague", "outsider", "officer", "operator"])
async def test_other_staff_are_refused(sockets, who):
    visit = await sockets.visit("waiting")
    for role in ("clinician", "patient"):
        assert not (await sockets.staff(visit, getattr(sockets.cast, who), role=role)).accepted


async def test_each_role_opens_its_own_address_only(sockets):
    visit = await sockets.visit("waiting")
    assert not (await sockets.staff(visit, role="patient")).accepted
    assert not (await sockets.patient(visit, role="clinician")).accepted


async def test_nobody_is_refused(sockets):
    visit = await sockets.visit("waiting")
    for role in ("clinician", "patient", "worker", "admin"):
        assert not (await sockets.open(f"/ws/visit/{visit.consult.id}/{role}/")).accepted
    assert not (await sockets.open("/ws/dashboard/")).accepted


async def test_a_password_alone_opens_no_socket(sockets):
    visit = await sockets.visit("waiting")
    browser = await database_sync_to_async(type_password)(sockets.cast.clinician)
    cookies = {settings.SESSION_COOKIE_NAME: browser.cookies[settings.SESSION_COOKIE_NAME].value}
    assert not (await sockets.open(f"/ws/visit/{visit.consult.id}/clinician/", cookies)).accepted
    assert not (await sockets.open("/ws/dashboard/", cookies)).accepted


async def test_a_seat_elsewhere_is_none_here(sockets):
    visit = await sockets.visit("waiting")
    other = await sockets.visit("waiting", of="colleague")
    path = f"/ws/visit/{visit.consult.id}/patient/"
    for name in (seats.cookie_name(visit.consult.id), seats.cookie_name(other.consult.id)):
        assert not (await sockets.open(path, {name: other.secret})).accepted


async def test_a_seat_given_up_is_none(sockets):
    visit = await sockets.visit("waiting")
    await database_sync_to_async(invitations.revoke)(visit.consult, BY)
    assert not (await sockets.patient(visit)).accepted


async def test_a_consult_that_is_not_there_looks_like_one_that_is_somebody_elses(sockets):
    visit = await sockets.visit("waiting")
    cookies = await sockets.signed_in(sockets.cast.colleague)
    answers = []
    for consult in (visit.consult.id, uuid.uuid4()):
        socket = await sockets.open(f"/ws/visit/{consult}/clinician/", cookies)
        answers.append((socket.accepted, socket.refused_with))
    assert answers[0] == answers[1]
    assert not answers[0][0]


@pytest.mark.parametrize("path", ["/", "/ws/", "/ws/visit/x/clinician/", "/ws/visit/../dashboard/", "/admin/"])
async def test_an_unknown_address_is_refused_without_a_trace(sockets, path, caplog):
    assert not (await sockets.open(path, await sockets.signed_in(sockets.cast.clinician))).accepted
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("who", ["officer", "operator"])
async def test_the_dashboard_is_for_clinicians(sockets, who):
    assert not (await sockets.open("/ws/dashboard/", await sockets.signed_in(getattr(sockets.cast, who)))).accepted
    assert (await sockets.open("/ws/dashboard/", await sockets.signed_in(sockets.cast.clinician))).accepted
