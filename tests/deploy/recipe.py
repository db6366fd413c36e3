"""The recipe in deploy/, followed on loopback in a folder that stands for the server.

The files are used as they are, with three kinds of change (`Box.render`): paths get the folder in front, ports become
free ones, and lines that listen on IPv6 go. Scripts find stand-ins for the three commands that need another account.
A unit is run as systemd would: its environment, its credentials, its ExecStart lines, two of its walls.
"""

import ctypes
import dataclasses
import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

from tests.engines import free_port

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
HOST = "telehealth.example"

PATHS = re.compile(
    r"(?<![\w@.}])/(opt/telehealth|etc/(?:telehealth|letsencrypt|redis|nginx|turnserver|systemd)|"
    r"var/(?:lib/telehealth|log/nginx|www))"
)
#: What a stand-in does instead: the recipe's accounts do not exist here, and everything belongs to who runs the tests.
STAND_INS = {"runuser": 'shift 3; exec "$@"', "chown": "exit 0", "id": "echo telehealth"}
NO_NEW_PRIVILEGES, DENY_WRITE_EXECUTE = 38, 65
libc = ctypes.CDLL(None)


def read_unit(text: str) -> dict[str, list[str]]:
    """Every value of every setting, sections merged: no name here is used in two sections."""
    found: dict[str, list[str]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip() and line[0] not in "#;[":
            name, _, value = line.partition("=")
            found.setdefault(name.strip(), []).append(value.strip())
    return found


@dataclasses.dataclass
class Box:
    """The server, in a folder."""

    folder: Path
    ports: dict[str, int] = dataclasses.field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("http", "https", "web1", "web2", "worker", "redis", "turn", "turns"):
            self.ports.setdefault(name, free_port())
        code = self.folder / "opt/telehealth"
        code.mkdir(parents=True)
        for path in ROOT.iterdir():
            if path.name not in ("deploy", "var"):
                (code / path.name).symlink_to(path)
        for path in DEPLOY.rglob("*"):
            if path.is_file():
                copy = code / "deploy" / path.relative_to(DEPLOY)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_text(self.render(path.read_text()))
                copy.chmod(path.stat().st_mode)
        for folder in ("etc/redis", "etc/nginx/conf.d", "etc/systemd/system", "var/lib/telehealth", "var/log/nginx"):
            (self.folder / folder).mkdir(parents=True)
        self._make_stand_ins()

    def render(self, text: str) -> str:
        ports = self.ports
        text = PATHS.sub(rf"{self.folder}/\1", text)
        text = re.sub(r"^\s*listen \[::\].*\n", "", text, flags=re.M)
        text = re.sub(r"listen 80\b", f"listen 127.0.0.1:{ports['http']}", text)
        text = re.sub(r"listen 443\b", f"listen 127.0.0.1:{ports['https']}", text)
        moved = {
            "8001": "web1",
            "8002": "web2",
            "9101": "worker",
            "6379": "redis",
            "5432": "postgres",
            "3478": "turn",
            "5349": "turns",
        }
        return re.sub(
            rf"(?<=[:=@])({'|'.join(moved)})\b", lambda found: str(ports.get(moved[found[1]], found[1])), text
        )

    def _make_stand_ins(self) -> None:
        for name, body in STAND_INS.items():
            path = self.folder / "stand-ins" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"#!/bin/sh\n{body}\n")
            path.chmod(0o755)

    def path(self, name: str) -> Path:
        return self.folder / name.lstrip("/")

    def environment(self, **more: str) -> dict[str, str]:
        """What a fresh service has, and nothing of what the tests' own process has."""
        return {"PATH": f"{self.folder}/stand-ins:/usr/sbin:/usr/bin:/bin", "LANG": "C.UTF-8", **more}

    def script(self, name: str, *arguments: str, **environment: str) -> str:
        """Run one of deploy/bin; gives what it said."""
        command = [str(self.path(f"opt/telehealth/deploy/bin/{name}")), *arguments]
        done = subprocess.run(command, env=self.environment(**environment), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
        return done.stdout

    # -- units -----------------------------------------------------------------------------------------

    def unit(self, name: str) -> dict[str, list[str]]:
        """A unit with its drop-in, as `configure` put them in place; %i and %d filled in."""
        folder = self.path("etc/systemd/system")
        stem, _, instance = name.removesuffix(".service").partition("@")
        text = (folder / f"{stem}{'@' if instance else ''}.service").read_text()
        if stem.startswith("telehealth-"):
            text += (folder / "telehealth-.service.d/common.conf").read_text()
        text = text.replace("%i", instance).replace("%d", str(self.path(f"run/credentials/{name}")))
        return read_unit(text)

    def unit_environment(self, name: str) -> dict[str, str]:
        unit = self.unit(name)
        given = self.path(f"run/credentials/{name}")
        given.mkdir(parents=True, exist_ok=True, mode=0o700)
        for line in unit.get("LoadCredential", []):
            credential, _, source = line.partition(":")
            (given / credential).write_text(Path(source).read_text())
        lines = [*unit.get("Environment", [])]
        for file in unit.get("EnvironmentFile", []):
            lines += [line for line in Path(file).read_text().splitlines() if line and not line.startswith("#")]
        return self.environment(**dict(line.split("=", 1) for line in lines))

    def run_oneshot(self, name: str) -> None:
        for command in self.unit(name)["ExecStart"]:
            process = self._spawn(name, command)
            assert process.wait(90) == 0, self.log(name)

    def start(self, name: str) -> subprocess.Popen[bytes]:
        (command,) = self.unit(name)["ExecStart"]
        self.running[name] = self._spawn(name, command)
        return self.running[name]

    def _spawn(self, name: str, command: str) -> subprocess.Popen[bytes]:
        unit = self.unit(name)
        walls = [(NO_NEW_PRIVILEGES, unit.get("NoNewPrivileges") == ["yes"])]
        walls += [(DENY_WRITE_EXECUTE, unit.get("MemoryDenyWriteExecute") == ["yes"])]

        def wall_in() -> None:
            os.umask(int(unit["UMask"][0], 8))
            for wall, wanted in walls:
                if wanted:
                    libc.prctl(wall, 1, 0, 0, 0)  # a kernel before 6.3 does not know the second one

        with self.path(f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                shlex.split(command),
                cwd=unit["WorkingDirectory"][0],
                env=self.unit_environment(name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=wall_in,
            )

    def start_program(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Something that Debian's own unit runs: nginx, Redis, coturn."""
        with self.path(f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.running[name] = process
        return process

    def log(self, name: str) -> str:
        return self.path(f"{name}.log").read_text(errors="replace")[-3000:]

    def stop(self, name: str, within: float = 20) -> float:
        """End it as systemd does; gives the seconds it took."""
        process, began = self.running.pop(name), time.monotonic()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(within)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        return time.monotonic() - began

    def stop_all(self) -> None:
        for name in reversed(list(self.running)):
            self.stop(name)


def until(true, *, within: float = 30.0, every: float = 0.1, said=lambda: ""):
    """Wait, boundedly, for what `true` gives to be true."""
    deadline = time.monotonic() + within
    while not (value := true()):
        assert time.monotonic() < deadline, f"waited {within} s in vain. {said()}"
        time.sleep(every)
    return value
