"""The short way between two people, with a real Redis between: nothing lost, doubled, or in another's hands."""

import asyncio
import random

import pytest
from redis import asyncio as redis_client

from signaling import relay as module
from signaling.relay import Letter, Relay, Seal, TooManyWait
from tests import engines

SECRET = "a secret of the clinic's own that is long enough"
ONE, OTHER, THIRD = "1" * 16, "2" * 16, "3" * 16


class Page:
    """An end that keeps what it gets."""

    def __init__(self, tab=ONE):
        self.tab, self.got = tab, []

    def take(self, text, from_tab):
        self.got.append((from_tab, text))

    async def until(self, count, within=10.0):
        async with asyncio.timeout(within):
            while len(self.got) < count:
                await asyncio.sleep(0.01)
        return self.got


async def passed(relay, process, letter):
    """False where it was told to come again."""
    try:
        rest = relay.pass_on(process, letter)
    except TooManyWait:
        return False
    if rest is not None:
        await rest()
    return True


async def until(condition, within=10.0):
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def redis():
    with engines.redis() as url:
        yield url


@pytest.fixture
async def relays(redis, monkeypatch):
    """Makes relays, as if each were a process's own."""
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.05)
    made = []

    def make(secret=SECRET, url=redis):
        made.append(Relay(str(url), secret))
        return made[-1]

    yield make
    for one in made:
        await one.close()


# -- in one process ------------------------------------------------------------------------------------------


async def test_a_frame_goes_to_the_page_that_was_meant():
    relay, old, new, stranger = Relay("", SECRET), Page(ONE), Page(OTHER), Page(OTHER)
    await relay.join("seat", old)
    await relay.join("seat", new)
    await relay.join("another", stranger)
    assert await passed(relay, relay.process, Letter("seat", OTHER, THIRD, "hello"))
    assert (old.got, new.got, stranger.got) == ([], [(THIRD, "hello")], [])
    assert await passed(relay, relay.process, Letter("seat", THIRD, ONE, "to nobody"))
    relay.leave("seat", new)
    assert await passed(relay, relay.process, Letter("seat", OTHER, THIRD, "too late"))
    assert (len(old.got), len(new.got)) == (0, 1)


async def test_what_is_left_is_forgotten():
    relay, page = Relay("", SECRET), Page()
    await relay.join("seat", page)
    relay.leave("seat", page)
    relay.leave("seat", page)
    assert not relay._here


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_page_in_trouble_is_not_its_peers_trouble(caplog, at_once):
    class Broken(Page):
        def take(self, text, from_tab):
            if at_once:
                raise ConnectionResetError
            return self.later

        async def later(self):
            raise ConnectionResetError

    relay = Relay("", SECRET)
    await relay.join("seat", Broken())
    assert await passed(relay, relay.process, Letter("seat", ONE, OTHER, "hello"))
    assert "could not be handed over" in caplog.text


# -- between processes ---------------------------------------------------------------------------------------


@pytest.mark.engines
async def test_nothing_is_lost_and_nothing_overtakes(relays):
    here, there, rooms, frames = relays(), relays(), 40, 250
    pages = [Page(f"{n:016x}") for n in range(rooms)]
    for n, page in enumerate(pages):
        await there.join(f"seat{n}", page)

    async def send(n):
        for k in range(frames):
            while not await passed(here, there.process, Letter(f"seat{n}", f"{n:016x}", ONE, f"{n}/{k}")):
                await asyncio.sleep(0.005)
            if random.random() < 0.1:
                await asyncio.sleep(0)

    await asyncio.gather(*map(send, range(rooms)))
    for n, page in enumerate(pages):
        assert await page.until(frames) == [(ONE, f"{n}/{k}") for k in range(frames)]


