"""Pages and sockets through nginx, as a browser outside gets them."""

import base64
import contextlib
import re
import signal
import socket
import ssl
import time
from urllib.parse import urlsplit

import pytest
from django.conf import settings

from accounts.totp import code_at, step_of
from tests.cast import PASSWORD
from tests.deploy.recipe import HOST, until
from tests.deploy.web import ORIGIN

pytestmark = pytest.mark.engines

ONCE = {
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "Content-Security-Policy": "default-src 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": settings.SECURE_REFERRER_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self)",
    "Cache-Control": "no-store",
}


def test_both_instances_and_the_whole_are_ready(server):
    assert [server.person().get("/healthz").text for _ in range(4)] == [
        '{"ready": true, "missing": [], "late": []}'
    ] * 4


def test_each_security_header_is_there_exactly_once(server):
    answer = server.person().get("/signin/")
    assert answer.status == 200
    for name, expected in ONCE.items():
        values = answer.headers.get_all(name, [])
        assert len(values) == 1, (name, values)
        assert expected in values[0]
    assert answer.headers.get_all("Server") == ["nginx"]


def test_static_files_carry_their_own_headers_and_stay_when_their_name_is_hashed(server):
    page = server.person().get("/signin/").text
    name = re.search(r'"(/static/[^"]+\.[0-9a-f]{12}\.css)"', page)[1]
    answer = server.person().get(name)
    assert answer.status == 200
    assert "immutable" in answer.headers["Cache-Control"]
    for header in ("Strict-Transport-Security", "X-Content-Type-Options", "Cache-Control", "Content-Type"):
        assert len(answer.headers.get_all(header)) == 1, header
    squeezed = server.person().get(name, Accept_Encoding="gzip")
    assert squeezed.headers["Content-Encoding"] == "gzip"
    plain = server.person().get(re.sub(r"\.[0-9a-f]{12}\.", ".", name))
    assert (plain.status, plain.headers["Cache-Control"]) == (200, "no-cache")
    for path in ("/static/", "/static/../keys/", "/static/..%2f..%2fbeat", "/static../beat", "/static/.%2e/beat"):
        assert server.person().get(path).status in (400, 403, 404), path


def test_plain_http_only_points_to_https(server):
    for path in ("/", "/signin/?next=/account/", "/ws/dashboard/"):
        answer = server.person(tls=False).get(path)
        assert (answer.status, answer.headers["Location"]) == (301, ORIGIN + path)
    assert server.person(tls=False).socket("/ws/dashboard/", Origin=ORIGIN) == 301


def handshake(server, *, name=HOST, **limits):
    context = ssl.create_default_context(cafile=str(server.certificate))
    for limit, value in limits.items():
        setattr(context, limit, value)
    if limits:
        context.set_ciphers("ALL:@SECLEVEL=0")  # so that it is the server that refuses
    with (
        socket.create_connection(("127.0.0.1", server.ports["https"]), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname=name) as secure,
    ):
        return secure.version(), secure.cipher()[0]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_tls_is_refused_under_any_name(server):
    old = {"minimum_version": ssl.TLSVersion.TLSv1, "maximum_version": ssl.TLSVersion.TLSv1_1}
    for name in (HOST, "other.example"):
        with pytest.raises(ssl.SSLError, match="(?i)alert.protocol.version"):
            handshake(server, name=name, **old)
    assert handshake(server)[0] == "TLSv1.3"
    version, cipher = handshake(server, maximum_version=ssl.TLSVersion.TLSv1_2)
    assert version == "TLSv1.2"
    assert re.match(r"ECDHE-\w+-(AES\d+-GCM|CHACHA20)", cipher)


def test_weak_ciphers_are_refused(server):
    context = ssl.create_default_context(cafile=str(server.certificate))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    for weak in ("AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA256"):
        context.set_ciphers(weak)
        refused = pytest.raises(ssl.SSLError, match="handshake.failure")
        with socket.create_connection(("127.0.0.1", server.ports["https"]), timeout=10) as raw, refused:
            context.wrap_socket(raw, server_hostname=HOST)


def test_other_names_get_neither_a_certificate_nor_a_page(server):
    with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"):
        handshake(server, name="other.example")
    with socket.create_connection(("127.0.0.1", server.ports["http"]), timeout=10) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: other.example\r\n\r\n")
        assert raw.recv(100) == b""


FOREIGN = ("https://evil.example", f"{ORIGIN}.evil.example", f"http://{HOST}", f"{ORIGIN}:8443", "null")
FORGED = {
    "X_Forwarded_For": "203.0.113.7",
    "X_Forwarded_Host": "evil.example",
    "X_Forwarded_Proto": "http",
    "X_Forwarded_Port": "1",
    "X_Real_IP": "203.0.113.7",
    "Forwarded": "for=203.0.113.7",
    "Daphne_Root_Path": "/elsewhere",
}


