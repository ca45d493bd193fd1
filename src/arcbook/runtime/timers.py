"""Timers of all executions in one heap, whether the executions are in memory or not."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Mapping
from typing import Any

from arcbook.clock import Clock
from arcbook.events.types import CommandResumed, CommandSuspended, PlaybookStarted, StepEnter


def may_set_timer(event: Any) -> bool:
    """Return whether an event may have set, or ended, a timer of its execution."""
    if isinstance(event, (CommandSuspended, CommandResumed)):
        return True
    return isinstance(event, (StepEnter, PlaybookStarted)) and event.due_at is not None


class Timers:
    """Fires what is due. A timer that was replaced fires as well: who gets it looks again."""

    def __init__(self, clock: Clock, fire: Callable[[int, str], None]) -> None:
        self._clock = clock
        self._fire = fire
        self._heap: list[tuple[int, int, str]] = []
        self._handle: asyncio.TimerHandle | None = None
        self._due_at = 0

    def add(self, execution_id: int, timers: Mapping[str, int]) -> None:
        """Add timers: id and microseconds since the epoch."""
        for timer_id, due_at in timers.items():
            heapq.heappush(self._heap, (due_at, execution_id, timer_id))
        self._arm()

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
        fired: set[tuple[int, int, str]] = set()
        while self._heap and self._heap[0][0] <= now:
            timer = heapq.heappop(self._heap)
            if timer not in fired:
                fired.add(timer)
                self._fire(timer[1], timer[2])
        self._arm()

    def close(self) -> None:
        """Fire no more."""
        self._heap.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
