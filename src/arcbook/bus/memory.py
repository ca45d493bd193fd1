"""The bus within one process, for tests, simulations and development.

An `Exchange` is what a server of a real bus would be; each `MemoryBus` is a connection.
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
"""Bytes of one message; the same as a NATS server allows if nobody told it otherwise."""

LEAVE_SECONDS: Final = 5.0
"""Time that requests have to be answered after their server's connection was closed."""


class _Queued:
    """A message that the exchange keeps; it is also its delivery."""

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

    def add(self, kept: _Queued) -> None:
        """Let a message be pulled."""
        kept.ready = True
        self._ready.append(kept)

    def put_off(self, kept: _Queued, due: float) -> None:
        """Have a message come again at a time, unless it is acknowledged before."""
        if kept.ready:
            return  # it came again already
        kept.due = due
        heapq.heappush(self._later, (due, next(self._numbers), kept))

    def ripen(self, now: float) -> None:
        """Make messages ready whose time to come again has come."""
        while self._later and self._later[0][0] <= now:
            due, _, kept = heapq.heappop(self._later)
            if kept.done or kept.due != due:
                continue
            if kept.deliveries >= DELIVERIES_MAX:
                kept.done = True
                self.dead.append(kept.message)
            else:
                self.add(kept)

    def waiting(self) -> int:
        """Return how many messages are ready."""
        return sum(not kept.done for kept in self._ready)

    def next_due(self) -> float | None:
        """Return when the next message may come again."""
        while self._later and (
            self._later[0][2].done or self._later[0][2].due != self._later[0][0]
        ):
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else None

    def take(self, limit: int, due: float) -> Iterable[_Queued]:
        """Hand out what is ready; it comes again when due."""
        while limit > 0 and self._ready:
            kept = self._ready.popleft()
            kept.ready = False
            if kept.done:
                continue
            kept.deliveries += 1
            self.put_off(kept, due)
            limit -= 1
            yield kept


class Exchange:
    """What the connections of one process share.

    Args:
        ack_seconds: time after which a message that is not acknowledged comes again.
        clock: tells the time; the clock of the event loop by default. Who owns a clock
            calls `wake` after moving it.
    """

    def __init__(self, ack_seconds: float = ACK_SECONDS, clock: Clock | None = None) -> None:
        self.ack_seconds = ack_seconds
        #: Whether the exchange can be reached; turned off, everything raises `BusError`.
        self.reachable = True
        self.pools: dict[str, _Pool] = {}
        self.served: dict[str, deque[_Served]] = {}
        self.listeners: list[_Listening] = []
        self._seen: dict[str, float] = {}
        self._waiting = Waiting()
        self._clock = clock

    def now(self) -> float:
        """Return the time, in seconds since some moment."""
        if self._clock is not None:
            return self._clock.monotonic_us() / 1e6
        return asyncio.get_running_loop().time()

    def pool(self, name: str) -> _Pool:
        """Return the messages of a pool."""
        return self.pools.setdefault(name, _Pool())

    def wipe(self) -> None:
        """Lose every message, as a bus may."""
        self.pools.clear()
        self._seen.clear()

    def dead(self) -> list[Message]:
        """Return the messages that were delivered too often."""
        return [message for pool in self.pools.values() for message in pool.dead]

    def accept(self, messages: Sequence[Message]) -> None:
        """Keep messages, except those that were seen within the window."""
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
        """Have everybody who waits for a message look again."""
        self._waiting.wake()

    async def wait(self, seconds: float) -> None:
        """Wait until there may be a message."""
        await self._waiting.wait(seconds)


class MemoryBus:
    """A connection to an exchange of this process."""

    payload_max = PAYLOAD_MAX

    def __init__(self, exchange: Exchange | None = None) -> None:
        self.exchange = exchange or Exchange()
        self._subscriptions: list[_Served | _Listening] = []
        #: Nothing goes on here but what is asked for.
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
            found = self._take(pools, min(limit, PULL_MAX), now)
            if found or now >= until:
                return found
            dues = [due for name in pools if (due := exchange.pool(name).next_due()) is not None]
            await exchange.wait(min([until, *dues]) - now)

    def _take(self, pools: Sequence[str], limit: int, now: float) -> list[Delivery]:
        found: list[Delivery] = []
        for name in pools:
            pool = self.exchange.pool(name)
            pool.ripen(now)
            found += pool.take(limit - len(found), now + self.exchange.ack_seconds)
        return found

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self._check()
        for kept in cast("Sequence[_Queued]", deliveries):
            kept.done = True

    async def give_back(self, deliveries: Sequence[Delivery], seconds: float = 0.0) -> None:
        self._come_again(deliveries, seconds)
        self.exchange.wake()

    async def extend(self, deliveries: Sequence[Delivery]) -> None:
        self._come_again(deliveries, self.exchange.ack_seconds)

    def _come_again(self, deliveries: Sequence[Delivery], seconds: float) -> None:
        self._check()
        due = self.exchange.now() + seconds
        for kept in cast("Sequence[_Queued]", deliveries):
            self.exchange.pool(kept.message.pool).put_off(kept, due)

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
        said = await self._handler(body)
        check_size(len(said), PAYLOAD_MAX)
        if not answer.done():
            answer.set_result(said)

    async def stop(self) -> None:
        await self.leave(None)

    async def leave(self, seconds: float | None) -> None:
        """Serve no more, and wait for what is being answered."""
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
        """Listen no more."""
        if self in self._listeners:
            self._listeners.remove(self)
