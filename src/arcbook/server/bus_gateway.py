"""The way to the bus for workers that cannot reach it: by HTTP, through a server.

Nothing is held between two of a worker's calls. Messages are hints and are acknowledged at once:
what is lost on the way is not claimed, and so is told again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, Final, TypeVar

from arcbook.bus.api import Delivery
from arcbook.errors import UnavailableError
from arcbook.server.guard import GuardedBus, KnowingHandler
from arcbook.wire.protocol import DoorListen, DoorPull, control_subject, owner_subject

WAITING_MAX: Final = 2000
"""Calls of workers that may wait at once."""

NOTICES_MAX: Final = 1000
"""Notices of one answer ..."""

NOTICES_BYTES_MAX: Final = 4 * 1024 * 1024
"""... and their size together; the heartbeat tells of what is left out."""

FORWARD_SECONDS: Final = 10.0
"""Time that another server has to answer."""


Found = TypeVar("Found")


class DoorFullError(UnavailableError):
    """Too many workers wait here already."""

    code = "gateway_full"


class HttpBusGateway:
    """One server's door for workers outside.

    Args:
        bus: the bus, connected; what workers say here is sealed as on the bus.
        server_id: this server.
        answer: answers requests; what other servers own it hands on to them.
    """

    def __init__(self, bus: GuardedBus, server_id: str, answer: KnowingHandler) -> None:
        self._guarded = bus
        self._bus = bus.plain
        self._own = owner_subject(server_id)
        self._answer = answer
        self._waiting = 0
        self._closed = asyncio.Event()

    def close(self) -> None:
        """Let nobody wait any more: the server stops."""
        self._closed.set()

    async def request(self, subject: str, body: bytes) -> bytes:
        """Answer a request, or have the one server answer that is meant.

        Raises:
            NobodyError: that server is not there.
            BusError: it does not answer, or the bus cannot be reached.
        """
        is_anothers = subject.startswith(owner_subject("")) and subject != self._own
        if not is_anothers:
            return await self._guarded.answer(subject, self._answer, body)
        return await self._bus.request(subject, body, FORWARD_SECONDS)

    async def pull(self, wanted: DoorPull) -> list[Delivery]:
        """Return messages, to be acknowledged.

        Raises:
            DoorFullError: too many wait.
            BusError: the bus cannot be reached.
        """
        with self._place():
            pulling = self._bus.pull(wanted.pools, wanted.limit, wanted.seconds)
            return await self._unless_closed(pulling) or []

    async def end(self, deliveries: Sequence[Delivery], *, arrived: bool) -> None:
        """Have messages not come again; or again at once, if their worker went away."""
        if deliveries and arrived:
            await self._bus.acknowledge(deliveries)
        elif deliveries:
            await self._bus.give_back(deliveries)

    async def notices(self, wanted: DoorListen) -> list[bytes]:
        """Return what a worker is told, as soon as it is told something.

        Raises:
            DoorFullError: too many wait.
            BusError: the bus cannot be reached.
        """
        heard: list[bytes] = []
        came = asyncio.Event()
        room = NOTICES_BYTES_MAX

        def listener(body: bytes) -> None:
            nonlocal room
            if len(heard) < NOTICES_MAX and len(body) <= room:
                heard.append(body)
                room -= len(body)
            came.set()

        with self._place():
            listening = await self._bus.listen(control_subject(wanted.worker_id), listener)
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wanted.seconds):
                        await self._unless_closed(came.wait())
            finally:
                await listening.stop()
        return heard

    async def _unless_closed(self, waiting: Coroutine[Any, Any, Found]) -> Found | None:
        """Return what comes of something; nothing if the server stops first."""
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
            raise DoorFullError(f"{self._waiting:,} calls of workers wait here already")
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
