"""What the application's own database role cannot do, and that a backup comes back with all of it."""

import subprocess
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege, RaiseException

from tests.deploy.recipe import HOST, until

pytestmark = pytest.mark.engines

#: table -> its key
GROWS_ONLY = {
    "vault_auditentry": "id",
    "vault_auditbatch": "first",
    "vault_auditnode": "place",
    "vault_auditwitnessing": "id",
    "vault_auditarchive": "id",
    "vault_auditcarried": "entry",
    "consults_auditreview": "id",
    "consults_retentionperiod": "id",
    "consults_legalhold": "id",
    "consults_holdlift": "id",
    "consults_consenterasure": "id",
    "consults_consent": "id",
    "consults_consentstatement": "id",
}
REWRITES = (
    "UPDATE {0} SET {1} = {1}",
    "DELETE FROM {0}",
    "TRUNCATE {0} CASCADE",
    "ALTER TABLE {0} DISABLE TRIGGER ALL",
    "ALTER TABLE {0} ADD COLUMN more int",
    "DROP TABLE {0} CASCADE",
    "CREATE OR REPLACE FUNCTION {0}_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
    "DROP TRIGGER {0}_no_change ON {0}",
    "CREATE TRIGGER sneaky BEFORE INSERT ON {0} FOR EACH ROW EXECUTE FUNCTION {0}_refuse()",
)
OTHER_WAYS = (
    "SET session_replication_role = replica",  # triggers off
    "SET ROLE telehealth_owner",
    "CREATE TABLE mine (id int)",
    "UPDATE django_migrations SET name = name",
    "COPY vault_auditentry TO PROGRAM 'cat'",
    "ALTER ROLE telehealth_app SUPERUSER",
    "CREATE TEMPORARY TABLE mine (id int)",
    # an entry under an id of one's own choice, and a sequence set on or back
    "INSERT INTO vault_auditentry (id, at, action) VALUES (1000000000, now(), 'signin')",
    "SELECT setval('vault_auditentry_id_seq', 1000000000)",
    "ALTER SEQUENCE vault_auditentry_id_seq RESTART WITH 1",
)


@pytest.mark.parametrize("table", GROWS_ONLY)
@pytest.mark.parametrize("statement", REWRITES)
def test_the_application_cannot_rewrite_evidence(server, table, statement):
    with server.database("app") as database:
        before = database.execute(f"SELECT count(*) FROM {table}").fetchone()
        with pytest.raises(InsufficientPrivilege):
            database.execute(statement.format(table, GROWS_ONLY[table]))
        assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == before


@pytest.mark.parametrize("statement", OTHER_WAYS)
def test_the_application_has_no_way_around(server, statement):
    with server.database("app") as database, pytest.raises(InsufficientPrivilege):
        database.execute(statement)


def test_not_even_the_owner_changes_an_entry_unnoticed(server):
    with server.database("owner") as database, pytest.raises(RaiseException, match="append-only"):
        database.execute("UPDATE vault_auditentry SET action = action")


def test_every_other_table_can_be_used(server):
    with server.database("app") as database:
        tables = [
            name
            for (name,) in database.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
                " AND relkind IN ('r', 'p') AND NOT relispartition"
            )
        ]
        for table in set(tables) - {*GROWS_ONLY, "django_migrations"}:
            for right in ("SELECT", "INSERT", "UPDATE", "DELETE"):
                assert database.execute("SELECT has_table_privilege(%s, %s)", (table, right)).fetchone() == (True,)
            with pytest.raises(InsufficientPrivilege):
                database.execute(f"TRUNCATE {table} CASCADE")


@pytest.mark.parametrize(
    "statement", ["SELECT FROM {0}", "INSERT INTO {0} SELECT * FROM vault_auditentry", "DROP TABLE {0}", *REWRITES[:5]]
)
def test_a_month_of_the_log_is_used_through_the_log_only(server, statement):
    with server.database("app") as database, pytest.raises(InsufficientPrivilege):
        database.execute(statement.format("vault_auditentry_open", "id"))


def test_a_month_ends_by_the_services_own_run(server):
    """As the owner; afterwards the application writes into the new part and has no more rights than before."""
    close = (
        "import datetime; from django.utils import timezone; from vault.audit_months import close;"
        " print(close(now=timezone.now() + datetime.timedelta(days=32)))"
    )
    manage = server.path("opt/telehealth/deploy/bin/manage")
    owner = f"DATABASE_URL_FILE={server.path('etc/telehealth/owner/database_url')}\nexec"
    as_owner = manage.with_name("manage-as-owner")
    as_owner.write_text(manage.read_text().replace("\nexec", f"\n{owner}"))
    as_owner.chmod(0o755)
    assert "Month(" in server.script("manage-as-owner", "shell", "-c", close)
    assert server.person().get("/healthz").status == 200
    server.run_oneshot("telehealth-months.service")
    listed = server.script("manage", "audit_months", "list")
    assert ".archive" in listed
    assert "open" in listed
    archive = next(server.path("var/lib/telehealth/audit/archive").glob("*.archive"))
    assert "holds" in server.script("manage", "audit_months", "check", str(archive))
    assert "The log holds" in server.script("manage", "audit_verify")
    with server.database("app") as database:
        parts = database.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'vault_auditentry'::regclass"
        )
        for (part,) in parts.fetchall():
            with pytest.raises(InsufficientPrivilege):
                database.execute(f"SELECT FROM {part}")
    migrate = server.path("opt/telehealth/deploy/postgres/grants.sql").read_text()
    with server.database("owner") as database:
        database.execute(migrate)


