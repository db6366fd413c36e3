"""A client that floods its socket over a real connection: it is dropped, the server's memory stays, others go on."""

import base64
import contextlib
import os
import socket
import ssl
import struct
from urllib.parse import urlsplit

import psutil
import pytest

from tests.browser import product as products
from tests.browser.product import Product
from tests.browser.visit import waiting

pytestmark = pytest.mark.engines

FRAMES = 150_000


class Client:
    """The least of RFC 6455 that can be rude: text frames over TLS, as fast as the kernel takes them."""

    def __init__(self, running: Product, consult: str, cookie: str, secret: str) -> None:
        address = urlsplit(running.origin)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        plain = socket.create_connection(("127.0.0.1", address.port), timeout=20)
        self.line = context.wrap_socket(plain)
        key = base64.b64encode(os.urandom(16)).decode()
        request = (
            f"GET /ws/visit/{consult}/patient/ HTTP/1.1\r\nHost: {address.netloc}\r\nOrigin: {running.origin}\r\n"
            f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            f"Cookie: {cookie}={secret}\r\n\r\n"
        )
        self.line.sendall(request.encode())
        assert b" 101 " in self.line.recv(4096)
        self.say('{"kind": "hello", "protocol": 1, "tab": "%s"}' % os.urandom(8).hex())  # noqa: UP031

    @staticmethod
    def frame(text: str) -> bytes:
        data = text.encode()
        assert len(data) < 126
        # A mask of zeros is a mask.
        return struct.pack("!BB4x", 0x81, 0x80 | len(data)) + data

    def say(self, text: str) -> None:
        self.line.sendall(self.frame(text))

    def hears(self, word: bytes) -> bool:
        heard = b""
        for _ in range(50):
            heard += self.line.recv(65_536)
            if word in heard:
                return True
        return False


def test_a_flood_is_dropped_and_nobody_else_notices() -> None:
    with products.running() as running:
        (rude, *rude_seat), (calm, *calm_seat) = waiting(running, 2)
        neighbour = Client(running, calm, *calm_seat)
        assert neighbour.hears(b'"state"')
        server = psutil.Process(running.process.pid)
        before = server.memory_info().rss
        dropped = 0
        block = Client.frame('{"kind": "ping"}') * 1000
        for _ in range(5):
            with contextlib.suppress(OSError), contextlib.closing(Client(running, rude, *rude_seat).line) as line:
                for _ in range(FRAMES // 5 // 1000):
                    line.sendall(block)
                line.settimeout(5)
                while line.recv(65_536):
                    continue
            dropped += 1
            neighbour.say('{"kind": "ping"}')
            assert neighbour.hears(b'"pong"')
        assert dropped == 5
        # Dropped at the door, not only told to go by the consumer after it had read its burst.
        assert running.log.read_text().count("sent faster than it was read") == 5
        assert server.memory_info().rss - before < 40 * 1024 * 1024
