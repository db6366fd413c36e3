"""The recipe's files by themselves: units that systemd accepts, complete settings, a runbook that names what exists."""

import os
import re
import shutil
import subprocess

import pytest
from django.core.management import get_commands

from tests.deploy.recipe import DEPLOY, ROOT, Box, read_unit

UNITS = sorted(path.name for path in (DEPLOY / "systemd").iterdir() if path.is_file())
SERVICES = [name for name in UNITS if name.endswith(".service")]
OWNERS = ("telehealth-migrate.service", "telehealth-months.service")
ONCE = (*OWNERS, "backup-telehealth.service")
LONG_RUNNING = [name for name in SERVICES if name not in ONCE]
INSTANCES = [name.replace("@.", "@8001.") for name in UNITS]
SECRETS = {"SECRET_KEY", "CRYPTOGRAPHY_KEY", "CHANNEL_KEY", "DATABASE_URL", "REDIS_URL", "EMAIL_URL"} | {
    "TELEHEALTH_TURN_SECRET"
}
#: optional secrets, shown by the name of a file
BY_FILE = {"AUDIT_SHIP_TOKEN_FILE", "WATCH_WEBHOOK_SECRET_FILE"}


@pytest.fixture(scope="module")
def box(folder):
    box = Box(folder / "recipe", ports={"web1": 8001, "web2": 8002})
    shutil.copytree(box.path("opt/telehealth/deploy/systemd"), box.path("etc/systemd/system"), dirs_exist_ok=True)
    return box


