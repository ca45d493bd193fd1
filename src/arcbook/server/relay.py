"""Telling workers: what is to be done, and what is to be stopped.

The store is the outbox. What was told and is not claimed after a while is told again, so a
bus that forgets, or was away, costs time and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from arcbook.bus.api import BusError, Message
from arcbook.logs import events as logged
from arcbook.server.guard import ServerBus
from arcbook.store.api import CommandRow
from arcbook.supervision import Errands
from arcbook.wire.protocol import (
    ENCODER,
    CommandNotice,
    StopNotice,
    Stopping,
    control_subject,
)

AGAIN_US: Final = 5_000_000
"""Time after which a command that nobody claimed is told again, for the first time."""

BATCH_MAX: Final = 1000
"""Messages of one publication."""

log = logging.getLogger(__name__)


class BusRelay:
    """Publishes what the owner gives out, in batches, behind its back."""

    def __init__(self, bus: ServerBus, server_id: str) -> None:
        self._bus = bus
        self._server_id = server_id
        self._rows: list[CommandRow] = []
        self._wake = asyncio.Event()
        self._telling = Errands("notices to workers")
        self._round = 0
        #: Whether the last publication failed: then all of it is told again soon.
        self.is_down = False

    def publish(self, rows: Iterable[CommandRow]) -> None:
        """Tell pools that there are commands."""
        self._rows += rows
        self._wake.set()

    def stop(self, worker: str, rows: list[CommandRow]) -> None:
        """Tell a worker to stop the tools of some commands."""
        stopping = [Stopping(row.command_id, row.generation, row.attempt) for row in rows]
        body = ENCODER.encode(StopNotice(commands=stopping))
        self._telling.start(self._tell(control_subject(worker), body))

    async def _tell(self, subject: str, body: bytes) -> None:
        try:
            await self._bus.tell(subject, body)
        except BusError as error:
            log.warning(logged.WORKER_UNTOLD, {"reason": error})

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._rows:
                rows, self._rows = self._rows[:BATCH_MAX], self._rows[BATCH_MAX:]
                await self._publish(rows)

    async def _publish(self, rows: list[CommandRow]) -> None:
        self._round += 1
        try:
            await self._bus.publish([self._message(row) for row in rows])
        except BusError as error:
            if not self.is_down:
                log.warning(logged.OUTBOX_WAITS, {"reason": error})
            self.is_down = True
        else:
            self.is_down = False

    def _message(self, row: CommandRow) -> Message:
        notice = CommandNotice(
            execution_id=row.execution_id,
            command_id=row.command_id,
            generation=row.generation,
            attempt=row.attempt,
            server=self._server_id,
        )
        # Told again means that the first was lost: its id must not make this a duplicate.
        message_id = f"{row.command_id}:{row.generation}:{row.attempt}:{self._round}"
        return Message(row.pool, row.execution_id, message_id, ENCODER.encode(notice))

    @property
    def patience_us(self) -> int:
        """Age from which an unclaimed command is published again; 0 after the bus was away."""
        return 0 if self.is_down else AGAIN_US
