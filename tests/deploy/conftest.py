"""The whole platform by the recipe, once for all tests of this folder."""

import os
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from telehealth import certificate
from tests.deploy.recipe import HOST, Box, until
from tests.deploy.web import Person
from tests.engines import postgres

SERVICES = (
    "telehealth-web@{web1}.service",
    "telehealth-web@{web2}.service",
    "telehealth-worker@{worker}.service",
    "telehealth-tasks.service",
    "telehealth-clock.service",
    "telehealth-log.service",
)


class Server(Box):
    """A box with everything running in it."""

    superuser: str
    link: str

    @property
    def certificate(self) -> Path:
        return self.path(f"etc/letsencrypt/live/{HOST}/fullchain.pem")

    @property
    def services(self) -> list[str]:
        return [name.format(**self.ports) for name in SERVICES]

    def person(self, source: str = "127.0.0.1", *, tls: bool = True) -> Person:
        if tls:
            return Person(self.ports["https"], certificate=self.certificate, source=source)
        return Person(self.ports["http"], certificate=None, source=source)

    def database(self, role: str = "superuser", name: str = "telehealth") -> psycopg.Connection:
        """A connection as the superuser, the owner or the app."""
        url = {
            "superuser": lambda: self.superuser,
            "owner": lambda: self.path("etc/telehealth/owner/database_url").read_text(),
            "app": lambda: self.path("etc/telehealth/secrets/database_url").read_text(),
        }[role]()
        return psycopg.connect(urlsplit(url.strip())._replace(path=f"/{name}").geturl(), autocommit=True)

    def as_superuser(self) -> dict[str, str]:
        """How the database's own account gets in, for scripts that would run as it."""
        url = urlsplit(self.superuser)
        return {
            "PGHOST": str(url.hostname),
            "PGPORT": str(url.port),
            "PGUSER": str(url.username),
            "PGPASSWORD": str(url.password),
        }


@pytest.fixture(scope="session")
def folder():
    # Reachable by others, as nginx's workers are when root runs the tests.
    folder = Path(tempfile.mkdtemp(prefix="deploy-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def server(folder):
    with postgres() as superuser:
        server = Server(folder / "server", ports={"postgres": urlsplit(superuser).port})
        server.superuser = str(superuser)
        try:
            _install(server)
            _start(server)
            yield server
        finally:
            server.stop_all()


def _install(server: Server) -> None:
    """The runbook's steps, in its order."""
    server.script("make-secrets")
    key, crt = certificate.ensure(server.path("made"), HOST)
    live = server.certificate.parent
    live.mkdir(parents=True)
    shutil.copy(crt, live / "fullchain.pem")
    shutil.copy(key, live / "privkey.pem")
    server.script("configure", HOST, "127.0.0.1", PGDATABASE="postgres", **server.as_superuser())
    _start_redis(server)
    server.script("manage", "create_vault_key")
    server.script("manage", "audit_key")
    server.run_oneshot("telehealth-migrate.service")
    said = server.script("manage", "create_operator", "tove@clinic.example", "--name", "Tove Lund", "--clinic", "Quay")
    server.link = said.strip().splitlines()[-1]


def _start_redis(server: Server) -> None:
    conf = server.path("etc/redis/redis.conf")
    conf.write_text(f"port {server.ports['redis']}\ndir {server.folder}\ninclude {conf.parent}/telehealth.conf\n")
    server.start_program("redis", "redis-server", str(conf))
    until(lambda: "Ready to accept" in server.log("redis"), said=lambda: server.log("redis"))


def nginx_conf(server: Server) -> Path:
    """What stands around the recipe's file in Debian's nginx.conf, with temporary files kept in the box."""
    conf, log = server.path("etc/nginx/nginx.conf"), server.path("var/log/nginx")
    temporary = "".join(
        f"  {kind}_temp_path {server.folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    conf.write_text(
        f"{'user root;' if os.geteuid() == 0 else ''}\ndaemon off;\nworker_processes 1;\n"
        f"pid {server.folder}/nginx.pid;\n"
        f"error_log {log}/error.log;\nevents {{ worker_connections 512; }}\nhttp {{\n"
        "  sendfile on; tcp_nopush on; include /etc/nginx/mime.types; default_type application/octet-stream;\n"
        "  ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3; ssl_prefer_server_ciphers on; gzip on;\n"
        f"  access_log {log}/access.log;\n{temporary}  include {conf.parent}/conf.d/*.conf;\n}}\n"
    )
    return conf


def _start(server: Server) -> None:
    for name in server.services:
        server.start(name)
    server.start_program("nginx", "nginx", "-c", str(nginx_conf(server)), "-p", str(server.folder))
    until(lambda: _is_ready(server), within=90, said=lambda: "".join(server.log(name) for name in server.running))
    until(lambda: "the worker is ready" in server.log(f"telehealth-worker@{server.ports['worker']}.service"), within=60)


def _is_ready(server: Server) -> bool:
    for name, process in server.running.items():
        assert process.poll() is None, f"{name} ended: {server.log(name)}"
    try:
        return server.person().get("/healthz").status == 200
    except OSError:
        return False
