"""Deferred writes of executions' summary rows.

Not every commit writes the row. A row that lags behind its events is written a little
later, unless another commit of the execution writes it first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from arcbook.clock import Clock
from arcbook.store.api import ROW_AGE_US_MAX


class RefreshRow:
    """An input that brings an execution's row up to date with its events."""


REFRESH_ROW = RefreshRow()


class StaleRows:
    """Tracks rows that lag behind, and requests a refresh of each once it is old enough."""

    def __init__(self, clock: Clock, refresh: Callable[[int], None]) -> None:
        self._clock = clock
        self._refresh = refresh
        #: When to write each row, by the monotonic clock; earliest first.
        self._due: dict[int, int] = {}
        self._handle: asyncio.TimerHandle | None = None

    def behind(self, execution_id: int) -> None:
        """Mark an execution's row as lagging behind its events."""
        if execution_id not in self._due:
            self._due[execution_id] = self._clock.monotonic_us() + ROW_AGE_US_MAX
            self._arm()

    def written(self, execution_id: int) -> None:
        """Mark an execution's row as up to date."""
        self._due.pop(execution_id, None)

    def _arm(self) -> None:
        if self._handle is None and self._due:
            first = next(iter(self._due.values()))
            delay = max(0, first - self._clock.monotonic_us()) / 1_000_000
            self._handle = asyncio.get_running_loop().call_later(delay, self._ask)

    def _ask(self) -> None:
        self._handle = None
        now = self._clock.monotonic_us()
        due = []
        for execution_id, at in self._due.items():
            if at > now:
                break
            due.append(execution_id)
        for execution_id in due:
            del self._due[execution_id]
            self._refresh(execution_id)
        self._arm()

    def close(self) -> None:
        """Request no more refreshes."""
        self._due.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
