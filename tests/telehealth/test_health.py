"""`/healthz` says what is missing, and nothing else."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from consults import alerts, hints, tasks
from telehealth import health
from tests.cast import BY, Browser
from vault.audit import record


@pytest.mark.django_db
def test_when_all_is_there_it_is_ready():
    answer = Browser().get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "missing": [], "late": []})


@pytest.mark.django_db
def test_a_log_that_nobody_seals_is_told_and_stops_nothing(monkeypatch):
    record("signin", BY)
    assert Browser().get("/healthz").json()["late"] == []
    monkeypatch.setattr(health, "SEALED_WITHIN", timedelta(0))
    answer = Browser().get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "missing": [], "late": ["audit log"]})


@pytest.mark.django_db
def test_background_work_that_stands_still_is_told_and_stops_nothing(clock):
    tasks.watch_visits()
    clock.move(90)
    answer = Browser().get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "missing": [], "late": ["background work"]})
    tasks.watch_visits()
    assert Browser().get("/healthz").json()["late"] == []


@pytest.mark.django_db
def test_a_process_that_has_only_begun_calls_nothing_late(clock, monkeypatch):
    assert Browser().get("/healthz").json()["late"] == []
    tasks.watch_visits()
    clock.move(3600)
    monkeypatch.setattr(alerts, "STARTED", timezone.now() - timedelta(seconds=59))
    assert Browser().get("/healthz").json()["late"] == []
    clock.move(2)
    assert Browser().get("/healthz").json()["late"] == ["background work"]


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

    def away(_connection):
        raise OperationalError("host db.internal is away")

    monkeypatch.setattr(health, "MigrationExecutor", away)
    answer = Browser().get("/healthz")
    assert (answer.status_code, answer.json()["missing"]) == (503, ["database"])
    assert b"db.internal" not in answer.content


@pytest.mark.django_db
def test_an_absent_channel_layer_is_told(monkeypatch):
    from redis.exceptions import ConnectionError as RedisAway

    class Away:
        async def group_send(self, *_args):
            raise RedisAway

    monkeypatch.setattr(hints, "get_channel_layer", Away)
    answer = Browser().get("/healthz")
    assert (answer.status_code, answer.json()["missing"]) == (503, ["channel layer"])
