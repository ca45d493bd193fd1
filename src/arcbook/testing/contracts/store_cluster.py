"""What every store of a cluster promises, beyond what one process needs."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

import pytest

from arcbook.ids import MACHINE_MAX
from arcbook.shards import SHARDS, shard_of
from arcbook.store.api import (
    Change,
    Claim,
    ClusterStore,
    CommandRow,
    FencedError,
    LostServerError,
    ScheduleRow,
    ServerRow,
    StoreError,
    Tick,
    WorkerRow,
)
from arcbook.testing.contracts.store import StoreContract, change, event, row

LEASE: Final = 60.0
SHORT: Final = 0.05
"""A lease that ends while a test waits, in seconds."""


class _Reads(Protocol):
    """Type of the fixture that opens the store again."""

    async def __call__(self) -> ClusterStore: ...


def command(command_id: str, execution_id: int, **facts: Any) -> CommandRow:
    """Return a command that is out."""
    made = {"step": "s", "pool": "main", "generation": 0, "attempt": 0, "issued_at": 7, **facts}
    return CommandRow(command_id, execution_id, **made)


def server(server_id: str) -> ServerRow:
    """Return a server that wants to join."""
    return ServerRow(server_id=server_id, machine=-1, version="1", url=f"http://{server_id}")


def schedule(name: str, **facts: Any) -> ScheduleRow:
    """Return a schedule."""
    return ScheduleRow(**{"name": name, "path": "a/b", "cron": "* * * * *", **facts})


class _Fencing:
    """Who may write: the second writer of anything learns that it is the second."""

    async def test_a_writer_ahead_of_the_store_is_fenced(self, store: ClusterStore) -> None:
        await store.commit([change(1, 0, [event(1)]), change(2, 0, [event(1)])])

        with pytest.raises(FencedError) as raised:
            await store.commit([change(2, 1, [event(2)]), change(1, 4, [event(5)])])
        assert raised.value.execution_ids == (1,)
        assert [len(await store.events(i)) for i in (1, 2)] == [1, 1]
        with pytest.raises(FencedError):
            await store.commit([change(3, 2, [event(3)])])

    async def test_numbers_with_a_gap_are_refused(self, store: ClusterStore) -> None:
        with pytest.raises(StoreError):
            await store.commit([change(1, 0, [event(1), event(3)])])
        assert await store.events(1) == []

    async def test_all_that_are_fenced_are_named_in_the_order_of_the_commit(
        self, store: ClusterStore
    ) -> None:
        await store.commit([change(i, 0, [event(1)]) for i in range(1, 7)])
        await store.commit([change(1, 1, [event(2)], issued=[command("c", 1, worker="w")])])
        await store.put_schedule(schedule("tick", next_at=5))

        with pytest.raises(FencedError) as raised:
            await store.commit(
                [
                    change(6, 9, [event(10)]),
                    change(5, 1, [event(2)]),
                    change(4, 1, [event(2)], tick=Tick("tick", 4, 9)),
                    change(3, 0, [event(1)]),
                    change(1, 2, [event(3)], claims=[Claim("c", 0, 0, "other")]),
                ]
            )
        assert raised.value.execution_ids == (6, 4, 3, 1)
        assert len(await store.events(5)) == 1

    async def test_who_comes_before_a_fenced_one_is_not_named(self, store: ClusterStore) -> None:
        await store.commit([change(i, 0, [event(1)]) for i in (1, 2)])

        with pytest.raises(FencedError) as raised:
            await store.commit(
                [change(i, after, [event(after + 1)]) for i, after in ((1, 1), (2, 0))]
            )
        assert raised.value.execution_ids == (2,)
        assert len(await store.events(1)) == 1

    async def test_of_writers_at_once_one_wins(self, store: ClusterStore, opened: _Reads) -> None:
        stores = [store, await opened(), await opened()]
        await store.commit([change(i, 0, [event(1)]) for i in range(1, 9)])

        async def write(writer: ClusterStore, order: list[int]) -> int:
            try:
                await writer.commit([change(i, 1, [event(2)]) for i in order])
            except FencedError:
                return 0
            return 1

        orders = [[*range(1, 9)], [*range(8, 0, -1)], [5, 1, 8, 2, 7, 3, 6, 4]]
        won = await asyncio.gather(*map(write, stores, orders))
        assert sum(won) == 1
        assert [len(await store.events(i)) for i in range(1, 9)] == [2] * 8


class _Commands:
    """Commands that are out."""

    async def test_commands_are_issued_claimed_and_done(self, store: ClusterStore) -> None:
        given = [command("1/a", 1), command("1/b", 1, pool="gpu", worker="w1")]
        await store.commit([change(1, 0, [event(1)], issued=given)])
        assert await store.commands() == given
        assert await store.backlog() == {"main": (1, 0), "gpu": (0, 1)}

        claim = Claim("1/a", 0, 0, "w2")
        await store.commit([Change(execution_id=1, after_seq=1, events=[], claims=[claim])])
        assert [(c.command_id, c.worker) for c in await store.commands()] == [
            ("1/a", "w2"),
            ("1/b", "w1"),
        ]

        await store.commit([change(1, 1, [event(2)], done=["1/a", "1/b", "gone"])])
        assert await store.commands() == []
        assert await store.backlog() == {}

    async def test_a_command_given_out_again_takes_the_place_of_the_first(
        self, store: ClusterStore
    ) -> None:
        await store.commit([change(1, 0, [event(1)], issued=[command("c", 1, worker="w")])])
        again = command("c", 1, attempt=1)
        await store.commit([change(1, 1, [event(2)], done=["c"], issued=[again])])

        assert await store.commands() == [again]

    @pytest.mark.parametrize(
        "claim",
        [
            Claim("c", 0, 1, "w"),
            Claim("c", 1, 0, "w"),
            Claim("none", 1, 1, "w"),
            Claim("taken", 1, 1, "w"),
        ],
    )
    async def test_a_claim_of_what_is_not_pending_so_is_fenced(
        self, store: ClusterStore, claim: Claim
    ) -> None:
        issued = [command(c, 1, generation=1, attempt=1) for c in ("c", "taken", "third")]
        taken = Claim("taken", 1, 1, "first")
        await store.commit([change(1, 0, [event(1)], issued=issued)])
        await store.commit([Change(execution_id=1, after_seq=1, events=[], claims=[taken])])

        good = Claim("third", 1, 1, "w")
        with pytest.raises(FencedError) as raised:
            await store.commit([change(1, 1, [event(2)], claims=[good, claim])])
        assert raised.value.execution_ids == (1,)
        assert [c.worker for c in await store.commands()] == ["", "first", ""]
        assert len(await store.events(1)) == 1

    async def test_commands_come_by_shard_and_in_pages(self, store: ClusterStore) -> None:
        for i in range(1, 30):
            await store.commit([change(i, 0, [event(1)], issued=[command(f"{i:03}", i)])])
        shards = {shard_of(i) for i in range(1, 8)}
        mine = [i for i in range(1, 30) if shard_of(i) in shards]

        assert [c.execution_id for c in await store.commands(shards)] == mine
        page = await store.commands(shards, after=f"{mine[1]:03}", limit=2)
        assert [c.execution_id for c in page] == mine[2:4]
        assert [c.execution_id for c in await store.commands(after="027")] == [28, 29]
        assert await store.commands(frozenset()) == []
        assert await store.unfinished(shards) == mine

    async def test_a_deleted_execution_takes_its_commands_along(self, store: ClusterStore) -> None:
        for i in (1, 2):
            await store.commit([change(i, 0, [event(1)], issued=[command(f"c{i}", i)])])
        await store.delete_execution(1)

        assert [c.command_id for c in await store.commands()] == ["c2"]


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
        self, store: ClusterStore, opened: _Reads
    ) -> None:
        stores = [store, await opened()]
        joined = await asyncio.gather(
            *(stores[i % 2].join(server(f"s{i}"), LEASE) for i in range(10))
        )
        assert sorted(s.machine for s in joined) == list(range(10))

    async def test_one_server_owns_all_and_gives_up_what_is_beyond_its_share(
        self, store: ClusterStore
    ) -> None:
        await store.join(server("a"), LEASE)
        alone = await store.beat("a", LEASE)
        assert alone == (frozenset(range(SHARDS)), frozenset(), 1)

        await store.join(server("b"), LEASE)
        assert (await store.beat("b", LEASE)).shards == frozenset()
        crowded = await store.beat("a", LEASE)
        assert len(crowded.excess) == SHARDS // 2
        assert crowded.excess < crowded.shards
        await store.release("b", crowded.shards)  # what is not its own, it cannot give up
        await store.release("a", crowded.excess)
        assert (await store.beat("b", LEASE)).shards == crowded.excess
        assert (await store.beat("a", LEASE)).shards == crowded.shards - crowded.excess

    async def test_shards_of_the_dead_are_taken(self, store: ClusterStore) -> None:
        await store.join(server("a"), SHORT)
        await store.beat("a", SHORT)
        await store.join(server("b"), LEASE)
        await asyncio.sleep(SHORT * 1.5)

        taken = await store.beat("b", LEASE)
        assert (len(taken.shards), taken.servers) == (SHARDS, 1)
        with pytest.raises(LostServerError):
            await store.beat("a", LEASE)
        assert [s.server_id for s in await store.servers()] == ["b"]

    async def test_a_share_is_rounded_up(self, store: ClusterStore) -> None:
        for name in "abc":
            await store.join(server(name), LEASE)
        owned = [(await store.beat(name, LEASE)).shards for name in "abc"]
        assert [len(shards) for shards in owned] == [22, 22, 20]
        assert len(frozenset().union(*owned)) == SHARDS

        await store.leave("b")
        assert [len((await store.beat(name, LEASE)).shards) for name in "ac"] == [32, 32]

    async def test_an_unknown_server_is_told_so(self, store: ClusterStore) -> None:
        with pytest.raises(LostServerError):
            await store.beat("nobody", LEASE)


class _Workers:
    """The registry of workers."""

    async def test_workers_are_seen_for_a_while(self, store: ClusterStore) -> None:
        one = WorkerRow(worker_id="b", pools=["main"], capacity=4, kinds=["http"], pid=7)
        await store.put_worker(one)
        await store.put_worker(WorkerRow(worker_id="a", pools=[], capacity=1))
        await asyncio.sleep(SHORT)
        await store.put_worker(WorkerRow(worker_id="b", pools=["gpu"], capacity=4, held=2))

        everyone = await store.workers(LEASE)
        assert [w.worker_id for w in everyone] == ["a", "b"]
        found = everyone[1]
        assert (found.pools, found.held) == (["gpu"], 2)
        assert found.seen_at - found.started_at >= int(SHORT * 1_000_000)
        assert [w.worker_id for w in await store.workers(SHORT / 2)] == ["b"]

        await store.delete_worker("b")
        await store.delete_worker("nobody")
        assert [w.worker_id for w in await store.workers(LEASE)] == ["a"]


class _Schedules:
    """Schedules and their ticks."""

    async def test_schedules_are_put_replaced_listed_and_deleted(self, store: ClusterStore) -> None:
        one = schedule("b", payload={"x": [1, "\x00é", None]}, version=3, next_at=9)
        two = schedule("b", cron="", every_seconds=1.5, paused=True, next_at=4, last_at=2)
        for made in (one, schedule("a"), two):
            await store.put_schedule(made)

        assert await store.schedules() == [schedule("a"), two]
        await store.put_schedule(one)
        assert await store.schedules() == [schedule("a"), one]
        assert await store.delete_schedule("b")
        assert not await store.delete_schedule("b")

    async def test_schedules_are_due_by_their_time(self, store: ClusterStore) -> None:
        made = [("a", 30), ("b", 10), ("c", 0), ("d", 31), ("e", 10)]
        for name, next_at in made:
            await store.put_schedule(schedule(name, next_at=next_at))
        await store.put_schedule(schedule("paused", next_at=1, paused=True))

        assert [s.name for s in await store.due_schedules(30)] == ["b", "e", "a"]
        assert [s.name for s in await store.due_schedules(30, limit=1)] == ["b"]
        assert await store.due_schedules(9) == []

    async def test_a_tick_starts_one_execution(self, store: ClusterStore) -> None:
        await store.put_schedule(schedule("s", next_at=10))
        tick = Tick("s", 10, 20)
        await store.commit([change(5, 0, [event(1)], tick=tick)])

        (found,) = await store.schedules()
        assert (found.next_at, found.last_at, found.last_execution_id) == (20, 10, 5)
        with pytest.raises(FencedError) as raised:
            await store.commit([change(6, 0, [event(1)], tick=tick), change(7, 0, [event(1)])])
        assert raised.value.execution_ids == (6,)
        assert await store.execution(7) is None
        with pytest.raises(FencedError):
            await store.commit([change(8, 0, [event(1)], tick=Tick("none", 1, 2))])

    async def test_a_row_that_is_newer_stays_with_its_execution(self, store: ClusterStore) -> None:
        await store.commit([change(1, 0, [event(1)])])
        ended = row(1, status="COMPLETED", ended_at=9, seq=2)
        await store.commit([change(1, 1, [event(2, "playbook.completed", "")], row=ended)])

        assert await store.execution(1) == ended
        assert await store.unfinished({shard_of(1)}) == []


class ClusterStoreContract(StoreContract, _Fencing, _Commands, _Servers, _Workers, _Schedules):
    """The whole suite. A subclass has a fixture ``opened``, as for one process."""
