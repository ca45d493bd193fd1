"""The bus over HTTP, through a server, for workers that cannot reach it.

The gateway keeps nothing between two calls. Messages are hints and are acknowledged at once: a
lost one is not claimed, so its command is announced again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, Final, TypeVar

from arcbook.bus.api import Delivery
from arcbook.errors import UnavailableError
from arcbook.server.guard import GuardedBus, KnowingHandler
from arcbook.wire.protocol import GatewayListen, GatewayPull, control_subject, owner_subject

WAITING_MAX: Final = 2000
"""Long polls of workers at the same time."""

NOTICES_MAX: Final = 1000
"""Notices in one answer ..."""

NOTICES_BYTES_MAX: Final = 4 * 1024 * 1024
"""... and their total size; the heartbeat makes up for dropped ones."""

FORWARD_SECONDS: Final = 10.0
"""Time limit for the answer of another server."""


Found = TypeVar("Found")


class GatewayFullError(UnavailableError):
    """Too many workers are waiting on this server."""

    code = "gateway_full"


class HttpBusGateway:
    """The bus gateway of one server.

    Args:
        bus: the bus, connected; requests of workers are sealed as on the bus.
        server_id: the name of this server.
        answer: answers requests, and forwards those about executions of other servers.
    """

    def __init__(self, bus: GuardedBus, server_id: str, answer: KnowingHandler) -> None:
        self._guarded = bus
        self._bus = bus.plain
        self._own = owner_subject(server_id)
        self._answer = answer
        self._waiting = 0
        self._closed = asyncio.Event()

    def close(self) -> None:
        """End all long polls: the server is stopping."""
        self._closed.set()

    async def request(self, subject: str, body: bytes) -> bytes:
        """Answer a request, or pass it to the server it is addressed to.

        Raises:
            NobodyError: that server does not exist.
            BusError: it does not answer, or the bus is unreachable.
        """
        is_anothers = subject.startswith(owner_subject("")) and subject != self._own
        if not is_anothers:
            return await self._guarded.answer(subject, self._answer, body)
        return await self._bus.request(subject, body, FORWARD_SECONDS)

    async def pull(self, request: GatewayPull) -> list[Delivery]:
        """Return messages; the caller settles them with ``end``.

        Raises:
            GatewayFullError: too many workers are waiting.
            BusError: the bus is unreachable.
        """
        with self._place():
            pulling = self._bus.pull(request.pools, request.limit, request.seconds)
            return await self._unless_closed(pulling) or []

    async def end(self, deliveries: Sequence[Delivery], *, arrived: bool) -> None:
        """Acknowledge messages that arrived; give back those whose worker disconnected."""
        if deliveries and arrived:
            await self._bus.acknowledge(deliveries)
        elif deliveries:
            await self._bus.give_back(deliveries)

    async def notices(self, request: GatewayListen) -> list[bytes]:
        """Return the notices to a worker, as soon as there is one.

        Raises:
            GatewayFullError: too many workers are waiting.
            BusError: the bus is unreachable.
        """
        notices: list[bytes] = []
        arrived = asyncio.Event()
        bytes_left = NOTICES_BYTES_MAX

        def listener(body: bytes) -> None:
            nonlocal bytes_left
            if len(notices) < NOTICES_MAX and len(body) <= bytes_left:
                notices.append(body)
                bytes_left -= len(body)
            arrived.set()

        with self._place():
            listening = await self._bus.listen(control_subject(request.worker_id), listener)
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(request.seconds):
                        await self._unless_closed(arrived.wait())
            finally:
                await listening.stop()
        return notices

    async def _unless_closed(self, waiting: Coroutine[Any, Any, Found]) -> Found | None:
        """Return the result of an awaitable, or None if the server stops first."""
        task = asyncio.ensure_future(waiting)
        closed = asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait((task, closed), return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            closed.cancel()
            task.cancel()

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        if self._waiting >= WAITING_MAX:
            raise GatewayFullError(f"{self._waiting:,} workers are waiting already; retry later")
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
