"""The whole path, in two real browsers over TLS, in both shapes: and afterwards a search for what must not be there."""

import base64
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import av
import psycopg
import pytest
import redis as redis_client
from playwright.sync_api import Browser, expect

from tests.browser import visit as course
from tests.browser.people import sign_in, visitor
from tests.browser.product import CLINICIAN, Product

pytestmark = pytest.mark.browser

#: what the record of the patient holds in clear, in the forms in which it could leak
CANARIES = [
    "Maria Gonzalez",
    "Gonzalez",
    "79460142",
    "maria.gonzalez@mail.example",
    "QQ123456C",
    "Mill Lane",
    "salbutamol",
]
NOTE = "Peak flow improved; continue inhaler as before"

EVIDENCE = """
import base64
from consults.models import Consent, Consult, QualitySample, VoiceRecording
from vault import patients
from vault.models import AuditEntry
consult = Consult.objects.select_related("patient").get(pk="CONSULT")
recording = VoiceRecording.objects.get(participant__consult=consult)
sound = patients.unseal(consult.patient, "consent_voice", recording.sound)
answer = {
    "actions": list(AuditEntry.objects.filter(consult=str(consult.pk)).order_by("id").values_list("action", "role")),
    "signed_in": AuditEntry.objects.filter(action="signin", person=str(consult.clinician_id)).count(),
    "consents": list(Consent.objects.filter(consult=consult).values_list("act", "method")),
    "samples": list(QualitySample.objects.filter(consult=consult).values_list("participant__role", "kbit_in")),
    "sound": base64.b64encode(sound).decode(),
}
"""


def test_a_visit_from_sign_in_to_the_last_trace(running: Product, browser: Browser) -> None:
    with overhearing(running.redis_url) as overheard:
        whole_visit(running, browser)
    if running.redis_url:
        passed = b"\n".join(overheard)
        assert b"telehealth" in passed  # the layer's channels, or nothing was overheard at all
        for word in (b"a=fingerprint", b"ice-ufrag", b"negotiation", *(canary.encode() for canary in CANARIES)):
            assert word not in passed, f"{word!r} passed through Redis in clear"


@contextmanager
def overhearing(redis_url: str) -> Iterator[list[bytes]]:
    """Every command that reaches Redis meanwhile, as somebody who has got into it would see them."""
    heard: list[bytes] = []
    if not redis_url:
        yield heard
        return
    with redis_client.Redis.from_url(redis_url) as client, client.monitor() as monitor:

        def listen() -> None:
            with suppress(redis_client.RedisError, OSError, ValueError, AttributeError):
                for command in monitor.listen():
                    heard.append(command["command"].encode("latin-1", "replace"))

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield heard
        client.set("telehealth-overheard", "1", ex=1)
        thread.join(1)


def whole_visit(running: Product, browser: Browser) -> None:
    desk = sign_in(visitor(browser), running)
    visit = course.start(running, desk)
    course.make_link(visit)
    phone = visitor(browser, width=390, height=800)
    page = course.arrive(visit, phone, spoken=True)
    course.admit(visit, page)
    course.sees_and_hears(page)
    course.sees_and_hears(visit.room)
    expect(visit.room.locator("[data-privacy]")).to_have_text("Encrypted from browser to browser")
    page.wait_for_timeout(6000)  # three samples from each side
    write_note(visit)
    course.end(visit)
    course.expect_stage(page, "ended")
    evidence_stands(running, visit.consult)
    worker_got_no_media(running, visit.consult)
    nothing_leaked(running)


LEGS = """
from vault.models import AuditEntry
ends = AuditEntry.objects.filter(consult="CONSULT", action="worker.close")
answer = [entry.detail for entry in ends]
"""


def worker_got_no_media(product: Product, consult: str) -> None:
    """By what came to its sockets, counted before anything reads it. The spoken consent shows that it does count."""
    for _ in range(50):
        legs = product.ask(LEGS.replace("CONSULT", consult))
        last = {leg["of"]: leg for leg in legs if leg["leg"] == "monitor"}
        if len(last) == 2:
            break
        time.sleep(0.1)
    assert last.keys() == {"clinician", "patient"}, legs
    monitors = [leg for leg in legs if leg["leg"] == "monitor"]
    assert [leg["media"] for leg in monitors] == [0] * len(monitors)
    assert all(leg["dtls"] > 5 and leg["stun"] > 0 and leg["last"] for leg in last.values())
    assert sum(leg["media"] for leg in legs if leg["leg"] == "voice") > 50


def write_note(visit: course.Visit) -> None:
    panel = visit.room.locator("[data-panel]")
    if not panel.is_visible():
        visit.room.locator("[data-panel-toggle]").click()
    visit.room.locator("#note-text").fill(NOTE)
    visit.room.get_by_role("button", name="Save note").click()
    expect(visit.room.locator("#note-text")).to_have_value("")


