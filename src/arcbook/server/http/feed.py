"""News of executions, for those who wait for events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from arcbook.engine.state import State
from arcbook.events.types import Recorded
from arcbook.server.core import Server
from arcbook.server.http.errors import ApiError


class Feed:
    """Wakes up those who wait for an execution that this server owns.

    Of executions elsewhere it knows nothing; who waits for those looks by the clock.
    """

    def __init__(self, server: Server, streams_max: int) -> None:
        self._waiting: dict[int, set[asyncio.Event]] = {}
        self._streams_max = streams_max
        self.open = 0
        server.on_events(self._told)

    def _told(self, execution_id: int, _: list[Recorded], __: State) -> None:
        for event in self._waiting.get(execution_id, ()):
            event.set()

    @contextlib.contextmanager
    def following(self, execution_id: int) -> Iterator[asyncio.Event]:
        """Yield an event that is set when there is something new.

        Raises:
            ApiError: too many follow already.
        """
        if self.open >= self._streams_max:
            raise ApiError(429, f"{self.open:,} event streams are open already")
        event = asyncio.Event()
        self.open += 1
        self._waiting.setdefault(execution_id, set()).add(event)
        try:
            yield event
        finally:
            self.open -= 1
            waiting = self._waiting[execution_id]
            waiting.discard(event)
            if not waiting:
                del self._waiting[execution_id]
