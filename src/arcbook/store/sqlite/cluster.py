"""Outstanding commands, servers and their shards, workers and schedules."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import msgspec

from arcbook.clock import Clock, SystemClock
from arcbook.ids import MACHINE_MAX
from arcbook.shards import SHARDS, shard_of
from arcbook.store.api import (
    PAGE_MAX,
    Change,
    CommandRow,
    LeaseState,
    LostServerError,
    ScheduleRow,
    ServerRow,
    Tick,
    WorkerRow,
    ids_of,
)
from arcbook.store.leases import lease_state, share_of
from arcbook.store.sqlite.statements import Statements, translated

_ENCODER: Final = msgspec.json.Encoder()
_WORKER: Final = msgspec.json.Decoder(WorkerRow)
_SCHEDULE: Final = msgspec.json.Decoder(ScheduleRow)


class SqliteCluster(Statements):
    """The part of the store for servers; all processes share the machine's clock."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        super().__init__(path)
        self._clock = clock or SystemClock()

    # -- commands ---------------------------------------------------------------------

    def _is_still_so(self, db: sqlite3.Connection, change: Change) -> bool:
        """Return whether the writer owns the shard and the claims, tick and key are free."""
        if change.owner:
            shard = (shard_of(change.execution_id),)
            if db.execute(self._sql["get_owner"], shard).fetchone() != (change.owner,):
                return False
        for claim in change.claims:
            expected = (claim.command_id, claim.generation, claim.attempt)
            if db.execute(self._sql["is_pending"], expected).fetchone() is None:
                return False
        if change.key is not None:
            wanted_key = (change.key.path, change.key.key, change.key.at)
            if db.execute(self._sql["get_key"], wanted_key).fetchone() is not None:
                return False
        if change.tick is None:
            return True
        due = (change.tick.name, change.tick.due_at)
        return db.execute(self._sql["is_due"], due).fetchone() is not None

    def _put_commands(self, db: sqlite3.Connection, change: Change) -> None:
        sql, tick = self._sql, change.tick
        db.executemany(sql["delete_command"], [(command_id,) for command_id in change.done])
        db.executemany(sql["put_command"], change.issued)
        db.executemany(sql["claim"], [(c.worker, c.command_id) for c in change.claims])
        if change.key is not None:
            path, key, _, expires_at = change.key
            db.execute(sql["put_key"], (path, key, change.execution_id, expires_at))
        if tick is not None:
            db.execute(sql["tick"], (tick.next_at, tick.due_at, change.execution_id, tick.name))

    async def commands(
        self, shards: Collection[int] | None = None, *, after: str = "", limit: int = PAGE_MAX
    ) -> list[CommandRow]:
        limit = min(limit, PAGE_MAX)
        rows: list[CommandRow] = []
        while len(rows) < limit:
            page = [CommandRow(*row) for row in self._all("get_commands", after, PAGE_MAX)]
            rows += [c for c in page if shards is None or shard_of(c.execution_id) in shards]
            if len(page) < PAGE_MAX:
                break
            after = page[-1].command_id
        return rows[:limit]

    async def commands_of(
        self, execution_id: int, *, after: str = "", limit: int = PAGE_MAX
    ) -> list[CommandRow]:
        between = ids_of(execution_id, after)
        rows = self._all("get_commands_of", *between, min(limit, PAGE_MAX))
        return [CommandRow(*row) for row in rows]

    async def backlog(self) -> dict[str, tuple[int, int]]:
        return {pool: (pending, claimed) for pool, pending, claimed in self._all("backlog")}

    # -- servers ----------------------------------------------------------------------

    async def join(self, row: ServerRow, seconds: float) -> ServerRow:
        db, sql = self._db, self._sql
        with translated(self._path), self._transaction(db):
            now = self._clock.now_us()
            db.execute(sql["bury_servers"], (now,))
            db.execute(sql["delete_server"], (row.server_id,))
            taken = {machine for (machine,) in db.execute(sql["get_machines"])}
            joined = msgspec.structs.replace(
                row,
                machine=next(n for n in range(MACHINE_MAX + 1) if n not in taken),
                started_at=now,
                expires_at=now + _microseconds(seconds),
            )
            db.execute(sql["put_server"], msgspec.structs.astuple(joined))
        return joined

    async def renew_lease(self, server_id: str, seconds: float) -> LeaseState:
        db, sql = self._db, self._sql
        with translated(self._path), self._transaction(db):
            now = self._clock.now_us()
            db.execute(sql["bury_servers"], (now,))
            extended = (now + _microseconds(seconds), server_id)
            known = db.execute(sql["extend_server"], extended).rowcount
            if known:
                (servers,) = db.execute(sql["count_servers"]).fetchone()
                return lease_state(self._take_shards(db, server_id, share_of(servers)), servers)
        raise LostServerError(f"server {server_id} is no longer registered")

    def _take_shards(self, db: sqlite3.Connection, server_id: str, share: int) -> list[int]:
        owners: dict[int, str] = dict(db.execute(self._sql["get_owned"]).fetchall())
        mine = sorted(shard for shard, owner in owners.items() if owner == server_id)
        free = [shard for shard in range(SHARDS) if shard not in owners]
        taken = free[: max(0, share - len(mine))]
        db.executemany(self._sql["take_shard"], [(server_id, shard) for shard in taken])
        return sorted(mine + taken)

    async def release(self, server_id: str, shards: Collection[int]) -> None:
        db = self._db
        with translated(self._path), self._transaction(db):
            db.executemany(self._sql["release_shard"], [(server_id, shard) for shard in shards])

    async def leave(self, server_id: str) -> None:
        await self.release(server_id, range(SHARDS))
        self._write("delete_server", server_id)

    async def servers(self) -> list[ServerRow]:
        rows = self._all("get_servers", self._clock.now_us())
        fields = ServerRow.__struct_fields__
        return [ServerRow(**dict(zip(fields, row, strict=True))) for row in rows]

    # -- workers ----------------------------------------------------------------------

    async def put_worker(self, row: WorkerRow) -> None:
        now = self._clock.now_us()
        self._write("put_worker", row.worker_id, now, now, _ENCODER.encode(row))

    async def workers(self, seen_within: float) -> list[WorkerRow]:
        rows = self._all("get_workers", self._clock.now_us() - _microseconds(seen_within))
        return [
            msgspec.structs.replace(_WORKER.decode(body), started_at=started_at, seen_at=seen_at)
            for started_at, seen_at, body in rows
        ]

    async def delete_worker(self, worker_id: str) -> None:
        self._write("delete_worker", worker_id)

    # -- schedules --------------------------------------------------------------------

    async def put_schedule(self, row: ScheduleRow) -> None:
        times = (row.next_at, row.last_at, row.last_execution_id)
        self._write("put_schedule", row.name, row.paused, *times, _ENCODER.encode(row))

    async def schedules(
        self, *, after: str = "", limit: int = PAGE_MAX, tenant: str = "", organization: str = ""
    ) -> list[ScheduleRow]:
        owner = (tenant, tenant, organization, organization)
        rows = self._all("get_schedules", after, *owner, min(limit, PAGE_MAX))
        return [_schedule(row) for row in rows]

    async def schedule(self, name: str) -> ScheduleRow | None:
        rows = self._all("get_schedule", name)
        return _schedule(rows[0]) if rows else None

    async def due_schedules(self, at: int, limit: int = PAGE_MAX) -> list[ScheduleRow]:
        rows = self._all("get_due_schedules", at, min(limit, PAGE_MAX))
        return [_schedule(row) for row in rows]

    async def skip_tick(self, tick: Tick) -> bool:
        return self._write("skip_tick", tick.next_at, tick.name, tick.due_at) > 0

    async def delete_schedule(self, name: str) -> bool:
        return self._write("delete_schedule", name) > 0


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
