"""Starting what schedules ask for: each tick once, whichever server sees it first."""

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
"""Time between two looks for schedules that are due."""

DUE_MAX: Final = 500
"""Schedules that are started together."""

log = logging.getLogger(__name__)


class Starter(Protocol):
    """What starts executions: a server."""

    clock: Clock
    store: ClusterStore
    plans: Plans

    async def start(
        self, planned: Planned, payload: dict[str, Any], *, tick: Tick | None, **facts: Any
    ) -> int:
        """Start an execution in the commit that takes its tick; return its id."""


class Scheduler:
    """Looks which schedules are due.

    The tick is part of the commit that starts the execution, and fenced by the time that
    the schedule waited for: of two servers that see it, one starts it.
    """

    def __init__(self, server: Starter) -> None:
        self._server = server

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except StoreError as error:
                log.warning(logged.SCHEDULES_UNREADABLE, {"reason": error})
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Start what is due."""
        found = DUE_MAX
        while found == DUE_MAX:
            now = self._server.clock.now_us()
            rows = await self._server.store.due_schedules(now, DUE_MAX)
            found = len(rows)
            # All of them at once: the drive loop commits together what comes together.
            done = await asyncio.gather(
                *(self._tick(row, now) for row in rows), return_exceptions=True
            )
            for error in done:
                if isinstance(error, BaseException):
                    raise error
            if not any(done):
                return  # another server is at it, or nothing can start

    async def _tick(self, row: ScheduleRow, now: int) -> bool:
        """Start what is due; return whether the schedule goes on by it."""
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
            return False  # another server was first, or will be
        except (PlaybookMissingError, InvalidPlaybookError, ScheduleError) as error:
            log.warning(logged.SCHEDULE_FAILED, {"schedule": row.name, "reason": error})
            return await self._skip(row, next_at)
        return True

    async def _skip(self, row: ScheduleRow, next_at: int) -> bool:
        """Wait for the next time, unless another server was first."""
        return await self._server.store.skip_tick(Tick(row.name, row.next_at, next_at))


def _labels(row: ScheduleRow, scheduled_at: str) -> dict[str, str]:
    labels = {"schedule": row.name, "scheduled_at": scheduled_at}
    owner = {"tenant": row.tenant, "organization": row.organization}
    return labels | {name: value for name, value in owner.items() if value}
