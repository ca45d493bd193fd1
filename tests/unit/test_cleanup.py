"""A clean-up takes what ended long ago, with all that is of it and nothing else."""

from __future__ import annotations

from arcbook.blobs.memory import MemoryBlobs
from arcbook.server.cleanup import EVER_SECONDS, Cleanup
from arcbook.store.api import PAGE_MAX, ExecutionFilter, WorkerRow
from arcbook.store.memory import MemoryStore
from arcbook.testing.clock import START_US
from arcbook.testing.contracts.store import change, event, row

BEFORE_US = START_US


class Kept:
    """A store and its blobs, and what a clean-up leaves of them."""

    def __init__(self):
        self.store = MemoryStore()
        self.blobs = MemoryBlobs()

    async def add(self, execution_id, *, ended_at, parent=0):
        facts = {"ended_at": ended_at, "parent_execution_id": parent}
        kept = row(execution_id, status="COMPLETED" if ended_at else "RUNNING", **facts)
        await self.store.commit([change(execution_id, 0, [event(1)], row=kept)])
        await self.blobs.put(f"{execution_id}/s/1", b"x")

    async def purge(self, *, dry_run=False, limit=100_000):
        return await Cleanup(self.store, self.blobs).purge(BEFORE_US, limit, dry_run=dry_run)

    async def left(self):
        rows = await self.store.executions(ExecutionFilter())
        return sorted(found.execution_id for found in rows)


async def test_what_ended_before_goes_and_what_runs_or_ended_since_stays():
    kept = Kept()
    for execution_id, ended_at in ((1, BEFORE_US - 1), (2, BEFORE_US), (3, 0)):
        await kept.add(execution_id, ended_at=ended_at)

    assert (await kept.purge()).executions == 1
    assert await kept.left() == [2, 3]


async def test_a_child_stays_as_long_as_its_parent():
    kept = Kept()
    await kept.add(1, ended_at=BEFORE_US)
    await kept.add(2, ended_at=1, parent=1)
    await kept.add(3, ended_at=1)
    await kept.add(4, ended_at=1, parent=3)
    await kept.add(5, ended_at=1, parent=99)  # which is gone

    assert (await kept.purge()).executions == 3
    assert await kept.left() == [1, 2]


async def test_the_blobs_of_an_execution_go_with_it_and_no_others():
    kept = Kept()
    await kept.add(1, ended_at=1)
    await kept.add(11, ended_at=0)

    await kept.purge()

    assert await kept.blobs.delete("1/") == 0
    assert await kept.blobs.get("11/s/1") == b"x"


async def test_what_is_old_is_found_behind_pages_of_what_stays():
    kept = Kept()
    await kept.add(1, ended_at=1)
    for execution_id in range(2, PAGE_MAX + 3):
        await kept.add(execution_id, ended_at=0)

    found = await kept.purge()

    assert (found.executions, found.more) == (1, False)
    assert await kept.store.execution(1) is None


async def test_a_dry_run_forgets_no_worker(monkeypatch):
    monkeypatch.setattr("arcbook.server.cleanup.WORKER_GONE_SECONDS", -1.0)
    kept = Kept()
    await kept.store.put_worker(WorkerRow(worker_id="gone", pools=["x"], capacity=1))

    assert (await kept.purge(dry_run=True)).workers == 1
    assert len(await kept.store.workers(EVER_SECONDS)) == 1
    assert (await kept.purge()).workers == 1
    assert await kept.store.workers(EVER_SECONDS) == []
