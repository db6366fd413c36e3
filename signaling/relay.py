"""Frames between two people, the short way: sockets of one process are joined directly, those of two by Redis.

The channel layer would take a thread, a task and a connection a frame. Here what is to go to another process goes there
with the next PUBLISH on one connection, sealed under a key of the sending process, and is heard on one subscription.
"""

import asyncio
import contextlib
import logging
import os
import secrets
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from redis import asyncio as redis
from redis.exceptions import RedisError

from signaling.short_way import Rest

logger = logging.getLogger(__name__)

#: frames that wait for a Redis that is away; beyond that their senders are told
MOST_WAITING = 2000
BATCH = 200
AGAIN_SECONDS = 0.5
#: that a page waits for Redis before it comes in without
PATIENCE = 1.0
#: of processes whose frames are known to be new
MOST_SENDERS = 1000
NOT_HANDED_OVER = "a frame could not be handed over"
_SALT, _COUNTER = 16, 8
_AWAY = (RedisError, OSError)


class Socket(Protocol):
    """An end of the relay. `tab` is empty until its page has said hello."""

    tab: str

    def take(self, text: str, from_tab: str) -> Rest: ...


class TooManyWait(Exception):
    """A frame cannot be handed on for the moment: Redis is away, or slow."""


class Seal:
    """AES-256-GCM under a key that this process derives for itself, so that counters serve as nonces (NIST SP 800-38D,
    8.2.1). Whoever hears a counter that is not above the last one of that process hears it again, and drops it.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._salt = os.urandom(_SALT)
        self._own, self._counter = self._cipher(self._salt), 0
        #: salt -> the sender's cipher and its last counter
        self._heard: OrderedDict[bytes, tuple[AESGCM, int]] = OrderedDict()

    def _cipher(self, salt: bytes) -> AESGCM:
        return AESGCM(HKDF(hashes.SHA256(), 32, salt, b"telehealth relay 1").derive(self._secret))

    def seal(self, channel: bytes, data: bytes) -> bytes:
        self._counter += 1
        counter = self._counter.to_bytes(_COUNTER, "big")
        return self._salt + counter + self._own.encrypt(bytes(4) + counter, data, channel)

    def open(self, channel: bytes, sealed: bytes) -> bytes | None:
        """None where it is not of this product's processes, of another channel, or was heard before."""
        salt, counter = sealed[:_SALT], sealed[_SALT : _SALT + _COUNTER]
        cipher, last = self._heard.get(salt) or (self._cipher(salt), 0)
        number = int.from_bytes(counter, "big")
        if len(counter) < _COUNTER or number <= last:
            return None
        try:
            data = cipher.decrypt(bytes(4) + counter, sealed[_SALT + _COUNTER :], channel)
        except (InvalidTag, ValueError):
            return None
        self._heard[salt] = (cipher, number)
        if len(self._heard) > MOST_SENDERS:
            self._heard.popitem(last=False)
        return data


class Letter(NamedTuple):
    """A frame on its way from one page to the other's seat, in this process or another."""

    seat: str
    to_tab: str
    from_tab: str
    text: str


_letters = msgspec.msgpack.Decoder(list[Letter])


