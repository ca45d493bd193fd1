"""Rate limits: a token bucket for each caller."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from arcbook.clock import Clock

BURST_SECONDS: Final = 2.0
"""A bucket holds the requests of this many seconds."""

CALLERS_MAX: Final = 10_000
"""Buckets kept; an evicted caller starts with a full bucket."""


class RateLimit:
    """Counts the requests of each caller.

    Args:
        clock: the source of time.
        per_second: average requests of one caller per second; 0 sets no limit.
    """

    def __init__(self, clock: Clock, per_second: float) -> None:
        self._clock = clock
        self._rate = per_second
        self._size = max(1.0, per_second * BURST_SECONDS)
        self._buckets: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def has_room(self, caller: str) -> bool:
        """Return whether a request would be within the limit, without counting it."""
        return not self._rate or self._level(caller) >= 1.0

    def take(self, caller: str) -> bool:
        """Count a request; return whether it is within the limit."""
        if not self._rate:
            return True
        level = self._level(caller)
        is_within = level >= 1.0
        self._buckets[caller] = (level - is_within, self._clock.monotonic_us())
        self._buckets.move_to_end(caller)
        while len(self._buckets) > CALLERS_MAX:
            self._buckets.popitem(last=False)
        return is_within

    def _level(self, caller: str) -> float:
        now = self._clock.monotonic_us()
        level, at = self._buckets.get(caller, (self._size, now))
        return min(self._size, level + (now - at) / 1_000_000 * self._rate)
