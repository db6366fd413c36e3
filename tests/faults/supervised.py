"""`python -m tests.faults.supervised up`: the product's parts as processes, each started again a second after it ended,
as systemd does on a server (deploy/systemd). parts.json in the data folder holds their numbers. Ctrl-C ends all.
"""

import json
import os
import subprocess
import time
from pathlib import Path

import django

from telehealth import firstrun

RESTART_AFTER = 1.0


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "telehealth.settings"
    firstrun.prepare()  # settings read what this makes
    django.setup()
    from django.conf import settings

    from telehealth import certificate, processes
    from telehealth.management.commands.up import Command

    os.umask(0o077)
    Command()._prepare()
    commands = processes.commands(*certificate.ensure(settings.DATA_DIR / "tls", settings.HOST))
    parts = {name: subprocess.Popen(command) for name, command in commands.items()}
    ended: dict[str, float] = {}
    file = settings.DATA_DIR / "parts.json"
    try:
        while True:
            _note(file, parts)
            for name, part in parts.items():
                if part.poll() is None:
                    continue
                if time.monotonic() - ended.setdefault(name, time.monotonic()) > RESTART_AFTER:
                    del ended[name]
                    parts[name] = subprocess.Popen(commands[name])
            time.sleep(0.1)
    except KeyboardInterrupt:
        for part in parts.values():
            part.terminate()
        for part in parts.values():
            try:
                part.wait(timeout=4)
            except subprocess.TimeoutExpired:  # one that looks for an engine that a test has killed
                part.kill()


def _note(file: Path, parts: "dict[str, subprocess.Popen[bytes]]") -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps({name: part.pid for name, part in parts.items()}))
    fresh.replace(file)


if __name__ == "__main__":
    main()
