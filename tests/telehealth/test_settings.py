"""Settings that do not fit together stop the start with a sentence each; nothing insecure stands in for a secret."""

import os
import re
import subprocess
import sys
from datetime import timedelta

import pytest
from django.conf import settings as real

from telehealth.checks import settings_fit

GOOD = {
    "MODE": "production",
    "SECRET_KEY": "s" * 40,
    "CRYPTOGRAPHY_KEY": "c" * 40,
    "CHANNEL_KEY": "h" * 40,
    "DATABASE_URL": "postgres://x",
    "REDIS_URL": "redis://x",
    "HOST": "visits.clinic.example",
    "TURN_URLS": [],
    "TURN_SECRET": "",
}


def _problems(settings, **changes):
    for name, value in {**GOOD, **changes}.items():
        setattr(settings, name, value)
    return [error.id.removeprefix("telehealth.") for error in settings_fit(None)]


def test_good_production_settings_have_no_problem(settings):
    assert _problems(settings) == []
    assert _problems(settings, TURN_URLS=["turn:t.example", "turns:t.example"], TURN_SECRET="t" * 32) == []
    assert _problems(settings, WATCH_WEBHOOK="https://ops.example/in", WATCH_WEBHOOK_SECRET="w" * 32) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"MODE": "staging"}, "E001"),
        ({"SECRET_KEY": "unset"}, "E010"),
        ({"SECRET_KEY": "short"}, "E010"),
        ({"CRYPTOGRAPHY_KEY": ""}, "E010"),
        ({"CHANNEL_KEY": "h" * 31}, "E010"),
        ({"CHANNEL_KEY": "s" * 40}, "E011"),
        ({"DATABASE_URL": "", "REDIS_URL": ""}, "E012"),
        ({"REDIS_URL": ""}, "E004"),
        ({"HOST": "localhost"}, "E013"),
        ({"TURN_URLS": ["turn:t.example"]}, "E003"),
        ({"TURN_URLS": ["stun:stun.example.org"], "TURN_SECRET": "t" * 32}, "E003"),
        ({"TURN_URLS": ["turns:t.example", "stuns:stun.example.org"], "TURN_SECRET": "t" * 32}, "E003"),
        ({"TURN_URLS": ["t.example"], "TURN_SECRET": "t" * 32}, "E003"),
        ({"MODE": "demo"}, "E002"),
        ({"AUDIT_PUBLISH": ["ftp://files.example/log"]}, "E021"),
        ({"AUDIT_WITNESSES": ["no-key@https://witness.example"]}, "E021"),
        ({"AUDIT_SHIP": ["syslog://siem.example:514"]}, "E021"),
        ({"AUDIT_SHIP": ["syslog+tls://siem.example:no"]}, "E021"),
        ({"AUDIT_SHIP": ["http://siem.example/in"]}, "E021"),
        ({"WATCH_TELL": ["one_way_sound"]}, "E022"),
        ({"WATCH_SECONDS": {"frozen": 0}}, "E022"),
        ({"WATCH_LATE": timedelta(seconds=10)}, "E022"),
        ({"WATCH_WEBHOOK": "https://ops.example/in"}, "E022"),
        ({"WATCH_WEBHOOK": "https://ops.example/in", "WATCH_WEBHOOK_SECRET": "short"}, "E022"),
        ({"WATCH_WEBHOOK": "http://ops.example/in", "WATCH_WEBHOOK_SECRET": "w" * 32}, "E022"),
        ({"WATCH_WEBHOOK": "ops.example", "WATCH_WEBHOOK_SECRET": "w" * 32}, "E022"),
    ],
)
def test_each_bad_setting_is_told(settings, changes, problem):
    assert problem in _problems(settings, **changes)


def test_a_demo_on_this_machine_has_no_problem(settings):
    assert _problems(settings, MODE="demo", HOST="localhost", DATABASE_URL="", REDIS_URL="") == []


def _check(**environment):
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=real.BASE_DIR,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_production_without_secrets_does_not_start(tmp_path):
    answer = _check(TELEHEALTH_MODE="production", TELEHEALTH_DATA=str(tmp_path))
    assert answer.returncode == 1
    for name in ("SECRET_KEY", "CRYPTOGRAPHY_KEY", "CHANNEL_KEY", "DATABASE_URL", "TELEHEALTH_HOST"):
        assert name in answer.stderr
    assert "Traceback" not in answer.stderr


def test_production_with_secrets_in_files_passes_djangos_own_deployment_check(tmp_path):
    environment = {"TELEHEALTH_MODE": "production", "TELEHEALTH_HOST": "visits.clinic.example"}
    environment |= {"TELEHEALTH_DATA": str(tmp_path), "DATABASE_URL": "sqlite://:memory:", "REDIS_URL": "redis://x"}
    for name in ("SECRET_KEY", "CRYPTOGRAPHY_KEY", "CHANNEL_KEY"):
        (tmp_path / name).write_text("".join(chr(33 + (n * 7 + len(name)) % 90) for n in range(60)) + name + "\n")
        environment[f"{name}_FILE"] = str(tmp_path / name)
    answer = _check(**environment)
    # W008 wants a redirect from HTTP, which this product never speaks.
    assert re.findall(r"\((\S+?)\)", answer.stderr) in ([], ["security.W008"]), answer.stderr


def test_production_never_takes_the_demos_secrets(tmp_path):
    (tmp_path / "keys").mkdir()
    for name in ("secret_key", "cryptography_key", "channel_key"):
        (tmp_path / "keys" / name).write_text(f"{name}-made-for-the-demo-0000000000000000")
    answer = _check(TELEHEALTH_MODE="production", TELEHEALTH_DATA=str(tmp_path))
    assert "Production needs SECRET_KEY" in answer.stderr


def test_nothing_is_debugged_and_no_third_party_is_asked():
    assert real.DEBUG is False
    assert real.TURN_URLS == []
    directives = real.CONTENT_SECURITY_POLICY["DIRECTIVES"]
    hosts = {source for sources in directives.values() for source in sources}
    assert hosts <= {"'self'", "'none'", "data:", "blob:", "wss://localhost:8443"}
