"""Start the executions of schedules: each tick once, no matter how many servers see it."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from typing import Any, Final, Protocol

from arcbook.clock import Clock
from arcbook.dsl.load import InvalidPlaybookError
from arcbook.logs import events as logged
from arcbook.owner.drive import LostOwnershipError
from arcbook.owner.plans import Planned, Plans, PlaybookMissingError
from arcbook.schedules import MICROSECONDS, ScheduleError, due
from arcbook.store.api import ClusterStore, LostServerError, ScheduleRow, StoreError, Tick

LOOK_SECONDS: Final = 0.5
"""Time between two checks for due schedules."""

DUE_MAX: Final = 500
"""Schedules started together."""

log = logging.getLogger(__name__)


class Starter(Protocol):
    """Port: starts executions. A ``Server`` implements it."""

    clock: Clock
    store: ClusterStore
    plans: Plans

    async def start(
        self, planned: Planned, payload: dict[str, Any], *, tick: Tick | None, **facts: Any
    ) -> int:
        """Start an execution in the commit that takes its tick; return its id."""


class Scheduler:
    """Starts executions of due schedules.

    The tick is part of the commit that starts the execution, fenced by the time the schedule
    waited for: if two servers see it, only one of them starts it.
    """

    def __init__(self, server: Starter) -> None:
        self._server = server

    async def run(self) -> None:
        """Check for due schedules until cancelled."""
        while True:
            try:
                await self.look()
            except StoreError as error:
                log.warning(logged.SCHEDULES_UNREADABLE, {"reason": error})
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Start all due schedules."""
        count = DUE_MAX
        while count == DUE_MAX:
            now = self._server.clock.now_us()
            rows = await self._server.store.due_schedules(now, DUE_MAX)
            count = len(rows)
            # Concurrently, so that the drive loop commits them in one group.
            done = await asyncio.gather(
                *(self._tick(row, now) for row in rows), return_exceptions=True
            )
            for error in done:
                if isinstance(error, BaseException):
                    raise error
            if not any(done):
                return  # another server started them, or none can start

    async def _tick(self, row: ScheduleRow, now: int) -> bool:
        """Start a due schedule; return whether this moved the schedule on."""
        server, next_at = self._server, 0
        try:
            due_at, next_at = due(row, now)
            if not due_at:
                return await self._skip(row, next_at)
            planned = await server.plans.find(row.path, row.version)
            moment = dt.datetime.fromtimestamp(due_at / MICROSECONDS, dt.UTC)
            await server.start(
                planned,
                row.payload,
                tick=Tick(row.name, row.next_at, next_at),
                pool=row.pool,
                labels=_labels(row, moment.isoformat()),
            )
        except (LostOwnershipError, LostServerError):
            return False  # another server was or will be first
        except (PlaybookMissingError, InvalidPlaybookError, ScheduleError) as error:
            log.warning(logged.SCHEDULE_FAILED, {"schedule": row.name, "reason": error})
            return await self._skip(row, next_at)
        return True

    async def _skip(self, row: ScheduleRow, next_at: int) -> bool:
        """Move on to the next time, unless another server did."""
        return await self._server.store.skip_tick(Tick(row.name, row.next_at, next_at))


def _labels(row: ScheduleRow, scheduled_at: str) -> dict[str, str]:
    labels = {"schedule": row.name, "scheduled_at": scheduled_at}
    owner = {"tenant": row.tenant, "organization": row.organization}
    return labels | {name: value for name, value in owner.items() if value}
