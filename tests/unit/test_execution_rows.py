"""An execution's row says what its events say, soon after the last of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from arcbook.owner.slots import row_of
from arcbook.store.memory import MemoryStore
from arcbook.testing.clock import run_virtually
from arcbook.testing.local import Bench, bench

HEAD = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: p, path: p}\nworkflow:\n"
CHAIN = (
    HEAD
    + "- {step: start, tool: {kind: act}, next: {arcs: [{step: middle}]}}\n"
    + "- {step: middle, tool: {kind: act}, next: {arcs: [{step: last}]}}\n"
    + "- {step: last, tool: {kind: wait}}\n"
)


async def begun(made: Bench) -> int:
    planned = await made.register(CHAIN)
    execution_id = made.ids()
    await made.runtime.start(planned, {}, execution_id=execution_id)
    return execution_id


@pytest.mark.parametrize("pause", [0.0, 0.1, 0.4, 0.7])
def test_the_row_of_a_waiting_execution_is_right_within_a_second(pause):
    async def act(call: Any) -> dict[str, int]:
        await asyncio.sleep(pause)
        return {"n": 1}

    async def work() -> None:
        tools = {"act": act, "wait": lambda _: asyncio.sleep(3600)}
        async with bench(tools) as made:
            execution_id = await begun(made)
            while made.runtime.drive.slots[execution_id].state.visits.get("last") is None:
                await asyncio.sleep(0.01)
            await asyncio.sleep(1)
            row = await made.store.execution(execution_id)
            state = made.runtime.drive.slots[execution_id].state
            assert row is not None
            assert row.current == "last"
            assert row == row_of(state, made.events[execution_id][-1].at)

    run_virtually(work())


def test_a_row_that_is_right_is_not_written_again():
    commits: list[int] = []

    class Counting(MemoryStore):
        async def commit(self, changes: Any) -> None:
            commits.append(len([c for c in changes if not c.events]))
            await super().commit(changes)

    async def work() -> None:
        tools = {"act": lambda _: {"n": 1}, "wait": lambda _: asyncio.sleep(3600)}
        async with bench(tools, store=Counting()) as made:
            await begun(made)
            await asyncio.sleep(60)

    run_virtually(work())
    assert sum(commits) == 1


def test_the_row_that_a_crash_left_behind_is_made_good_when_the_execution_is_taken_over():
    async def work() -> None:
        store = MemoryStore()
        tools = {"act": lambda _: {"n": 1}, "wait": lambda _: asyncio.sleep(3600)}
        async with bench(tools, store=store) as made:
            execution_id = await begun(made)
            while made.runtime.drive.slots[execution_id].state.visits.get("last") is None:
                await asyncio.sleep(0)
        row = await store.execution(execution_id)
        assert row is not None
        assert row.current != "last"

        async with bench(tools, store=store) as made:
            await made.runtime.resume(execution_id)
            await asyncio.sleep(1)
            row = await store.execution(execution_id)
            assert row is not None
            assert row.current == "last"

    run_virtually(work())
