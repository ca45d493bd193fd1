"""Reports that come again when the command that they are of has gone on."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from arcbook.bus.api import BusError
from arcbook.bus.memory import MemoryBus
from arcbook.runtime.protocol import shard_subject
from arcbook.shards import shard_of

if TYPE_CHECKING:
    from arcbook.testing.simulate.world import World

ECHO_SECONDS_MAX: Final = 0.3
"""Time after which an echo comes: while the next part of its command is at work."""


class Echoes:
    """Remembers what was reported, and says it again at the worst of times."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._reports: dict[str, bytes] = {}
        self._checkpoints: dict[str, bytes] = {}

    def heard(self, command_id: str, body: bytes) -> None:
        """Remember the request with a report of a command."""
        self._reports[command_id] = body

    def recorded(self, execution_id: int, command_id: str, body: bytes) -> None:
        """Say again what was recorded of a command before, now that it has recorded more."""
        before = self._checkpoints.get(command_id)
        self._checkpoints[command_id] = body
        if before is not None and before != body:
            self._strike(execution_id, command_id, before)

    def goes_on(self, execution_id: int, command_id: str) -> None:
        """Say again what was reported of a command that a worker was given anew."""
        body = self._reports.get(command_id)
        if body is not None:
            self._strike(execution_id, command_id, body)

    def _strike(self, execution_id: int, command_id: str, body: bytes) -> None:
        faults = self._world.faults
        if faults.strikes("echo", f"what was said of {command_id} comes again"):
            self._world.note("bus", f"! what was said of {command_id} comes again")
            seconds = faults.rng.random() ** 4 * ECHO_SECONDS_MAX
            self._world.main.run(self._again(shard_subject(shard_of(execution_id)), body, seconds))

    async def _again(self, subject: str, body: bytes, seconds: float) -> None:
        await asyncio.sleep(seconds)
        with contextlib.suppress(BusError):
            await MemoryBus(self._world.exchange).request(subject, body, 5.0)
