"""What is no address: every socket, frame, task and command has its entry, or a reason why it has none.

The tables are held against the product's own lists, so a new one fails here until somebody decides.
"""

import asyncio
import inspect
import io
import json
from datetime import timedelta
from typing import get_args
from unittest import mock

import pytest
from channels.db import database_sync_to_async
from django.core import mail as outbox
from django.core.management import call_command, get_commands
from django.db import OperationalError
from django.utils import timezone

from consults import alerts, concerns, consent, tasks
from consults import mail as letters
from consults.models import Consult, InvitationMail
from consults.quality_models import Alert
from consults.retention_models import RetentionPeriod
from signaling import protocol, routing
from telehealth.celery import app
from tests.cast import BY, bring_to
from tests.signaling.conftest import _close_the_threads_connection, sockets, worker  # noqa: F401  (fixtures)
from tests.signaling.sockets import offer
from vault import audit
from vault.models import AuditEntry

# -- sockets and frames --------------------------------------------------------------------------------------

#: consumer -> what opening it writes, once its page says hello
SOCKETS = {"VisitConsumer": "consult.connect", "DashboardConsumer": "", "BoardConsumer": "", "NowhereConsumer": ""}
#: frame from a browser -> what it writes in an open call
FRAMES = {
    "hello": "consult.connect",
    "description": "",
    "description to the worker": "worker.monitor",
    "candidate": "",
    "media": "",
    "proof": "",
    "checked": "consult.proof",
    "voice_stop": "",  # what is recorded until then writes consent.voice (tests/signaling/test_worker.py)
    "phone": "consult.phone",
    "ping": "",
}
MONITOR = {"quality": "", "heartbeat": ""}
CANDIDATE = "candidate:1 1 udp 2122260223 10.0.0.7 50000 typ host"
SENT = {
    "description": offer(),
    "description to the worker": offer(leg="monitor", negotiation=0),
    "candidate": {"kind": "candidate", "leg": "call", "negotiation": 1, "candidate": CANDIDATE, "mid": "0"},
    "media": {"kind": "media", "camera": True, "microphone": True, "screen": False},
    "proof": {
        "kind": "proof",
        "negotiation": 1,
        "peer": "c" * 16,
        "step": "link",
        "value": "a" * 64,
        "key": "b" * 16,
    },
    "checked": {
        "kind": "checked",
        "negotiation": 1,
        "peer": "c" * 16,
        "state": "link",
        "digest": "d" * 64,
        "why": "",
    },
    "voice_stop": {"kind": "voice_stop"},
    "phone": {"kind": "phone"},
    "ping": {"kind": "ping"},
}


def _tags(union):
    return {kind.__struct_config__.tag for kind in get_args(union)}


def test_every_socket_and_frame_is_decided():
    consumers = {route.callback.consumer_class.__name__ for route in routing.routes}
    assert consumers == set(SOCKETS)
    assert _tags(protocol.Received) == {name.split(" ")[0] for name in FRAMES}
    assert _tags(protocol.MonitorMessage) == set(MONITOR)
    assert {*SOCKETS.values(), *FRAMES.values(), *MONITOR.values()} - {""} <= set(audit.ACTIONS)


async def _do(verb, *args, **more):
    return await database_sync_to_async(verb)(*args, **more)


def _after(last):
    return list(AuditEntry.objects.filter(id__gt=last).order_by("id").values_list("action", flat=True))


def _last():
    return AuditEntry.objects.order_by("-id").values_list("id", flat=True).first() or 0


async def _written(last, wanted, within=5.0):
    """What was written since; waited for where something is promised, and for a moment where nothing is."""
    for _ in range(int(within / 0.05) if wanted else 6):
        found = await _do(_after, last)
        if wanted and wanted in found:
            break
        await asyncio.sleep(0.05)
    return found


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", FRAMES)
async def test_every_frame_writes_what_it_promises(sockets, worker, name):  # noqa: F811
    now = await sockets.visit("admitted")
    if name == "hello":
        clinician = await sockets.staff(now)
        last = await _do(_last)
        await clinician.hello()
    else:
        clinician, _ = await sockets.in_call(now)
        last = await _do(_last)
        await clinician.send(SENT[name])
    found = await _written(last, FRAMES[name])
    found = [one for one in found if one != "worker.close"]  # this offer leads nowhere, and its leg ends at once
    assert found == ([FRAMES[name]] if FRAMES[name] else [])


@pytest.mark.django_db(transaction=True)
async def test_what_the_worker_is_told_in_the_channel_writes_nothing(sockets, worker):  # noqa: F811
    now = await sockets.visit("admitted")
    last = await _do(_last)
    caller = (now.consult.id, now.seat.id)
    worker._measured(*caller, '{"kind":"heartbeat"}')
    figures = dict.fromkeys(protocol.Quality.__struct_fields__) | {"relayed": True, "microphone": True, "camera": True}
    worker._measured(*caller, json.dumps({"kind": "quality", **figures}))
    assert len(worker.samples) == 1
    assert await _written(last, "") == []


