"""Retention: delete executions that ended long ago and workers that are gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from arcbook.blobs.api import Blobs
from arcbook.ids import first_id_at
from arcbook.store.api import PAGE_MAX, ClusterStore, ExecutionFilter, ExecutionRow

SCAN_MAX: Final = 20_000
"""Executions that one call examines, deleted or not."""

WORKER_GONE_SECONDS: Final = 3600.0
"""Silence after which a worker that never signed off is deleted."""

EVER_SECONDS: Final = 100 * 366 * 86400.0


class Purged(NamedTuple):
    """What was deleted, or would be in a dry run."""

    executions: int
    workers: int
    #: Whether the call reached its limit, so that there may be more to delete.
    more: bool


class Cleanup:
    """Deletes old rows of one store, with the blobs they refer to."""

    def __init__(self, store: ClusterStore, blobs: Blobs) -> None:
        self._store = store
        self._blobs = blobs
        self._looked_at = 0

    async def purge(self, before_us: int, limit: int, *, dry_run: bool) -> Purged:
        """Delete up to ``limit`` executions that ended before a time.

        A partitioned store also drops each month in which every execution has ended.
        """
        self._looked_at = 0
        executions = 0
        partitions = self._store.partitions
        if not dry_run and partitions is not None:
            executions += await partitions.retention(before_us)
        singly = 0
        async for row in self._aged(before_us):
            singly += 1
            if not dry_run:
                await self._store.delete_execution(row.execution_id)
                await self._blobs.delete(f"{row.execution_id}/")
            if singly == limit:
                break
        more = singly == limit or self._looked_at >= SCAN_MAX
        workers = await self._workers(dry_run=dry_run)
        return Purged(executions + singly, workers, more)

    async def _aged(self, before_us: int) -> AsyncIterator[ExecutionRow]:
        """Yield executions that ended before a time, children before their parents."""
        before = first_id_at(before_us)
        while self._looked_at < SCAN_MAX:
            page = await self._store.executions(ExecutionFilter(before=before, limit=PAGE_MAX))
            for row in page:
                if _is_aged(row, before_us) and not await self._is_needed(row, before_us):
                    yield row
            self._looked_at += len(page)
            if len(page) < PAGE_MAX:
                return
            before = page[-1].execution_id

    async def _is_needed(self, row: ExecutionRow, before_us: int) -> bool:
        """Return whether a parent that stays may still refer to the result of this child."""
        if not row.parent_execution_id:
            return False
        parent = await self._store.execution(row.parent_execution_id)
        return parent is not None and not _is_aged(parent, before_us)

    async def _workers(self, *, dry_run: bool) -> int:
        alive = {row.worker_id for row in await self._store.workers(WORKER_GONE_SECONDS)}
        rows = await self._store.workers(EVER_SECONDS)
        absent = [row.worker_id for row in rows if row.worker_id not in alive]
        if not dry_run:
            for worker_id in absent:
                await self._store.delete_worker(worker_id)
        return len(absent)


def _is_aged(row: ExecutionRow, before_us: int) -> bool:
    return 0 < row.ended_at < before_us
