"""Time, handed in from outside so that tests and simulations can own it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where a component asks for the time."""

    def now_us(self) -> int:
        """Return the wall clock, in microseconds since the epoch."""

    def monotonic_us(self) -> int:
        """Return a clock that never goes back, in microseconds since some moment."""


class SystemClock:
    """The machine's clocks."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic_us(self) -> int:
        return time.monotonic_ns() // 1000
