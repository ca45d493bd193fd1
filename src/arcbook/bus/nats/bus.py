"""The bus on NATS: messages through JetStream, requests and notices through core NATS."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final, Self, cast

import orjson
from nats.aio.msg import Msg

from arcbook.bus.api import (
    ACK_SECONDS,
    BusError,
    Delivery,
    Handler,
    Listener,
    Message,
)
from arcbook.bus.handling import Handling, check_size, hand_over
from arcbook.bus.nats.access import NatsAccess
from arcbook.bus.nats.link import START_SECONDS, NatsLink, Subscribed
from arcbook.bus.nats.publish import TRIES, Outgoing, Publisher, StreamBrokenError, StreamGoneError
from arcbook.bus.nats.pull import NatsDelivery, Puller
from arcbook.bus.nats.replies import Replies
from arcbook.bus.nats.streams import Streams
from arcbook.supervision import Service

HEADER_ROOM: Final = 1024
"""Maximum size of a message's headers in bytes, which count as payload."""

QUEUE: Final = "arcbook"
"""Queue group of the servers of a subject; one of them gets each request."""

LEAVE_SECONDS: Final = 5.0
"""Time limit for running requests when the connection that serves them closes."""


class NatsBus:
    """A connection to the bus.

    Args:
        url: ``nats://host:4222`` or ``tls://host:4222``; separate several by commas.
        base: prefix of all subjects, so that several clusters can share a server.
        access: credentials and trusted certificates.
        ack_seconds: time after which an unacknowledged message is redelivered.
        start_seconds: time limit for the first connection.
    """

    def __init__(
        self,
        url: str,
        base: str = "noetl",
        access: NatsAccess | None = None,
        *,
        ack_seconds: float = ACK_SECONDS,
        start_seconds: float = START_SECONDS,
    ) -> None:
        self.payload_max = 0
        self._base = base
        self.service = Service("bus on NATS")
        self._link = NatsLink(url, access or NatsAccess(), self.service, start_seconds)
        self._streams = Streams(self._link, base, ack_seconds)
        self._replies = Replies(self._link)
        self._publisher = Publisher(self._link, self._replies)
        self._puller = Puller(self._link, self._streams, ack_seconds, self._bury)
        self._served: list[_Served] = []

    @property
    def is_open(self) -> bool:
        """Whether the server accepts connections without credentials."""
        return self._link.is_open

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as started:
            await self.service.start()
            started.push_async_callback(self.service.stop)
            await self._link.start()
            started.push_async_callback(self._link.stop)
            self.payload_max = self._link.payload_max - HEADER_ROOM
            await self._streams.check()
            await self._streams.ensure()
            await self._replies.start()
            await self._puller.start()
            started.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.gather(*(served.leave(LEAVE_SECONDS) for served in self._served))
        try:
            with contextlib.suppress(BusError):  # otherwise they are redelivered later
                await self.give_back(await self._puller.stop())
        finally:
            await self._link.stop()
            await self.service.stop()

    # -- messages ---------------------------------------------------------------------

    async def publish(self, messages: Sequence[Message]) -> None:
        for message in messages:
            check_size(len(message.body), self.payload_max)
        outgoing = [
            Outgoing(self._streams.subject(m.pool, m.execution_id), m.message_id, m.body)
            for m in messages
        ]
        for tries_left in reversed(range(TRIES)):
            try:
                await self._publisher.publish(outgoing)
            except StreamGoneError:
                if not tries_left:
                    raise
                await self._streams.ensure()
            except StreamBrokenError:
                if not tries_left:
                    raise
                await self._streams.remake()
            else:
                return

    async def pull(self, pools: Sequence[str], limit: int, seconds: float) -> list[Delivery]:
        return cast("list[Delivery]", await self._puller.pull(pools, limit, seconds))

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        await self._say(deliveries, b"")

    async def give_back(self, deliveries: Sequence[Delivery], seconds: float = 0.0) -> None:
        negative = b"-NAK"
        if seconds > 0:
            negative += b" " + orjson.dumps({"delay": int(seconds * 1e9)})
        await self._say(deliveries, negative)

    async def extend(self, deliveries: Sequence[Delivery]) -> None:
        await self._say(deliveries, b"+WPI")

    async def _say(self, deliveries: Sequence[Delivery], verdict: bytes) -> None:
        client = self._link.client
        with self._link.translated():
            for delivery in cast("Sequence[NatsDelivery]", deliveries):
                await client.publish(delivery.reply, verdict)

    async def _bury(self, delivery: NatsDelivery) -> None:
        """Move a message to the dead letters."""
        letter = Outgoing(
            self._streams.dead_subject(delivery.subject), f"dead {delivery.reply}", delivery.body
        )
        try:
            await self._publisher.publish([letter])
        except StreamGoneError:
            await self._streams.ensure()
            await self._publisher.publish([letter])
        await self._say([delivery], b"+TERM")

    async def waiting(self, pools: Sequence[str]) -> dict[str, int]:
        consumers = await asyncio.gather(*(self._streams.ensure_consumer(pool) for pool in pools))
        return {pool: ready.waiting for pool, ready in zip(pools, consumers, strict=True)}

    # -- requests ---------------------------------------------------------------------

    async def request(self, subject: str, body: bytes, seconds: float) -> bytes:
        check_size(len(body), self.payload_max)
        return await self._replies.ask(f"{self._base}.request.{subject}", body, seconds)

    async def serve(self, subject: str, handler: Handler) -> _Served:
        served = _Served(self, subject, handler)
        served.subscribed = await self._link.subscribe(
            f"{self._base}.request.{subject}", served.heard, QUEUE
        )
        self._served.append(served)
        return served

    async def answer(self, subject: str, body: bytes) -> None:
        """Send the answer to a request."""
        check_size(len(body), self.payload_max)
        with self._link.translated():
            await self._link.client.publish(subject, body)

    def forget(self, served: _Served) -> None:
        """Remove a served subject."""
        if served in self._served:
            self._served.remove(served)

    # -- notices ----------------------------------------------------------------------

    async def tell(self, subject: str, body: bytes) -> None:
        check_size(len(body), self.payload_max)
        with self._link.translated():
            await self._link.client.publish(f"{self._base}.notice.{subject}", body)

    async def listen(self, subject: str, listener: Listener) -> Subscribed:
        async def heard(msg: Msg) -> None:
            hand_over(listener, msg.data)

        below = f"{subject[:-1]}>" if subject.endswith(".*") else subject
        return await self._link.subscribe(f"{self._base}.notice.{below}", heard)


class _Served:
    """A subject that is served."""

    def __init__(self, bus: NatsBus, subject: str, handler: Handler) -> None:
        self._bus = bus
        self._handler = handler
        self._handling = Handling(subject)
        self.subscribed: Subscribed | None = None

    async def heard(self, msg: Msg) -> None:
        """Start to answer a request."""
        self._handling.start(self._answer(msg))

    async def _answer(self, msg: Msg) -> None:
        answer = await self._handler(msg.data)
        if msg.reply:
            await self._bus.answer(msg.reply, answer)

    async def stop(self) -> None:
        self._bus.forget(self)
        await self.leave(None)

    async def leave(self, seconds: float | None) -> None:
        """Stop serving, and wait for running requests."""
        if self.subscribed is not None:
            await self.subscribed.stop()
        await self._handling.finish(seconds)
