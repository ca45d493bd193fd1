"""Outstanding commands, servers and their shards, workers and schedules."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import msgspec

from arcbook.ids import MACHINE_MAX
from arcbook.store.api import (
    PAGE_MAX,
    CommandRow,
    LeaseState,
    LostServerError,
    ScheduleRow,
    ServerRow,
    Tick,
    WorkerRow,
    ids_of,
)
from arcbook.store.leases import lease_state
from arcbook.store.postgres.statements import Statements

_ENCODER: Final = msgspec.json.Encoder()
_WORKER: Final = msgspec.json.Decoder(WorkerRow)
_SCHEDULE: Final = msgspec.json.Decoder(ScheduleRow)


class PostgresCluster(Statements):
    """The state that servers share."""

    async def commands(
        self, shards: Collection[int] | None = None, *, after: str = "", limit: int = PAGE_MAX
    ) -> list[CommandRow]:
        limit = min(limit, PAGE_MAX)
        if shards is None:
            rows = await self._all("get_all_commands", after, limit)
        else:
            rows = await self._all("get_commands", list(shards), after, limit)
        return [CommandRow(*row) for row in rows]

    async def commands_of(
        self, execution_id: int, *, after: str = "", limit: int = PAGE_MAX
    ) -> list[CommandRow]:
        between = ids_of(execution_id, after)
        rows = await self._all("get_commands_of", *between, min(limit, PAGE_MAX))
        return [CommandRow(*row) for row in rows]

    async def backlog(self) -> dict[str, tuple[int, int]]:
        return {pool: (pending, claimed) for pool, pending, claimed in await self._all("backlog")}

    # -- servers ----------------------------------------------------------------------

    async def join(self, row: ServerRow, seconds: float) -> ServerRow:
        joined = await self._one(
            "join", row.server_id, row.version, row.url, _microseconds(seconds), MACHINE_MAX
        )
        return ServerRow(**joined)

    async def renew_lease(self, server_id: str, seconds: float) -> LeaseState:
        lease = await self._one("beat", server_id, _microseconds(seconds))
        if lease is None:
            raise LostServerError(f"server {server_id} is no longer registered")
        return lease_state(lease["owned"], lease["alive"])

    async def release(self, server_id: str, shards: Collection[int]) -> None:
        await self._value("release", server_id, list(shards))

    async def leave(self, server_id: str) -> None:
        await self._value("leave", server_id)

    async def servers(self) -> list[ServerRow]:
        return [ServerRow(**row) for row in await self._all("get_servers")]

    # -- workers ----------------------------------------------------------------------

    async def put_worker(self, row: WorkerRow) -> None:
        await self._value("put_worker", row.worker_id, _ENCODER.encode(row))

    async def workers(self, seen_within: float) -> list[WorkerRow]:
        rows = await self._all("get_workers", _microseconds(seen_within))
        return [
            msgspec.structs.replace(_WORKER.decode(body), started_at=started_at, seen_at=seen_at)
            for started_at, seen_at, body in rows
        ]

    async def delete_worker(self, worker_id: str) -> None:
        await self._value("delete_worker", worker_id)

    # -- schedules --------------------------------------------------------------------

    async def put_schedule(self, row: ScheduleRow) -> None:
        times = (row.next_at, row.last_at, row.last_execution_id)
        await self._value("put_schedule", row.name, row.paused, *times, _ENCODER.encode(row))

    async def schedules(
        self, *, after: str = "", limit: int = PAGE_MAX, tenant: str = "", organization: str = ""
    ) -> list[ScheduleRow]:
        owner = (tenant, organization)
        rows = await self._all("get_schedules", after, min(limit, PAGE_MAX), *owner)
        return [_schedule(row) for row in rows]

    async def schedule(self, name: str) -> ScheduleRow | None:
        rows = await self._all("get_schedule", name)
        return _schedule(rows[0]) if rows else None

    async def due_schedules(self, at: int, limit: int = PAGE_MAX) -> list[ScheduleRow]:
        rows = await self._all("get_due_schedules", at, min(limit, PAGE_MAX))
        return [_schedule(row) for row in rows]

    async def skip_tick(self, tick: Tick) -> bool:
        return await self._value("skip_tick", *tick) is not None

    async def delete_schedule(self, name: str) -> bool:
        return await self._value("delete_schedule", name) is not None


def _microseconds(seconds: float) -> int:
    return int(seconds * 1_000_000)


def _schedule(row: Any) -> ScheduleRow:
    body, next_at, last_at, last_execution_id = row
    return msgspec.structs.replace(
        _SCHEDULE.decode(body),
        next_at=next_at,
        last_at=last_at,
        last_execution_id=last_execution_id,
    )