@pytest.mark.django_db(transaction=True)
async def test_a_socket_that_somebody_may_not_have_is_in_the_log(sockets):  # noqa: F811
    now = await sockets.visit("waiting")
    last = await _do(_last)
    assert not (await sockets.staff(now, sockets.cast.colleague)).accepted
    assert not (await sockets.open("/ws/dashboard/", await sockets.signed_in(sockets.cast.officer))).accepted
    rows = await _do(lambda: list(AuditEntry.objects.filter(id__gt=last).order_by("id")))
    assert [(row.action, row.outcome, row.person) for row in rows] == [
        ("access.denied", "refused", str(sockets.cast.colleague.pk)),
        ("access.denied", "refused", str(sockets.cast.officer.pk)),
    ]
    assert rows[0].detail["path"] == f"/ws/visit/{now.consult.id}/clinician/"
    assert rows[0].session
    assert rows[0].clinic_id == sockets.cast.clinic.pk


@pytest.mark.django_db(transaction=True)
async def test_a_page_that_asks_for_ever_does_not_fill_the_log(sockets, monkeypatch):  # noqa: F811
    from signaling import entry

    monkeypatch.setattr(entry, "REFUSALS", 3)
    now, last = await sockets.visit("waiting"), await _do(_last)
    for _ in range(6):
        assert not (await sockets.staff(now, sockets.cast.colleague)).accepted
    assert await _do(_after, last) == ["access.denied"] * 3


@pytest.mark.django_db(transaction=True)
async def test_a_stranger_and_the_dashboards_own_clinician_write_nothing(sockets):  # noqa: F811
    now, last = await sockets.visit("waiting"), await _do(_last)
    assert not (await sockets.open(f"/ws/visit/{now.consult.id}/clinician/")).accepted
    assert not (await sockets.open("/ws/elsewhere/")).accepted
    assert (await sockets.open("/ws/dashboard/", await sockets.signed_in(sockets.cast.clinician))).accepted
    assert await _do(_after, last) == []


# -- no entry, no access; but calls go on ---------------------------------------------------------------------


def _fails(_entry):
    raise OperationalError("the log's disk is full")


@pytest.mark.django_db(transaction=True)
async def test_a_call_goes_on_while_nothing_can_be_written_down(sockets, monkeypatch):  # noqa: F811
    clinician, patient = await sockets.in_call(await sockets.visit("admitted"))
    monkeypatch.setattr(audit, "_append", _fails)
    for _ in range(4):  # the clock looks at both in between
        for one, other, role in ((clinician, patient, "clinician"), (patient, clinician, "patient")):
            for name in ("description", "candidate", "media"):
                await one.send(SENT[name])
                assert await other.until(SENT[name]["kind"]) == {**SENT[name], "from": role}
        await asyncio.sleep(0.15)
    await clinician.send({"kind": "ping"})
    await clinician.until("pong")


@pytest.mark.django_db(transaction=True)
async def test_nobody_new_comes_in_while_nothing_can_be_written_down(sockets, worker, monkeypatch):  # noqa: F811
    now = await sockets.visit("admitted")
    clinician, _ = await sockets.in_call(now)
    newer = await sockets.staff(now)
    monkeypatch.setattr(audit, "_append", _fails)
    await newer.send({"kind": "hello", "protocol": 1, "tab": newer.tab})
    assert await newer.closed_with() == 1013
    await clinician.send(SENT["description to the worker"])
    await asyncio.sleep(0.3)
    assert not worker.legs
    await clinician.send({"kind": "ping"})
    await clinician.until("pong")


# -- work in the background -----------------------------------------------------------------------------------


def _letter(cast):
    now = bring_to("started", cast.clinician, cast.patient)
    return letters.mail_invitation(now.consult, BY)


def _concern(cast):
    return concerns.break_glass(cast.colleague, cast.patient, "She fainted in the waiting room", BY)


def _send(cast):
    letter = _letter(cast)
    return lambda: tasks.send_invitation(letter.pk)


def _tell(cast):
    concern = _concern(cast)
    return lambda: tasks.tell_officers(str(concern.pk))


def _alert(cast):
    now = bring_to("admitted", cast.clinician, cast.patient)
    (raised,) = alerts.settle(now.consult.pk, {("silent", "patient")}, {"silent"})
    return raised


def _tell_operators(cast):
    alert = _alert(cast)
    return lambda: tasks.tell_operators(str(alert))


def _watch(cast):
    now = bring_to("admitted", cast.clinician, cast.patient)
    Consult.objects.filter(pk=now.consult.pk).update(admitted_at=timezone.now() - timedelta(hours=2))
    return tasks.watch_visits


def _sweep(cast):
    alert = _alert(cast)
    Alert.objects.filter(pk=alert).update(raised_at=timezone.now() - timedelta(minutes=5))
    _letter(cast), _concern(cast)
    return tasks.sweep


def _erase(cast):
    now = bring_to("consented", cast.clinician, cast.patient)
    consent.withdraw(now.seat, source="test")
    chosen = {"chosen_by": cast.officer, "chosen_at": timezone.now(), "in_force_at": timezone.now()}
    RetentionPeriod.objects.create(clinic=cast.clinic, scope="video_visit", days=0, **chosen)
    return tasks.erase_due