@pytest.mark.engines
async def test_a_frame_is_for_one_seat_and_one_page(relays):
    here, there = relays(), relays()
    meant, older, other = Page(ONE), Page(OTHER), Page(ONE)
    await there.join("seat", meant)
    await there.join("seat", older)
    await there.join("elsewhere", other)
    await passed(here, there.process, Letter("seat", ONE, THIRD, "hello"))
    await meant.until(1)
    assert (older.got, other.got) == ([], [])
    there.leave("seat", meant)
    await passed(here, there.process, Letter("seat", ONE, THIRD, "gone"))
    await passed(here, there.process, Letter("seat", OTHER, THIRD, "to the older"))
    assert await older.until(1) == [(THIRD, "to the older")]
    assert len(meant.got) == 1


@pytest.mark.engines
async def test_what_waits_goes_to_each_process_at_once(relays, redis):
    here, there, elsewhere, page, other = relays(), relays(), relays(), Page(), Page()
    await there.join("seat", page)
    await elsewhere.join("seat", other)
    await here.join("seat", Page())
    client = redis_client.Redis.from_url(redis)
    async with client.pubsub() as listening:
        await listening.psubscribe("*")
        await listening.get_message(timeout=1)
        for n in range(100):
            await passed(here, (there, elsewhere)[n % 2].process, Letter("seat", ONE, OTHER, str(n)))
        await page.until(50)
        await other.until(50)
        heard = [await listening.get_message(timeout=1) for _ in range(3)]
    await client.aclose()
    assert page.got == [(OTHER, str(n)) for n in range(0, 100, 2)]
    assert other.got == [(OTHER, str(n)) for n in range(1, 100, 2)]
    assert {message["channel"].decode() for message in heard if message} == {
        f"telehealth.relay.{one.process}" for one in (there, elsewhere)
    }
    assert heard[2] is None


@pytest.mark.engines
async def test_redis_sees_no_frame(relays, redis):
    here, there, page = relays(), relays(), Page()
    await there.join("seat", page)
    client = redis_client.Redis.from_url(redis)
    async with client.pubsub() as listening:
        await listening.psubscribe("*")
        await passed(here, there.process, Letter("seat", ONE, OTHER, "the words of a session description"))
        await page.until(1)
        heard = [await listening.get_message(timeout=1) for _ in range(2)]
    await client.aclose()
    (sealed,) = [message["data"] for message in heard if message["type"] == "pmessage"]
    assert b"session" not in sealed
    assert OTHER.encode() not in sealed


@pytest.mark.engines
async def test_what_a_stranger_publishes_is_dropped(relays, redis):
    here, there, page = relays(), relays(), Page()
    wrong = relays(secret="another secret that somebody made up for himself")
    await there.join("seat", page)
    client, channel = redis_client.Redis.from_url(redis), f"telehealth.relay.{there.process}"
    for data in (b"", b"x", b"x" * 24, b"x" * 200, ONE.encode() * 2 + b"hello"):
        await client.publish(channel, data)
    await passed(wrong, there.process, Letter("seat", ONE, OTHER, "forged"))
    await asyncio.sleep(0.1)
    await passed(here, there.process, Letter("seat", ONE, OTHER, "hello"))
    assert await page.until(1) == [(OTHER, "hello")]
    await client.aclose()


@pytest.mark.engines
async def test_what_is_played_again_or_elsewhere_is_dropped(relays, redis):
    here, there, elsewhere, page, other = relays(), relays(), relays(), Page(), Page()
    await there.join("seat", page)
    await elsewhere.join("seat", other)
    client = redis_client.Redis.from_url(redis)
    async with client.pubsub() as listening:
        await listening.subscribe(f"telehealth.relay.{there.process}")
        await listening.get_message(timeout=1)
        await passed(here, there.process, Letter("seat", ONE, OTHER, "hello"))
        message = await listening.get_message(timeout=2)
    for one in (there, there, elsewhere):
        await client.publish(f"telehealth.relay.{one.process}", message["data"])
    await passed(here, there.process, Letter("seat", ONE, OTHER, "again"))
    await page.until(2)
    assert [text for _, text in page.got] == ["hello", "again"]
    assert other.got == []
    await client.aclose()


