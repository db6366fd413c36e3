"""The tests' own engines: private, and gone at the end."""

import psycopg
import pytest
from redis import Redis
from redis.exceptions import AuthenticationError

from tests import engines

pytestmark = pytest.mark.engines


def test_a_postgres_comes_and_goes():
    with engines.postgres() as url:
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        process = url.process
    assert process.poll() is not None


def test_a_redis_comes_and_goes_and_asks_for_its_password():
    with engines.redis() as url:
        with Redis.from_url(url) as connection:
            assert connection.ping()
        with Redis.from_url("redis://" + url.rpartition("@")[2]) as stranger, pytest.raises(AuthenticationError):
            stranger.ping()
        process = url.process
    assert process.poll() is not None


def test_an_engine_that_dies_is_noticed():
    with engines.redis() as url:
        url.process.kill()
        assert url.process.wait(5) == -9


def test_an_engine_that_cannot_start_says_why():
    with engines.redis() as url:
        port = int(url.rpartition(":")[2].partition("/")[0])
        with pytest.raises(engines.CannotStart, match="(?i)address already in use|bind"), engines.redis(port=port):
            pass
