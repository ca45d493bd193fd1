"""Lateness of the event loop: whatever delays it also delays heartbeats and health checks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

LOOK_SECONDS: Final = 0.05
"""Time between two samples."""

LATE_SECONDS: Final = 0.05
"""Lateness that a loop should never exceed."""


class Lateness:
    """Measures how late the loop resumes a task that slept."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[float], None]] = []

    def on_look(self, listener: Callable[[float], None]) -> None:
        """Call a function with each sample, in seconds."""
        self._listeners.append(listener)

    async def run(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_at = loop.time() + LOOK_SECONDS
            await asyncio.sleep(LOOK_SECONDS)
            late = max(0.0, loop.time() - due_at)
            for listener in self._listeners:
                listener(late)
