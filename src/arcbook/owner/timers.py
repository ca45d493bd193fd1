"""Timers of all owned executions in one heap, whether or not these are in memory."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from arcbook.clock import Clock
from arcbook.events.types import (
    CommandResumed,
    CommandSuspended,
    PlaybookStarted,
    Recorded,
    StepEnter,
)

HEAP_SPARE: Final = 64
"""Stale heap entries that are tolerated before the heap is compacted."""


def may_set_timers(events: Iterable[Recorded]) -> bool:
    """Return whether events may set or cancel a timer of their execution."""
    for recorded in events:
        event: Any = recorded.event
        kind = type(event)
        if kind in _WAITS or (kind in _LIMITED and event.due_at is not None):
            return True
    return False


_WAITS: Final = frozenset({CommandSuspended, CommandResumed})
_LIMITED: Final = frozenset({StepEnter, PlaybookStarted})


class Timers:
    """Fires each due timer once. The heap may also hold cancelled and replaced timers."""

    def __init__(self, clock: Clock, fire: Callable[[int, str], None]) -> None:
        self._clock = clock
        self._fire = fire
        self._heap: list[tuple[int, int, str]] = []
        #: Due times in microseconds, by execution and timer id.
        self._due: dict[int, dict[str, int]] = {}
        self._count = 0
        self._handle: asyncio.TimerHandle | None = None
        self._due_at = 0

    def __len__(self) -> int:
        """Return the number of timers."""
        return self._count

    def put(self, execution_id: int, timers: Mapping[str, int]) -> None:
        """Replace an execution's timers; the mapping is from timer id to due time."""
        previous = self._due.pop(execution_id, {})
        if timers:
            self._due[execution_id] = dict(timers)
        self._count += len(timers) - len(previous)
        for timer_id, due_at in timers.items():
            if previous.get(timer_id) != due_at:
                heapq.heappush(self._heap, (due_at, execution_id, timer_id))
        self._compact()
        self._arm()

    def keep(self, owned: Callable[[int], bool]) -> None:
        """Drop the timers of executions that are not owned."""
        for execution_id in [i for i in self._due if not owned(i)]:
            self._count -= len(self._due.pop(execution_id))
        self._compact()

    def _compact(self) -> None:
        """Rebuild the heap when most of its entries are stale."""
        if len(self._heap) > HEAP_SPARE + 2 * self._count:
            items = self._due.items()
            self._heap = [(due, i, timer) for i, timers in items for timer, due in timers.items()]
            heapq.heapify(self._heap)

    def _arm(self) -> None:
        if not self._heap:
            return
        due_at = self._heap[0][0]
        if self._handle is not None:
            if self._due_at <= due_at:
                return
            self._handle.cancel()
        self._due_at = due_at
        delay = max(0, due_at - self._clock.now_us()) / 1_000_000
        self._handle = asyncio.get_running_loop().call_later(delay, self._fire_due)

    def _fire_due(self) -> None:
        self._handle = None
        now = self._clock.now_us()
        while self._heap and self._heap[0][0] <= now:
            due_at, execution_id, timer_id = heapq.heappop(self._heap)
            timers = self._due.get(execution_id, {})
            if timers.get(timer_id) != due_at:
                continue
            del timers[timer_id]
            self._count -= 1
            if not timers:
                del self._due[execution_id]
            self._fire(execution_id, timer_id)
        self._arm()

    def close(self) -> None:
        """Cancel all timers."""
        self._heap.clear()
        self._due.clear()
        self._count = 0
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
