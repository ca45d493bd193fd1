"""How late the event loop is: what holds it up holds up heartbeats and health as well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

LOOK_SECONDS: Final = 0.05
"""Time between two looks."""

LATE_SECONDS: Final = 0.05
"""By how much a loop should never be late."""


class Lateness:
    """Looks by how much later than it asked for it has its turn."""

    def __init__(self) -> None:
        self._told: list[Callable[[float], None]] = []

    def on_look(self, told: Callable[[float], None]) -> None:
        """Have somebody told of each look: by how many seconds the loop was late."""
        self._told.append(told)

    async def run(self) -> None:
        """Look until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_at = loop.time() + LOOK_SECONDS
            await asyncio.sleep(LOOK_SECONDS)
            late = max(0.0, loop.time() - due_at)
            for told in self._told:
                told(late)