class Bus:
    """This process's way to the others, each of which hears one channel."""

    def __init__(self, url: str, secret: str, name: str, heard: Callable[[Letter], Rest]) -> None:
        self._seal, self._heard, self._own = Seal(secret), heard, _channel(name)
        # RESP2: of what comes by RESP3 the library writes a line for its log, whether somebody reads that or not.
        options: dict[str, Any] = {"socket_keepalive": True, "protocol": 2}
        self._redis = redis.Redis.from_url(url, **options)
        self._pubsub = self._redis.pubsub(ignore_subscribe_messages=True)
        self._up = asyncio.Event()
        #: to which process
        self._waiting: list[tuple[str, Letter]] = []
        self._wake = asyncio.Event()
        self._tasks = [asyncio.create_task(work) for work in (self._write(), self._read())]

    @property
    def is_up(self) -> bool:
        return self._up.is_set()

    async def ready(self) -> None:
        """Once frames are heard, unless Redis is away."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._up.wait(), PATIENCE)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._pubsub.aclose()  # type: ignore[attr-defined]
        await self._redis.aclose()  # type: ignore[attr-defined]

    def put(self, process: str, letter: Letter) -> None:
        if len(self._waiting) >= MOST_WAITING:
            raise TooManyWait
        self._waiting.append((process, letter))
        self._wake.set()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch = self._waiting[:BATCH]
                await self._publish(self._sealed(batch))
                del self._waiting[: len(batch)]

    def _sealed(self, batch: list[tuple[str, Letter]]) -> list[tuple[bytes, bytes]]:
        """One message to each process: most of what a frame costs on the way, a message costs."""
        bags: defaultdict[bytes, list[Letter]] = defaultdict(list)
        for process, letter in batch:
            bags[_channel(process)].append(letter)
        return [(channel, self._seal.seal(channel, msgspec.msgpack.encode(bag))) for channel, bag in bags.items()]

    async def _publish(self, messages: list[tuple[bytes, bytes]]) -> None:
        while True:
            pipeline = self._redis.pipeline(transaction=False)
            for channel, sealed in messages:
                pipeline.publish(channel, sealed)
            try:
                await pipeline.execute()
            except _AWAY as error:
                # Said again as a whole: whoever has heard a part of it knows by the counters.
                logger.warning("frames wait for Redis: %s", type(error).__name__)
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                return

    async def _read(self) -> None:
        while True:
            try:
                await self._pubsub.subscribe(self._own)
                self._up.set()
                async for message in self._pubsub.listen():
                    await self._take(message["data"])
            except _AWAY as error:
                logger.warning("no frames are heard: %s", type(error).__name__)
            self._up.clear()
            with contextlib.suppress(*_AWAY):
                await self._pubsub.aclose()  # type: ignore[attr-defined]
            await asyncio.sleep(AGAIN_SECONDS)
            self._pubsub = self._redis.pubsub(ignore_subscribe_messages=True)

    async def _take(self, sealed: bytes) -> None:
        data = self._seal.open(self._own, sealed)
        if data is None:
            logger.warning("a frame of nobody was dropped")
            return
        for letter in _letters.decode(data):
            if (rest := self._heard(letter)) is not None:
                await rest()


def _channel(process: str) -> bytes:
    return f"telehealth.relay.{process}".encode()


class Relay:
    """The sockets of this process, by seat. `process` names it to others; a page's socket is found by it."""

    def __init__(self, url: str, secret: str) -> None:
        self.process = secrets.token_hex(4)
        self._here: defaultdict[str, list[Socket]] = defaultdict(list)
        self._bus = Bus(url, secret, self.process, self._arrived) if url else None

    @property
    def is_up(self) -> bool:
        """Whether frames of other processes are heard."""
        return self._bus is None or self._bus.is_up

    async def join(self, seat: str, socket: Socket) -> None:
        """Before its page says hello: whoever hears of the page may send to it at once."""
        self._here[seat].append(socket)
        if self._bus:
            await self._bus.ready()

    def leave(self, seat: str, socket: Socket) -> None:
        sockets = self._here.get(seat, [])
        if socket not in sockets:
            return  # it was shut before it closed
        sockets.remove(socket)
        if not sockets:
            del self._here[seat]

    def pass_on(self, process: str, letter: Letter) -> Rest:
        """To a page of this process or of another; to nobody where it is gone. Raises `TooManyWait`."""
        if self._bus and process != self.process:
            self._bus.put(process, letter)
            return None
        return self._arrived(letter)

    def _arrived(self, letter: Letter) -> Rest:
        # The newest: when a page changes networks, its dead socket stays open here for a while beside the new one.
        for socket in reversed(self._here.get(letter.seat, ())):
            if socket.tab == letter.to_tab:
                try:
                    rest = socket.take(letter.text, letter.from_tab)
                except Exception:
                    logger.exception(NOT_HANDED_OVER)
                    return None
                return partial(_taken, rest) if rest is not None else None
        return None

    async def close(self) -> None:
        if self._bus:
            await self._bus.close()


async def _taken(rest: Callable[[], Awaitable[None]]) -> None:
    try:
        await rest()
    except Exception:  # a socket that is just closing, or whose database is away, is not its peer's trouble
        logger.exception(NOT_HANDED_OVER)


_relays: WeakKeyDictionary[asyncio.AbstractEventLoop, Relay] = WeakKeyDictionary()


def relay() -> Relay:
    """The one of this process, or in tests of this event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _relays:
        _relays[loop] = Relay(settings.REDIS_URL, settings.CHANNEL_KEY)
    return _relays[loop]
