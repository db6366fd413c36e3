"""Settings and data shared by all tests. The environment is set before Django reads it, so pyproject names no settings.

With TELEHEALTH_TEST_ENGINES=1 the same tests run on a private Postgres and Redis instead of SQLite and memory.
"""

import atexit
import contextlib
import os
import shutil
import tempfile
from importlib import import_module
from pathlib import Path

import pytest

from tests import engines

ON_ENGINES = os.environ.get("TELEHEALTH_TEST_ENGINES") == "1"

DATA = Path(tempfile.mkdtemp(prefix="telehealth-test-"))
_at_end = contextlib.ExitStack()
_at_end.callback(shutil.rmtree, DATA, ignore_errors=True)
atexit.register(_at_end.close)

for name in [n for n in os.environ if n.startswith("TELEHEALTH_")] + ["DATABASE_URL", "REDIS_URL"]:
    os.environ.pop(name, None)  # what the developer has set for the product is no business of the tests
os.environ.update(TELEHEALTH_DATA=str(DATA), TELEHEALTH_MODE="demo", EMAIL_URL="memorymail://")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "telehealth.settings")
if ON_ENGINES:
    os.environ.update(_at_end.enter_context(engines.both()))
(DATA / "static").mkdir()
(DATA / "keys").mkdir(mode=0o700)
for name in ("secret_key", "cryptography_key", "channel_key"):
    (DATA / "keys" / name).write_text(f"a-{name}-for-tests-that-is-long-enough-000000000000")

from django.conf import settings  # noqa: E402  (only now is the environment what it should be)

ARGON2 = settings.PASSWORD_HASHERS
# Argon2 is slow on purpose. Tests about hashing ask for the fixture `argon2`.
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Hashed names need a collectstatic before every run.
settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
if not ON_ENGINES:
    # A file, because threads of one test share it; no fsync, because nobody pulls the plug in a test.
    # All of the keys: pytest-django reads them when several processes share the work.
    names = {"NAME": str(DATA / "test.sqlite3"), "MIRROR": None, "MIGRATE": True, "CHARSET": None, "COLLATION": None}
    settings.DATABASES["default"]["TEST"] = names
    settings.DATABASES["default"]["OPTIONS"]["init_command"] += "PRAGMA synchronous=OFF;"


def pytest_configure() -> None:
    from hypothesis import settings as hypothesis_settings

    # The same examples at every run, and no deadline: a busy machine must not turn a right answer into a failure.
    hypothesis_settings.register_profile("suite", derandomize=True, deadline=None, max_examples=100, database=None)
    hypothesis_settings.load_profile("suite")
    _let_the_flush_through()


APPEND_ONLY = (
    *("vault_auditentry", "vault_auditbatch", "vault_auditnode", "vault_auditwitnessing"),
    *("vault_auditarchive", "vault_auditcarried"),
    *("consults_consent", "consults_consentstatement", "consults_auditreview"),
    *("consults_retentionperiod", "consults_legalhold", "consults_holdlift", "consults_consenterasure"),
)


def _let_the_flush_through() -> None:
    """A transactional test ends with a flush, which append-only triggers refuse: lift them for it, and only for it."""
    from django.test import TransactionTestCase

    from vault.append_only import lift_statements, statements

    flush = TransactionTestCase._fixture_teardown

    def teardown(case: TransactionTestCase) -> None:
        _on_append_only_tables(lift_statements)
        try:
            flush(case)
            _put_the_statements_back()
        finally:
            _on_append_only_tables(statements)

    TransactionTestCase._fixture_teardown = teardown


def _on_append_only_tables(make) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        for table in APPEND_ONLY:
            for statement in make(table, connection.vendor):
                cursor.execute(statement)


def _put_the_statements_back() -> None:
    """The words that a migration brought went with the flush."""
    from django.apps import apps

    for migration in ("0003_first_statement", "0014_default_statements", "0019_words_about_the_relay"):
        import_module(f"consults.migrations.{migration}").add(apps, None)


@pytest.fixture(scope="session", autouse=True)
def _vault_key() -> None:
    from vault import keyfile

    with contextlib.suppress(FileExistsError):  # processes that share the work share the folder
        keyfile.configured_file().create()


@pytest.fixture(autouse=True)
def _fresh_caches():
    """What one test keeps in memory must not decide another: each is a process that has only begun."""
    from channels.layers import channel_layers
    from django.utils import timezone

    from consults import alerts

    alerts.STARTED = timezone.now()
    yield
    channel_layers.backends = {}


@pytest.fixture
def argon2(settings):
    """The hasher of the product."""
    settings.PASSWORD_HASHERS = ARGON2


@pytest.fixture
def cast(db):
    """Everybody (tests/cast.py)."""
    from tests.cast import assemble

    return assemble()


@pytest.fixture
def committed_cast(transactional_db):
    """Everybody, in committed rows, for tests with threads or sockets."""
    from tests.cast import assemble

    return assemble()


@pytest.fixture
def clock(monkeypatch):
    """`clock.move(seconds)`: everything that asks for the time gets a later one."""
    from tests.clock import Clock

    return Clock(monkeypatch)
