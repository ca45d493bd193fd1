"""Notifications for followers of executions: events are read once for all of them.

Streams must leave the server the resources for its lease. All of them share
:data:`READS_MAX` concurrent reads of the store, streams at the same place share one read, and each
stream polls less often the more of them are open.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from arcbook.engine.state import State
from arcbook.events.types import Recorded
from arcbook.server.core import Server
from arcbook.server.http import views
from arcbook.server.http.errors import ApiError
from arcbook.store.api import EventRow, StoreError

READS_MAX: Final = 2
"""Concurrent reads of the store for all streams."""

POLL_SECONDS: Final = 0.5
"""Time between two polls for events of another server ..."""

POLL_SECONDS_EACH: Final = 0.001
"""... plus this for each open stream."""

REST_SECONDS_EACH: Final = 0.0005
"""Pause of a stream after an event, for each open stream; further events are sent together."""

SHARE: Final = 0.25
"""The share of all streams that one caller may have open."""


class Frame(NamedTuple):
    """An event, encoded for the stream."""

    seq: int
    type: str
    step: str
    data: bytes


class Feed:
    """Wakes followers of executions that this server owns.

    Followers of other executions poll.
    """

    def __init__(self, server: Server, streams_max: int) -> None:
        self._store = server.store
        self._waiting: dict[int, set[asyncio.Event]] = {}
        self._callers: Counter[str] = Counter()
        self._reads = asyncio.Semaphore(READS_MAX)
        #: Reads in progress, by their arguments.
        self._reading: dict[tuple[Any, ...], asyncio.Task[Any]] = {}
        self._streams_max = streams_max
        self.open = 0
        server.on_events(self._on_events)

    def _on_events(self, execution_id: int, _: list[Recorded], __: State) -> None:
        for event in self._waiting.get(execution_id, ()):
            event.set()

    @property
    def poll_seconds(self) -> float:
        """Time between two polls of a stream."""
        return POLL_SECONDS + self.open * POLL_SECONDS_EACH

    @property
    def rest_seconds(self) -> float:
        """Pause of a stream after an event."""
        return self.open * REST_SECONDS_EACH

    def check(self, caller: str) -> None:
        """Refuse streams beyond the limits.

        Raises:
            ApiError: too many streams are open, of this caller or in total.
        """
        if self.open >= self._streams_max:
            raise ApiError(429, f"{self.open:,} event streams are open already")
        mine = self._callers[caller]
        if mine >= max(1, int(self._streams_max * SHARE)):
            raise ApiError(429, f"{mine:,} event streams of this caller are open already")

    @contextlib.contextmanager
    def following(self, execution_id: int, caller: str) -> Iterator[asyncio.Event]:
        """Yield an event object that is set when there are new events.

        Raises:
            ApiError: too many streams are open.
        """
        self.check(caller)
        event = asyncio.Event()
        self.open += 1
        self._callers[caller] += 1
        self._waiting.setdefault(execution_id, set()).add(event)
        try:
            yield event
        finally:
            self.open -= 1
            self._callers[caller] -= 1
            if not self._callers[caller]:
                del self._callers[caller]
            waiting = self._waiting[execution_id]
            waiting.discard(event)
            if not waiting:
                del self._waiting[execution_id]

    async def frames(self, execution_id: int, after: int) -> list[Frame]:
        """Return the encoded events after one; none while the store does not answer."""

        async def read() -> list[Frame]:
            try:
                rows = await self._store.events(execution_id, after=after)
            except StoreError:
                return []
            return [_frame(execution_id, row) for row in rows]

        frames: list[Frame] = await self._once((execution_id, after, "frames"), read)
        return frames

    async def is_over(self, execution_id: int, after: int) -> bool:
        """Return whether the execution has ended and the client has its last event."""

        async def read() -> bool:
            with contextlib.suppress(StoreError):
                row = await self._store.execution(execution_id)
                return row is None or (bool(row.ended_at) and row.seq <= after)
            return False

        is_over: bool = await self._once((execution_id, after, "end"), read)
        return is_over

    async def _once(self, key: tuple[Any, ...], read: Callable[[], Awaitable[Any]]) -> Any:
        """Run a read, or wait for the same read if it is in progress."""
        task = self._reading.get(key)
        if task is None:
            task = asyncio.create_task(self._in_turn(read), name="stream")
            self._reading[key] = task
            task.add_done_callback(lambda _: self._reading.pop(key, None))
        return await asyncio.shield(task)

    async def _in_turn(self, read: Callable[[], Awaitable[Any]]) -> Any:
        async with self._reads:
            return await read()


def _frame(execution_id: int, row: EventRow) -> Frame:
    data = msgspec.json.encode(views.event(execution_id, row))
    sent = b"id: %d\nevent: %s\ndata: %s\n\n" % (row.seq, row.type.encode(), data)
    return Frame(row.seq, row.type, row.step, sent)
