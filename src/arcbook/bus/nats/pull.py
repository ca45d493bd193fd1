"""Pull messages: one open request per pool while a caller waits.

A request asks for the available messages, or else for the first one to arrive and those
available then (``no_wait`` with ``expires``). All answers arrive on one subscription, which
is much cheaper than the client's `fetch`, which creates several objects and tasks per call.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any, Final

import nats.errors
import orjson
from nats.aio.msg import Msg

from arcbook.bus.api import DELIVERIES_MAX, PULL_MAX, BusError
from arcbook.bus.nats.link import NatsLink, Subscribed
from arcbook.bus.nats.streams import Streams
from arcbook.bus.waiting import Waiting
from arcbook.logs import events as logged
from arcbook.supervision import Errands

OPEN_SECONDS: Final = 10.0
"""Time after which an open request is renewed, in case the server has lost it."""

LOOK_SECONDS: Final = 0.5
"""Time without messages after which to check that the consumer still exists."""

RETRY_SECONDS: Final = 0.25
"""Pause before another attempt to create a consumer."""

HOLD_SHARE: Final = 0.5
"""Fraction of the acknowledgement time for which a message may wait here for a pull."""

NOW_SECONDS: Final = 2.0
"""Time limit for the server to answer that no message is available."""

_log = logging.getLogger("arcbook.bus")


class NatsDelivery:
    """A pulled message."""

    __slots__ = ("arrived", "body", "reply", "subject")

    def __init__(self, msg: Msg, arrived: float) -> None:
        self.body = msg.data
        self.subject = msg.subject
        self.reply = msg.reply
        self.arrived = arrived

    @property
    def deliveries(self) -> int:
        # $JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<delivered>.<three numbers>.<pending>
        tokens = self.reply.split(".")
        return int(tokens[4] if len(tokens) == 9 else tokens[6])


class _Pool:
    """The state of one pool."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.arrived: deque[NatsDelivery] = deque()
        #: Number of the open request, how many messages it may bring, and when it expires.
        self.asked = 0
        self.left = 0
        self.until = 0.0
        self.looked_at = 0.0
        self.is_made = False
        self.is_empty = False

    def may_be_asked(self, *, is_now: bool) -> bool:
        """Return whether a request may be sent; available messages are requested only once."""
        return not self.asked and not (is_now and self.is_empty)

    def forget_request(self) -> None:
        """Mark the request as answered."""
        self.asked = 0
        self.left = 0


