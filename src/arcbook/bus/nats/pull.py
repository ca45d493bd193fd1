"""Pulling messages: one request stands open per pool while somebody waits.

The requests ask for what is there, or else for the first message to come and what is there
then (``no_wait`` with ``expires``). All answers come by one subscription, which costs a
fraction of what the client's own `fetch` does: that makes several objects and tasks a call.
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
"""Time that one request stands open; then it is made anew, should the server have lost it."""

LOOK_SECONDS: Final = 0.5
"""Time after which a silent consumer is looked for: asking one that is gone gets no answer."""

RETRY_SECONDS: Final = 0.25
"""Pause before a consumer that could not be created is tried again."""

HOLD_SHARE: Final = 0.5
"""Part of the time to acknowledge for which a message may wait here for its pull."""

NOW_SECONDS: Final = 2.0
"""Time for the server to say that nothing is there."""

_log = logging.getLogger("arcbook.bus")


class NatsDelivery:
    """A message that was pulled."""

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
    """What is known of one pool."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.arrived: deque[NatsDelivery] = deque()
        #: Number of the request that stands open, how much it may bring, and until when.
        self.asked = 0
        self.left = 0
        self.until = 0.0
        self.looked_at = 0.0
        self.is_made = False
        self.is_empty = False

    def may_be_asked(self, *, is_now: bool) -> bool:
        """Tell whether there is something to ask; what is there now is asked only once."""
        return not self.asked and not (is_now and self.is_empty)

    def forget_request(self) -> None:
        """Take the request for answered."""
        self.asked = 0
        self.left = 0


class Puller:
    """Pulls the messages of pools.

    Args:
        link: the connection.
        streams: names, and creation of what is missing.
        ack_seconds: time after which a message that is not acknowledged comes again.
        bury: takes a message that was delivered too often.
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
        """Hear messages from now on."""
        self._prefix = f"{self._link.client.new_inbox()}."
        self._link.on_cut.append(self._cut)
        self._link.on_back.append(self._waiting.wake)
        self._hearing = await self._link.subscribe(f"{self._prefix}*", self._heard)

    async def stop(self) -> list[NatsDelivery]:
        """Hear no more; return what arrived and was not pulled."""
        if self._hearing is not None:
            await self._hearing.stop()
        await self._burying.finish(NOW_SECONDS)
        return [delivery for pool in self._pools.values() for delivery in pool.arrived]

    async def pull(self, names: Sequence[str], limit: int, seconds: float) -> list[NatsDelivery]:
        """Return messages; wait for the first one, but no longer than told.

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
            found = self._take(pools, limit, now())
            left = until - now()
            if found or (left <= 0 and (seconds > 0 or all(pool.is_empty for pool in pools))):
                return found
            if left <= -NOW_SECONDS:
                return found
            for pool in pools:
                await self._ask(pool, limit, left if seconds > 0 else 0.0, now())
            await self._wait(
                pools, until if seconds > 0 else until + NOW_SECONDS, is_now=seconds <= 0
            )

    def _take(self, pools: Sequence[_Pool], limit: int, now: float) -> list[NatsDelivery]:
        found: list[NatsDelivery] = []
        for pool in pools:
            while pool.arrived and len(found) < limit:
                delivery = pool.arrived.popleft()
                if now - delivery.arrived < self._hold:  # else it is about to go to another
                    found.append(delivery)
        return found

    async def _ask(self, pool: _Pool, limit: int, seconds: float, now: float) -> None:
        """See that a request stands open, and that there is somebody who hears it."""
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
        """See that the consumer is there."""
        was_made = pool.is_made
        pool.looked_at = 0.0
        try:
            created = await self._streams.ensure_consumer(pool.name)
        except BusError as error:
            _ = self._link.client  # raises if it is the connection
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
        wanted: dict[str, Any] = {"batch": limit, "no_wait": True}
        if seconds:
            wanted["expires"] = max(int(seconds * 1e9), 1_000_000)
        with self._link.translated():
            await self._link.client.publish(
                self._streams.next_subject(pool.name),
                orjson.dumps(wanted),
                reply=f"{self._prefix}{number}",
            )

    async def _wait(self, pools: Sequence[_Pool], until: float, *, is_now: bool) -> None:
        """Wait until something happened, or it is time to look again."""
        if any(pool.arrived or pool.may_be_asked(is_now=is_now) for pool in pools):
            return
        looks = [pool.looked_at for pool in pools if pool.looked_at]
        seconds = min([until, *looks, *(pool.until for pool in pools)])
        seconds -= asyncio.get_running_loop().time()
        await self._waiting.wait(seconds)

    def _cut(self) -> None:
        """Forget the requests, and look for the consumers when the connection is back."""
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
        """Note that a request brings no more: its time is over, or its consumer is gone."""
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
