"""`/healthz` says what is missing, and nothing else."""

import pytest
from django.db import connection

from tests.cast import Browser


@pytest.mark.django_db
def test_when_all_is_there_it_is_ready():
    answer = Browser().get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "missing": []})


@pytest.mark.django_db
def test_a_missing_migration_is_told():
    with connection.cursor() as cursor:
        newest = "SELECT max(name) FROM django_migrations WHERE app = 'consults'"
        cursor.execute(f"DELETE FROM django_migrations WHERE app = 'consults' AND name = ({newest})")
    answer = Browser().get("/healthz")
    assert (answer.status_code, answer.json()["missing"]) == (503, ["migrations"])


@pytest.mark.django_db
def test_an_absent_database_is_told(monkeypatch):
    from django.db import OperationalError

    from telehealth import health

    def away(_connection):
        raise OperationalError("host db.internal is away")

    monkeypatch.setattr(health, "MigrationExecutor", away)
    answer = Browser().get("/healthz")
    assert (answer.status_code, answer.json()["missing"]) == (503, ["database"])
    assert b"db.internal" not in answer.content


@pytest.mark.django_db
def test_an_absent_channel_layer_is_told(monkeypatch):
    from redis.exceptions import ConnectionError as RedisAway

    from telehealth import health

    class Away:
        async def group_send(self, *_args):
            raise RedisAway

    monkeypatch.setattr(health, "get_channel_layer", Away)
    answer = Browser().get("/healthz")
    assert (answer.status_code, answer.json()["missing"]) == (503, ["channel layer"])
