"""Notices to workers: which commands to claim, and which to stop.

The store is the outbox. A command that stays unclaimed is announced again, so a bus that loses
messages or is unreachable costs only time.
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
"""Age after which an unclaimed command is announced again for the first time."""

BATCH_MAX: Final = 1000
"""Messages in one publication."""

log = logging.getLogger(__name__)


class BusRelay:
    """Publish issued commands to the bus in the background, in batches."""

    def __init__(self, bus: ServerBus, server_id: str) -> None:
        self._bus = bus
        self._server_id = server_id
        self._rows: list[CommandRow] = []
        self._wake = asyncio.Event()
        self._telling = Errands("notices to workers")
        self._round = 0
        #: Whether the last publication failed; if so, all commands are announced again soon.
        self.is_down = False

    def publish(self, rows: Iterable[CommandRow]) -> None:
        """Announce commands to their pools."""
        self._rows += rows
        self._wake.set()

    def stop(self, worker: str, rows: list[CommandRow]) -> None:
        """Tell a worker to stop the tools of some commands."""
        stopping = [Stopping(row.command_id, row.generation, row.attempt) for row in rows]
        body = ENCODER.encode(StopNotice(commands=stopping))
        self._soon(worker, body)

    def take_over(self, rows: Iterable[CommandRow]) -> None:
        """Tell workers that this server now owns the commands they hold."""
        by_worker: dict[str, list[str]] = {}
        for row in rows:
            by_worker.setdefault(row.worker, []).append(row.command_id)
        for worker, owned in by_worker.items():
            self._soon(worker, ENCODER.encode(StopNotice(owner=self._server_id, owned=owned)))

    def _soon(self, worker: str, body: bytes) -> None:
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
        # A repeated notice needs a new id, or the bus would drop it as a duplicate.
        message_id = f"{row.command_id}:{row.generation}:{row.attempt}:{self._round}"
        return Message(row.pool, row.execution_id, message_id, ENCODER.encode(notice))

    @property
    def patience_us(self) -> int:
        """Age from which an unclaimed command is announced again; 0 after a failed publication."""
        return 0 if self.is_down else AGAIN_US
