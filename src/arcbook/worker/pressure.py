"""How many commands a worker may perform at once, by how it fares: pure arithmetic."""

from __future__ import annotations

from typing import Final

LAG_SECONDS_MAX: Final = 0.1
"""Lag of the event loop above which there is too much to do at once ..."""

LAG_SECONDS_CALM: Final = 0.03
"""... and below which there is room for more."""

MEMORY_MAX: Final = 0.92
"""Part of the memory that may be in use ..."""

MEMORY_CALM: Final = 0.85
"""... and below which there is room for more."""

LOWERED_TO: Final = 0.7
"""Part that is left of the number when it is lowered."""

CALM_SAMPLES: Final = 4
"""Calm looks in a row before the number is raised."""

RAISED_BY: Final = 0.1
"""Part of the highest number by which it is raised, at a time."""


class Pressure:
    """The number of commands at once: lowered quickly under pressure, raised slowly in calm.

    Args:
        most: the highest number, where it begins.
        least: the lowest; with it a worker always makes progress.
    """

    def __init__(self, most: int, least: int = 1) -> None:
        if not 1 <= least <= most:
            raise ValueError(f"at least {least} and at most {most} commands at once cannot be")
        self._most = most
        self._least = least
        self._calm = 0
        self.limit = most

    def look(self, lag_seconds: float, memory_used: float) -> int:
        """Take what was measured, and return how many commands may go on at once.

        Args:
            lag_seconds: how late the event loop came back to a task that slept.
            memory_used: the part of the memory that is in use, 0 to 1.
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
