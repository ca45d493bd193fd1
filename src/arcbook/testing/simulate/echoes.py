"""Reports that come again when the command that they are of has gone on."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Final

from arcbook.bus.api import BusError
from arcbook.bus.memory import Exchange, MemoryBus
from arcbook.shards import shard_of
from arcbook.testing.simulate.faults import Faults
from arcbook.testing.simulate.loop import Process
from arcbook.wire.protocol import shard_subject

ECHO_SECONDS_MAX: Final = 0.3
"""Time after which an echo comes: while the next part of its command is at work."""

ECHOES_MAX: Final = 8
"""Echoes of one command: each is answered, and what is answered may lead to the next."""


class Echoes:
    """Remembers what was reported, and says it again at the worst of times.

    Args:
        faults: when it does.
        exchange: the bus on which it is said again.
        main: the process that does it.
        note: is told of it, for the trace: who and what.
    """

    def __init__(
        self, faults: Faults, exchange: Exchange, main: Process, note: Callable[[str, str], None]
    ) -> None:
        self._faults = faults
        self._exchange = exchange
        self._main = main
        self._note = note
        self._reports: dict[str, bytes] = {}
        self._checkpoints: dict[str, bytes] = {}
        self._echoes: Counter[str] = Counter()

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
        faults = self._faults
        if self._echoes[command_id] < ECHOES_MAX and faults.strikes(
            "echo", f"what was said of {command_id} comes again"
        ):
            self._echoes[command_id] += 1
            self._note("bus", f"! what was said of {command_id} comes again")
            seconds = faults.rng.random() ** 4 * ECHO_SECONDS_MAX
            self._main.run(self._again(shard_subject(shard_of(execution_id)), body, seconds))

    async def _again(self, subject: str, body: bytes, seconds: float) -> None:
        await asyncio.sleep(seconds)
        with contextlib.suppress(BusError):
            await MemoryBus(self._exchange).request(subject, body, 5.0)
