"""How many commands a worker may perform at once under its current load: pure arithmetic."""

from __future__ import annotations

from typing import Final

LAG_SECONDS_MAX: Final = 0.1
"""Lag of the event loop above which the limit is lowered ..."""

LAG_SECONDS_CALM: Final = 0.03
"""... and below which it may be raised."""

MEMORY_MAX: Final = 0.92
"""Fraction of the memory in use above which the limit is lowered ..."""

MEMORY_CALM: Final = 0.85
"""... and below which it may be raised."""

LOWERED_TO: Final = 0.7
"""Factor by which the limit is lowered."""

CALM_SAMPLES: Final = 4
"""Consecutive calm samples before the limit is raised."""

RAISED_BY: Final = 0.1
"""Fraction of the highest limit by which it is raised at a time."""


class Pressure:
    """The concurrency limit: lowered quickly under pressure, raised slowly in calm.

    Args:
        most: the highest limit, and the initial one.
        least: the lowest limit, so that a worker always makes progress.
    """

    def __init__(self, most: int, least: int = 1) -> None:
        if not 1 <= least <= most:
            raise ValueError(f"the limits must satisfy 1 <= {least} <= {most}")
        self._most = most
        self._least = least
        self._calm = 0
        self.limit = most

    def look(self, lag_seconds: float, memory_used: float) -> int:
        """Take a sample and return the new limit.

        Args:
            lag_seconds: how late the event loop resumed a task that slept.
            memory_used: the fraction of the memory in use, 0 to 1.
        """
        if lag_seconds > LAG_SECONDS_MAX or memory_used > MEMORY_MAX:
            self._calm = 0
            self.limit = max(self._least, int(self.limit * LOWERED_TO))
        elif lag_seconds < LAG_SECONDS_CALM and memory_used < MEMORY_CALM:
            self._calm += 1
            if self._calm >= CALM_SAMPLES:
                self._calm = 0
                step = max(1, int(self._most * RAISED_BY))
                self.limit = min(self._most, self.limit + step)
        else:
            self._calm = 0
        return self.limit