def test_the_log_has_the_real_address_whatever_the_client_claims(server):
    person = server.person(source="127.0.0.5")
    person.get("/signin/")
    answer = person.post("/signin/", {"email": "forger@clinic.example", "password": "x" * 12}, **FORGED)
    assert answer.status == 200
    with server.database() as database:
        rows = database.execute(
            "SELECT source, outcome FROM vault_auditentry WHERE action = 'signin.password' ORDER BY id DESC LIMIT 1"
        ).fetchall()
    assert rows == [("127.0.0.5", "failed")]
    assert "evil.example" not in person.get("/", **FORGED).headers.get("Location", "")
    assert "elsewhere" not in person.get("/", **FORGED).headers.get("Location", "")


def test_no_log_keeps_query_strings(server):
    server.person().get("/patients/search/?q=Quixplotz", Referer=f"{ORIGIN}/?q=Glorbthroat")
    for name in server.services:
        assert "Quixplotz" not in server.path(f"{name}.log").read_text()
    kept = "".join(path.read_text() for path in server.path("var/log/nginx").iterdir())
    assert "GET /patients/search/ 302" in kept
    assert "Quixplotz" not in kept
    assert "Glorbthroat" not in kept


def test_the_operator_signs_in_and_only_the_right_origin_may_open_sockets(server):
    link, person = urlsplit(server.link), server.person(source="127.0.0.6")
    assert f"{link.scheme}://{link.netloc}" == ORIGIN
    person.get(link.path)
    assert person.post(link.path, {"token": link.fragment, "password": PASSWORD}).status == 302
    person.get("/signin/")
    answer = person.post("/signin/", {"email": "tove@clinic.example", "password": PASSWORD})
    assert answer.headers["Location"] == "/signin/setup/"
    seed = re.search(r'class="seed">([A-Z2-7 ]+)<', person.get("/signin/setup/").text)[1].replace(" ", "")
    code = code_at(base64.b32decode(seed), step_of(time.time()))
    assert "recovery codes" in person.post("/signin/setup/", {"code": code}).text
    assert person.get("/admin/").status == 200
    assert {"__Host-session", "__Host-csrf"} <= set(person.cookies)
    with server.database() as database:
        # Only a clinician has a socket of her own.
        database.execute("UPDATE accounts_user SET role = 'clinician'")
        assert person.socket("/ws/dashboard/", Origin=ORIGIN) == 101
        assert {person.socket("/ws/dashboard/", Origin=origin) for origin in FOREIGN} == {403}
        database.execute("UPDATE accounts_user SET role = 'operator'")


def test_a_socket_of_nobody_is_refused_from_any_page(server):
    for origin in (ORIGIN, *FOREIGN):
        assert server.person().socket("/ws/dashboard/", Origin=origin) == 403, origin
    assert server.person().socket("/ws/dashboard/") == 403


def test_half_sent_requests_are_cut(server):
    """Two at once, one stuck in its headers and one in its body: both are shut well within 30 seconds."""
    head = f"POST /signin/ HTTP/1.1\r\nHost: {HOST}\r\n"
    body = f"{head}Content-Type: text/plain\r\nContent-Length: 100\r\n\r\nhalf"
    context = ssl.create_default_context(cafile=str(server.certificate))
    began, stuck = time.monotonic(), []
    for text in (head, body):
        raw = socket.create_connection(("127.0.0.1", server.ports["https"]), timeout=30)
        secure = context.wrap_socket(raw, server_hostname=HOST)
        secure.sendall(text.encode())
        stuck.append(secure)
    for secure in stuck:
        said = secure.recv(1000)
        assert said == b"" or b" 408 " in said.splitlines()[0]
        secure.close()
    assert 5 < time.monotonic() - began < 20


def test_large_bodies_are_refused(server):
    person = server.person()
    person.get("/signin/")
    # It may hang up while the rest is still being sent.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
        assert person.post("/signin/", {"email": "x" * 1_100_000}).status == 413


def test_one_address_cannot_flood_the_sign_in(server):
    flooder = server.person(source="127.0.0.9")
    assert 429 in {flooder.get("/signin/code/").status for _ in range(70)}
    assert server.person(source="127.0.0.10").get("/signin/code/").status == 302


def test_services_end_in_time_one_instance_suffices_and_none_is_said_plainly(server):
    first, second, *others = server.services
    server.running[first].kill()
    server.stop(first)
    assert {server.person().get("/signin/").status for _ in range(10)} == {200}
    for name in (second, *others):
        process, limit = server.running[name], int(server.unit(name)["TimeoutStopSec"][0])
        assert server.stop(name, within=limit) < limit, name
        # Both are a clean end to systemd (systemd.service(5), SuccessExitStatus).
        assert process.returncode in (0, -signal.SIGTERM), server.log(name)
    answer = server.person().get("/signin/")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
    assert "Wait a minute" in answer.text
    for name in server.services:
        server.start(name)
    until(lambda: server.person().get("/healthz").status == 200, within=90)
