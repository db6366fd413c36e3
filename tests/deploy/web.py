"""A small browser that speaks to nginx on a loopback port, under the server's real name."""

import http.client
import re
import socket
import ssl
from pathlib import Path
from urllib.parse import urlencode

from tests.deploy.recipe import HOST

ORIGIN = f"https://{HOST}"
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class Connection(http.client.HTTPConnection):
    """TLS with the right name, though the address is loopback. `source`: the loopback address it comes from."""

    def __init__(self, port: int, *, certificate: Path | None, source: str = "127.0.0.1") -> None:
        super().__init__(HOST, port, timeout=20)
        self.certificate, self.source = certificate, source

    def connect(self) -> None:
        self.sock = socket.create_connection(("127.0.0.1", self.port), timeout=20, source_address=(self.source, 0))
        if self.certificate:
            trusting = ssl.create_default_context(cafile=str(self.certificate))
            self.sock = trusting.wrap_socket(self.sock, server_hostname=HOST)


class Person:
    """Somebody with a browser: cookies, and the form's token, are carried along."""

    def __init__(self, port: int, *, certificate: Path | None, source: str = "127.0.0.1") -> None:
        self.port, self.certificate, self.source = port, certificate, source
        self.cookies: dict[str, str] = {}
        self.token = ""

    def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> http.client.HTTPResponse:
        """One request on a connection of its own; `answer.text` is what came."""
        connection = Connection(self.port, certificate=self.certificate, source=self.source)
        sent = {"Host": HOST, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        try:
            connection.request(method, path, body=body, headers=sent)
            answer = connection.getresponse()
            # What follows a changed protocol has no end.
            answer.text = "" if answer.status == 101 else answer.read().decode(errors="replace")
        finally:
            connection.close()
        for cookie in answer.headers.get_all("Set-Cookie", []):
            name, _, value = cookie.split(";")[0].partition("=")
            self.cookies[name] = value
        if found := re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', answer.text):
            self.token = found[1]
        return answer

    def get(self, path: str, **headers: str) -> http.client.HTTPResponse:
        return self.ask("GET", path, **headers)

    def post(self, path: str, fields: dict[str, str], **headers: str) -> http.client.HTTPResponse:
        body = urlencode({"csrfmiddlewaretoken": self.token, **fields})
        kind = "application/x-www-form-urlencoded"
        return self.ask("POST", path, body, Origin=ORIGIN, Content_Type=kind, **headers)

    def socket(self, path: str, **headers: str) -> int:
        """The status of a WebSocket handshake."""
        return self.ask("GET", path, **UPGRADE, **headers).status
