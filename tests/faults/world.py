"""Three network namespaces: the clinic with the server, and one for each person's browser, joined by shaped cables.

As root, or as an ordinary user in a user namespace of her own where the kernel and /dev/net/tun let her.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Playwright

from tests.browser.people import ARGUMENTS, CHROMIUM
from tests.browser.product import ROOT, Product
from tests.engines import free_port

NUMBERS = {"doctor": 1, "patient": 2}
CLINIC = "10.77.0.1"


class NoWorld(Exception):
    """Why this machine or this user cannot have namespaces."""


@dataclass
class World:
    holders: dict[str, subprocess.Popen[bytes]]
    shaper: subprocess.Popen[str]
    addresses: dict[str, str] = field(default_factory=dict)

    def inside(self, place: str, *command: str) -> list[str]:
        return ["nsenter", "-t", str(self.holders[place].pid), *_user(), "-n", *command]

    def run(self, place: str, *command: str) -> str:
        done = subprocess.run(self.inside(place, *command), capture_output=True, text=True, timeout=20, check=False)
        if done.returncode:
            raise NoWorld(f"{' '.join(command)}: {done.stderr.strip()[-300:]}")
        return done.stdout

    def tell(self, who: str, verb: str, value: float) -> None:
        assert self.shaper.stdin
        self.shaper.stdin.write(f"{who} {verb} {value}\n")
        self.shaper.stdin.flush()

    def delay(self, milliseconds: float) -> None:
        """One way between the two people, half of it on each cable."""
        for who in NUMBERS:
            self.tell(who, "delay", milliseconds / 2)

    def cut(self, who: str, seconds: float) -> None:
        self.tell(who, "cut", seconds)

    def lose(self, who: str, percent: int, *, of: str = "") -> None:
        """Loss on input: each packet that comes in is dropped with this chance; `of`: which ones, in nft's words."""
        self.run(who, "nft", "flush", "ruleset")
        if percent:
            rules = f"iifname eth0 {of} numgen random mod 100 <= {percent - 1} drop"
            self.run(who, "nft", "add table inet fault")
            self.run(who, "nft", "add chain inet fault input { type filter hook input priority 0 ; }")
            self.run(who, "nft", f"add rule inet fault input {rules}")

    def rate(self, who: str, kbit: int) -> None:
        """What the cable to this person carries, by a token bucket; 0: all."""
        bucket = (
            ["tbf", "rate", f"{kbit}kbit", "burst", "8kb", "latency", "200ms"] if kbit else ["pfifo", "limit", "1000"]
        )
        self.run("clinic", "tc", "qdisc", "replace", "dev", who, "root", *bucket)

    def move(self, who: str) -> float:
        """Another address in place of the old one, as when a phone leaves the wireless network. When, by the clock."""
        old = self.addresses[who]
        network, _, last = old.rpartition(".")
        new = f"{network}.{int(last) + 1}"
        at = time.time()
        script = f"ip addr del {old}/24 dev eth0; ip addr add {new}/24 dev eth0; ip route replace default dev eth0"
        self.run(who, "sh", "-c", script)
        self.addresses[who] = new
        return at

    @contextmanager
    def asleep(self, who: str) -> Iterator[None]:
        """Every process at this place stands still, as in a phone whose screen went dark in a pocket."""
        place = os.readlink(f"/proc/{self.holders[who].pid}/ns/net")
        pids = [int(one.name) for one in Path("/proc").iterdir() if one.name.isdecimal() and _place(one) == place]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    @contextmanager
    def product(self, **settings: str) -> Iterator[Product]:
        data, port = Path(tempfile.mkdtemp(prefix="telehealth-faults-")), free_port()
        origin = f"https://{CLINIC}:{port}"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("TELEHEALTH", "DATABASE", "REDIS", "EMAIL"))}
        environment = {
            **kept,
            **{"TELEHEALTH_DATA": str(data), "TELEHEALTH_PORT": str(port), "TELEHEALTH_MODE": "demo"},
            **{"TELEHEALTH_HOST": CLINIC, "TELEHEALTH_BIND": CLINIC, "PYTHONUNBUFFERED": "1"},
            **settings,
        }
        log = data / "product.log"
        product = Product(origin, data, environment, None, log, "", "")  # type: ignore[arg-type]

        def start() -> None:
            with log.open("ab") as output:
                command = self.inside("clinic", sys.executable, "manage.py", "up")
                product.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
            until, before = time.monotonic() + 90, log.read_text().count("Ready at")
            while log.read_text().count("Ready at") == before:
                if product.process.poll() is not None or time.monotonic() > until:
                    raise AssertionError(f"the product did not start:\n{log.read_text()[-3000:]}")
                time.sleep(0.1)

        product.start_again = start  # type: ignore[attr-defined]
        start()
        try:
            yield product
        finally:
            product.stop()
            shutil.rmtree(data, ignore_errors=True)

    @contextmanager
    def chromium(self, playwright: Playwright, who: str) -> Iterator[Browser]:
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "chromium"
            words = " ".join(f"'{w}'" for w in self.inside(who, CHROMIUM))
            program.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
            program.chmod(0o755)
            browser = playwright.chromium.launch(executable_path=str(program), headless=False, args=ARGUMENTS)
            try:
                yield browser
            finally:
                browser.close()


