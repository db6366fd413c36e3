"""Debian's Firefox ESR over WebDriver BiDi (W3C), as far as a visit needs it: pages, clicks, typing, questions."""

import itertools
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from tests.browser.people import WATCH
from tests.engines import free_port

FIREFOX = "/usr/bin/firefox-esr"
#: a camera and a microphone of its own making, given without a question; and no word to anybody by itself
PREFERENCES = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "app.update.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "media.gmp-manager.url": "",
    "services.settings.server": "data:,",
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.systemAddon.update.enabled": False,
}


class Firefox:
    """One browser; `person` gives a page that shares nothing with others."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.numbers = itertools.count(1)
        self.tell("session.new", capabilities={"alwaysMatch": {"acceptInsecureCerts": True}})
        self.tell("script.addPreloadScript", functionDeclaration=f"() => {{ {WATCH} }}")

    def tell(self, method: str, **parameters: Any) -> Any:
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv(timeout=60))
            if answer.get("id") == number:
                assert answer["type"] == "success", f"{method}: {answer}"
                return answer["result"]

    def person(self, cookies: list[Any] | None = None, script: str = "") -> "Page":
        """`script` runs in each of this person's documents before the document's own."""
        apart = self.tell("browser.createUserContext")["userContext"]
        if script:
            self.tell("script.addPreloadScript", functionDeclaration=f"() => {{ {script} }}", userContexts=[apart])
        for cookie in cookies or []:
            kept = {key: cookie[key] for key in ("name", "domain", "path", "secure", "httpOnly")}
            value = {"type": "string", "value": cookie["value"]}
            partition = {"type": "storageKey", "userContext": apart}
            self.tell("storage.setCookie", cookie={**kept, "value": value}, partition=partition)
        # Windows, not tabs: a tab in the background shows no frames.
        made = self.tell("browsingContext.create", type="window", userContext=apart)
        return Page(self, made["context"], apart)

    def everybody_leaves(self) -> None:
        for context in self.tell("browser.getUserContexts")["userContexts"]:
            if context["userContext"] != "default":
                self.tell("browser.removeUserContext", userContext=context["userContext"])


class Page:
    """Methods named as Playwright's do the same; only, clicks and typing are the page's own script's."""

    def __init__(self, browser: Firefox, context: str, apart: str) -> None:
        self.browser = browser
        self.context = context
        self.apart = apart

    def goto(self, address: str) -> None:
        self.browser.tell("browsingContext.navigate", context=self.context, url=address, wait="complete")

    def reload(self) -> None:
        self.browser.tell("browsingContext.reload", context=self.context, wait="complete")

    def close(self) -> None:
        """With all that this person's browser kept."""
        self.browser.tell("browser.removeUserContext", userContext=self.apart)

    def evaluate(self, question: str, given: Any = None) -> Any:
        """What JavaScript answers, as JSON; a function is called."""
        answered = f"typeof asked === 'function' ? asked({json.dumps(given)}) : asked"
        packed = f"(async () => {{ const asked = ({question}); return JSON.stringify(await ({answered})); }})()"
        target = {"context": self.context}
        answer = self.browser.tell(
            "script.evaluate", expression=packed, target=target, awaitPromise=True, userActivation=True
        )
        assert answer["type"] == "success", answer
        return json.loads(answer["result"].get("value", "null"))

    def until(self, question: str, *, seconds: float = 30) -> None:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            try:
                if self.evaluate(question):
                    return
            except AssertionError as error:
                # Between two pages there is none to be asked.
                if not any(word in str(error) for word in ("no such frame", "AbortError", "null", "undefined")):
                    raise
            time.sleep(0.1)
        raise AssertionError(f"still not so after {seconds} s: {question}")

    def click(self, selector: str) -> None:
        """A button as soon as it can be seen and pressed."""
        found = f"document.querySelector({json.dumps(selector)})"
        ready = "document.readyState === 'complete'"
        self.until(f"{ready} && Boolean({found}?.checkVisibility()) && !{found}.disabled")
        self.evaluate(f"{found}.click()")

    def fill(self, selector: str, text: str) -> None:
        found = f"document.querySelector({json.dumps(selector)})"
        self.until(f"Boolean({found}?.checkVisibility())")
        typed = f"{found}.value = {json.dumps(text)}; {found}.dispatchEvent(new Event('input', {{ bubbles: true }}))"
        self.evaluate(f"(() => {{ {typed} }})()")

    def wait_for_timeout(self, milliseconds: float) -> None:
        time.sleep(milliseconds / 1000)


@contextmanager
def firefox() -> Iterator[Firefox]:
    with tempfile.TemporaryDirectory(prefix="telehealth-firefox-", ignore_cleanup_errors=True) as profile:
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items()]
        Path(profile, "user.js").write_text("\n".join(lines))
        port = free_port()
        command = [FIREFOX, "--headless", "--no-remote", "--profile", profile, f"--remote-debugging-port={port}"]
        log = Path(profile, "firefox.log")
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, env=environment(profile))
        try:
            with opened(port, process, log) as socket:
                yield Firefox(socket)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def environment(home: str) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "HOME": home, "LANG": "C.UTF-8", "MOZ_HEADLESS": "1"}


def opened(port: int, process: subprocess.Popen[bytes], log: Path) -> ClientConnection:
    ends = time.monotonic() + 60
    while True:
        try:
            return connect(f"ws://127.0.0.1:{port}/session", max_size=None, compression=None, open_timeout=10)
        except (OSError, WebSocketException):
            if process.poll() is not None or time.monotonic() > ends:
                raise AssertionError(f"Firefox did not start:\n{log.read_text(errors='replace')[-2000:]}") from None
            time.sleep(0.2)
