"""The clock, injected so that tests and simulations can control time."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A source of wall-clock and monotonic time."""

    def now_us(self) -> int:
        """Return the wall-clock time, in microseconds since the epoch."""

    def monotonic_us(self) -> int:
        """Return the time of a clock that never goes back, in microseconds."""


class SystemClock:
    """The machine's clocks."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic_us(self) -> int:
        return time.monotonic_ns() // 1000