def _place(process: Path) -> str:
    try:
        return os.readlink(process / "ns" / "net")
    except OSError:  # it has ended
        return ""


def _user() -> list[str]:
    return [] if os.geteuid() == 0 else ["-U", "--preserve-credentials"]


@contextmanager
def world() -> Iterator[World]:
    for program in ("ip", "nft", "tc", "nsenter", "unshare"):
        if not shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
            raise NoWorld(f"{program} is not installed")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        raise NoWorld("/dev/net/tun may not be opened by this user")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    with ExitStack() as stack:
        holders: dict[str, subprocess.Popen[bytes]] = {}
        for place in ("clinic", *NUMBERS):
            command = ["unshare", *([] if os.geteuid() == 0 else ["-Ur"]), "-n", "sleep", "infinity"]
            if holders and os.geteuid():
                joined = ["nsenter", "-t", str(holders["clinic"].pid), "-U", "--preserve-credentials"]
                command = [*joined, "unshare", "-n", "sleep", "infinity"]
            holders[place] = subprocess.Popen(command)
            stack.callback(_end, holders[place])
            _entered(holders[place])
        pids = [f"{who}={holders[who].pid}" for who in NUMBERS]
        enter = ["nsenter", "-t", str(holders["clinic"].pid), *_user()] if os.geteuid() else []
        shaper = subprocess.Popen(
            [*enter, sys.executable, "-m", "tests.faults.shaper", str(holders["clinic"].pid), *pids],
            **{
                "cwd": ROOT,
                "stdin": subprocess.PIPE,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "text": True,
            },
        )
        stack.callback(_end, shaper)
        assert shaper.stdout
        assert shaper.stderr
        if shaper.stdout.readline() != "ready\n":
            raise NoWorld(f"no cables: {shaper.stderr.read()[-300:]}")
        made = World(holders, shaper)
        _address(made)
        for percent in (1, 0):  # whether packets can be dropped is better known now than in a test
            made.lose("patient", percent)
        yield made


def _entered(holder: subprocess.Popen[bytes]) -> None:
    """Wait until the holder has its own namespace; before that its number leads to ours."""
    until = time.monotonic() + 5
    ours = os.readlink("/proc/self/ns/net")
    while time.monotonic() < until:
        if holder.poll() is not None:
            raise NoWorld("this kernel lets this user have no network namespace")
        if (
            os.readlink(f"/proc/{holder.pid}/ns/net") != ours
            and b"sleep" in Path(f"/proc/{holder.pid}/cmdline").read_bytes()
        ):
            return
        time.sleep(0.02)
    raise NoWorld("a network namespace did not come up")


def _address(made: World) -> None:
    clinic = f"ip link set lo up; ip addr add {CLINIC}/32 dev lo; sysctl -qw net.ipv4.ip_forward=1"
    made.run("clinic", "sh", "-c", clinic)
    for who, number in NUMBERS.items():
        made.run("clinic", "sh", "-c", f"ip link set {who} up; ip route add 10.77.{number}.0/24 dev {who}")
        made.addresses[who] = f"10.77.{number}.10"
        own = f"ip link set lo up; ip addr add 10.77.{number}.10/24 dev eth0; ip link set eth0 up"
        made.run(who, "sh", "-c", f"{own}; ip route add default dev eth0")


def _end(process: "subprocess.Popen[bytes] | subprocess.Popen[str]") -> None:
    process.kill()
    process.wait(timeout=10)
