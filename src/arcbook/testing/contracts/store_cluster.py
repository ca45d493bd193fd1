"""The contract of cluster stores, in addition to that of every store."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest

from arcbook.ids import MACHINE_MAX
from arcbook.shards import SHARDS, shard_of
from arcbook.store.api import (
    ClusterStore,
    FencedError,
    LostServerError,
    ServerRow,
    Tick,
    WorkerRow,
)
from arcbook.testing.contracts.store import StoreContract, change, event, row
from arcbook.testing.contracts.store_access import AccessContract
from arcbook.testing.contracts.store_commands import (
    CommandsContract,
    FencingContract,
    Opens,
    schedule,
)

LEASE: Final = 60.0
SHORT: Final = 0.05
"""A lease short enough to end during a test, in seconds."""

LONG: Final = 0.5
"""Time for operations of some milliseconds on a busy machine, in seconds."""


def server(server_id: str) -> ServerRow:
    """Return the row of a joining server."""
    return ServerRow(server_id=server_id, machine=-1, version="1", url=f"http://{server_id}")


class _Servers:
    """Servers and the shards they own."""

    async def test_servers_get_numbers_of_their_own(self, store: ClusterStore) -> None:
        first = await store.join(server("a"), LEASE)
        second = await store.join(server("b"), LEASE)
        assert (first.machine, second.machine) == (0, 1)
        assert (first.url, first.version) == ("http://a", "1")
        assert first.expires_at - first.started_at == int(LEASE * 1_000_000)

        await store.leave("a")
        third = await store.join(server("c"), LEASE)
        assert third.machine == 0 <= MACHINE_MAX
        assert await store.servers() == [second, third]

    async def test_servers_that_join_at_once_share_no_number(
        self, store: ClusterStore, opened: Opens
    ) -> None:
        stores = [store, await opened()]
        joined = await asyncio.gather(
            *(stores[i % 2].join(server(f"s{i}"), LEASE) for i in range(10))
        )
        assert sorted(s.machine for s in joined) == list(range(10))

    async def test_the_number_of_a_dead_server_is_free_again(self, store: ClusterStore) -> None:
        await store.join(server("a"), SHORT)
        await asyncio.sleep(SHORT * 1.5)

        assert (await store.join(server("b"), LEASE)).machine == 0

    async def test_one_server_owns_all_and_gives_up_what_is_beyond_its_share(
        self, store: ClusterStore
    ) -> None:
        await store.join(server("a"), LEASE)
        alone = await store.renew_lease("a", LEASE)
        assert alone == (frozenset(range(SHARDS)), frozenset(), 1)

        await store.join(server("b"), LEASE)
        assert (await store.renew_lease("b", LEASE)).shards == frozenset()
        crowded = await store.renew_lease("a", LEASE)
        assert len(crowded.excess) == SHARDS // 2
        assert crowded.excess < crowded.shards
        await store.release("b", crowded.shards)  # what is not its own, it cannot give up
        await store.release("a", crowded.excess)
        assert (await store.renew_lease("b", LEASE)).shards == crowded.excess
        assert (await store.renew_lease("a", LEASE)).shards == crowded.shards - crowded.excess

    async def test_shards_of_the_dead_are_taken(self, store: ClusterStore) -> None:
        await store.join(server("a"), LEASE)
        await store.renew_lease("a", SHORT)
        await store.join(server("b"), LEASE)
        await asyncio.sleep(SHORT * 1.5)

        taken = await store.renew_lease("b", LEASE)
        assert (len(taken.shards), taken.servers) == (SHARDS, 1)
        with pytest.raises(LostServerError):
            await store.renew_lease("a", LEASE)
        assert [s.server_id for s in await store.servers()] == ["b"]

    async def test_a_share_is_rounded_up(self, store: ClusterStore) -> None:
        for name in "abc":
            await store.join(server(name), LEASE)
        owned = [(await store.renew_lease(name, LEASE)).shards for name in "abc"]
        assert [len(shards) for shards in owned] == [22, 22, 20]
        assert len(frozenset().union(*owned)) == SHARDS

        await store.leave("b")
        assert [len((await store.renew_lease(name, LEASE)).shards) for name in "ac"] == [32, 32]

    async def test_an_unknown_server_is_told_so(self, store: ClusterStore) -> None:
        with pytest.raises(LostServerError):
            await store.renew_lease("nobody", LEASE)

    async def test_only_the_owner_of_a_shard_commits_to_it(self, store: ClusterStore) -> None:
        await store.join(server("a"), LEASE)
        await store.renew_lease("a", LEASE)
        started = change(1, 0, [event(1)], row=row(1), owner="a")
        await store.commit([started])

        with pytest.raises(FencedError) as fenced:
            await store.commit([change(1, 1, [event(2)], owner="b")])
        assert fenced.value.execution_ids == (1,)

        await store.commit([change(1, 1, [event(2)], owner="a")])
        assert len(await store.events(1)) == 2

    async def test_who_has_lost_a_shard_writes_nothing_even_if_nobody_else_has(
        self, store: ClusterStore
    ) -> None:
        await store.join(server("a"), SHORT)
        await store.renew_lease("a", SHORT)
        await store.commit([change(1, 0, [event(1)], row=row(1), owner="a")])
        await store.join(server("b"), LEASE)
        await asyncio.sleep(SHORT * 1.5)
        assert shard_of(1) in (await store.renew_lease("b", LEASE)).shards

        for late in (change(1, 1, [event(2)], owner="a"), change(1, 1, [], owner="a")):
            with pytest.raises(FencedError) as fenced:
                await store.commit([late])
            assert fenced.value.execution_ids == (1,)

        await store.commit([change(1, 1, [event(2)], owner="b")])
        assert len(await store.events(1)) == 2


class _Workers:
    """The registry of workers."""

    async def test_workers_are_seen_for_a_while(self, store: ClusterStore) -> None:
        one = WorkerRow(worker_id="b", pools=["main"], capacity=4, kinds=["http"], pid=7)
        await store.put_worker(one)
        await store.put_worker(WorkerRow(worker_id="a", pools=[], capacity=1))
        await asyncio.sleep(LONG)
        await store.put_worker(WorkerRow(worker_id="b", pools=["gpu"], capacity=4, held=2))

        everyone = await store.workers(LEASE)
        assert [w.worker_id for w in everyone] == ["a", "b"]
        worker = everyone[1]
        assert (worker.pools, worker.held) == (["gpu"], 2)
        assert worker.seen_at - worker.started_at >= int(LONG / 2 * 1_000_000)
        assert [w.worker_id for w in await store.workers(LONG / 2)] == ["b"]

        await store.delete_worker("b")
        await store.delete_worker("nobody")
        assert [w.worker_id for w in await store.workers(LEASE)] == ["a"]


class _Schedules:
    """Schedules and their ticks."""

    async def test_schedules_are_listed_by_their_owner(self, store: ClusterStore) -> None:
        owners = {"a": ("t", "o"), "b": ("t", "p"), "c": ("u", "o"), "d": ("", "")}
        rows = [
            schedule(name, tenant=tenant, organization=organization, payload={"tenant": "x"})
            for name, (tenant, organization) in owners.items()
        ]
        for one in rows:
            await store.put_schedule(one)

        async def names(**filters: Any) -> str:
            return "".join([one.name for one in await store.schedules(**filters)])

        assert await names() == "abcd"
        assert await names(tenant="t") == "ab"
        assert await names(organization="o") == "ac"
        assert await names(tenant="t", organization="o") == "a"
        assert await names(tenant="t", limit=1, after="a") == "b"
        assert await names(tenant="x") == ""

    async def test_schedules_are_put_replaced_listed_and_deleted(self, store: ClusterStore) -> None:
        one = schedule("b", payload={"x": [1, "\x00é", None]}, version=3, next_at=9)
        two = schedule("b", cron="", every_seconds=1.5, paused=True, next_at=4, last_at=2)
        for stored in (one, schedule("a"), two):
            await store.put_schedule(stored)

        assert await store.schedules() == [schedule("a"), two]
        assert await store.schedules(limit=1) == [schedule("a")]
        assert await store.schedules(limit=1, after="a") == [two]
        assert await store.schedules(after="b") == []
        assert await store.schedule("b") == two
        assert await store.schedule("c") is None
        await store.put_schedule(one)
        assert await store.schedules() == [schedule("a"), one]
        assert await store.delete_schedule("b")
        assert not await store.delete_schedule("b")

    async def test_schedules_are_due_by_their_time(self, store: ClusterStore) -> None:
        times = [("a", 30), ("b", 10), ("c", 0), ("d", 31), ("e", 10)]
        for name, next_at in times:
            await store.put_schedule(schedule(name, next_at=next_at))
        await store.put_schedule(schedule("paused", next_at=1, paused=True))

        assert [s.name for s in await store.due_schedules(30)] == ["b", "e", "a"]
        assert [s.name for s in await store.due_schedules(30, limit=1)] == ["b"]
        assert await store.due_schedules(9) == []

    async def test_a_tick_starts_one_execution(self, store: ClusterStore) -> None:
        await store.put_schedule(schedule("s", next_at=10))
        tick = Tick("s", 10, 20)
        await store.commit([change(5, 0, [event(1)], tick=tick)])

        (ticked,) = await store.schedules()
        assert (ticked.next_at, ticked.last_at, ticked.last_execution_id) == (20, 10, 5)
        with pytest.raises(FencedError) as raised:
            await store.commit([change(6, 0, [event(1)], tick=tick), change(7, 0, [event(1)])])
        assert raised.value.execution_ids == (6,)
        assert await store.execution(7) is None
        with pytest.raises(FencedError):
            await store.commit([change(8, 0, [event(1)], tick=Tick("none", 1, 2))])

    async def test_a_tick_is_skipped_once(self, store: ClusterStore) -> None:
        await store.put_schedule(schedule("s", next_at=10))

        assert await store.skip_tick(Tick("s", 10, 20))
        assert not await store.skip_tick(Tick("s", 10, 30))
        assert not await store.skip_tick(Tick("none", 10, 20))
        assert [s.next_at for s in await store.schedules()] == [20]

    async def test_a_row_that_is_newer_stays_with_its_execution(self, store: ClusterStore) -> None:
        await store.commit([change(1, 0, [event(1)])])
        ended = row(1, status="COMPLETED", ended_at=9, seq=2)
        await store.commit([change(1, 1, [event(2, "playbook.completed", "")], row=ended)])

        assert await store.execution(1) == ended
        assert await store.unfinished({shard_of(1)}) == []


class ClusterStoreContract(
    StoreContract,
    FencingContract,
    CommandsContract,
    _Servers,
    _Workers,
    _Schedules,
    AccessContract,
):
    """The contract suite. A subclass provides the fixture ``opened``, as for every store."""
