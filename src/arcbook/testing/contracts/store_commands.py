"""The contract of stores for fenced writers and outstanding commands."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import pytest

from arcbook.shards import SHARDS, shard_of
from arcbook.store.api import (
    PAGE_MAX,
    Change,
    Claim,
    ClusterStore,
    CommandRow,
    FencedError,
    ScheduleRow,
    StoreError,
    Tick,
)
from arcbook.testing.contracts.store import change, event


class Opens(Protocol):
    """Type of the fixture that reopens the store."""

    async def __call__(self) -> ClusterStore: ...


def command(command_id: str, execution_id: int, **facts: Any) -> CommandRow:
    """Return the row of an outstanding command."""
    fields = {"step": "s", "pool": "main", "generation": 0, "attempt": 0, "issued_at": 7, **facts}
    return CommandRow(command_id, execution_id, **fields)


def schedule(name: str, **facts: Any) -> ScheduleRow:
    """Return a schedule."""
    return ScheduleRow(**{"name": name, "path": "a/b", "cron": "* * * * *", **facts})


class FencingContract:
    """Fencing: the second writer of anything is rejected."""

    async def test_a_writer_ahead_of_the_store_is_fenced(self, store: ClusterStore) -> None:
        await store.commit([change(1, 0, [event(1)]), change(2, 0, [event(1)])])

        with pytest.raises(FencedError) as raised:
            await store.commit([change(2, 1, [event(2)]), change(1, 4, [event(5)])])
        assert raised.value.execution_ids == (1,)
        assert [len(await store.events(i)) for i in (1, 2)] == [1, 1]
        with pytest.raises(FencedError):
            await store.commit([change(3, 2, [event(3)])])

    async def test_who_goes_on_with_a_deleted_execution_is_fenced(
        self, store: ClusterStore
    ) -> None:
        await store.commit([change(1, 0, [event(1)])])
        await store.delete_execution(1)

        with pytest.raises(FencedError):
            await store.commit([change(1, 1, [event(2)])])
        assert await store.load(1) is None

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

    async def test_of_writers_at_once_one_wins(self, store: ClusterStore, opened: Opens) -> None:
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


class CommandsContract:
    """Outstanding commands."""

    async def test_commands_are_issued_claimed_and_done(self, store: ClusterStore) -> None:
        issued = [command("1/a", 1), command("1/b", 1, pool="gpu", worker="w1")]
        await store.commit([change(1, 0, [event(1)], issued=issued)])
        assert await store.commands() == issued
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

    async def test_a_claim_by_who_does_not_know_the_last_event_is_fenced(
        self, store: ClusterStore
    ) -> None:
        await store.commit([change(1, 0, [event(1)], issued=[command("c", 1)])])
        await store.commit([change(1, 1, [event(2)])])
        claim = Claim("c", 0, 0, "w")

        with pytest.raises(FencedError) as raised:
            await store.commit([Change(execution_id=1, after_seq=1, events=[], claims=[claim])])
        assert raised.value.execution_ids == (1,)
        assert [c.worker for c in await store.commands()] == [""]

        await store.commit([Change(execution_id=1, after_seq=2, events=[], claims=[claim])])
        assert [c.worker for c in await store.commands()] == ["w"]

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

    async def test_more_commands_than_a_page_of_other_shards_hide_none(
        self, store: ClusterStore
    ) -> None:
        many = [command(f"{n:04}", 1) for n in range(PAGE_MAX + 1)]
        other = next(i for i in range(2, SHARDS * 4) if shard_of(i) != shard_of(1))
        await store.commit([change(1, 0, [event(1)], issued=many)])
        await store.commit([change(other, 0, [event(1)], issued=[command("last", other)])])

        mine = await store.commands({shard_of(other)})
        assert [c.command_id for c in mine] == ["last"]
        assert len(await store.commands(limit=PAGE_MAX + 1)) == PAGE_MAX

    async def test_commands_of_one_execution_come_alone_and_in_pages(
        self, store: ClusterStore
    ) -> None:
        out = {i: [f"{i}:s:1:{n}" for n in range(5)] for i in (1, 2, 11, 21)}
        for i, ids in out.items():
            issued = [command(command_id, i) for command_id in ids]
            await store.commit([change(i, 0, [event(1)], issued=issued)])

        for i, ids in out.items():
            assert [c.command_id for c in await store.commands_of(i)] == ids
        page = await store.commands_of(1, after="1:s:1:1", limit=2)
        assert [c.command_id for c in page] == ["1:s:1:2", "1:s:1:3"]
        assert await store.commands_of(1, after="1:s:1:4") == []
        assert await store.commands_of(3) == []

    async def test_a_deleted_execution_takes_its_commands_along(self, store: ClusterStore) -> None:
        for i in (1, 2):
            await store.commit([change(i, 0, [event(1)], issued=[command(f"c{i}", i)])])
        await store.delete_execution(1)

        assert [c.command_id for c in await store.commands()] == ["c2"]