class Puller:
    """Pulls the messages of pools.

    Args:
        link: the connection.
        streams: names and creates the streams and consumers.
        ack_seconds: time after which an unacknowledged message is redelivered.
        bury: is called with a message that exceeded the limit of deliveries.
    """

    def __init__(
        self,
        link: NatsLink,
        streams: Streams,
        ack_seconds: float,
        bury: Callable[[NatsDelivery], Awaitable[None]],
    ) -> None:
        self._link = link
        self._streams = streams
        self._hold = ack_seconds * HOLD_SHARE
        self._bury = bury
        self._pools: dict[str, _Pool] = {}
        self._by_request: dict[int, _Pool] = {}
        self._waiting = Waiting()
        self._numbers = count(1)
        self._prefix = ""
        self._hearing: Subscribed | None = None
        self._burying = Errands("dead letters")

    async def start(self) -> None:
        """Subscribe to the answers."""
        self._prefix = f"{self._link.client.new_inbox()}."
        self._link.on_cut.append(self._cut)
        self._link.on_back.append(self._waiting.wake)
        self._hearing = await self._link.subscribe(f"{self._prefix}*", self._heard)

    async def stop(self) -> list[NatsDelivery]:
        """Unsubscribe; return the messages that arrived and were not pulled."""
        if self._hearing is not None:
            await self._hearing.stop()
        await self._burying.finish(NOW_SECONDS)
        return [delivery for pool in self._pools.values() for delivery in pool.arrived]

    async def pull(self, names: Sequence[str], limit: int, seconds: float) -> list[NatsDelivery]:
        """Return messages, waiting up to ``seconds`` for the first one.

        Raises:
            BusError: there is no connection.
        """
        limit = min(limit, PULL_MAX)
        pools = [self._pools.setdefault(name, _Pool(name)) for name in names]
        now = asyncio.get_running_loop().time
        until = now() + seconds
        for pool in pools:
            pool.is_empty = False
        while True:
            deliveries = self._take(pools, limit, now())
            remaining = until - now()
            if deliveries or (
                remaining <= 0 and (seconds > 0 or all(pool.is_empty for pool in pools))
            ):
                return deliveries
            if remaining <= -NOW_SECONDS:
                return deliveries
            for pool in pools:
                await self._ask(pool, limit, remaining if seconds > 0 else 0.0, now())
            await self._wait(
                pools, until if seconds > 0 else until + NOW_SECONDS, is_now=seconds <= 0
            )

    def _take(self, pools: Sequence[_Pool], limit: int, now: float) -> list[NatsDelivery]:
        deliveries: list[NatsDelivery] = []
        for pool in pools:
            while pool.arrived and len(deliveries) < limit:
                delivery = pool.arrived.popleft()
                if now - delivery.arrived < self._hold:  # otherwise it is about to be redelivered
                    deliveries.append(delivery)
        return deliveries

    async def _ask(self, pool: _Pool, limit: int, seconds: float, now: float) -> None:
        """Make sure that a request is open and that its consumer exists."""
        if pool.arrived or (pool.asked and now < pool.until and not self._is_silent(pool, now)):
            return
        if not pool.is_made or self._is_silent(pool, now):
            if not await self._make(pool):
                return
            if pool.asked and now < pool.until:
                return
        if not seconds and pool.is_empty:
            return
        await self._send(pool, limit, seconds, now)

    def _is_silent(self, pool: _Pool, now: float) -> bool:
        return bool(pool.looked_at) and now >= pool.looked_at

    async def _make(self, pool: _Pool) -> bool:
        """Make sure that the consumer exists."""
        was_made = pool.is_made
        pool.looked_at = 0.0
        try:
            created = await self._streams.ensure_consumer(pool.name)
        except BusError as error:
            _ = self._link.client  # raises if the connection is lost
            _log.warning(logged.CONSUMER_FAILED, {"pool": pool.name, "reason": error})
            await asyncio.sleep(RETRY_SECONDS)
            return False
        pool.is_made = True
        if was_made and created.is_new:
            pool.forget_request()
        return True

    async def _send(self, pool: _Pool, limit: int, seconds: float, now: float) -> None:
        seconds = min(seconds, OPEN_SECONDS)
        number = next(self._numbers)
        self._by_request.pop(pool.asked, None)
        self._by_request[number] = pool
        pool.asked, pool.left = number, limit
        pool.until = now + (seconds or NOW_SECONDS) + LOOK_SECONDS
        pool.looked_at = now + LOOK_SECONDS
        request: dict[str, Any] = {"batch": limit, "no_wait": True}
        if seconds:
            request["expires"] = max(int(seconds * 1e9), 1_000_000)
        with self._link.translated():
            await self._link.client.publish(
                self._streams.next_subject(pool.name),
                orjson.dumps(request),
                reply=f"{self._prefix}{number}",
            )

    async def _wait(self, pools: Sequence[_Pool], until: float, *, is_now: bool) -> None:
        """Wait for an event or the time of the next check."""
        if any(pool.arrived or pool.may_be_asked(is_now=is_now) for pool in pools):
            return
        looks = [pool.looked_at for pool in pools if pool.looked_at]
        seconds = min([until, *looks, *(pool.until for pool in pools)])
        seconds -= asyncio.get_running_loop().time()
        await self._waiting.wait(seconds)

    def _cut(self) -> None:
        """Drop the open requests, and check the consumers after reconnecting."""
        for pool in self._pools.values():
            pool.forget_request()
            pool.is_made = False
        self._by_request.clear()
        self._waiting.wake()

    async def _heard(self, msg: Msg) -> None:
        if msg.subject.startswith(self._prefix):
            self._status(msg)
        else:
            self._message(msg)
        self._waiting.wake()

    def _message(self, msg: Msg) -> None:
        pool = self._pools.get(self._streams.pool_of(msg.subject))
        if pool is None:
            return
        delivery = NatsDelivery(msg, asyncio.get_running_loop().time())
        pool.looked_at = 0.0
        pool.left -= 1
        if pool.left <= 0:
            self._by_request.pop(pool.asked, None)
            pool.forget_request()
        if delivery.deliveries > DELIVERIES_MAX:
            self._burying.start(self._bury_it(delivery))
        else:
            pool.arrived.append(delivery)

    async def _bury_it(self, delivery: NatsDelivery) -> None:
        try:
            await self._bury(delivery)
        except (BusError, nats.errors.Error) as error:
            _log.warning(logged.DEAD_LETTER_LOST, {"reason": error})

    def _status(self, msg: Msg) -> None:
        """Mark a request as finished: it expired, or its consumer is gone."""
        pool = self._by_request.pop(int(msg.subject.removeprefix(self._prefix)), None)
        if pool is None:
            return
        pool.forget_request()
        pool.looked_at = 0.0
        status = (msg.headers or {}).get("Status", "")
        if status in {"404", "408"}:
            pool.is_empty = True
        else:
            pool.is_made = False
