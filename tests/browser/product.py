"""The product as a user runs it: `manage.py up` in a process of its own, in either shape, with its logs kept."""

import base64
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.engines import free_port

ROOT = Path(__file__).resolve().parents[2]
CLINICIAN = "garcia@riverside.example"
COLLEAGUE = "okafor@riverside.example"
PRIVACY_OFFICER = "lindqvist@riverside.example"
OPERATOR = "nowak@riverside.example"
#: a line in, a line out. No connection stays open between: a test may kill the database, or hold a lock
ANSWERER = """
import base64, json, sys, traceback
from django.db import connections
for line in sys.stdin:
    names = {}
    try:
        exec(base64.b64decode(line).decode(), names)
        told = {"answer": names["answer"]}
    except Exception:
        told = {"error": traceback.format_exc()}
    connections.close_all()
    print("ANSWER " + json.dumps(told, default=str), flush=True)
"""


@dataclass
class Product:
    origin: str
    data: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes]
    log: Path
    redis_url: str
    database_url: str
    #: what its mail server got, where it has one (tests.browser.postbox)
    letters: Any = None
    #: cookies of people who signed in already, by e-mail
    sessions: dict[str, list[Any]] = field(default_factory=dict)
    _answerer: subprocess.Popen[str] | None = None

    @property
    def password(self) -> str:
        return (self.data / "keys" / "demo_password").read_text().strip()

    def manage(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout.strip()

    def code(self, email: str) -> str:
        return self.manage("demo_code", email)

    def ask(self, source: str) -> Any:
        """Run Python in the product's own environment; whatever it assigns to `answer` comes back (JSON).

        One process answers all questions, since setting Django up takes longer than most answers.
        """
        if self._answerer is None or self._answerer.poll() is not None:
            self._answerer = subprocess.Popen(
                [sys.executable, "manage.py", "shell", "-v", "0", "-c", ANSWERER],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        asked, answers = self._answerer.stdin, self._answerer.stdout
        assert asked is not None
        assert answers is not None
        asked.write(base64.b64encode(source.encode()).decode() + "\n")
        asked.flush()
        line = next((line for line in answers if line.startswith("ANSWER ")), "")
        assert line, "the question was not answered"
        told = json.loads(line.removeprefix("ANSWER "))
        assert "error" not in told, told["error"]
        return told["answer"]

    def stop(self, number: int = signal.SIGINT) -> int:
        if self._answerer is not None:
            self._answerer.kill()
            self._answerer.communicate()
            self._answerer = None
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(timeout=10)
        return int(self.process.returncode)


def ready(origin: str) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(f"{origin}/healthz", context=context, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


HONEST = ("manage.py",)


def start(
    *, database_url: str = "", redis_url: str = "", program: tuple[str, ...] = HONEST, **settings: str
) -> Product:
    data = Path(tempfile.mkdtemp(prefix="telehealth-product-"))
    port = free_port()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TELEHEALTH", "DATABASE", "REDIS", "EMAIL"))}
    environment = {
        **kept,
        "TELEHEALTH_DATA": str(data),
        "TELEHEALTH_PORT": str(port),
        "TELEHEALTH_MODE": "demo",
        "PYTHONUNBUFFERED": "1",
        **({"DATABASE_URL": database_url, "REDIS_URL": redis_url} if database_url else {}),
        **settings,
    }
    log = data / "product.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *program, "up"], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    origin = f"https://localhost:{port}"
    product = Product(origin, data, environment, process, log, redis_url, database_url)
    until = time.monotonic() + 60
    while not ready(origin):
        if process.poll() is not None or time.monotonic() > until:
            product.stop(signal.SIGKILL)
            raise AssertionError(f"the product did not start:\n{log.read_text()[-3000:]}")
        time.sleep(0.2)
    return product


@contextmanager
def running(*, program: tuple[str, ...] = HONEST, **settings: str) -> Iterator[Product]:
    product = start(program=program, **settings)
    try:
        yield product
    finally:
        product.stop()