def test_a_table_that_nobody_thought_of_can_only_grow(server):
    with server.database("owner") as owner, server.database("app") as database:
        owner.execute("CREATE TABLE forgotten (id int)")
        try:
            database.execute("INSERT INTO forgotten VALUES (1)")
            with pytest.raises(InsufficientPrivilege):
                database.execute("DELETE FROM forgotten")
        finally:
            owner.execute("DROP TABLE forgotten")


def test_a_lost_trigger_stops_the_update(server):
    """Without its trigger the log would look like any table; the grants then refuse as a whole."""
    grants = server.path("opt/telehealth/deploy/postgres/grants.sql").read_text()
    with server.database("owner") as owner:
        owner.execute("ALTER TRIGGER vault_auditentry_no_change ON vault_auditentry RENAME TO lost")
        try:
            with pytest.raises(RaiseException, match="could rewrite the audit log"):
                owner.execute(grants)
            owner.execute("ROLLBACK")
        finally:
            owner.execute("ALTER TRIGGER lost ON vault_auditentry RENAME TO vault_auditentry_no_change")
    with server.database("app") as database, pytest.raises(InsufficientPrivilege):
        database.execute("DELETE FROM vault_auditentry")


def test_background_work_is_done(server):
    """Through Redis, as its restricted user, to a Celery worker and into the database."""
    with server.database("app") as database:
        database.execute("INSERT INTO django_session VALUES ('old', '', now() - interval '1 day')")
        server.script("manage", "shell", "-c", "from consults.tasks import clear_sessions; clear_sessions.delay()")
        left = "SELECT count(*) FROM django_session WHERE session_key = 'old'"
        until(lambda: database.execute(left).fetchone() == (0,), said=lambda: server.log("telehealth-tasks.service"))
    assert list(server.path("var/lib/telehealth").glob("beat*"))


def test_redis_opens_nothing_without_the_password_and_nothing_dangerous_with_it(server):
    import redis

    url = server.path("etc/telehealth/secrets/redis_url").read_text().strip()
    password = urlsplit(url).password
    for path in server.path("etc/redis").iterdir():
        assert password not in path.read_text()
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis.from_url(f"redis://127.0.0.1:{server.ports['redis']}").ping()
    client = redis.Redis.from_url(url)
    assert client.ping()
    for command in ("CONFIG GET dir", "FLUSHALL", "KEYS *", "SHUTDOWN NOSAVE", "REPLICAOF h 1", "ACL LIST", "SAVE"):
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*command.split())


def test_a_backup_comes_back_with_its_rows_and_its_limits(server):
    """The runbook's restore, into an empty database."""
    backups = server.path("var/lib/telehealth-backup")
    backups.mkdir(exist_ok=True)
    command = [str(server.path("opt/telehealth/deploy/bin/backup"))]
    environment = server.environment(**server.as_superuser())
    done = subprocess.run(command, cwd=backups, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    dump = backups / done.stdout.strip()
    assert dump.stat().st_mode & 0o077 == 0
    _in_postgres(server, environment, "ALTER DATABASE telehealth RENAME TO telehealth_before")
    try:
        server.script("configure", HOST, "127.0.0.1", PGDATABASE="postgres", **server.as_superuser())
        restore = ["pg_restore", "--exit-on-error", "--single-transaction", "--dbname=telehealth", str(dump)]
        done = subprocess.run(restore, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        _compare(server)
        server.run_oneshot("telehealth-migrate.service")
        until(lambda: server.person().get("/healthz").status == 200)
        with server.database("app") as database, pytest.raises(InsufficientPrivilege):
            database.execute("DELETE FROM vault_auditentry")
        with server.database("owner") as database, pytest.raises(RaiseException, match="append-only"):
            database.execute("DELETE FROM vault_auditentry")
    finally:
        _in_postgres(server, environment, "DROP DATABASE IF EXISTS telehealth WITH (FORCE)")
        _in_postgres(server, environment, "ALTER DATABASE telehealth_before RENAME TO telehealth")


def _compare(server) -> None:
    count = "SELECT count(*), max(id) FROM vault_auditentry"
    with server.database(name="telehealth") as new, server.database(name="telehealth_before") as old:
        assert new.execute(count).fetchone() == old.execute(count).fetchone() != (0, None)


def _in_postgres(server, environment: dict[str, str], statement: str) -> None:
    with psycopg.connect(server.superuser, autocommit=True) as database:
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'telehealth%%'", prepare=False
        )
        database.execute(statement)


def test_the_log_is_sealed_published_and_verifies(server):
    """By the service, as the application's role, whose key file no other service can read."""
    with server.database("app") as database:
        entries = database.execute("SELECT count(*) FROM vault_auditentry").fetchone()
        assert entries > (0,)
        sealed = "SELECT coalesce(max(size), 0) FROM vault_auditbatch"
        until(lambda: database.execute(sealed).fetchone() >= entries, said=lambda: server.log("telehealth-log.service"))
    assert "The log holds" in server.script("manage", "audit_verify")
    published = server.path("var/lib/telehealth/audit/checkpoints.jsonl")
    until(published.exists, said=lambda: server.log("telehealth-log.service"))