#: task -> (what makes work for it, what it then writes)
TASKS = {
    "send_invitation": (_send, ["invite.sent"]),
    "tell_officers": (_tell, ["review.told"]),
    "tell_operators": (_tell_operators, ["watch.told"]),
    "watch_visits": (_watch, ["watch.raise"]),
    "sum_up_calls": (lambda cast: tasks.sum_up_calls, []),
    "sweep": (_sweep, ["invite.sent", "review.told", "watch.told"]),
    "erase_due": (_erase, ["consent.erase"]),
    "clear_sessions": (lambda cast: tasks.clear_sessions, []),
    "count_activity": (lambda cast: tasks.count_activity, []),
    "check_log": (lambda cast: lambda: tasks.check_log("11111111-1111-4111-8111-111111111111"), []),
}


def test_every_task_is_decided():
    app.loader.import_default_modules()
    ours = {name.rpartition(".")[2] for name in app.tasks if not name.startswith("celery.")}
    assert ours == set(TASKS)


@pytest.mark.parametrize("name", TASKS)
def test_every_task_writes_what_it_promises(cast, settings, name):
    settings.MAIL_WORKS = True
    make, promised = TASKS[name]
    run, last = make(cast), _last()
    run()
    assert _after(last) == promised
    entry = AuditEntry.objects.order_by("-id").first()
    if promised:
        assert (entry.role, entry.patient, entry.clinic_id) == ("system", str(cast.patient.pk), cast.clinic.pk)


def test_no_letter_leaves_while_nothing_can_be_written_down(cast, settings):
    """And none is lost: it goes once there is a log again."""
    settings.MAIL_WORKS = True
    letter, concern = _letter(cast), _concern(cast)
    outbox.outbox.clear()
    with mock.patch.object(audit, "_append", _fails):
        for task, key in ((tasks.send_invitation, letter.pk), (tasks.tell_officers, str(concern.pk))):
            with pytest.raises(OperationalError):
                task(key)
        tasks.sweep()
    assert InvitationMail.objects.get().sent_at is None
    assert not [one for one in outbox.outbox if "video visit" in one.subject]
    tasks.sweep()
    assert InvitationMail.objects.get().sent_at


def test_a_letter_that_the_mail_server_does_not_take_is_in_the_log(cast, settings, monkeypatch):
    settings.MAIL_WORKS = True
    letter = _letter(cast)
    monkeypatch.setattr(letters, "_post", mock.Mock(side_effect=ConnectionRefusedError))
    tasks.send_invitation(letter.pk)
    entry = AuditEntry.objects.order_by("-id").first()
    assert (entry.action, entry.outcome, entry.detail["tries"]) == ("invite.sent", "failed", 1)
    assert AuditEntry.objects.filter(action="invite.sent").count() == 1


# -- commands -------------------------------------------------------------------------------------------------

#: command -> what it writes, or why it writes nothing
COMMANDS = {
    "import_patients": "patient.import",
    "create_operator": "account.change",
    "vault_keys": "vault.keys",
    "audit_months": "audit.archive",
    "consult_worker": "worker.monitor",
    "audit_key": "the log's own key, before there is a log",
    "audit_seal": "seals what others wrote",
    "audit_verify": "reads the log only, also on a copy of it that takes no entries",
    "breach_drill": "reads what a thief would have, with the eyes of one",
    "create_vault_key": "before there is a log",
    "demo_code": "made-up people only",
    "up": "starts the parts",
    "witness": "runs elsewhere",
}
ROOMS = ("accounts", "consults", "signaling", "telehealth", "vault")


def test_every_command_is_decided():
    ours = {name for name, room in get_commands().items() if room in ROOMS}
    assert ours == set(COMMANDS)
    promised = {said for said in COMMANDS.values() if " " not in said}
    assert promised <= set(audit.ACTIONS)


def test_an_import_and_a_new_operator_are_in_the_log(cast, tmp_path):
    file = tmp_path / "patients.csv"
    file.write_text("name,birth_date\nAnna Example,1990-01-02\n")
    last = _last()
    call_command("import_patients", str(file), clinic=cast.clinic.name, stdout=io.StringIO())
    assert "patient.import" in _after(last)
    last = _last()
    call_command(
        "create_operator", "new@staff.example", clinic=cast.clinic.name, name="Nadia New", stdout=io.StringIO()
    )
    assert "account.change" in _after(last)


def test_a_change_of_the_vaults_keys_is_in_the_log(cast):
    last = _last()
    call_command("vault_keys", "reseal", stdout=io.StringIO())
    assert set(_after(last)) == {"vault.keys"}


def test_what_promises_nothing_names_no_verb_on_records():
    """A command of these that began to open records would have to import one of the rooms that do."""
    for name, said in COMMANDS.items():
        if " " in said and name not in ("breach_drill", "demo_code", "up"):
            module = __import__(f"{get_commands()[name]}.management.commands.{name}", fromlist=["Command"])
            assert not {"patients", "records", "search", "reading"} & set(vars(module)), name
            assert inspect.getmodule(module.Command) is module