def evidence_stands(product: Product, consult: str) -> None:
    found = product.ask(EVIDENCE.replace("CONSULT", consult))
    actions = [action for action, _ in found["actions"]]
    in_order = [
        "consult.create",
        "invite.create",
        "invite.redeem",
        "identity.check",
        "consent.voice",
        "consent.give",
        "consult.waiting",
        "consult.admit",
        "consult.note",
        "consult.end",
    ]
    positions = [actions.index(action) for action in in_order]
    assert positions == sorted(positions), actions
    assert actions.count("consult.connect") >= 2
    assert found["signed_in"] >= 1
    assert found["consents"] == [["given", "spoken"]]
    assert {role for role, _ in found["samples"]} == {"clinician", "patient"}
    assert any(kbit and kbit > 50 for _, kbit in found["samples"])
    loudest, seconds = listen(base64.b64decode(found["sound"]))
    assert seconds > 2
    assert loudest > 1000  # of 32767: the fake microphone beeps


def listen(sound: bytes) -> tuple[int, float]:
    """Decode an Ogg/Opus file: the loudest sample and the length in seconds."""
    loudest, samples = 0, 0
    resampler = av.AudioResampler(format="s16", layout="mono", rate=48_000)
    with av.open(io.BytesIO(sound)) as container:
        assert container.streams.audio[0].codec_context.name in ("opus", "libopus")
        for frame in container.decode(audio=0):
            for piece in resampler.resample(frame):
                values = memoryview(bytes(piece.planes[0])[: piece.samples * 2]).cast("h")
                loudest = max(loudest, max(values, default=0))
                samples += piece.samples
    return loudest, samples / 48_000


def nothing_leaked(product: Product) -> None:
    """No protected value in clear in the database, the write-ahead log, Redis, the logs or the data folder."""
    places: dict[str, bytes] = {str(p): p.read_bytes() for p in product.data.rglob("*") if p.is_file()}
    if product.database_url:
        places["postgres"] = dump_postgres(product.database_url)
        places["redis"] = dump_redis(product.redis_url)
    assert any("log" in name for name in places)
    for name, content in places.items():
        for canary in [*CANARIES, NOTE]:
            assert canary.encode() not in content, f"{canary!r} stands in clear in {name}"
            assert canary.encode("utf-16-le") not in content, f"{canary!r} stands in clear in {name}"


def dump_postgres(url: str) -> bytes:
    rows = []
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert len(tables) > 15
        for (table,) in tables:
            rows += connection.execute(f'SELECT t::text FROM "{table}" t').fetchall()
    return "\n".join(row[0] for row in rows).encode()


def dump_redis(url: str) -> bytes:
    with redis_client.Redis.from_url(url) as client:
        return b"\n".join(key + b" " + (client.dump(key) or b"") for key in client.scan_iter("*"))


def test_a_refresh_keeps_the_place_and_the_call_comes_back(running: Product, browser: Browser) -> None:
    desk = sign_in(visitor(browser), running, CLINICIAN)
    visit = course.start(running, desk, search="1984-03-17")
    course.make_link(visit)
    page = course.arrive(visit, visitor(browser, width=390, height=800))
    page.reload()
    course.expect_stage(page, "waiting")
    course.admit(visit, page)
    page.reload()
    course.sees_and_hears(page)
    visit.room.reload()
    course.sees_and_hears(visit.room)
    course.sees_and_hears(page)
    page.locator("[data-panel-toggle]").click()
    page.locator("[data-panel] [data-withdraw]").click()
    page.locator("dialog[open] .button-danger").click()
    course.expect_stage(page, "consent")
    expect(visit.room.locator("[data-call]")).not_to_have_attribute("data-connection", "connected", timeout=10_000)
    stopped = course.frames(visit.room)
    visit.room.wait_for_timeout(1500)
    assert course.frames(visit.room) == stopped


def test_the_invite_goes_out_by_mail_and_opens(running: Product, browser: Browser) -> None:
    desk = sign_in(visitor(browser), running)
    visit = course.start(running, desk)
    before = len(running.letters.letters)
    visit.room.locator("[data-invite-mail]").click()
    for _ in range(100):
        if len(running.letters.letters) > before:
            break
        visit.room.wait_for_timeout(100)
    letter = running.letters.letters[-1]
    assert letter["To"] == "maria.gonzalez@mail.example"
    text = letter.get_body(("plain",)).get_content()
    visit.link = next(word for word in text.split() if word.startswith(running.origin))
    page = course.open_link(visit, visitor(browser, width=390, height=800))
    assert "#" not in page.url
    expect(page.get_by_label("Your full name")).to_be_visible()
    again = visitor(browser).new_page()
    again.goto(visit.link)
    expect(again.get_by_role("main")).to_contain_text("link")
    assert again.get_by_role("button", name="Start").count() == 0
