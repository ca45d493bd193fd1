"""Timers of all executions in one heap, whether the executions are in memory or not."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Mapping
from typing import Any, Final

from arcbook.clock import Clock
from arcbook.events.types import CommandResumed, CommandSuspended, PlaybookStarted, StepEnter

HEAP_SPARE: Final = 64
"""Entries of the heap that may be of timers that are none any more, whatever there is."""


def may_set_timer(event: Any) -> bool:
    """Return whether an event may have set, or ended, a timer of its execution."""
    kind = type(event)
    return kind in _WAITS or (kind in _LIMITED and event.due_at is not None)


_WAITS: Final = frozenset({CommandSuspended, CommandResumed})
_LIMITED: Final = frozenset({StepEnter, PlaybookStarted})


class Timers:
    """Fires what is due, once. The heap may hold more than is due: what went or was replaced."""

    def __init__(self, clock: Clock, fire: Callable[[int, str], None]) -> None:
        self._clock = clock
        self._fire = fire
        self._heap: list[tuple[int, int, str]] = []
        #: What is due, by execution and id.
        self._due: dict[int, dict[str, int]] = {}
        self._count = 0
        self._handle: asyncio.TimerHandle | None = None
        self._due_at = 0

    def __len__(self) -> int:
        """Return how many timers there are."""
        return self._count

    def put(self, execution_id: int, timers: Mapping[str, int]) -> None:
        """Take the timers of an execution, in place of those that it had: ids and microseconds."""
        known = self._due.pop(execution_id, {})
        if timers:
            self._due[execution_id] = dict(timers)
        self._count += len(timers) - len(known)
        for timer_id, due_at in timers.items():
            if known.get(timer_id) != due_at:
                heapq.heappush(self._heap, (due_at, execution_id, timer_id))
        self._tidy()
        self._arm()

    def keep(self, wanted: Callable[[int], bool]) -> None:
        """Forget the timers of executions that are not wanted."""
        for execution_id in [i for i in self._due if not wanted(i)]:
            self._count -= len(self._due.pop(execution_id))
        self._tidy()

    def _tidy(self) -> None:
        """Make the heap anew when most of it is not due any more."""
        if len(self._heap) > HEAP_SPARE + 2 * self._count:
            every = self._due.items()
            self._heap = [(due, i, timer) for i, timers in every for timer, due in timers.items()]
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
        """Fire no more."""
        self._heap.clear()
        self._due.clear()
        self._count = 0
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
