"""The bus on PostgreSQL: messages in a table, requests and notices through LISTEN/NOTIFY."""

from __future__ import annotations

import asyncio
import binascii
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import Sequence
from itertools import count
from typing import Any, Final, NamedTuple, Self, cast

from arcbook.bus.api import (
    ACK_SECONDS,
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
from arcbook.bus.postgres.database import Database
from arcbook.bus.postgres.outbox import Outbox
from arcbook.bus.waiting import Waiting
from arcbook.logs import events as logged
from arcbook.supervision import Service

PAYLOAD_MAX: Final = 1024**2
"""Maximum size of a message in bytes: the default of a NATS server."""

POLL_SECONDS: Final = 5.0
"""Time after which a waiting pull queries again, in case a notification was lost."""

SOON_SECONDS: Final = 0.002
"""Minimum wait before querying for a message that is about to be redelivered."""

LEAVE_SECONDS: Final = 5.0
"""Time limit for running requests when the connection that serves them closes."""

LETTERS_MAX: Final = 10_000
"""Maximum number of unread notifications, of up to 8 kB each; further ones are dropped."""

POOLS: Final = "arcbook_bus"
"""Channel that announces pools with new messages."""

_log = logging.getLogger("arcbook.bus")


class _Pulled(NamedTuple):
    """A pulled message."""

    id: int
    body: bytes
    deliveries: int


class PostgresBus:
    """A connection to the bus.

    Args:
        dsn: the database.
        ack_seconds: time after which an unacknowledged message is redelivered.
    """

    payload_max = PAYLOAD_MAX

    def __init__(self, dsn: str, *, ack_seconds: float = ACK_SECONDS) -> None:
        self._ack_seconds = ack_seconds
        self._name = secrets.token_hex(8)
        self.service = Service("bus on PostgreSQL")
        channels = [POOLS, f"{POOLS}_{self._name}"]
        self.database = Database(dsn, self._on_notification, channels, self._is_back, self.service)
        self._outbox = Outbox(self.database, self._name, self.service)
        self._news: dict[str, int] = {}
        self._waiting = Waiting()
        self._served: dict[str, deque[_Served]] = {}
        self._listening: list[_Listening] = []
        self._answers: dict[int, asyncio.Future[bytes]] = {}
        self._numbers = count(1)
        self._letters: asyncio.Queue[str] = asyncio.Queue(LETTERS_MAX)

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as started:
            await self.service.start()
            started.push_async_callback(self.service.stop)
            await self.database.start()
            started.pop_all()
        self.service.loop("reading", self._read)
        return self

    async def __aexit__(self, *exc: object) -> None:
        served = [one for servers in self._served.values() for one in servers]
        with contextlib.suppress(BusError):
            await asyncio.gather(*(one.leave(LEAVE_SECONDS) for one in served))
        await self.database.stop()
        await self.service.stop()

    # -- messages ---------------------------------------------------------------------

    async def publish(self, messages: Sequence[Message]) -> None:
        for message in messages:
            check_size(len(message.body), self.payload_max)
        if not messages:
            return
        pools, executions, ids, bodies = zip(*messages, strict=True)
        await self.database.run(
            "select arcbook_bus.publish($1, $2, $3, $4, $5)",
            pools,
            executions,
            ids,
            bodies,
            DUPLICATE_SECONDS,
        )

    async def pull(self, pools: Sequence[str], limit: int, seconds: float) -> list[Delivery]:
        now = asyncio.get_running_loop().time
        until = now() + seconds
        while True:
            news = [self._news.get(pool, 0) for pool in pools]
            rows = await self.database.run(
                "select * from arcbook_bus.pull($1, $2, $3)",
                pools,
                min(limit, PULL_MAX),
                self._ack_seconds,
            )
            if rows or now() >= until:
                return cast("list[Delivery]", [_Pulled(*row) for row in rows])
            due = await self._due(pools)
            if news == [self._news.get(pool, 0) for pool in pools]:
                await self._waiting.wait(min(until - now(), due))

    async def _due(self, pools: Sequence[str]) -> float:
        """Return the time until the next redelivery for some pools."""
        ((due,),) = await self.database.run("select arcbook_bus.next_due($1)", pools)
        return POLL_SECONDS if due is None else min(max(due, SOON_SECONDS), POLL_SECONDS)

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        if deliveries:
            await self.database.run("select arcbook_bus.acknowledge($1)", _ids(deliveries))

    async def give_back(self, deliveries: Sequence[Delivery], seconds: float = 0.0) -> None:
        await self._put_off(deliveries, seconds, wake=True)

    async def extend(self, deliveries: Sequence[Delivery]) -> None:
        await self._put_off(deliveries, self._ack_seconds, wake=False)

    async def _put_off(self, deliveries: Sequence[Delivery], seconds: float, *, wake: bool) -> None:
        if deliveries:
            await self.database.run(
                "select arcbook_bus.put_off($1, $2, $3)", _ids(deliveries), seconds, wake
            )

    async def waiting(self, pools: Sequence[str]) -> dict[str, int]:
        rows = await self.database.run("select * from arcbook_bus.waiting($1)", pools)
        return dict(rows)

    # -- requests ---------------------------------------------------------------------

    async def request(self, subject: str, body: bytes, seconds: float) -> bytes:
        check_size(len(body), self.payload_max)
        number = next(self._numbers)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            async with asyncio.timeout(seconds):
                await self._ask(subject, number, body)
                return await answer
        except TimeoutError:
            raise RequestTimeoutError(f"{subject} did not answer in {seconds:g} s") from None
        finally:
            self._answers.pop(number, None)

    async def _ask(self, subject: str, number: int, body: bytes) -> None:
        _ = self.database.backend  # raises if the answer could not be received
        is_served = await self._outbox.send("ask", "", subject, number, body)
        if not is_served:
            raise NobodyError(f"nobody serves {subject}")

    async def serve(self, subject: str, handler: Handler) -> _Served:
        served = _Served(self, subject, handler)
        self._served.setdefault(subject, deque()).append(served)
        await self._register("serve", subject)
        return served

    async def answer(self, asker: str, number: int, body: bytes) -> None:
        """Send the answer to a request."""
        check_size(len(body), self.payload_max)
        await self._outbox.send("answer", asker, "-", number, body)

    async def leave(self, served: _Served) -> None:
        """Stop serving a subject."""
        servers = self._served.get(served.subject, deque())
        if served in servers:
            servers.remove(served)
        if not servers and self._served.pop(served.subject, None) is not None:
            await self._unregister("serve", served.subject)

    # -- notices ----------------------------------------------------------------------

    async def tell(self, subject: str, body: bytes) -> None:
        check_size(len(body), self.payload_max)
        await self.database.run("select arcbook_bus.tell($1, $2)", subject, body)

    async def listen(self, subject: str, listener: Listener) -> _Listening:
        listening = _Listening(self, subject, listener)
        self._listening.append(listening)
        await self._register("listen", subject)
        return listening

    async def forget(self, listening: _Listening) -> None:
        """Stop listening."""
        if listening in self._listening:
            self._listening.remove(listening)
            if all(other.pattern != listening.pattern for other in self._listening):
                await self._unregister("listen", listening.pattern)

    # -- notifications ----------------------------------------------------------------

    async def _register(self, kind: str, subject: str) -> None:
        await self.database.run(
            "select arcbook_bus.register($1, $2, $3, $4)",
            self._name,
            kind,
            subject,
            self.database.backend,
        )

    async def _unregister(self, kind: str, subject: str) -> None:
        await self.database.run(
            "select arcbook_bus.unregister($1, $2, $3)", self._name, kind, subject
        )

    async def _is_back(self) -> None:
        """Register the new listening session, and query for missed messages."""
        for subject in list(self._served):
            await self._register("serve", subject)
        for pattern in {listening.pattern for listening in self._listening}:
            await self._register("listen", pattern)
        self._waiting.wake()

    def _on_notification(self, channel: str, payload: str) -> None:
        if channel == POOLS:
            self._news[payload] = self._news.get(payload, 0) + 1
            self._waiting.wake()
        else:
            try:
                self._letters.put_nowait(payload)
            except asyncio.QueueFull:
                _log.warning(
                    logged.MESSAGE_LOST,
                    {"reason": "notifications arrive faster than they are read"},
                )

    async def _read(self) -> None:
        """Handle the notifications for this connection in order of arrival."""
        while True:
            payload = await self._letters.get()
            try:
                await self._open(payload)
            except BusError as error:
                _log.warning(logged.MESSAGE_LOST, {"reason": error})
            except ValueError as error:  # every user of the database can notify
                _log.warning(logged.MESSAGE_UNREADABLE, {"reason": error})

    async def _open(self, payload: str) -> None:
        kind, subject, sender, number, place, text = payload.split(" ", 5)
        if place == "=":
            body = binascii.a2b_base64(text)
        else:
            rows: list[Any] = await self.database.run(
                "select arcbook_bus.open_letter($1)", int(text)
            )
            body = rows[0][0] or b""
        if kind == "ask":
            self._serve(subject, sender, int(number), body)
        elif kind == "answer":
            answer = self._answers.pop(int(number), None)
            if answer is not None and not answer.done():
                answer.set_result(body)
        else:
            for listening in list(self._listening):
                if covers(listening.pattern, subject):
                    hand_over(listening.listener, body)

    def _serve(self, subject: str, asker: str, number: int, body: bytes) -> None:
        servers = self._served.get(subject)
        if servers:
            servers.rotate()
            servers[0].handle(asker, number, body)


class _Served:
    """A subject that is served."""

    def __init__(self, bus: PostgresBus, subject: str, handler: Handler) -> None:
        self.subject = subject
        self._bus = bus
        self._handler = handler
        self._handling = Handling(subject)

    def handle(self, asker: str, number: int, body: bytes) -> None:
        """Start to answer a request."""
        self._handling.start(self._answer(asker, number, body))

    async def _answer(self, asker: str, number: int, body: bytes) -> None:
        await self._bus.answer(asker, number, await self._handler(body))

    async def stop(self) -> None:
        await self.leave(None)

    async def leave(self, seconds: float | None) -> None:
        """Stop serving, and wait for running requests."""
        await self._bus.leave(self)
        await self._handling.finish(seconds)


class _Listening:
    """A subject that is listened to."""

    def __init__(self, bus: PostgresBus, pattern: str, listener: Listener) -> None:
        self.pattern = pattern
        self._bus = bus
        self.listener = listener

    async def stop(self) -> None:
        await self._bus.forget(self)


def _ids(deliveries: Sequence[Delivery]) -> list[int]:
    return [delivery.id for delivery in cast("Sequence[_Pulled]", deliveries)]