@pytest.mark.engines
async def test_redis_goes_and_comes_back(monkeypatch):
    """Frames of meanwhile wait and arrive, in order and once; those of the same process never notice."""
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.05)
    port = engines.free_port()
    with engines.redis(port=port) as url:
        # The password is another after a restart; a Redis that lost its users is not what is tested.
        secretless = url.replace(url.split("@")[0].split("//")[1] + "@", "")
        client = redis_client.Redis.from_url(url)
        await client.config_set("requirepass", "")
        here, there, page, near = Relay(secretless, SECRET), Relay(secretless, SECRET), Page(), Page()
        await there.join("seat", page)
        await here.join("near", near)
        await passed(here, there.process, Letter("seat", ONE, OTHER, "before"))
        await page.until(1)
        url.process.kill()
        url.process.wait(10)
        await client.aclose()
    for n in range(5):
        assert await passed(here, there.process, Letter("seat", ONE, OTHER, f"meanwhile {n}"))
        await passed(here, here.process, Letter("near", ONE, OTHER, f"{n}"))
    assert len(near.got) == 5
    late = Page(OTHER)
    await there.join("late", late)
    with engines.redis(port=port) as url:
        client = redis_client.Redis.from_url(url)
        await client.config_set("requirepass", "")
        await until(lambda: there._bus._up.is_set() and not here._bus._waiting)
        await passed(here, there.process, Letter("seat", ONE, OTHER, "after"))
        await passed(here, there.process, Letter("late", OTHER, ONE, "to one who came meanwhile"))
        await late.until(1)
        await until(lambda: page.got[-1][1] == "after")
        texts = [text for _, text in page.got]
        assert texts == sorted(set(texts), key=texts.index), "none twice"
        await here.close()
        await there.close()
        await client.aclose()


@pytest.mark.engines
async def test_beyond_a_bound_the_sender_is_told(relays, monkeypatch):
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    here = relays(url=f"redis://127.0.0.1:{engines.free_port()}/0")
    went = [await passed(here, "5e6f7a8b", Letter("seat", ONE, OTHER, str(n))) for n in range(5)]
    assert went == [True] * 3 + [False] * 2


# -- the seal ------------------------------------------------------------------------------------------------


def test_the_seal_opens_once_on_its_own_channel_in_its_order():
    one, other = Seal(SECRET), Seal(SECRET)
    first, second = one.seal(b"a", b"1"), one.seal(b"a", b"2")
    assert other.open(b"b", first) is None
    assert other.open(b"a", first[:-1]) is None
    assert other.open(b"a", first) == b"1"
    assert other.open(b"a", first) is None
    assert other.open(b"a", second) == b"2"
    assert other.open(b"a", first) is None
    assert Seal(SECRET + "x").open(b"a", second) is None


def test_a_forged_counter_does_not_shut_the_true_ones_out():
    one, other = Seal(SECRET), Seal(SECRET)
    sealed = one.seal(b"a", b"1")
    assert other.open(b"a", sealed[:16] + b"\xff" * 8 + sealed[24:]) is None
    assert other.open(b"a", sealed) == b"1"


def test_senders_that_are_long_gone_are_forgotten(monkeypatch):
    monkeypatch.setattr(module, "MOST_SENDERS", 3)
    other = Seal(SECRET)
    for _ in range(10):
        assert other.open(b"a", Seal(SECRET).seal(b"a", b"x")) == b"x"
    assert len(other._heard) == 3


def test_no_nonce_comes_twice():
    one = Seal(SECRET)
    assert len({one.seal(b"a", b"x")[:24] for _ in range(1000)}) == 1000
    assert Seal(SECRET).seal(b"a", b"x")[:16] != one.seal(b"a", b"x")[:16]
