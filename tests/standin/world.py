"""What the stand-in remembers between requests, and how fast it is."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, Final

import msgspec

RECENT_EVENTS: Final = 50


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How delays and limits of the original are scaled."""

    #: Pages that the original delays by seconds.
    pages: float = 1.0
    #: Calls that ask for a delay: the concurrency probe.
    probes: float = 1.0
    #: Requests a second that are allowed, where a limit only protects the original.
    rates: float = 1.0


class World:
    """The state of one stand-in."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.failed_pages: set[str] = set()
        self.windows: dict[str, deque[float]] = {}
        self.objects: dict[str, dict[str, int]] = {}
        self.echo_is_on = True
        self.probe = Probe()

    def fails_first(self, page: str) -> bool:
        """Return whether this is the first request ever for a page that fails once."""
        is_first = page not in self.failed_pages
        self.failed_pages.add(page)
        return is_first

    def is_over_rate(self, name: str, per_second: float) -> bool:
        """Count a request, and return whether it is one too many within a second."""
        now = time.monotonic()
        window = self.windows.setdefault(name, deque())
        while window and window[0] <= now - 1:
            window.popleft()
        if len(window) >= per_second:
            return True
        window.append(now)
        return False


class Probe:
    """Counts how many calls are under way at once."""

    def __init__(self) -> None:
        self.started = self.completed = self.active = self.max_active = 0
        self.recent: deque[dict[str, Any]] = deque(maxlen=RECENT_EVENTS)

    def stats(self) -> dict[str, Any]:
        """Return the counts."""
        return {
            "started": self.started,
            "completed": self.completed,
            "active": self.active,
            "max_active": self.max_active,
        }

    async def call(self, delay_seconds: float, label: str, factor: float) -> dict[str, Any]:
        """Take some time, and return what went on meanwhile."""
        self.started += 1
        self.active += 1
        self.max_active = max(self.max_active, self.active)
        began, at_start, number = time.monotonic(), self.active, self.started
        self.recent.append({"event": "start", "label": label, "active": self.active})
        try:
            await asyncio.sleep(delay_seconds * factor)
        finally:
            self.active -= 1
            self.completed += 1
            self.recent.append({"event": "end", "label": label, "active": self.active})
        return {
            "request_id": number,
            "label": label,
            "delay_seconds": delay_seconds,
            "duration_seconds": round(time.monotonic() - began, 6),
            "active_at_start": at_start,
            **self.stats(),
        }
