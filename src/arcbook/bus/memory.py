"""The bus within one process, for tests, simulations and development.

An `Exchange` takes the place of the bus's server; each `MemoryBus` is a connection to it.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Final, Self, cast

from arcbook.bus.api import (
    ACK_SECONDS,
    DELIVERIES_MAX,
    DUPLICATE_SECONDS,
    PULL_MAX,
    BusError,
    Delivery,
    Handler,
    Listener,
    Message,
    NobodyError,
    RequestTimeoutError,
)
from arcbook.bus.handling import Handling, check_size, covers, hand_over
from arcbook.bus.waiting import Waiting
from arcbook.clock import Clock
from arcbook.supervision import Service

PAYLOAD_MAX: Final = 1024**2
"""Maximum size of a message in bytes: the default of a NATS server."""

LEAVE_SECONDS: Final = 5.0
"""Time limit for running requests when the connection that serves them closes."""


class _Queued:
    """A message in the exchange; it is also its own delivery."""

    __slots__ = ("deliveries", "done", "due", "message", "ready")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.deliveries = 0
        self.due = 0.0
        self.done = False
        self.ready = False

    @property
    def body(self) -> bytes:
        return self.message.body


class _Pool:
    """The messages of one pool."""

    def __init__(self) -> None:
        self._ready: deque[_Queued] = deque()
        self.dead: list[Message] = []
        self._later: list[tuple[float, int, _Queued]] = []
        self._numbers = count()

    def add(self, entry: _Queued) -> None:
        """Make a message available to pulls."""
        entry.ready = True
        self._ready.append(entry)

    def put_off(self, entry: _Queued, due: float) -> None:
        """Redeliver a message at a time, unless it is acknowledged before."""
        if entry.ready:
            return  # it is already available again
        entry.due = due
        heapq.heappush(self._later, (due, next(self._numbers), entry))

    def ripen(self, now: float) -> None:
        """Make the messages available whose redelivery is due."""
        while self._later and self._later[0][0] <= now:
            due, _, entry = heapq.heappop(self._later)
            if entry.done or entry.due != due:
                continue
            if entry.deliveries >= DELIVERIES_MAX:
                entry.done = True
                self.dead.append(entry.message)
            else:
                self.add(entry)

    def waiting(self) -> int:
        """Return the number of available messages."""
        return sum(not entry.done for entry in self._ready)

    def next_due(self) -> float | None:
        """Return the time of the next redelivery."""
        while self._later and (
            self._later[0][2].done or self._later[0][2].due != self._later[0][0]
        ):
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else None

    def take(self, limit: int, due: float) -> Iterable[_Queued]:
        """Deliver available messages, to be redelivered when due."""
        while limit > 0 and self._ready:
            entry = self._ready.popleft()
            entry.ready = False
            if entry.done:
                continue
            entry.deliveries += 1
            self.put_off(entry, due)
            limit -= 1
            yield entry


class Exchange:
    """The state that the connections of one process share.

    Args:
        ack_seconds: time after which an unacknowledged message is redelivered.
        clock: the clock; by default that of the event loop. Call `wake` after moving
            another one.
    """

    def __init__(self, ack_seconds: float = ACK_SECONDS, clock: Clock | None = None) -> None:
        self.ack_seconds = ack_seconds
        #: Whether the exchange can be reached; if not, every operation raises `BusError`.
        self.reachable = True
        self.pools: dict[str, _Pool] = {}
        self.served: dict[str, deque[_Served]] = {}
        self.listeners: list[_Listening] = []
        self._seen: dict[str, float] = {}
        self._waiting = Waiting()
        self._clock = clock

    def now(self) -> float:
        """Return the time in seconds, from an arbitrary start."""
        if self._clock is not None:
            return self._clock.monotonic_us() / 1e6
        return asyncio.get_running_loop().time()

    def pool(self, name: str) -> _Pool:
        """Return the messages of a pool."""
        return self.pools.setdefault(name, _Pool())

    def wipe(self) -> None:
        """Delete every message, as a bus may."""
        self.pools.clear()
        self._seen.clear()

    def dead(self) -> list[Message]:
        """Return the messages that exceeded the limit of deliveries."""
        return [message for pool in self.pools.values() for message in pool.dead]

    def accept(self, messages: Sequence[Message]) -> None:
        """Store messages, except duplicates within the window."""
        now = self.now()
        self._forget(now)
        for message in messages:
            if message.message_id not in self._seen:
                self._seen[message.message_id] = now
                self.pool(message.pool).add(_Queued(message))
        self.wake()

    def _forget(self, now: float) -> None:
        for message_id in list(self._seen):
            if self._seen[message_id] + DUPLICATE_SECONDS > now:
                return
            del self._seen[message_id]

    def wake(self) -> None:
        """Wake all waiting pulls to look again."""
        self._waiting.wake()

    async def wait(self, seconds: float) -> None:
        """Wait until a message may be available."""
        await self._waiting.wait(seconds)


class MemoryBus:
    """A connection to an exchange of this process."""

    payload_max = PAYLOAD_MAX

    def __init__(self, exchange: Exchange | None = None) -> None:
        self.exchange = exchange or Exchange()
        self._subscriptions: list[_Served | _Listening] = []
        #: Has no background loops.
        self.service = Service("bus in memory")

    async def __aenter__(self) -> Self:
        self._check()
        return self

    async def __aexit__(self, *exc: object) -> None:
        for subscription in self._subscriptions:
            await subscription.leave(LEAVE_SECONDS)
        self._subscriptions.clear()

    def _check(self, *bodies: bytes) -> None:
        if not self.exchange.reachable:
            raise BusError("the bus cannot be reached")
        for body in bodies:
            check_size(len(body), self.payload_max)

    # -- messages ---------------------------------------------------------------------

    async def publish(self, messages: Sequence[Message]) -> None:
        self._check(*(message.body for message in messages))
        self.exchange.accept(messages)

    async def pull(self, pools: Sequence[str], limit: int, seconds: float) -> list[Delivery]:
        exchange = self.exchange
        until = exchange.now() + seconds
        while True:
            self._check()
            now = exchange.now()
            deliveries = self._take(pools, min(limit, PULL_MAX), now)
            if deliveries or now >= until:
                return deliveries
            dues = [due for name in pools if (due := exchange.pool(name).next_due()) is not None]
            await exchange.wait(min([until, *dues]) - now)

    def _take(self, pools: Sequence[str], limit: int, now: float) -> list[Delivery]:
        deliveries: list[Delivery] = []
        for name in pools:
            pool = self.exchange.pool(name)
            pool.ripen(now)
            deliveries += pool.take(limit - len(deliveries), now + self.exchange.ack_seconds)
        return deliveries

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self._check()
        for entry in cast("Sequence[_Queued]", deliveries):
            entry.done = True

    async def give_back(self, deliveries: Sequence[Delivery], seconds: float = 0.0) -> None:
        self._come_again(deliveries, seconds)
        self.exchange.wake()

    async def extend(self, deliveries: Sequence[Delivery]) -> None:
        self._come_again(deliveries, self.exchange.ack_seconds)

    def _come_again(self, deliveries: Sequence[Delivery], seconds: float) -> None:
        self._check()
        due = self.exchange.now() + seconds
        for entry in cast("Sequence[_Queued]", deliveries):
            self.exchange.pool(entry.message.pool).put_off(entry, due)

    async def waiting(self, pools: Sequence[str]) -> dict[str, int]:
        self._check()
        now = self.exchange.now()
        counts: dict[str, int] = {}
        for name in pools:
            pool = self.exchange.pool(name)
            pool.ripen(now)
            counts[name] = pool.waiting()
        return counts

    # -- requests ---------------------------------------------------------------------

    async def request(self, subject: str, body: bytes, seconds: float) -> bytes:
        self._check(body)
        servers = self.exchange.served.get(subject)
        if not servers:
            raise NobodyError(f"nobody serves {subject}")
        servers.rotate()
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        servers[0].handle(body, answer)
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError:
            raise RequestTimeoutError(f"{subject} did not answer in {seconds:g} s") from None

    async def serve(self, subject: str, handler: Handler) -> _Served:
        self._check()
        served = _Served(self.exchange, subject, handler)
        self._subscriptions.append(served)
        return served

    # -- notices ----------------------------------------------------------------------

    async def tell(self, subject: str, body: bytes) -> None:
        self._check(body)
        for listening in self.exchange.listeners:
            if covers(listening.pattern, subject):
                hand_over(listening.listener, body)

    async def listen(self, subject: str, listener: Listener) -> _Listening:
        self._check()
        listening = _Listening(self.exchange, subject, listener)
        self._subscriptions.append(listening)
        return listening


class _Served:
    """A subject that a connection serves."""

    def __init__(self, exchange: Exchange, subject: str, handler: Handler) -> None:
        self._servers = exchange.served.setdefault(subject, deque())
        self._servers.append(self)
        self._handler = handler
        self._handling = Handling(subject)

    def handle(self, body: bytes, answer: asyncio.Future[bytes]) -> None:
        """Start to answer a request."""
        self._handling.start(self._answer(body, answer))

    async def _answer(self, body: bytes, answer: asyncio.Future[bytes]) -> None:
        reply = await self._handler(body)
        check_size(len(reply), PAYLOAD_MAX)
        if not answer.done():
            answer.set_result(reply)

    async def stop(self) -> None:
        await self.leave(None)

    async def leave(self, seconds: float | None) -> None:
        """Stop serving, and wait for running requests."""
        if self in self._servers:
            self._servers.remove(self)
        await self._handling.finish(seconds)


class _Listening:
    """A subject that a connection listens to."""

    def __init__(self, exchange: Exchange, pattern: str, listener: Callable[[bytes], None]) -> None:
        self.pattern = pattern
        self._listeners = exchange.listeners
        self._listeners.append(self)
        self.listener = listener

    async def stop(self) -> None:
        await self.leave(None)

    async def leave(self, _seconds: float | None) -> None:
        """Stop listening."""
        if self in self._listeners:
            self._listeners.remove(self)