def analyze(box, *words: str) -> subprocess.CompletedProcess[str]:
    assert shutil.which("systemd-analyze"), "systemd-analyze is missing; install the package systemd"
    units = box.path("etc/systemd/system")
    paths = {**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:/usr/lib/systemd/system:/lib/systemd/system"}
    return subprocess.run(["systemd-analyze", *words], env=paths, cwd=units, capture_output=True, text=True, timeout=60)


@pytest.mark.engines
def test_systemd_accepts_every_unit_and_finds_its_commands(box):
    done = analyze(box, "verify", "--man=no", *INSTANCES, "coturn.service")
    # It ends well even when it ignores a setting, but says so.
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.engines
def test_systemd_finds_a_mistake_in_what_the_units_share(box):
    shared = box.path("etc/systemd/system/telehealth-.service.d/common.conf")
    text = shared.read_text()
    try:
        shared.write_text(f"{text}\nProtectSytem=strict\n")
        assert analyze(box, "verify", "--man=no", "telehealth-web@8001.service").stderr.count("ProtectSytem") >= 1
    finally:
        shared.write_text(text)


@pytest.mark.engines
@pytest.mark.parametrize("name", [name for name in INSTANCES if name.endswith(".service")])
def test_systemds_own_measure_of_exposure_stays_low(box, name):
    # Of 10; a service without walls has 9.6.
    done = analyze(box, "security", "--offline=yes", "--no-pager", "--threshold=25", name)
    assert done.returncode == 0, done.stdout[-200:]


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_unit_runs_is_there(name):
    for command in read_unit((DEPLOY / "systemd" / name).read_text())["ExecStart"]:
        program, *words = command.split()
        if "manage.py" in words:
            assert words[1] in get_commands() or words[1] == "dbshell"
        elif "-m" in words:
            assert words[1] in ("uvicorn", "celery")
        else:
            assert os.access(ROOT / program.removeprefix("/opt/telehealth/"), os.X_OK)
        for file in re.findall(r"deploy/\S+", command):
            assert (ROOT / file).is_file()


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_long_running_units_come_back_and_end_in_time(name):
    unit = read_unit((DEPLOY / "systemd" / name).read_text())
    assert unit["Restart"] == ["always"]
    assert 0 < int(unit["TimeoutStopSec"][0]) <= 60
    assert unit["UMask"] == ["0077"]
    target = (DEPLOY / "systemd/telehealth.target").read_text()
    assert re.search(re.escape(name).replace("@", r"@\d+"), target)


def test_only_the_migration_gets_the_owners_password():
    for name in SERVICES:
        given = read_unit((DEPLOY / "systemd" / name).read_text()).get("LoadCredential", [])
        assert any("/etc/telehealth/owner/" in line for line in given) == (name in OWNERS), name


def test_the_server_listens_on_loopback_where_nginx_looks_for_it():
    (command,) = read_unit((DEPLOY / "systemd/telehealth-web@.service").read_text())["ExecStart"]
    assert "--host 127.0.0.1 --port %i --forwarded-allow-ips 127.0.0.1 " in command
    started = set(re.findall(r"telehealth-web@(\d+)", (DEPLOY / "systemd/telehealth.target").read_text()))
    asked = re.findall(r"server 127\.0\.0\.1:(\d+)", (DEPLOY / "nginx/telehealth.conf").read_text())
    assert started == set(asked) == {"8001", "8002"}


def test_nginx_cuts_half_sent_requests_within_30_seconds():
    text = (DEPLOY / "nginx/telehealth.conf").read_text()
    for name in ("client_header_timeout", "client_body_timeout"):
        values = re.findall(rf"{name} (\d+)s;", text)
        assert values
        assert all(int(value) <= 30 for value in values)


def test_the_example_has_every_setting_the_product_reads_and_no_other():
    text = (ROOT / "telehealth/settings.py").read_text()
    read = set(re.findall(r'(?:\benv\.\w+|_kept_secret)\(\s*"([A-Z_]+)"', text))
    text_of_example = (DEPLOY / "telehealth.env.example").read_text()
    lines = re.findall(r"^#?([A-Z][A-Z_]+)=(.*)$", text_of_example, flags=re.M)
    by_file = {name.removesuffix("_FILE") for name, _ in lines if name.removesuffix("_FILE") in SECRETS}
    shown = {name for name, _ in lines if name.removesuffix("_FILE") not in SECRETS} - BY_FILE
    shown |= {name.removesuffix("_FILE") for name in BY_FILE if f"#{name}=" in text_of_example}
    assert len(read) > 15
    assert shown | by_file == read
    assert by_file == SECRETS
    assert not any(value for name, value in lines if name.removesuffix("_FILE") in SECRETS)


def test_services_and_commands_are_given_every_secret():
    shared = read_unit((DEPLOY / "systemd/telehealth-.service.d/common.conf").read_text())["Environment"]
    assert {line.partition("_FILE=")[0] for line in shared} == SECRETS
    script = (DEPLOY / "bin/manage").read_text()
    assert all(re.search(rf"\b{name}\b|{name}_FILE", script) for name in SECRETS)


def test_the_runbook_names_files_and_units_that_exist():
    text = (DEPLOY / "RUNBOOK.md").read_text()
    for file in re.findall(r"\bdeploy/[\w./-]*\w", text):
        assert (ROOT / file).exists(), file
    for unit in re.findall(r"\b(?:telehealth|backup)-[\w@-]+\.(?:timer|service)|telehealth\.target", text):
        assert unit in UNITS, unit
    assert "create_operator" in get_commands()


def test_scripts_are_sound_and_can_be_run():
    for path in [*(DEPLOY / "bin").iterdir(), *(DEPLOY / "certbot").iterdir()]:
        assert os.access(path, os.X_OK)
        assert subprocess.run(["sh", "-n", str(path)], timeout=10).returncode == 0


@pytest.mark.engines
def test_secrets_are_made_once_private_and_different(box):
    box.script("make-secrets")
    files = [path for path in box.path("etc/telehealth").rglob("*") if path.is_file()]
    before = {path: path.read_text() for path in files}
    box.script("make-secrets")
    assert before == {path: path.read_text() for path in files}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert {path.parent.stat().st_mode & 0o777 for path in files} == {0o700}
    secrets = [re.sub(r"^\w+://\w+:|@.*", "", text).strip() for text in before.values() if text.strip()]
    assert len(set(secrets)) == len(secrets) == 7
    assert all(re.fullmatch(r"[0-9a-f]{64}", secret) for secret in secrets)
